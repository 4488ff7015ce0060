"""The state that a pose estimator reconstructs from what a camera sees, as the observation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from envs import BatchedEnv
from envs.cores import cores
from envs.film import Film
from envs.frames import Frames
from pipelines.choices import CAMERAS, check_choices
from pipelines.eyes import Eye, Imagined, Seen
from pipelines.filmed import Filmed
from vision.error_model import load_error_model
from vision.error_simulator import ErrorSimulator
from vision.estimators import ESTIMATORS, make_estimator
from vision.keypoints import keypoints_of
from vision.reconstruct import Array
from vision.runtime import PRECISIONS, PoseRuntime

SHIPPED = Path(__file__).parents[1] / "results" / "pretrained" / "pose"
SIGHTS = ("state", "error-model", "estimator", "two-frame")
"""What stands between simulation and agent: nothing but the domain's own sensor noise, the fitted errors of the
estimator, the estimator itself, or the estimator with the original study's differencing of two frames."""
CRITICS = ("pose", "state")


@dataclass(frozen=True)
class PosePipeline:
    """Shows the agent the state as it is reconstructed from pictures."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str = "pose"
    """Name of these settings in paths and tables."""
    camera: str = "rail"
    """track follows the centre of mass; rail does so along the floor only."""
    estimator: str = ""
    """Directory that simgap fit-pose made; empty: the one that ships with simgap."""
    reconstruction: str = "learned"
    """From keypoints to the state. One of: two_frame, filter, learned."""
    training: str = "error-model"
    """What it sees in training: error-model (true keypoints with the estimator's fitted errors: no rendering), or
    estimator. It is always judged with the estimator. The errors were fitted to frames with shadows, reflections and
    multisampling, which the frames that a policy sees are drawn without."""
    critic: str = "pose"
    """What the critic sees in training: pose, or the simulation's true state."""
    precision: str = "bfloat16"
    """Of the estimator: bfloat16 (faster where the processor has it) or float32."""

    def __post_init__(self) -> None:
        check_choices(
            self,
            camera=CAMERAS,
            reconstruction=tuple(ESTIMATORS),
            training=("error-model", "estimator"),
            critic=CRITICS,
            precision=tuple(PRECISIONS),
        )

    @property
    def sights(self) -> tuple[str, ...]:
        """What it can be judged through; the first is its own."""
        return ("estimator", *(sight for sight in SIGHTS if sight != "estimator"))

    @property
    def training_sight(self) -> str:
        """What it is trained through."""
        return self.training

    def wrap(self, env: BatchedEnv, sight: str, seed: int) -> VecEnv:
        """The environment as it is seen through ``sight``, one of :data:`SIGHTS`; errors are drawn from ``seed``.

        Raises:
            ValueError: no estimator, a damaged one, or one of another figure or camera.
        """
        eye = None if sight == "state" else self._eye(env, sight, seed)
        return PoseEnv(env, eye, self.critic == "state")

    def directory(self, figure: str) -> Path:
        """Where the estimator is.

        Raises:
            ValueError: it is not there, or it is of another figure.
        """
        directory = Path(self.estimator) if self.estimator else SHIPPED / figure
        file = directory / "provenance.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))["figure"]
        except FileNotFoundError:
            if not self.estimator:
                raise ValueError(
                    f"no pose estimator of {figure} ships with simgap; accepted: pose.estimator with a directory that "
                    "simgap fit-pose made"
                ) from None
            raise ValueError(
                f"{directory}: no estimator is there; accepted: a directory that simgap fit-pose made"
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = "has no figure" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise ValueError(f"{file}: {reason}; accepted: a directory that simgap fit-pose made") from None
        if found != figure:
            raise ValueError(f"{directory}: an estimator of {found}; accepted: of {figure}")
        return directory

    def _eye(self, env: BatchedEnv, sight: str, seed: int) -> Eye:
        directory = self.directory(env.task.name)
        runtime = PoseRuntime(directory / "estimator.onnx", env.num_threads or cores(), self.precision)
        filmed = Filmed(env.model, keypoints_of(env.task.name), self.camera, runtime.size)
        learned = directory / f"learned-{self.camera}.safetensors"
        name = "two_frame" if sight == "two-frame" else self.reconstruction
        estimator = make_estimator(name, filmed.view, env.num_envs, learned)
        if sight == "error-model":
            model = load_error_model(directory / f"error-{self.camera}.npz")
            imagined = Imagined(filmed, ErrorSimulator(model, env.num_envs, seed))
            return Eye(imagined, estimator, self.camera, runtime.size)
        film = Film(env.model, env.num_envs, self.camera, runtime.size)
        return Eye(Seen(Frames(film, env.num_threads), runtime), estimator, self.camera, runtime.size)


class PoseEnv(VecEnvWrapper):
    """Observations as the environment's own, but as ``eye`` sees them; without one, as they are.

    With ``state``, observations are mappings: ``pose``, and ``state``, what the task observes without the sensors'
    noise. The last observation of an episode (``terminal_observation``) has the true state of its last moment, and the
    pose that was seen one step before: a picture of the end would cost as much as one of the beginning that follows.
    """

    venv: BatchedEnv

    def __init__(self, env: BatchedEnv, eye: Eye | None, state: bool) -> None:
        space = env.observation_space
        super().__init__(env, gymnasium.spaces.Dict({"pose": space, "state": space}) if state else space)
        self.eye = eye
        """What sees for the agent, if anything stands between."""
        self._with_state = state
        self._actions = np.zeros((env.num_envs, env.model.nu))
        self.pose: Array = np.zeros((env.num_envs, env.task.observation_size))
        """What the actor saw last."""

    def reset(self) -> VecEnvObs:
        """Start a new episode everywhere."""
        state: Any = self.venv.reset()
        self._see(state, np.arange(self.num_envs))
        return self._observation(self.pose, self.venv.true)  # type: ignore[no-any-return]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the next actions, ``(num_envs, actuators)``."""
        self._actions = np.asarray(actions, np.float64)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """One step, and what is seen of where it leads."""
        state, rewards, dones, infos = self.venv.step_wait()
        ended = np.flatnonzero(dones)
        for i in ended:
            seen = infos[i]["terminal_observation"] if self.eye is None else self.pose[i].copy()
            infos[i]["terminal_observation"] = self._observation(seen, infos[i]["terminal_true"])
        self._see(state, ended)
        return self._observation(self.pose, self.venv.true), rewards, dones, infos

    def _see(self, state: Any, begun: npt.NDArray[np.intp]) -> None:
        """Look again; ``begun`` are at the beginning of an episode."""
        if self.eye is None:
            self.pose = state
            return
        actions = self._actions.copy()
        actions[begun] = 0.0
        self.eye.begin(begun)
        self.pose = self.eye.see(self.venv.shot(), actions)

    def _observation(self, pose: Any, state: Any) -> Any:
        return {"pose": pose, "state": state} if self._with_state else pose

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs beside the environment's own state."""
        return {"pose": self.pose.copy(), "eye": self.eye.state_dict() if self.eye else None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of an environment of the same configuration."""
        self.pose = np.array(state["pose"])
        if self.eye:
            self.eye.load_state_dict(state["eye"])

    def close(self) -> None:
        """End the rendering."""
        if self.eye:
            self.eye.close()
        super().close()
