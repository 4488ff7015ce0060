from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from experiments.dataset import POLICIES
from experiments.fit_learned import _seen, fit_learned
from experiments.pose_config import LearnedConfig
from experiments.rollouts import roll_out
from vision.learned import Learned
from vision.reconstruct import View
from vision.state_metrics import StateMetrics, measure_states

Array = npt.NDArray[np.float64]
POOR = (POLICIES / "hopper" / "poor",)
TINY = LearnedConfig(frames=25_600, epochs=6, hidden=32, learning_rate=1e-2)


class Noise:
    """Errors of 0.4 px, independent from frame to frame."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self.rng, self.num_envs = np.random.default_rng(seed), num_envs
        self.episodes = 0

    def reset(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> None:
        self.episodes += len(ids)

    def update(self, keypoints: Array) -> tuple[Array, Array]:
        assert keypoints.shape == (self.num_envs, 5, 2)
        return keypoints + self.rng.normal(0, 0.4, keypoints.shape), np.full((self.num_envs, 5), 0.9)


def judge(file: Path) -> StateMetrics:
    """What an estimator is worth on episodes, physics and errors that are new to it."""
    new, num_envs = 1_000_000, 48
    rollouts, view = roll_out("hopper", POOR, "rail", 224, num_envs, 67, new)
    estimator, found = Learned(file, view, num_envs), []
    for starts, seen, confidences, actions in _seen(rollouts, Noise(num_envs, new)):
        estimator.reset(np.flatnonzero(starts))
        found.append(estimator.update(seen, confidences, actions))
    return measure_states(np.concatenate(found), rollouts.observations.reshape(-1, 11))


def test_a_tiny_training_beats_the_mean_and_the_reading(tmp_path: Path) -> None:
    losses: list[tuple[int, float]] = []
    file = tmp_path / "tiny.safetensors"
    fit_learned(TINY, "rail", 224, file, Noise, POOR, lambda *told: losses.append(told))
    found = judge(file)
    assert [epoch for epoch, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[5][1] < losses[0][1]
    assert min(found.r2) > 0.2  # 0 is the mean
    assert min(found.r2[0], *found.r2[2:5]) > 0.95
    # Errors of 0.4 px are errors of √2 · 0.4 px in each link's direction; the joints turn two links.
    pixel = View(224, 224, 1.0).scale
    reading = np.sqrt(2) * 0.4 * pixel * np.hypot(1 / np.array([0.4, 0.45, 0.5]), 1 / np.array([0.45, 0.5, 0.26]))
    assert np.all(np.array(found.rmse[2:5]) < reading)
    Learned(file, View(224, 224, 1.0), 7)


def test_a_training_depends_on_the_seed_alone(tmp_path: Path) -> None:
    config = replace(TINY, frames=3_200, epochs=1)
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        fit_learned(replace(config, seed=seed), "rail", 224, tmp_path / name, Noise, POOR)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_errors_begin_anew_with_each_episode() -> None:
    rollouts, _ = roll_out("hopper", POOR, "track", 224, 4, 150, 0)
    errors = Noise(4, 0)
    frames = list(_seen(rollouts, errors))
    np.testing.assert_array_equal([starts for starts, *_ in frames], rollouts.starts)
    np.testing.assert_allclose([seen for _, seen, *_ in frames], rollouts.keypoints, atol=3)
    assert errors.episodes == rollouts.starts.sum() > 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"^epochs is 0; it must be 1 or more$"),
        ({"frames": 100}, r"^frames is 100; it must be 3200 or more$"),
        ({"learning_rate": 1.0}, r"^learning_rate is 1\.0; it must be above 0 and below 1$"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearnedConfig(**changes)


def test_an_unknown_camera_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^unknown camera 'front'; accepted: track, rail$"):
        fit_learned(LearnedConfig(), "front", 224, tmp_path / "a.safetensors", Noise, POOR)
    assert not list(tmp_path.iterdir())
