"""What a camera sees as the observation: stacked frames, and for the critic the true state if it may see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from envs import BatchedEnv
from envs.frames import Film, Frames, Image
from envs.render import check_size
from pipelines.looks import Looks
from randomization.appearance import AppearanceConfig

CRITICS = ("pixels", "state")
CAMERAS = ("track", "rail")
ENCODERS = ("nature", "impala")  # of agents, which this room may not import
MAX_STACK = 16


@dataclass(frozen=True)
class PixelsPipeline:
    """Shows the agent what a camera sees."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str = "pixels"
    """Name of these settings in paths and tables."""
    camera: str = "rail"
    """track follows the centre of mass; rail does so along the floor only."""
    size: int = 84
    """Edge of a frame, pixels."""
    gray: bool = True
    """Frames of one channel instead of three."""
    stack: int = 3
    """Last frames that an observation holds, 8 ms apart for the hopper."""
    encoder: str = "nature"
    """Network that reads them. One of: nature, impala."""
    shift: int = 0
    """Random shifts of the frames in training, up to so many pixels."""
    critic: str = "state"
    """What the critic sees in training: pixels, or the simulation's true state. The actor sees pixels alone."""
    appearance: bool = False
    """Draw surfaces, lights and camera anew for each episode of training."""

    def __post_init__(self) -> None:
        check_size(self.size)
        for field, accepted in (("camera", CAMERAS), ("encoder", ENCODERS), ("critic", CRITICS)):
            if getattr(self, field) not in accepted:
                raise ValueError(f"unknown {field} {getattr(self, field)!r}; accepted: {', '.join(accepted)}")
        if not 1 <= self.stack <= MAX_STACK:
            raise ValueError(f"stack is {self.stack}; it must be from 1 to {MAX_STACK}")
        if not 0 <= self.shift < self.size / 2:
            raise ValueError(f"shift is {self.shift}; it must be 0 or more, and below half of the size")

    @property
    def sights(self) -> tuple[str, ...]:
        """What it can be judged through; the first is its own."""
        return ("pixels", "appearance")

    @property
    def training_sight(self) -> str:
        """What it is trained through."""
        return "appearance" if self.appearance else "pixels"

    def wrap(self, env: BatchedEnv, sight: str, seed: int) -> VecEnv:
        """The environment as the camera sees it; through the sight ``appearance``, looks are drawn from ``seed``."""
        looks = (Looks(AppearanceConfig(), seed), env.task.xml) if sight == "appearance" else None
        film = Film(env.model, env.num_envs, self.camera, self.size, self.gray, looks)
        return PixelsEnv(env, film, self.stack, self.critic == "state")


class PixelsEnv(VecEnvWrapper):
    """Observations ``(num_envs, stack * channels, size, size)``, the oldest frame first, 0 to 255.

    An episode's first observation repeats its first frame. With ``state``, observations are mappings: ``pixels``, and
    ``state`` as the environment observes it.
    """

    venv: BatchedEnv

    def __init__(self, env: BatchedEnv, film: Film, stack: int, state: bool) -> None:
        self.frames = Frames(film, env.num_threads)
        size, _, channels = film.shape
        self._channels, self._with_state = channels, state
        pixels = gymnasium.spaces.Box(0, 255, (stack * channels, size, size), np.uint8)
        space = gymnasium.spaces.Dict({"pixels": pixels, "state": env.observation_space}) if state else pixels
        super().__init__(env, space)
        self.pixels: Image = np.zeros((env.num_envs, *pixels.shape), np.uint8)
        """What the actor saw last."""

    def reset(self) -> VecEnvObs:
        """Start a new episode everywhere."""
        state = self.venv.reset()
        self._begin(np.arange(self.num_envs), self._draw())
        return self._observation(self.pixels, state)  # type: ignore[no-any-return]

    def step_wait(self) -> VecEnvStepReturn:
        """One step, and the frames that it leads to."""
        state, rewards, dones, infos = self.venv.step_wait()
        # A new array at each step: SB3 keeps the last one.
        stack = np.empty_like(self.pixels)
        stack[:, : -self._channels] = self.pixels[:, self._channels :]
        if self.venv.ended is not None:
            ended = self.venv.ended.ids
            stack[ended, -self._channels :] = _first(self.frames.draw(self.venv.ended))
            for i in ended:
                infos[i]["terminal_observation"] = self._observation(stack[i].copy(), infos[i]["terminal_observation"])
        self.pixels = stack
        frames = self._draw()
        stack[:, -self._channels :] = frames
        self._begin(np.flatnonzero(dones), frames)
        return self._observation(stack, state), rewards, dones, infos

    def _draw(self) -> Image:
        return _first(self.frames.draw(self.venv.shot()))

    def _begin(self, ids: npt.NDArray[np.intp], frames: Image) -> None:
        """Fill the stacks of ``ids`` with their first frame."""
        self.pixels[ids] = np.tile(frames[ids], (1, self.pixels.shape[1] // self._channels, 1, 1))

    def _observation(self, pixels: Image, state: Any) -> Any:
        return {"pixels": pixels, "state": state} if self._with_state else pixels

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs beside the environment's own state."""
        return {"stack": self.pixels.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of an environment of the same configuration."""
        self.pixels[:] = state["stack"]

    def close(self) -> None:
        """End the rendering."""
        self.frames.close()
        super().close()


def _first(frames: Image) -> Image:
    """Frames with their channels first."""
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
