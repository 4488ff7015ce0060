"""Many simulations of one figure behind Stable-Baselines3's VecEnv, advanced by one native call."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from envs.disturbances import Disturbances
from envs.domains import domain_model, parse_domain
from envs.drawn import DrawnParameters
from envs.film import Ids, Shot
from envs.randomizer import Randomizer
from envs.render import Renderer
from envs.state_fields import StateFields
from envs.task import Array, Task, action_space, observation_space

DIVERGED = 1e10
"""A state beyond this, or not a number, is a failed simulation (MuJoCo's own limit, ``mjMAXVAL``)."""


class BatchedEnv(VecEnv):
    """``num_envs`` simulations of ``task`` in ``domain``.

    Environment ``i`` draws its starts from Gymnasium's generator of ``seed + i``, so that on the nominal
    domain it equals Gymnasium's own environment reset with that seed, bit for bit, for any thread count.
    Observations and rewards are float64. An episode that ends brings ``terminal_observation``,
    ``TimeLimit.truncated`` and ``episode`` (return ``r``, length ``l``) in its info, as SB3 expects, and
    ``terminal_true``, the last observation without the sensors' noise; one whose physics diverged ends there with
    ``diverged`` set, the last sound observation and no reward.
    """

    def __init__(
        self,
        task: Task,
        num_envs: int,
        domain: str = "nominal",
        horizon: int = 1000,
        seed: int = 0,
        num_threads: int = 0,
        randomizer: Randomizer | None = None,
        mass_only: bool = False,
        camera: str = "track",
    ) -> None:
        """See :func:`envs.make_vec`."""
        for name, value in (("num_envs", num_envs), ("horizon", horizon)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more")
        if num_threads < 0:
            raise ValueError(f"num_threads is {num_threads}; it must be 0 (all cores) or more")
        self.task = task
        self.horizon = horizon
        self.mass_only = mass_only
        self.randomizer = randomizer
        parsed = parse_domain(domain, task)
        self.model = domain_model(task, parsed, mass_only)
        self.dt = float(self.model.opt.timestep) * task.frame_skip
        self._fields = StateFields(task, self.model, num_envs, num_threads)
        self.batch, self._state = self._fields.batch, self._fields.arrays
        self._initial_state = self.batch.state[0].copy()
        self._qpos, self._qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._ctrl = self.batch.bind("ctrl")
        self._drawn = DrawnParameters(self.model, self.batch, randomizer, mass_only)
        self.parameters = self._drawn.values
        """Absolute value of every drawn parameter, ``(num_envs,)`` each."""
        self.terms: dict[str, Array] = {}
        """The reward terms of the last step, ``(num_envs,)`` each."""
        self.true: Array = np.zeros((num_envs, task.observation_size))
        """What the task observes now, without the sensors' noise, ``(num_envs, entries)``."""
        self.diverged_episodes = 0
        self.ended: Shot | None = None
        """The last moment of the episodes that ended in the last step, or None if none did."""
        self.num_threads = num_threads
        self.watched = np.ones(num_envs, bool)
        """Whether anybody looks at each simulation; the others stand still, and no frames of them are drawn."""
        self._episode = np.full(num_envs, -1)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._returns = np.zeros(num_envs)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._disturbances: Disturbances | None = None
        if parsed.actuator_delay or parsed.sensor_noise:
            terms = parsed.actuator_delay, parsed.sensor_noise
            self._disturbances = Disturbances(*terms, num_envs, self.model.nu)
        self._camera = camera
        self._renderer: Renderer | None = None
        self.render_mode = "rgb_array"
        super().__init__(num_envs, observation_space(task), action_space(self.model))
        self._actions = np.zeros((num_envs, self.model.nu), np.float32)
        self.seed(seed)

    def reset(self) -> VecEnvObs:
        """Start a new episode everywhere, from the seeds given to :meth:`seed` if there are new ones."""
        for i, seed in enumerate(self._seeds):
            if seed is not None:
                # Gymnasium's own construction (gymnasium.utils.seeding.np_random).
                self._rngs[i] = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
                self._episode[i] = -1
                if self._disturbances is not None:
                    self._disturbances.seed(i, seed)
        self._reset_seeds()
        self._reset_options()
        self._start(np.arange(self.num_envs, dtype=np.int32))
        self.true = self.task.observe(self._state)
        return self._measured(self.true)

    def _measured(self, observations: Array, ids: Ids | None = None) -> Array:
        """Observations of simulations ``ids``, or of all, as the sensors give them."""
        return observations if self._disturbances is None else self._disturbances.measured(observations, ids)

    def repeat_starts(self, count: int) -> None:
        """Let simulation ``i`` begin at the next reset as simulation ``i % count`` does.

        Raises:
            ValueError: that reset would go on where another one left the generators.
        """
        if None in self._seeds:
            raise ValueError("repeat_starts comes after a reset; accepted: before the first one, or after seed()")
        self._seeds = [self._seeds[i % count] for i in range(self.num_envs)]

    def _start(self, ids: npt.NDArray[np.int32]) -> None:
        """Begin the next episode of simulations ``ids``: draw parameters, then the starting state."""
        self._episode[ids] += 1
        self._elapsed[ids] = 0
        self._returns[ids] = 0.0
        self._drawn.draw(ids, self._keys(ids))
        self.batch.state[ids] = self._initial_state
        for i in ids:
            self._qpos[i], self._qvel[i] = self.task.reset(self._rngs[i], self.model.qpos0)
        self.batch.forward(ids)
        if self._disturbances is not None:
            self._disturbances.start(ids, self._episode[ids])
        self._fields.start(ids)

    def _keys(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """(environment, episode) of what simulations ``ids`` are in now."""
        return np.stack((ids.astype(np.int64), self._episode[ids]), axis=1)

    def step_async(self, actions: npt.NDArray[np.floating[Any]]) -> None:
        """Take the next actions, ``(num_envs, actuators)``.

        Raises:
            ValueError: an action is not finite.
        """
        if not np.isfinite(actions).all():
            env = int(np.flatnonzero(~np.isfinite(actions).all(axis=1))[0])
            raise ValueError(f"action of environment {env} is not finite: {actions[env].tolist()}")
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Advance every simulation by one environment step and start new episodes where one ended."""
        before = {name: field.copy() for name, field in self._state.items()}
        self._ctrl[:] = self._actions if self._disturbances is None else self._disturbances.delayed(self._actions)
        moving = None if self.watched.all() else np.flatnonzero(self.watched).astype(np.int32)
        self.batch.step(moving, nstep=self.task.frame_skip)
        self._fields.read(self.watched)
        self._elapsed += self.watched
        diverged = self._diverged()
        if len(diverged):
            for name, field in self._state.items():
                field[diverged] = before[name][diverged]
        self.true = self.task.observe(self._state)
        observations = self._measured(self.true)
        terminated = self.task.terminated(self._state) & self.watched
        rewards, self.terms = self.task.reward(before, self._state, self._actions, terminated, self.dt)
        rewards[diverged] = 0.0
        self._returns += rewards
        terminated[diverged] = True
        truncated = (self._elapsed >= self.horizon) & ~terminated
        dones = terminated | truncated
        self.ended = None
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if dones.any():
            ids = np.flatnonzero(dones).astype(np.int32)
            for i in ids:
                infos[i] = {
                    "terminal_observation": observations[i].copy(),
                    "terminal_true": self.true[i].copy(),
                    "TimeLimit.truncated": bool(truncated[i]),
                    "episode": {"r": float(self._returns[i]), "l": int(self._elapsed[i])},
                    "diverged": bool((diverged == i).any()),
                }
            self.diverged_episodes += len(diverged)
            if self.randomizer is not None:
                finished = {name: value[ids] for name, value in self.parameters.items()}
                self.randomizer.observe(self._keys(ids), finished, self._returns[ids])
            self.ended = self.shot(ids)
            self._start(ids)
            self.true[ids] = first = self.task.observe({k: v[ids] for k, v in self._state.items()})
            observations[ids] = self._measured(first, ids)
        return observations, rewards, dones, infos

    def _diverged(self) -> npt.NDArray[np.intp]:
        """Indices of the simulations whose state is not a number or beyond all bounds."""
        moving = (self._qpos, self._qvel)
        if all(np.abs(field).max() < DIVERGED for field in moving):  # false for NaN too
            return np.empty(0, np.intp)
        return np.flatnonzero(~np.all([(np.abs(field) < DIVERGED).all(axis=1) for field in moving], axis=0))

    def shot(self, ids: Ids | None = None) -> Shot:
        """What frames of simulations ``ids``, or of all, show now."""
        chosen = np.arange(self.num_envs, dtype=np.int32) if ids is None else ids
        masses = self._drawn.masses(chosen)
        return Shot(chosen, self._qpos[chosen], masses, self._episode[chosen], self.watched[chosen])

    def states(self) -> Array:
        """Positions and velocities of every simulation, ``(num_envs, nq + nv)``."""
        return np.concatenate((self._qpos, self._qvel), axis=1)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue as if never interrupted: arrays and plain values."""
        return {
            "physics": self.batch.state.copy(),
            "parameters": {name: value.copy() for name, value in self.parameters.items()},
            "episode": self._episode.copy(),
            "elapsed": self._elapsed.copy(),
            "returns": self._returns.copy(),
            "rngs": [rng.bit_generator.state for rng in self._rngs],
            "diverged_episodes": self.diverged_episodes,
            "derived": self._fields.state_dict(),
            "randomizer": self.randomizer.state_dict() if self.randomizer is not None else {},
            "disturbances": None if self._disturbances is None else self._disturbances.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of an environment of the same configuration."""
        ids = np.arange(self.num_envs, dtype=np.int32)
        if state["parameters"]:
            self._drawn.write(ids, state["parameters"])
        self._episode[:] = state["episode"]
        self._elapsed[:] = state["elapsed"]
        self._returns[:] = state["returns"]
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
        self.diverged_episodes = int(state["diverged_episodes"])
        if self.randomizer is not None:
            self.randomizer.load_state_dict(state.get("randomizer", {}))  # older checkpoints are of fixed ones
        self.batch.state[:] = state["physics"]
        self._fields.load_state_dict(state["derived"])
        if self._disturbances is not None:
            self._disturbances.load_state_dict(state["disturbances"])
        self.true = self.task.observe(self._state)
        self._reset_seeds()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """One RGB frame of each simulation, as its camera sees it now."""
        if self._renderer is None:
            self._renderer = Renderer(self.model, self._camera)
        return [self._renderer.frame(self.batch.get_model(i), self.batch.get_data(i)) for i in range(self.num_envs)]

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The environment's attribute, once for each index: the simulations share one object."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refused: the simulations share one object."""
        raise NotImplementedError(f"{attr_name}: a BatchedEnv is configured when it is made")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Refused: there is no object per simulation."""
        raise NotImplementedError(f"{method_name}: a BatchedEnv has no object per simulation")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """True for SB3's monitors, whose episode statistics are built in."""
        wrapped = wrapper_class in (Monitor, VecMonitor)
        return [wrapped] * len(list(self._get_indices(indices)))
