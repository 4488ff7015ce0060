"""Whole episodes as a camera sees them: consecutive MuJoCo frames with their true keypoints and observations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import envs
from experiments.config import seed_streams
from experiments.harvest import act, find_policies
from experiments.pose_frames import draw, open_scene

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Episode:
    """``T`` consecutive frames, one for each step of the environment; row ``t`` is the moment before step ``t``."""

    images: npt.NDArray[np.uint8]
    """RGB, ``(T, size, size, 3)``."""
    keypoints: Array
    """Pixels ``(T, k, 2)``, the centre of the first pixel at (0, 0); NaN behind the camera."""
    flags: npt.NDArray[np.int64]
    """``(T, k)``: 0 outside the image, 2 inside, seen or hidden alike."""
    observations: Array
    """The task's true observations, not normalised: ``(T, size of an observation)``."""
    actions: Array
    """Motor commands that led to each frame ``(T, nu)``; 0 for the first."""
    policy: str
    """Name of the run that acted."""


def episodes(
    figure: str,
    policies: Sequence[Path],
    camera: str,
    size: int,
    per_policy: int,
    steps: int,
    seed: int,
    domain: str = "source",
    noise: float = 0.0,
) -> Iterator[Episode]:
    """Episodes of trained policies one by one, drawn as Gymnasium draws them: the pictures of one take much memory.

    Args:
        figure: that the policies must be of.
        policies: run directories, or folders of them.
        camera: ``track``, ``rail`` or another camera of the model.
        size: edge of the frames, px.
        per_policy: episodes of each policy.
        steps: frames of an episode at most; it ends earlier where the figure fails.
        seed: of the starts, of evaluation's streams, and of the noise.
        domain: that the policies act in.
        noise: standard deviation of Gaussian noise on each motor's command.

    Raises:
        ValueError: at the first episode: an unknown figure, camera or domain, no run, one without a checkpoint or of
            another figure, or an impossible size, seed, noise, or number of episodes or steps.
        RuntimeError: no OpenGL context can be made on this machine.
    """
    for name, value in (("per_policy", per_policy), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise is {noise}; it must be 0 or more")
    scene = open_scene(figure, domain, camera, size, seed)
    task = envs.task_of(figure)
    for run in find_policies(figure, policies):
        rollout = act(run, domain, per_policy, steps, seed_streams(seed)[1], noise)
        for i in range(per_policy):
            running = rollout.running[:, i]
            states = rollout.states[running, i]
            fields = {"qpos": states[:, : scene.model.nq], "qvel": states[:, scene.model.nq :]}
            actions = rollout.actions[running, i].astype(np.float64)
            yield Episode(*draw(scene, states, camera), task.observe(fields), actions, run.name)
