"""The state and what led to it as the observation: the physics that an episode has shows in how the figure answers.

A policy on the last observations and actions can adapt to parameters that it is never told (Peng et al. 2018,
arXiv:1710.06537; Kumar et al. 2021, arXiv:2107.04034).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from envs import BatchedEnv
from pipelines.choices import check_choices
from pipelines.privileged import TRUE_STATE, Physics, vectors

Array = npt.NDArray[np.float64]

CRITICS = ("same", "parameters")
MAX_LENGTH = 256


@dataclass(frozen=True)
class HistoryPipeline:
    """Shows the agent the state and the last pairs of observation and action."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str = "history"
    """Name of these settings in paths and tables."""
    length: int = 16
    """Past pairs of observation and action, one for each environment step (8 ms for the hopper)."""
    critic: str = "same"
    """What the critic sees in training: the same, or the true state and the drawn physical parameters, which the actor
    never sees."""
    parameters: tuple[str, ...] = ()
    """Physical parameters that such a critic sees, of those that are drawn; none for all of them."""

    sights: ClassVar[tuple[str, ...]] = TRUE_STATE
    training_sight: ClassVar[str] = TRUE_STATE[0]

    def __post_init__(self) -> None:
        check_choices(self, critic=CRITICS)
        low = 1 if self.critic == "same" else 0
        if not low <= self.length <= MAX_LENGTH:
            raise ValueError(
                f"length is {self.length}; it must be from {low} to {MAX_LENGTH} with critic {self.critic}"
            )
        if self.parameters and self.critic == "same":
            raise ValueError("parameters are given, but the critic sees the same as the actor; accepted: none")

    def wrap(self, env: BatchedEnv, sight: str, seed: int) -> VecEnv:
        """The environment with its history; nothing here is random.

        Raises:
            ValueError: the critic sees parameters, but none are named, or one that the figure does not have.
        """
        return HistoryEnv(env, self.length, Physics(env, self.parameters) if self.critic == "parameters" else None)


class HistoryEnv(VecEnvWrapper):
    """Observations ``(num_envs, observation + length * (observation + actuators))``.

    First what the environment observes now, then the pairs of observation and of the action that was taken on it, the
    oldest first; pairs from before the episode are 0. With ``physics``, observations are mappings: ``history`` is that
    vector, and ``state`` what the task observes now without the sensors' noise, followed by the parameters.
    """

    venv: BatchedEnv

    def __init__(self, env: BatchedEnv, length: int, physics: Physics | None = None) -> None:
        entries, pair = env.task.observation_size, env.task.observation_size + env.model.nu
        self.physics = physics
        self.pairs: Array = np.zeros((env.num_envs, length, pair))
        """The last ones, the oldest first."""
        self._observation: Array = np.zeros((env.num_envs, entries))
        self._actions: Array = np.zeros((env.num_envs, env.model.nu))
        space: gymnasium.Space[Any] = vectors(entries + length * pair)
        if physics is not None:
            space = gymnasium.spaces.Dict({"history": space, "state": vectors(entries + len(physics.names))})
        super().__init__(env, space)

    def reset(self) -> VecEnvObs:
        """Start a new episode everywhere."""
        state: Any = self.venv.reset()
        self._observation = state
        self.pairs[:] = 0
        return self._shown(state, self.venv.true, self.pairs, self._parameters())  # type: ignore[no-any-return]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the next actions, ``(num_envs, actuators)``."""
        self._actions = np.array(actions, np.float64)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """One step; the last observation of an episode has that episode's history and parameters."""
        last = np.concatenate([self._observation, self._actions], axis=1)
        pairs = np.concatenate([self.pairs, last[:, None]], axis=1)[:, 1:]
        before = self._parameters()
        state: Any
        state, rewards, dones, infos = self.venv.step_wait()
        for i in np.flatnonzero(dones):
            there, true = (infos[i][name][None] for name in ("terminal_observation", "terminal_true"))
            shown = self._shown(there, true, pairs[i : i + 1], before[i : i + 1])
            infos[i]["terminal_observation"] = (
                {name: entry[0] for name, entry in shown.items()} if isinstance(shown, dict) else shown[0]
            )
        pairs[dones] = 0
        self.pairs, self._observation = pairs, state
        return self._shown(state, self.venv.true, pairs, self._parameters()), rewards, dones, infos

    def _parameters(self) -> Array:
        return np.zeros((self.num_envs, 0)) if self.physics is None else self.physics()

    def _shown(self, state: Array, true: Array, pairs: Array, parameters: Array) -> Any:
        history = np.concatenate([state, pairs.reshape(len(state), -1)], axis=1)
        if self.physics is None:
            return history
        return {"history": history, "state": np.concatenate([true, parameters], axis=1)}

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs beside the environment's own state."""
        return {"pairs": self.pairs.copy(), "observation": self._observation.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of an environment of the same configuration."""
        self.pairs, self._observation = np.array(state["pairs"]), np.array(state["observation"])
