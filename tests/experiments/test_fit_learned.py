from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from experiments.dataset import POLICIES
from experiments.fit_learned import fit_learned, judge_estimator
from experiments.pose_config import LearnedConfig
from experiments.rollouts import roll_out
from vision.learned import Learned
from vision.reconstruct import View

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


def test_a_tiny_training_beats_the_mean_and_the_reading(tmp_path: Path) -> None:
    losses: list[tuple[int, float]] = []
    found = fit_learned(
        TINY, "rail", 224, tmp_path / "tiny.safetensors", Noise, POOR, lambda *told: losses.append(told)
    )
    assert [epoch for epoch, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[5][1] < losses[0][1]
    assert min(found.r2) > 0.2  # 0 is the mean
    assert min(found.r2[0], *found.r2[2:5]) > 0.95
    # Errors of 0.4 px are errors of √2 · 0.4 px in each link's direction; the joints turn two links.
    pixel = View(224, 224, 1.0).scale
    reading = np.sqrt(2) * 0.4 * pixel * np.hypot(1 / np.array([0.4, 0.45, 0.5]), 1 / np.array([0.45, 0.5, 0.26]))
    assert np.all(np.array(found.rmse[2:5]) < reading)
    Learned(tmp_path / "tiny.safetensors", View(224, 224, 1.0), 7)


def test_a_training_depends_on_the_seed_alone(tmp_path: Path) -> None:
    config = replace(TINY, frames=3_200, epochs=1)
    found = [
        fit_learned(replace(config, seed=seed), "rail", 224, tmp_path / name, Noise, POOR)
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert found[0] == found[1] != found[2]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


class Perfect:
    """Knows the rail camera's rollouts by heart."""

    def __init__(self, observations: Array) -> None:
        self.answers = iter(observations)
        self.resets: list[list[int]] = []

    def reset(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> None:
        self.resets.append(list(ids))

    def update(self, keypoints: Array, confidences: Array, actions: Array) -> Array:
        return next(self.answers)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        raise NotImplementedError

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        raise NotImplementedError


def test_any_estimator_is_judged_frame_by_frame() -> None:
    rollouts, _ = roll_out("hopper", POOR, "track", 224, 4, 150, 0)
    errors, estimator = Noise(4, 0), Perfect(rollouts.observations)
    assert judge_estimator(estimator, rollouts, errors).r2 == (1.0,) * 11
    assert estimator.resets == [np.flatnonzero(starts).tolist() for starts in rollouts.starts]
    assert errors.episodes == rollouts.starts.sum()


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
