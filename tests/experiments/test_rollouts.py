from pathlib import Path

import numpy as np
import pytest

from experiments.dataset import POLICIES
from experiments.rollouts import Rollouts, roll_out
from experiments.run import Run
from vision.reconstruct import View

SHIPPED = (POLICIES / "hopper",)
cameras = pytest.mark.parametrize("camera", ["track", "rail"])


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    return roll_out("hopper", SHIPPED, "rail", 224, num_envs=12, steps=200, seed=0)[0]


def test_frames_fit_together(rollouts: Rollouts) -> None:
    """Heights come back from the keypoints of the rail camera, and rates from the angles of frames in a row."""
    shapes = [array.shape for array in (rollouts.keypoints, rollouts.actions, rollouts.observations, rollouts.starts)]
    assert shapes == [(200, 12, 5, 2), (200, 12, 3), (200, 12, 11), (200, 12)]
    height = 1.0 + (111.5 - rollouts.keypoints[..., :2, 1].mean(axis=-1)) * View(224, 224, 1.0).scale
    np.testing.assert_allclose(height, rollouts.observations[..., 0], rtol=0, atol=1e-9)
    going = ~rollouts.starts[1:]
    mean_rate = (rollouts.observations[1:, :, 6] + rollouts.observations[:-1, :, 6]) / 2
    rise = np.diff(rollouts.observations[..., 0], axis=0) / 0.008
    assert np.corrcoef(mean_rate[going], rise[going])[0, 1] > 0.99


def test_episodes_start_without_an_action_near_the_reference_pose(rollouts: Rollouts) -> None:
    starts = rollouts.starts
    assert starts[0].all()
    assert starts.sum() > 12  # some fell and began anew
    assert np.all(rollouts.actions[starts] == 0)
    assert np.all(np.abs(rollouts.observations[starts] - [1.25, *[0] * 10]) <= 0.005)
    assert np.abs(rollouts.actions).max() == 1
    # Every fourth policy acts without noise, so its actions change less from frame to frame.
    change = np.abs(np.diff(rollouts.actions, axis=0)).mean(axis=(0, 2))
    assert change[::4].mean() < np.delete(change, slice(None, None, 4)).mean()


def test_rollouts_depend_on_the_seed_alone(rollouts: Rollouts) -> None:
    again, _ = roll_out("hopper", SHIPPED, "rail", 224, num_envs=12, steps=20, seed=0)
    np.testing.assert_array_equal(again.keypoints, rollouts.keypoints[:20])
    np.testing.assert_array_equal(again.actions, rollouts.actions[:20])
    other, _ = roll_out("hopper", SHIPPED, "rail", 224, num_envs=12, steps=20, seed=1)
    assert not np.array_equal(other.keypoints, again.keypoints)


def test_a_policy_of_another_figure_is_refused(own_run: Run) -> None:
    text = (own_run.directory / "config.yaml").read_text().replace("figure: hopper", "figure: unicorn")
    (own_run.directory / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match="unknown figure 'unicorn'"):
        roll_out("hopper", [own_run.directory], "track", 224, 2, 2, 0)


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run found"):
        roll_out("hopper", [tmp_path], "track", 224, 2, 2, 0)
