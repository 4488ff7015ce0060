"""What frames show, and how they are taken."""

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt

from envs.render import Camera, Looks, check_size
from envs.task import Array

Image = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Shot:
    """What the frames of ``m`` simulations show."""

    ids: Ids
    """Which simulations, ``(m,)``."""
    qpos: Array
    """Positions, ``(m, nq)``."""
    masses: Array
    """Of the bodies, kg, ``(m, nbody)``: a camera may follow the centre of mass."""
    episodes: npt.NDArray[np.int64]
    """Which episode of its simulation each belongs to, ``(m,)``: looks change with them."""
    watched: npt.NDArray[np.bool_] | None = None
    """Whether anybody looks at each, ``(m,)``; None: at all of them. The others' frames are black."""

    @property
    def rows(self) -> Ids:
        """Those that are looked at."""
        return np.arange(len(self.ids)) if self.watched is None else np.flatnonzero(self.watched)


@dataclass(frozen=True)
class Film:
    """How frames are taken.

    Raises:
        ValueError: the model has no such camera, or the size is impossible.
    """

    model: mujoco.MjModel
    num_envs: int
    camera: str
    size: int
    """Edge of a frame, px."""
    gray: bool = False
    """One channel, the luminance, instead of red, green and blue."""
    looks: tuple[Looks, Path] | None = None
    """How everything looks, and the MJCF file of the model, which room for that is made in."""

    def __post_init__(self) -> None:
        Camera(self.model, self.camera)
        check_size(self.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one frame."""
        return self.size, self.size, 1 if self.gray else 3
