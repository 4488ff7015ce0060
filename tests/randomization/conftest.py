"""Logged transitions of a hopper whose parameters are known, for the methods that identify them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import envs
from envs.simulator import Simulator
from randomization.identification import Array, Predict, Search, parse_search

RANGES = ("torso_mass * uniform(0.5, 2)", "thigh_mass * uniform(0.5, 2)", "leg_joint_gear * uniform(0.5, 1.5)")
TRUTH = {"torso_mass": 3.534 / 2.534, "thigh_mass": 0.8, "leg_joint_gear": 1.1}
"""Factors on the source's values."""


@dataclass(frozen=True)
class Known:
    """A log of a target that a simulator of the source can express."""

    search: Search
    truth: Array
    """In unit coordinates."""
    predict: Predict
    next_states: Array
    scale: Array


def logged(steps: int, domain: str) -> tuple[Array, Array, Array]:
    """States, random actions and next states of ``steps`` steps."""
    env: Any = envs.make_vec("hopper", 1, domain, horizon=25, seed=3, num_threads=1)
    rng = np.random.default_rng(1)
    env.reset()
    states: list[Array] = []
    actions: list[Array] = []
    following: list[Array] = []
    while len(states) < steps:
        state, action = env.states()[0], rng.uniform(-1, 1, (1, 3))
        *_, dones, _ = env.step(action)
        if not dones[0]:
            states.append(state)
            actions.append(action[0])
            following.append(env.states()[0])
    return np.array(states), np.array(actions), np.array(following)


@pytest.fixture(scope="session")
def known() -> Known:
    """15 transitions of a target with other masses and a stronger motor."""
    search = parse_search(RANGES)
    target = "source, " + ", ".join(f"{name}*{factor!r}" for name, factor in TRUTH.items())
    states, actions, following = logged(15, target)
    simulator = Simulator(envs.task_of("hopper"), "source", search.drawn)

    def predict(unit: Array) -> Array:
        return simulator.next_states(search.operands(unit), states, actions)

    truth = search.unit(np.array([TRUTH[name] for name, _ in search.drawn]))
    return Known(search, truth, predict, following, (following - states).std(axis=0))
