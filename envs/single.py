"""One simulation of a figure behind Gymnasium's interface, for check_env and third-party code."""

import copy
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

from envs.batched import DIVERGED
from envs.disturbances import Disturbances
from envs.domains import domain_model, parse_domain
from envs.render import Renderer
from envs.task import CONTACT_FORCES, Array, Task, action_space, observation_space


class SingleEnv(gymnasium.Env[Array, npt.NDArray[np.float32]]):
    """One simulation of ``task``, equal to one row of :class:`envs.batched.BatchedEnv`."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # Gymnasium's declaration

    def __init__(
        self,
        task: Task,
        domain: str = "nominal",
        horizon: int = 1000,
        mass_only: bool = False,
        camera: str = "track",
        render_mode: str | None = None,
    ) -> None:
        """See :func:`envs.make_vec`.

        Raises:
            ValueError: an impossible horizon, an unknown domain or render mode.
        """
        if horizon < 1:
            raise ValueError(f"horizon is {horizon}; it must be 1 or more")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}; accepted: None, 'rgb_array'")
        self.task = task
        self.horizon = horizon
        self.render_mode = render_mode
        parsed = parse_domain(domain, task)
        self.model = domain_model(task, parsed, mass_only)
        self.data = mujoco.MjData(self.model)
        self.dt = float(self.model.opt.timestep) * task.frame_skip
        self.metadata = {**self.metadata, "render_fps": round(1 / self.dt)}
        self.observation_space = observation_space(task)  # type: ignore[assignment]  # Box is untyped in its dtype
        self.action_space = action_space(self.model)  # type: ignore[assignment]  # as above
        self._camera = camera
        self._renderer: Renderer | None = None
        self._elapsed = 0
        self._episode = -1
        self._disturbances: Disturbances | None = None
        if parsed.actuator_delay or parsed.sensor_noise:
            self._disturbances = Disturbances(parsed.actuator_delay, parsed.sensor_noise, 1, self.model.nu)

    def _state(self) -> dict[str, Array]:
        return {name: getattr(self.data, name)[None].copy() for name in self.task.fields}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start an episode; ``options`` are not used."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = self.task.reset(self.np_random, self.model.qpos0)
        mujoco.mj_forward(self.model, self.data)
        self._elapsed = 0
        self._episode = 0 if seed is not None else self._episode + 1
        if self._disturbances is not None:
            self._disturbances.seed(0, self.np_random_seed)
            self._disturbances.start([0], np.array([self._episode]))
        return self._observe(self._state()), {}

    def _observe(self, state: dict[str, Array]) -> Array:
        seen = self.task.observe(state)
        if self._disturbances is not None:
            seen = self._disturbances.measured(seen)
        first: Array = seen[0]
        return first

    def step(self, action: npt.NDArray[np.float32]) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Advance by one environment step; the info holds the reward's terms and ``diverged``."""
        before = self._state()
        commands = np.asarray(action)[None]
        self.data.ctrl[:] = (commands if self._disturbances is None else self._disturbances.delayed(commands))[0]
        mujoco.mj_step(self.model, self.data, nstep=self.task.frame_skip)
        if CONTACT_FORCES in self.task.fields:
            mujoco.mj_rnePostConstraint(self.model, self.data)
        self._elapsed += 1
        moving = np.concatenate((self.data.qpos, self.data.qvel))
        diverged = not bool((np.abs(moving) < DIVERGED).all())
        after = before if diverged else self._state()
        failed = self.task.terminated(after)
        rewards, terms = self.task.reward(before, after, commands, failed, self.dt)
        reward = 0.0 if diverged else float(rewards[0])
        terminated = diverged or bool(failed[0])
        truncated = self._elapsed >= self.horizon and not terminated
        info: dict[str, Any] = {name: float(term[0]) for name, term in terms.items()}
        info["diverged"] = diverged
        return self._observe(after), reward, terminated, truncated, info

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The current RGB frame, or None without a render mode."""
        if self.render_mode is None:
            return None
        if self._renderer is None:
            self._renderer = Renderer(self.model, self._camera)
        # Drawing computes all places anew; the next step must begin with those that the last one left behind.
        return self._renderer.frame(self.model, copy.copy(self.data))

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
