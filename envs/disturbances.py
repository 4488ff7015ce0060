"""What no physical parameter can express: motors that answer late, and noisy sensors.

A domain's text names them beside its shifts: ``target, actuator_delay=2, sensor_noise=0.01``.

- ``actuator_delay``: environment steps until a command reaches the motors, which are off until the episode's first
  one arrives. The reward's control cost counts what the policy commands.
- ``sensor_noise``: standard deviation of independent Gaussian noise on every entry of the observation, in the entry's
  own unit. Rewards and failures follow the true state; ``BatchedEnv.true`` has it for what helps in training alone:
  critics, teachers, an encoder's fit.

Noise depends on nothing but (the environment's seed, the episode, the step), and starts are drawn as without it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.task import Array

NOISE_KEY = 0x5E2502
"""Keeps the noise's generators apart from all others made of the same seeds."""


class Disturbances:
    """The delay lines and noise generators of ``num_envs`` simulations with ``actuators`` motors."""

    def __init__(self, delay: int, noise: float, num_envs: int, actuators: int) -> None:
        self.delay, self.noise = delay, noise
        self._pending = np.zeros((num_envs, delay, actuators))
        self._seeds = [0] * num_envs
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    def seed(self, env: int, seed: int) -> None:
        """Draw the noise of environment ``env`` from ``seed`` from its next episode on."""
        self._seeds[env] = seed

    def start(self, ids: Sequence[int] | npt.NDArray[Any], episodes: npt.NDArray[Any]) -> None:
        """Begin ``episodes`` in environments ``ids``: nothing is on its way to the motors."""
        self._pending[ids] = 0.0
        for env, episode in zip(ids, episodes, strict=True):
            self._rngs[env] = np.random.default_rng((NOISE_KEY, self._seeds[env], int(episode)))

    def delayed(self, actions: npt.NDArray[np.floating[Any]]) -> Array:
        """Take the commands ``(num_envs, actuators)`` of this step and return those that arrive in it."""
        if not self.delay:
            return np.asarray(actions, np.float64)
        arriving = self._pending[:, 0].copy()
        self._pending[:, :-1] = self._pending[:, 1:]
        self._pending[:, -1] = actions
        return arriving

    def measured(self, observations: Array, ids: Sequence[int] | npt.NDArray[Any] | None = None) -> Array:
        """Observations ``(n, size)`` of environments ``ids``, or of all, as the sensors give them."""
        if not self.noise:
            return observations
        rngs = self._rngs if ids is None else [self._rngs[env] for env in ids]
        return observations + self.noise * np.array([rng.standard_normal(observations.shape[1]) for rng in rngs])

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue as if never interrupted."""
        return {
            "pending": self._pending.copy(),
            "seeds": list(self._seeds),
            "rngs": [rng.bit_generator.state for rng in self._rngs],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self._pending[:] = state["pending"]
        self._seeds[:] = [int(seed) for seed in state["seeds"]]
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
