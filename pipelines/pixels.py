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
from envs.film import Film, Image
from envs.frames import Frames
from envs.render import check_size
from pipelines.choices import CAMERAS, check_choices
from pipelines.looks import Looks
from randomization.appearance import AppearanceConfig

CRITICS = ("pixels", "state")
ENCODERS = ("nature", "impala")  # of agents, which this room may not import
PRECISIONS = ("bfloat16", "float32")
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
    precision: str = "bfloat16"
    """Of the encoder's layers: bfloat16 (faster where the processor has it) or float32."""
    critic: str = "state"
    """What the critic sees in training: pixels, or the simulation's true state. The actor sees pixels alone."""
    supervised: bool = False
    """Fit the encoder to the true state, from the frames and the agent's last actions, and let the reward train only
    the small network behind it; for agent ppo."""
    appearance: bool = False
    """Draw surfaces, lights and camera anew for each episode of training."""

    def __post_init__(self) -> None:
        check_size(self.size)
        check_choices(self, camera=CAMERAS, encoder=ENCODERS, precision=PRECISIONS, critic=CRITICS)
        if not 1 <= self.stack <= MAX_STACK:
            raise ValueError(f"stack is {self.stack}; it must be from 1 to {MAX_STACK}")
        if not 0 <= self.shift < self.size / 2:
            raise ValueError(f"shift is {self.shift}; it must be 0 or more, and below half of the size")
        if self.supervised and (self.critic != "state" or self.shift):
            raise ValueError("supervised is true; accepted with it: critic state, which it is fitted to, and shift 0")

    @property
    def sights(self) -> tuple[str, ...]:
        """What it can be judged through; the first is its own."""
        return ("pixels", "appearance")

    @property
    def training_sight(self) -> str:
        """What it is trained through."""
        return "appearance" if self.appearance else "pixels"

    def wrap(self, env: BatchedEnv, sight: str, seed: int) -> VecEnv:
        """The environment as the camera sees it; through the sight ``appearance``, looks are drawn from ``seed``.

        Raises:
            ValueError: so many environments cannot have looks of their own, or the figure has no such camera.
        """
        looks = None
        if sight == "appearance":
            looks = Looks(AppearanceConfig(), seed)
            looks.check_room(env.model, env.num_envs)
        dressed = (looks, env.task.xml) if looks else None
        film = Film(env.model, env.num_envs, self.camera, self.size, self.gray, dressed)
        return PixelsEnv(env, film, self.stack, self.critic == "state", self.supervised)


class PixelsEnv(VecEnvWrapper):
    """Observations ``(num_envs, stack * channels, size, size)``, the oldest frame first, 0 to 255.

    An episode's first observation repeats its first frame. With ``state``, observations are mappings: ``pixels``, and
    ``state``, what the task observes without the sensors' noise; with ``actions`` they also hold those of the last
    ``stack`` steps, the oldest first, and 0 before the episode's first.
    """

    venv: BatchedEnv

    def __init__(self, env: BatchedEnv, film: Film, stack: int, state: bool, actions: bool = False) -> None:
        self.frames = Frames(film, env.num_threads)
        size, _, channels = film.shape
        self._channels, self._with_state, self._with_actions = channels, state, actions
        pixels = gymnasium.spaces.Box(0, 255, (stack * channels, size, size), np.uint8)
        self.pixels: Image = np.zeros((env.num_envs, *pixels.shape), np.uint8)
        """What the actor saw last."""
        self.actions = np.zeros((env.num_envs, stack * env.model.nu), np.float32)
        """What it did last."""
        space: gymnasium.Space[Any] = pixels
        if state:
            entries: dict[str, gymnasium.Space[Any]] = {"pixels": pixels, "state": env.observation_space}
            if actions:
                entries["actions"] = gymnasium.spaces.Box(-np.inf, np.inf, self.actions.shape[1:], np.float32)
            space = gymnasium.spaces.Dict(entries)
        super().__init__(env, space)

    def reset(self) -> VecEnvObs:
        """Start a new episode everywhere."""
        self.venv.reset()
        self.actions[:] = 0
        self._begin(np.arange(self.num_envs), self._draw())
        return self._observation(self.pixels, self.venv.true, self.actions)  # type: ignore[no-any-return]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the next actions, ``(num_envs, actuators)``."""
        taken = np.asarray(actions, np.float32)
        # A new array at each step, as that of the frames: SB3 keeps the last one.
        self.actions = np.concatenate([self.actions[:, taken.shape[1] :], taken], axis=1)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """One step, and the frames that it leads to."""
        _, rewards, dones, infos = self.venv.step_wait()
        # A new array at each step: SB3 keeps the last one.
        stack = np.empty_like(self.pixels)
        stack[:, : -self._channels] = self.pixels[:, self._channels :]
        if self.venv.ended is not None:
            ended = self.venv.ended.ids
            stack[ended, -self._channels :] = _first(self.frames.draw(self.venv.ended))
            for i in ended:
                there = infos[i]["terminal_true"]
                infos[i]["terminal_observation"] = self._observation(stack[i].copy(), there, self.actions[i].copy())
        self.pixels = stack
        frames = self._draw()
        stack[:, -self._channels :] = frames
        self._begin(np.flatnonzero(dones), frames)
        self.actions[dones] = 0
        return self._observation(stack, self.venv.true, self.actions), rewards, dones, infos

    def _draw(self) -> Image:
        return _first(self.frames.draw(self.venv.shot()))

    def _begin(self, ids: npt.NDArray[np.intp], frames: Image) -> None:
        """Fill the stacks of ``ids`` with their first frame."""
        self.pixels[ids] = np.tile(frames[ids], (1, self.pixels.shape[1] // self._channels, 1, 1))

    def _observation(self, pixels: Image, state: Any, actions: Any) -> Any:
        if not self._with_state:
            return pixels
        return {"pixels": pixels, "state": state} | ({"actions": actions} if self._with_actions else {})

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs beside the environment's own state."""
        return {"stack": self.pixels.copy(), "actions": self.actions.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of an environment of the same configuration."""
        self.pixels[:], self.actions[:] = state["stack"], state["actions"]

    def close(self) -> None:
        """End the rendering."""
        self.frames.close()
        super().close()


def _first(frames: Image) -> Image:
    """Frames with their channels first."""
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
