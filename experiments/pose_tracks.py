"""Whole rollouts as the estimator sees them: its keypoints beside the true ones. No pictures are kept."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from experiments.files import write_with
from experiments.pose_episodes import episodes
from vision.runtime import PoseRuntime

Array = npt.NDArray[np.float64]

NOISE = 0.3
"""Standard deviation of the noise on each motor's command, whose range is 2."""


@dataclass(frozen=True)
class Tracks:
    """Episodes one after another, ``m`` frames in all."""

    true: Array
    """Pixels ``(m, k, 2)``."""
    predicted: Array
    """Pixels ``(m, k, 2)``."""
    confidences: Array
    """``(m, k)``, 0 to 1."""
    observations: Array
    """The true ones ``(m, size of an observation)``."""
    actions: Array
    """That led to each frame ``(m, nu)``; 0 at an episode's first."""
    lengths: npt.NDArray[np.int64]
    """Frames of each episode ``(e,)``."""
    policy: npt.NDArray[np.str_]
    """Who acted ``(e,)``."""

    @property
    def parts(self) -> list[slice]:
        """Rows of each episode."""
        ends = np.cumsum(self.lengths)
        return [slice(end - length, end) for end, length in zip(ends.tolist(), self.lengths.tolist(), strict=True)]

    def choose(self, chosen: Sequence[int]) -> Self:
        """Some of the episodes."""
        rows = np.concatenate([np.arange(self.parts[i].start, self.parts[i].stop) for i in chosen])
        per_frame = {field.name: getattr(self, field.name)[rows] for field in fields(self)[:5]}
        return type(self)(**per_frame, lengths=self.lengths[list(chosen)], policy=self.policy[list(chosen)])

    def halves(self) -> tuple[Self, Self]:
        """Every other episode, to fit, and the rest, to judge: of each policy, with and without noise."""
        order = range(len(self.lengths))
        return self.choose(order[::2]), self.choose(order[1::2])

    def triples(self) -> list[tuple[Array, Array, Array]]:
        """True and predicted keypoints and confidences of each episode."""
        return [(self.true[part], self.predicted[part], self.confidences[part]) for part in self.parts]

    def save(self, file: Path) -> None:
        """Write a compressed ``.npz``, positions in float32."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        small = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}
        write_with(file, lambda path: np.savez_compressed(path, **small))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: not readable.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                arrays = {field.name: stored[field.name] for field in fields(cls)}
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{file}: not readable ({error}); remove it to make it anew") from None
        return cls(**{name: a.astype(float) if a.dtype == np.float32 else a for name, a in arrays.items()})


def record_tracks(
    figure: str,
    policies: Sequence[Path],
    camera: str,
    estimator: Path,
    per_policy: int,
    steps: int,
    seed: int,
    workers: int,
    watch: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Let ``estimator`` look at rollouts of trained policies; see :func:`experiments.pose_episodes.episodes`.

    Half of a policy's episodes are with noise on its actions, so that more than a few gaits are seen. Each kind is
    rendered in a process of its own, ``workers`` at a time; ``watch`` is called with kinds done and kinds in all.

    Raises:
        ValueError: as there, or no estimator.
        RuntimeError: no OpenGL context can be made on this machine.
    """
    # Not forked from here: an OpenGL context does not outlive that.
    with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
        jobs = [
            pool.submit(_record, figure, policy, camera, estimator, per_policy // 2, steps, seed, noise)
            for policy in policies
            for noise in (0.0, NOISE)
        ]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            if watch is not None:
                watch(done, len(jobs))
        results = [job.result() for job in jobs]
    return Tracks(*(np.concatenate([getattr(part, field.name) for part in results]) for field in fields(Tracks)))


def _record(
    figure: str, policy: Path, camera: str, estimator: Path, count: int, steps: int, seed: int, noise: float
) -> Tracks:
    os.environ["LP_NUM_THREADS"] = "1"  # Mesa's software renderer would start a thread for every core
    runtime = PoseRuntime(estimator)
    columns: list[tuple[Array, ...]] = []
    names, lengths = [], []
    for episode in episodes(figure, [policy], camera, runtime.size, count, steps, seed, noise=noise):
        predicted, confidences = runtime(episode.images)
        columns.append((episode.keypoints, predicted, confidences, episode.observations, episode.actions))
        names.append(episode.policy)
        lengths.append(len(predicted))
    joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
    return Tracks(joined[0], joined[1], joined[2], joined[3], joined[4], np.array(lengths), np.array(names))
