from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.config import RunConfig
from experiments.evaluate import load_trained
from experiments.reward_config import RewardConfig
from experiments.run import Run, create_run
from experiments.transitions import Transitions, load_transitions, record

CONFIG = RewardConfig(policies=("x",), points=3000, noise=(0.5,), seed=3)


@pytest.fixture(scope="module")
def recorded(ppo_run: Run) -> Transitions:
    return record(CONFIG, [ppo_run], "source")


def test_every_kind_has_the_same_number_of_steps(recorded: Transitions) -> None:
    assert CONFIG.kinds == ("random", "good", "noisy 0.5")
    counts = np.bincount(recorded.kinds)
    assert (counts == counts[0]).all()
    assert 1000 <= counts[0] < 1000 + 64
    assert recorded.observations.shape == (3 * counts[0], 11)
    assert recorded.actions.shape == (3 * counts[0], 3)
    assert {array.dtype for array in (recorded.observations, recorded.actions, recorded.rewards)} == {np.dtype("f4")}


def test_good_is_the_policy_itself_and_noisy_is_as_far_from_it_as_said(recorded: Transitions, ppo_run: Run) -> None:
    policy = load_trained(ppo_run, "source", num_envs=1, num_threads=1)
    own, _ = policy.agent.predict(policy.env.normalize_obs(recorded.observations), deterministic=True)  # type: ignore[attr-defined]
    away = recorded.actions - own
    assert np.abs(away[recorded.kinds == 1]).max() < 1e-5
    inside = (np.abs(recorded.actions) < 1) & (recorded.kinds == 2)[:, None]
    assert np.median(np.abs(away[inside])) == pytest.approx(
        0.5 * 0.674, rel=0.15
    )  # a bit less: what is cut is left out
    assert np.abs(recorded.actions).max() == 1  # of the actuators' ranges


def test_random_actions_fill_the_actuators_ranges(recorded: Transitions) -> None:
    actions = recorded.actions[recorded.kinds == 0]
    assert actions.mean() == pytest.approx(0, abs=0.05)
    assert actions.std() == pytest.approx(1 / 3**0.5, rel=0.05)


def test_rewards_are_of_the_recorded_step(recorded: Transitions) -> None:
    """Of random actions: mostly the forward speed that the observation shows, plus 1, less 0.001 of squared actions."""
    random = recorded.kinds == 0
    expected = 1 + recorded.observations[:, 5] - 1e-3 * np.square(recorded.actions).sum(1)
    assert np.corrcoef(recorded.rewards[random], expected[random])[0, 1] > 0.8


def test_episodes_are_numbered_once_and_have_one_kind(recorded: Transitions) -> None:
    kinds = [set(recorded.kinds[recorded.episodes == episode]) for episode in np.unique(recorded.episodes)]
    assert all(len(each) == 1 for each in kinds)
    assert np.bincount(recorded.episodes).max() <= 50  # the horizon
    assert len(np.unique(recorded.episodes)) > 3 * 1000 / 50
    starts = recorded.observations[np.unique(recorded.episodes, return_index=True)[1]]
    assert np.abs(starts[:, 0] - 1.25).max() < 0.006  # each begins at the figure's height


def test_it_is_the_same_for_the_same_seed(recorded: Transitions, ppo_run: Run, tmp_path: Path) -> None:
    recorded.save(tmp_path / "t.npz")
    kept = load_transitions(tmp_path / "t.npz")
    again = record(CONFIG, [ppo_run], "source")
    for name, array in vars(recorded).items():
        np.testing.assert_array_equal(getattr(again, name), array)
        np.testing.assert_array_equal(getattr(kept, name), array)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04nonsense")
    with pytest.raises(ValueError, match=r"t\.npz: cannot be read .*; remove it to record anew") as caught:
        load_transitions(tmp_path / "t.npz")
    assert "\n" not in str(caught.value)


def test_an_untrained_run_is_refused(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint yet; train it first with simgap train"):
        record(CONFIG, [create_run(tiny(), tmp_path)], "source")
