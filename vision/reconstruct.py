"""The hopper's state from its keypoints over time: causal, in metres, radians and seconds, for many at once.

**Geometry.** The figure moves in the plane y = 0 and the camera looks along +y without roll, so a pixel is a position
in that plane relative to the camera's axis, up to the constant factor distance / focal length
(:mod:`vision.chain` has the rest).

**What a camera can know.** Both cameras follow the centre of mass in x, so the image holds no absolute x at all, and
x velocity is observable only in stance: the foot rolls on the floor, so its motion in the image is, but for that, the
camera's backwards. MuJoCo's contacts give: a policy's foot slips by some 0.5 m/s, and that error is in the result. In
flight no force acts along x, so the camera's velocity is carried on unchanged.

``rail``: the camera's height is known (:attr:`View.elevation`). Height and z velocity are seen directly, and so is
whether the foot is down.

``track``: the camera follows the centre of mass in z as well, so the image holds only the body's shape, and height has
to be inferred: :class:`vision.chain_filter.ChainFilter` from the floor's push and free fall,
:class:`vision.two_frame.TwoFrame` by taking the foot to be always down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer[Any]]
State = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class View:
    """The camera: square pixels with the first one's centre at (0, 0), looking along +y at the plane y = 0.

    Raises:
        ValueError: an impossible value.
    """

    width: int
    """Of the image, px."""
    height: int
    """Of the image, px."""
    elevation: float | None
    """Height of the camera above the floor, m (``rail``: 1), or None if it follows the centre of mass (``track``)."""
    fovy: float = 45.0
    """Angle from the image's lower to its upper edge, degrees."""
    distance: float = 3.0
    """From the camera to the figure's plane, m."""

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0 and 0 < self.fovy < 180 and 0 < self.distance < np.inf):
            raise ValueError(f"{self} is impossible; accepted: sizes and distance above 0, fovy between 0 and 180")
        if self.elevation is not None and not np.isfinite(self.elevation):
            raise ValueError(f"elevation is {self.elevation}; accepted: a height in m, or None")

    @property
    def scale(self) -> float:
        """Metres in the figure's plane per pixel."""
        return float(self.distance * np.tan(np.radians(self.fovy) / 2) / (self.height / 2))

    def metres(self, pixels: Array) -> Array:
        """Positions ``(..., 2)`` in the figure's plane, x and z in m from the camera's axis, of pixels ``(..., 2)``."""
        centre = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        return np.asarray((pixels - centre) * [self.scale, -self.scale])


class Estimator(Protocol):
    """Turns the keypoints of ``n`` environments, frame by frame, into observations."""

    def reset(self, ids: Sequence[int] | Ids) -> None:
        """Forget environments ``ids``: their next frame is the first of an episode, near the reference pose, at rest.

        Raises:
            ValueError: not numbers of environments.
        """

    def update(self, keypoints: Array, confidences: Array, actions: Array) -> Array:
        """The state after one more frame.

        Args:
            keypoints: ``(n, 5, 2)``, px, in the order of :data:`vision.keypoints.KEYPOINTS`. One that is not finite,
                or further than an image's size from the image's centre, is taken as not seen.
            confidences: ``(n, 5)``, 0 or more; 0 is not seen.
            actions: ``(n, 3)``, those that led to this frame; zeros at an episode's first.

        Returns:
            ``(n, 11)``: height, pitch, thigh, leg, foot, and the velocities of x, z, pitch, thigh, leg, foot, in m,
            rad, s, as in :class:`envs.hopper.Hopper`; angles within ±π, velocities within ±10.

        Raises:
            ValueError: another shape, or a confidence that is NaN, infinite or negative.
        """

    def state(self) -> State:
        """A copy of what :meth:`restore` needs to continue bit for bit: arrays by name, the first axis ``n``."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from another's :meth:`state`, of the same class, view, number of environments and time step.

        Raises:
            ValueError: other names, shapes or types; nothing has changed then.
        """


def check_size(num_envs: int, dt: float) -> None:
    """Raise ValueError unless there are environments, and time between frames, s."""
    if num_envs < 1 or not 0 < dt < np.inf:
        raise ValueError(f"num_envs is {num_envs} and dt {dt}; accepted: 1 or more, and above 0 s")


def check_ids(ids: Sequence[int] | Ids, count: int) -> Ids:
    """The numbers of environments as an index.

    Raises:
        ValueError: one is none of the ``count`` environments'.
    """
    found = np.asarray(ids)
    # A mask would be taken for environments 0 and 1.
    if found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= count):
        raise ValueError(f"ids are {found.tolist()}; accepted: numbers of environments from 0 to {count - 1}")
    return found.astype(np.intp)


def check_frame(view: View, count: int, keypoints: Array, confidences: Array, actions: Array) -> tuple[Array, Array]:
    """Check what :meth:`Estimator.update` of ``count`` environments is given.

    Returns:
        Places ``(n, 5, 2)`` in m from the camera's axis and confidences ``(n, 5)``, both 0 where not seen.

    Raises:
        ValueError: as :meth:`Estimator.update`.
    """
    pixels, weights = np.asarray(keypoints, np.float64), np.asarray(confidences, np.float64)
    for name, array, shape in (
        ("keypoints", pixels, (count, 5, 2)),
        ("confidences", weights, (count, 5)),
        ("actions", np.asarray(actions), (count, 3)),
    ):
        if array.shape != shape:
            raise ValueError(f"{name} have the shape {array.shape}; accepted: {shape}")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise ValueError(f"a confidence is {weights[wrong][0]}; accepted: finite numbers of 0 or more")
    size = np.array([view.width, view.height])
    near = (np.abs(pixels - (size - 1) / 2) <= size).all(axis=2)  # false for NaN too
    weights = np.where(near, weights, 0.0)
    return np.where(weights[..., None] > 0, view.metres(pixels), 0.0), weights


def copy_state(arrays: State) -> State:
    """An estimator's own arrays, as :meth:`Estimator.state` hands them out."""
    return {name: array.copy() for name, array in arrays.items()}


def restore_state(arrays: State, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write ``state`` into an estimator's own arrays, in place.

    Raises:
        ValueError: as :meth:`Estimator.restore`.
    """
    ours, theirs = ({k: f"{v.dtype} {v.shape}" for k, v in found.items()} for found in (arrays, state))
    if ours != theirs:
        raise ValueError(f"the estimator's state has {theirs}; accepted: {ours}")
    for name, array in arrays.items():
        array[:] = state[name]
