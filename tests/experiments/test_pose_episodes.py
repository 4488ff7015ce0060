"""Frames of episodes: consecutive, with the observation and the action that belong to each."""

from typing import Any

import numpy as np
import pytest

import envs
from experiments.config import seed_streams
from experiments.dataset import POLICIES
from experiments.evaluate import load_trained
from experiments.harvest import act
from experiments.pose_episodes import Episode, episodes
from experiments.run import find_runs
from vision.camera import Camera
from vision.keypoints import keypoints_of

POOR = POLICIES / "hopper" / "poor"
STEPS = 6


def play(**changes: Any) -> list[Episode]:
    request = {"figure": "hopper", "policies": [POOR], "camera": "rail", "size": 32, "per_policy": 2, "steps": STEPS}
    return list(episodes(**{**request, "seed": 0, **changes}))


@pytest.fixture(scope="module")
def seen() -> list[Episode]:
    return play()


def test_every_array_has_a_row_for_each_frame(seen: list[Episode]) -> None:
    assert len(seen) == 2
    for episode in seen:
        assert episode.policy == "hopper/poor"
        found = {name: (part.shape, part.dtype.name) for name, part in vars(episode).items() if name != "policy"}
        assert found == {
            "images": ((STEPS, 32, 32, 3), "uint8"),
            "keypoints": ((STEPS, 5, 2), "float64"),
            "flags": ((STEPS, 5), "int64"),
            "observations": ((STEPS, 11), "float64"),
            "actions": ((STEPS, 3), "float64"),
        }


def test_the_actions_lead_to_the_observations(seen: list[Episode]) -> None:
    """Whoever takes the actions in a fresh environment sees what the episodes hold."""
    env = envs.make_vec("hopper", 2, "source", seed=seed_streams(0)[1])
    observed: Any = env.reset()
    for step in range(STEPS):
        np.testing.assert_array_equal(observed, [episode.observations[step] for episode in seen])
        if step + 1 < STEPS:
            observed = env.step(np.array([episode.actions[step + 1] for episode in seen], np.float32))[0]
    assert all(not episode.actions[0].any() for episode in seen)
    env.close()


def test_the_policy_acts(seen: list[Episode]) -> None:
    policy = load_trained(find_runs([POOR])[0], "source", 2, num_threads=1)
    policy.env.seed(seed_streams(0)[1])
    first, _ = policy.agent.predict(policy.env.reset(), deterministic=True)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, [episode.actions[1] for episode in seen])


def test_the_keypoints_are_those_of_the_observation(seen: list[Episode]) -> None:
    """Height and pitch of the torso place its ends before a camera 1 m above the floor and 3 m away."""
    camera = Camera(np.array([0.0, -3.0, 1.0]), np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), np.array(45.0), 32, 32)
    height, pitch = seen[0].observations[:, 0], seen[0].observations[:, 1]
    ends = np.zeros((STEPS, 2, 3))
    for end, along in enumerate((0.2, -0.2)):
        ends[:, end, 0], ends[:, end, 2] = along * np.sin(pitch), height + along * np.cos(pitch)
    expected = camera.project(ends)[0]
    top, waist = seen[0].keypoints[:, 0], seen[0].keypoints[:, 1]
    np.testing.assert_allclose(top[:, 1], expected[:, 0, 1], atol=1e-6)
    np.testing.assert_allclose(top - waist, expected[:, 0] - expected[:, 1], atol=1e-6)


def test_an_episode_ends_where_the_figure_fails() -> None:
    rollout = act(find_runs([POOR])[0], "source", 2, 300, 0)
    lengths = rollout.running.sum(axis=0)
    assert rollout.failed.all()
    assert len(rollout.states) == max(lengths) < 300
    for i, length in enumerate(lengths):
        assert rollout.running[:length, i].all()
        assert (rollout.states[:length, i, 1] > 0.7).all()  # m: below, the hopper has failed


def test_noise_moves_the_actions_within_their_range() -> None:
    run = find_runs([POOR])[0]
    clean, noisy, again = (act(run, "source", 2, 20, 0, noise).actions for noise in (0.0, 0.5, 0.5))
    np.testing.assert_array_equal(noisy, again)
    assert not noisy[0].any()
    assert np.abs(noisy).max() == 1.0
    moved = noisy[1] - clean[1]
    assert np.abs(moved).max() > 0.05
    assert not np.array_equal(moved[0], moved[1])


def test_domain_and_noise_change_what_happens(seen: list[Episode]) -> None:
    for changes in ({"domain": "target"}, {"noise": 0.5}):
        other = play(per_policy=1, size=8, steps=3, **changes)
        np.testing.assert_array_equal(other[0].observations[0], seen[0].observations[0])
        assert not np.array_equal(other[0].observations[2], seen[0].observations[2])


def test_the_episodes_come_one_by_one() -> None:
    first = next(episodes("hopper", [POLICIES / "hopper"], "track", 8, 1, 3, 0))
    assert first.policy == "hopper/good"
    assert first.keypoints.shape == (3, len(keypoints_of("hopper").names), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"figure": "unicorn"}, f"unknown figure 'unicorn'; accepted: {', '.join(envs.FIGURES)}"),
        ({"camera": "drone"}, "unknown camera 'drone'; accepted: track, rail"),
        ({"size": 481}, "size is 481; it must be from 1 to 480"),
        ({"per_policy": 0}, "per_policy is 0; it must be 1 or more"),
        ({"steps": 0}, "steps is 0; it must be 1 or more"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"noise": -0.1}, "noise is -0.1; it must be 0 or more"),
        ({"noise": float("nan")}, "noise is nan; it must be 0 or more"),
        ({"policies": []}, "no run is given; accepted: run directories, or folders of them"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        play(**changes)
