"""What a figure has to say about itself: its model, its observation, its reward, its end.

A :class:`Task` is pure and vectorised. Arrays come in as ``(n, ...)`` and go out as ``(n, ...)``; the
simulator is never called. The batched and the single environment are both built on it, so they cannot
disagree.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
State = Mapping[str, Array]
"""The MjData fields a task declares, each ``(n, *shape of the field)``."""
CONTACT_FORCES = "cfrc_ext"
"""The MjData field of contact forces on each body, which MuJoCo computes on demand only; zero at a reset."""


class Task(Protocol):
    """One figure with a task. Implementations are frozen dataclasses, one file a figure.

    The fields that its constructor takes are the options of the figure (:mod:`envs.options`): numbers, or one of the
    words of a ``Literal``.
    """

    @property
    def name(self) -> str:
        """The figure's name, as in the registry."""
        ...

    @property
    def xml(self) -> Path:
        """The MJCF file."""
        ...

    @property
    def frame_skip(self) -> int:
        """Physics steps per environment step."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """The MjData fields that the functions below read."""
        ...

    @property
    def observation_size(self) -> int:
        """Length of one observation."""
        ...

    @property
    def domains(self) -> Mapping[str, str]:
        """Named domains and their shifts, in the notation of :func:`envs.domains.parse_domain`."""
        ...

    @property
    def randomized(self) -> tuple[str, ...]:
        """Physical parameters that domain randomisation draws unless told otherwise."""
        ...

    def observe(self, state: State) -> Array:
        """Observations, ``(n, observation_size)``."""
        ...

    def reward(
        self,
        before: State,
        after: State,
        action: npt.NDArray[np.floating[Any]],
        terminated: npt.NDArray[np.bool_],
        dt: float,
    ) -> tuple[Array, dict[str, Array]]:
        """Rewards ``(n,)`` of one step of ``dt`` seconds, and the named terms they are the sum of.

        ``terminated`` is what :meth:`terminated` says of ``after``.
        """
        ...

    def terminated(self, state: State) -> npt.NDArray[np.bool_]:
        """Whether each episode has ended by failure, ``(n,)``."""
        ...

    def reset(self, rng: np.random.Generator, qpos0: Array) -> tuple[Array, Array]:
        """One start ``(qpos, qvel)`` around the model's reference pose ``qpos0``."""
        ...


@runtime_checkable
class Loader(Protocol):
    """A task that has more to do to its model than to compile the MJCF file."""

    def load(self) -> mujoco.MjModel:
        """The model that it acts on."""
        ...


def load_model(task: Task) -> mujoco.MjModel:
    """Compile the task's MJCF.

    Raises:
        FileNotFoundError: the MJCF file is missing.
    """
    if not task.xml.is_file():
        raise FileNotFoundError(f"figure {task.name}: no MJCF file at {task.xml}")
    if isinstance(task, Loader):
        return task.load()
    return compile_spec(load_spec(task.xml))


def load_spec(xml: Path) -> mujoco.MjSpec:
    """What an MJCF file describes; where it has no camera, with one that is as that of Gymnasium's runners.

    Raises:
        ValueError: MuJoCo cannot read the file.
    """
    spec = mujoco.MjSpec.from_file(str(xml))
    if not spec.cameras and spec.bodies[1:]:
        side = mujoco.mjtOrientation.mjORIENTATION_XYAXES
        camera = spec.bodies[1].add_camera(
            name="track", mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, pos=[0.0, -3.0, 0.3]
        )
        camera.alt.type, camera.alt.xyaxes = side, [1, 0, 0, 0, 0, 1]
    return spec


def compile_spec(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile it without MuJoCo's warning that an attribute of Gymnasium's half cheetah is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "compiler attribute 'settotalmass' is deprecated", UserWarning)
        return spec.compile()


def observation_space(task: Task) -> gymnasium.spaces.Box:
    """Unbounded float64 box, as in Gymnasium's MuJoCo environments."""
    return gymnasium.spaces.Box(-np.inf, np.inf, (task.observation_size,), np.float64)


def action_space(model: mujoco.MjModel) -> gymnasium.spaces.Box:
    """The actuators' control ranges as a float32 box, as in Gymnasium's MuJoCo environments."""
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def gymnasium_asset(name: str) -> Path:
    """Path of an MJCF file that ships with Gymnasium."""
    return Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / name
