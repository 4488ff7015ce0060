"""States that trained policies visit, and the falls that their failures end in."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from experiments.evaluate import load_trained
from experiments.run import Run, find_runs

Array = npt.NDArray[np.float64]

EPISODES, STEPS, EVERY = 16, 300, 4
"""Episodes of each policy, their steps at most, and the steps between two states that are kept."""
FALL_STEPS = 100
"""Environment steps that a fall is followed for: until the figure lies still."""


def harvest(figure: str, policies: Sequence[Path], seed: int) -> tuple[Array, Array]:
    """Visited states ``(m, nq + nv)``, and states of falls ``(k, nq + nv)``.

    Every policy acts without noise in the domain that it was trained in. When an episode fails, its last state falls
    on without anybody acting.

    Args:
        figure: that the policies must be of.
        policies: run directories, or folders of them.
        seed: of the starts.

    Raises:
        ValueError: no run, one without a checkpoint, one of another figure, or none that ever fell.
    """
    visited: list[Array] = []
    falls: list[Array] = []
    for run in find_policies(figure, policies):
        upright, fallen = roll(run, run.config.domain, seed)
        visited.append(upright)
        falls.append(fallen)
    if not any(map(len, falls)):
        raise ValueError("poses: none of the policies ever fell; add a worse one, or give falls no share")
    return np.concatenate(visited), np.concatenate(falls)


def find_policies(figure: str, policies: Sequence[Path]) -> list[Run]:
    """Runs of ``figure`` in run directories, or in folders of them.

    Raises:
        ValueError: no run, or one of another figure.
    """
    runs = find_runs(list(policies))
    for run in runs:
        if run.config.task.name != figure:
            raise ValueError(f"{run.directory}: a policy of {run.config.figure}; accepted: of {figure}")
    return runs


def roll(run: Run, domain: str, seed: int) -> tuple[Array, Array]:
    """States that one policy visits ``(m, nq + nv)`` and falls through ``(k, nq + nv)`` in ``domain``."""
    rollout = act(run, domain, EPISODES, STEPS, seed)
    lengths = rollout.running.sum(axis=0)
    falls = [np.empty((0, rollout.states.shape[2]))]
    for i in sorted(np.flatnonzero(rollout.failed), key=lambda i: lengths[i]):
        falls.append(_fall(rollout.model, rollout.states[lengths[i] - 1, i], rollout.frame_skip))
    return rollout.states[::EVERY][rollout.running[::EVERY]], np.concatenate(falls)


@dataclass(frozen=True)
class Rollout:
    """One episode in each of ``n`` simulations, up to ``steps`` steps."""

    states: Array
    """Positions and velocities ``(steps, n, nq + nv)``: metres, radians, seconds."""
    actions: Array
    """Motor commands that led to each state ``(steps, n, nu)``; 0 for the first."""
    running: npt.NDArray[np.bool_]
    """Whether the episode still goes on, ``(steps, n)``; what is not running belongs to no episode."""
    failed: npt.NDArray[np.bool_]
    """Which episodes ended in a failure, ``(n,)``; the state that failed is not kept."""
    returns: Array
    """Of the episodes ``(n,)``; not a number where one had not ended."""
    model: mujoco.MjModel
    frame_skip: int


def act(run: Run, domain: str, episodes: int, steps: int, seed: int, noise: float = 0.0) -> Rollout:
    """Let a policy act in ``domain``.

    Args:
        run: whose last checkpoint acts.
        domain: where.
        episodes: number of simulations; each plays one episode.
        steps: of an episode at most.
        seed: of the starts; that of the first simulation.
        noise: standard deviation of Gaussian noise on each motor's command, before it is cut to the motor's range.

    Raises:
        ValueError: no checkpoint, a damaged one, an unknown domain, or no simulation.
    """
    policy = load_trained(run, domain, episodes, num_threads=1)
    simulation = policy.simulation
    low, high = simulation.model.actuator_ctrlrange.T
    generators = [np.random.default_rng((seed, i)) for i in range(episodes)]
    states, actions, alive = [], [], []
    failed, returns = np.zeros(episodes, bool), np.full(episodes, np.nan)
    running = starts = np.ones(episodes, bool)
    memory: Any = None
    commands: Any = np.zeros((episodes, simulation.model.nu))
    with closing(policy.env):
        policy.env.seed(seed)
        observations: Any = policy.env.reset()
        for _ in range(steps):
            states.append(simulation.states())
            actions.append(commands)
            alive.append(running)
            commands, memory = policy.agent.predict(observations, memory, episode_start=starts, deterministic=True)
            if noise:
                drawn = np.array([rng.normal(0.0, noise, len(low)) for rng in generators])
                commands = np.clip(commands + drawn, low, high).astype(np.float32)
            observations, _, starts, infos = policy.env.step(commands)
            for i in np.flatnonzero(starts & running):
                failed[i] = not infos[i]["TimeLimit.truncated"]
                returns[i] = infos[i]["episode"]["r"]
            running = running & ~starts
            if not running.any():
                break
    sequences = np.array(states), np.array(actions), np.array(alive)
    return Rollout(*sequences, failed, returns, simulation.model, simulation.task.frame_skip)


def _fall(model: mujoco.MjModel, state: Array, frame_skip: int) -> Array:
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
    kept = []
    for step in range(FALL_STEPS):
        mujoco.mj_step(model, data, frame_skip)
        if step % EVERY == 0:
            kept.append(np.concatenate((data.qpos, data.qvel)))
    return np.array(kept)
