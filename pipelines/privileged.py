"""The state as the task observes it and the physics behind it: what an oracle sees that knows the drawn parameters.

Its policy is the teacher of a student who has to infer them from history, see :mod:`pipelines.history`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from envs import BatchedEnv, domain_model, physical_parameters

Array = npt.NDArray[np.float64]

MAX_LATENT = 256
TRUE_STATE = ("state",)
"""All that a pipeline of the state itself can be judged and trained through."""


@dataclass(frozen=True)
class PrivilegedPipeline:
    """Shows the agent the state and, behind it, the values of the drawn physical parameters."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str = "privileged"
    """Name of these settings in paths and tables."""
    parameters: tuple[str, ...] = ()
    """Physical parameters that are shown, of those that are drawn; none for all of them."""
    latent: int = 8
    """Numbers that an encoder makes of the parameters for the policy, as in RMA; 0 shows them as they are."""

    sights: ClassVar[tuple[str, ...]] = TRUE_STATE
    training_sight: ClassVar[str] = TRUE_STATE[0]

    def __post_init__(self) -> None:
        if not 0 <= self.latent <= MAX_LATENT:
            raise ValueError(f"latent is {self.latent}; it must be from 0 to {MAX_LATENT}")

    def wrap(self, env: BatchedEnv, sight: str, seed: int) -> VecEnv:
        """The environment with its physics laid open; nothing here is random.

        Raises:
            ValueError: no parameters are named, or one that the figure does not have.
        """
        return PrivilegedEnv(env, Physics(env, self.parameters))


class Physics:
    """Physical parameters of every simulation, relative to those of the figure's nominal domain.

    A value ``v`` is shown as ``v / nominal - 1``, and as it is where nominal is 0. That reference is the same in every
    domain, so that a shift of the domain shows as a draw of the same size does.
    """

    def __init__(self, env: BatchedEnv, names: Sequence[str]) -> None:
        """``names`` are in the order in which they are shown.

        Raises:
            ValueError: none, or an unknown one.
        """
        reference = physical_parameters(domain_model(env.task, "nominal"))
        unknown = [name for name in names if name not in reference]
        if unknown or not names:
            raise ValueError(
                f"parameters to show: {', '.join(unknown) or 'none'}; accepted: one or more of {', '.join(reference)}"
            )
        here = physical_parameters(env.model)
        self._env, self.names = env, tuple(names)
        self._unshifted = np.array([here[name].nominal for name in names])
        self._nominal = np.array([reference[name].nominal for name in names])
        self._scale = np.where(self._nominal == 0, 1.0, self._nominal)

    def __call__(self) -> Array:
        """Shown values of the episodes that the simulations are in, ``(num_envs, names)``."""
        values = np.tile(self._unshifted, (self._env.num_envs, 1))
        for column, name in enumerate(self.names):
            if name in self._env.parameters:
                values[:, column] = self._env.parameters[name]
        return np.asarray((values - self._nominal) / self._scale)


class PrivilegedEnv(VecEnvWrapper):
    """Observations ``(num_envs, observation + parameters)``: the environment's own, then :class:`Physics`."""

    venv: BatchedEnv

    def __init__(self, env: BatchedEnv, physics: Physics) -> None:
        self.physics = physics
        super().__init__(env, vectors(env.task.observation_size + len(physics.names)))

    def reset(self) -> VecEnvObs:
        """Start a new episode everywhere."""
        state: Any = self.venv.reset()
        return np.asarray(np.concatenate([state, self.physics()], axis=1))

    def step_wait(self) -> VecEnvStepReturn:
        """One step; the last observation of an episode has that episode's parameters."""
        before = self.physics()
        state: Any
        state, rewards, dones, infos = self.venv.step_wait()
        for i in np.flatnonzero(dones):
            infos[i]["terminal_observation"] = np.concatenate([infos[i]["terminal_observation"], before[i]])
        return np.concatenate([state, self.physics()], axis=1), rewards, dones, infos


def vectors(entries: int) -> gymnasium.spaces.Box:
    """The space of vectors of so many unbounded entries."""
    return gymnasium.spaces.Box(-np.inf, np.inf, (entries,), np.float64)
