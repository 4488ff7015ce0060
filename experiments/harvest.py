"""States that trained policies visit, and the falls that their failures end in."""

from collections.abc import Sequence
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
    for run in find_runs(list(policies)):
        if run.config.figure != figure:
            raise ValueError(f"{run.directory}: a policy of {run.config.figure}; accepted: of {figure}")
        upright, fallen = roll(run, run.config.domain, seed)
        visited.append(upright)
        falls.append(fallen)
    if not any(map(len, falls)):
        raise ValueError("poses: none of the policies ever fell; add a worse one, or give falls no share")
    return np.concatenate(visited), np.concatenate(falls)


def roll(run: Run, domain: str, seed: int) -> tuple[Array, Array]:
    """States that one policy visits ``(m, nq + nv)`` and falls through ``(k, nq + nv)`` in ``domain``."""
    policy = load_trained(run, domain, EPISODES, num_threads=1)
    simulation = policy.simulation
    policy.env.seed(seed)
    observations: Any = policy.env.reset()
    visited = []
    falls = [np.empty((0, simulation.states().shape[1]))]
    running = starts = np.ones(EPISODES, bool)
    memory: Any = None
    for step in range(STEPS):
        states = simulation.states()
        if step % EVERY == 0:
            visited.append(states[running])
        actions, memory = policy.agent.predict(observations, memory, episode_start=starts, deterministic=True)
        observations, _, starts, infos = policy.env.step(actions)
        for i in np.flatnonzero(starts & running):
            if not infos[i]["TimeLimit.truncated"]:
                falls.append(_fall(simulation.model, states[i], simulation.task.frame_skip))
        running = running & ~starts
        if not running.any():
            break
    policy.env.close()
    return np.concatenate(visited), np.concatenate(falls)


def _fall(model: mujoco.MjModel, state: Array, frame_skip: int) -> Array:
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
    kept = []
    for step in range(FALL_STEPS):
        mujoco.mj_step(model, data, frame_skip)
        if step % EVERY == 0:
            kept.append(np.concatenate((data.qpos, data.qvel)))
    return np.array(kept)
