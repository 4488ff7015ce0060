"""What policies do in simulations of drawn physics, and where a camera sees the figure's keypoints meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import envs
from envs.domains import domain_model
from experiments.evaluate import load_folded
from experiments.run import Run, find_runs
from pipelines.filmed import Filmed
from randomization import RandomizationConfig, make_randomizer
from vision.keypoints import keypoints_of
from vision.reconstruct import View

Array = npt.NDArray[np.float64]

DOMAIN = "source"
"""Policies and estimators never see the target."""
DRAWS = (
    *(f"{body}_mass * uniform(0.5, 1.5)" for body in ("thigh", "leg", "foot")),
    *(f"{joint}_joint_gear * uniform(0.8, 1.2)" for joint in ("thigh", "leg", "foot")),
    *(f"{joint}_joint_damping * uniform(0.7, 1.3)" for joint in ("thigh", "leg", "foot")),
    "foot_friction * uniform(0.7, 1.3)",
)
"""Wide and even around the source, so that an estimator holds where masses shift; other parameters by less."""
HORIZON = 500
"""Steps of an episode at most, as the policies were trained."""
FACTORS = (0.5, 1.5)
"""On a policy's actions: weaker and stronger hops than its own."""
CHANGES = 1 / 100
"""Probability for a step that another policy takes over."""
MAX_CORRELATION = 0.95
"""Of the noise on the actions from one step to the next."""


@dataclass(frozen=True)
class Rollouts:
    """``t`` frames of ``n`` simulations in which one episode follows another."""

    keypoints: Array
    """True ones, px: ``(t, n, k, 2)``."""
    actions: Array
    """That led to each frame, zero at an episode's first: ``(t, n, actuators)``."""
    observations: Array
    """True and unnormalised: ``(t, n, entries)``."""
    starts: npt.NDArray[np.bool_]
    """Which frames are the first of an episode: ``(t, n)``; all of the first ones are."""


def view_of(figure: str, camera: str, size: int) -> View:
    """A camera of a figure as the state estimators know it.

    Raises:
        ValueError: an unknown figure or camera.
    """
    return Filmed(domain_model(envs.task_of(figure), DOMAIN), keypoints_of(figure), camera, size).view


def roll_out(
    figure: str, policies: Sequence[Path], camera: str, size: int, num_envs: int, steps: int, seed: int
) -> tuple[Rollouts, View]:
    """Let ``policies`` act so that there are more gaits than policies, for estimators that meet others later.

    Every fourth simulation keeps to one policy as it is. In the others the policy changes now and then, its actions are
    scaled by a factor, and they get normal noise; the factor, the noise's deviation (from 0 to 1, half of the motors'
    range) and its correlation from step to step are drawn for each simulation.

    Raises:
        ValueError: no run, one without a checkpoint, of another figure or on neither state nor pose, or an unknown
            camera.
    """
    rng = np.random.default_rng(seed)
    agents = [_load(run, figure) for run in find_runs(list(policies))]
    config = RandomizationConfig("uniform", draws=DRAWS)
    simulation = envs.make_vec(
        figure, num_envs, DOMAIN, HORIZON, seed, num_threads=1, randomizer=make_randomizer(config, (), seed)
    )
    filmed = Filmed(simulation.model, keypoints_of(figure), camera, size)
    plain = np.arange(num_envs) % 4 == 0
    deviation = np.where(plain, 0.0, rng.uniform(0, 1, num_envs))[:, None]
    factor = np.where(plain, 1.0, rng.uniform(*FACTORS, num_envs))[:, None]
    correlation = rng.uniform(0, MAX_CORRELATION, num_envs)[:, None]
    memories: list[Any] = [None] * len(agents)
    observations: Any = simulation.reset()
    low, high = simulation.model.actuator_ctrlrange.T
    starts, noise = np.ones(num_envs, bool), np.zeros((num_envs, len(low)))
    actions = np.zeros_like(noise)
    acting = (np.arange(num_envs) // 4) % len(agents)
    frames: list[tuple[Array, ...]] = []
    for _ in range(steps):
        shot = simulation.shot()
        seen = filmed(shot.qpos, shot.masses)
        frames.append((seen, np.where(starts[:, None], 0.0, actions), observations.copy(), starts))
        change = ~plain & (rng.random(num_envs) < CHANGES)
        acting = np.where(change, rng.integers(len(agents), size=num_envs), acting)
        for i, agent in enumerate(agents):
            found, memories[i] = agent.predict(observations, memories[i], episode_start=starts, deterministic=True)
            actions[acting == i] = found[acting == i]
        noise = correlation * noise + np.sqrt(1 - correlation**2) * rng.standard_normal(noise.shape)
        actions = np.clip(factor * actions + deviation * noise, low, high)
        observations, _, starts, _ = simulation.step(actions)
    simulation.close()
    return Rollouts(*(np.array(column) for column in zip(*frames, strict=True))), filmed.view


def check_policy(run: Run, figure: str) -> None:
    """Raise ``ValueError`` unless the run's policy can act on what the figure's task observes."""
    config = run.config
    if config.task.name != figure:
        raise ValueError(f"{run.directory}: a policy of {config.figure}; accepted: of {figure}")
    if config.pipeline != "state" and (config.pipeline, config.pose.critic) != ("pose", "pose"):
        raise ValueError(
            f"{run.directory}: a policy on {config.pipeline}; accepted: on state, or on pose with pose.critic pose"
        )


def _load(run: Run, figure: str) -> Any:
    check_policy(run, figure)
    return load_folded(run)
