"""The hopper's state from its keypoints over time: causal, in metres, radians and seconds, for many at once.

**Geometry.** The figure moves in the plane y = 0 and the camera looks along +y without roll, so a pixel is a position
in that plane relative to the camera's axis, up to the constant factor distance / focal length. The torso and the
links lie at angles ``a_k`` about +y from their pose at rest; the model's pitch turns about +y and its three joints
about −y, so pitch = ``a_0`` and joint k = ``a_(k-1) − a_k``, all zero in the reference pose.

**What a camera can know.** Both cameras follow the centre of mass in x, so the image holds no absolute x at all, and
x velocity is observable only in stance: the foot rolls on the floor, so its motion in the image is, but for that, the
camera's backwards. MuJoCo's contacts give: a policy's foot slips by some 0.5 m/s, and that error is in the result. In
flight no force acts along x, so the camera's velocity is carried on unchanged.

``rail``: the camera's height is known (:attr:`View.elevation`). Height and z velocity are seen directly, and so is
whether the foot is down.

``track``: the camera follows the centre of mass in z as well, so the image holds only the body's shape, and height has
to be inferred. :class:`ChainFilter` lets the camera (= the centre of mass) fall freely from the reference height,
where an episode starts, and carries it by a spring and a damper between the floor and the foot that it sees: the
simulator's floor gives way by several centimetres, so that a foot at rest on a hard one would mislead. The error of a
take-off's velocity grows through the flight, to decimetres in a high jump, and stance corrects it. :class:`TwoFrame`
takes the lowest point of the foot to be on the floor in every frame, which is wrong in flight by as much as the foot
is above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.integer[Any]]

# The chain of hopper.xml: torso_top to waist, waist to knee, knee to ankle, ankle to foot_tip, m; and the angle about
# +y by which each link is turned from +z in the reference pose.
LENGTHS = np.array([0.4, 0.45, 0.5, 0.26])
RESTS = np.array([-np.pi, -np.pi, -np.pi, np.pi / 2])
# Each keypoint is the torso's centre plus a sum of links: the torso's halves to either side, then link by link.
CHAIN: Array = LENGTHS * [[-0.5, 0, 0, 0], [0.5, 0, 0, 0], [0.5, 1, 0, 0], [0.5, 1, 1, 0], [0.5, 1, 1, 1]]
FOOT = np.array([[0.2, 0.45, 0.5, -0.13], [0.2, 0.45, 0.5, 0.26]])
"""The same for the ends of the foot's capsule, heel (0.13 m behind the ankle) and tip."""
SOLE = 0.06
"""Radius of the foot's capsule, m."""
START_HEIGHT = 1.25
"""Height of the torso in the reference pose, in which an episode starts, m."""
GRAVITY = 9.81
"""m/s²; the hopper's model keeps MuJoCo's default."""
MAX_VELOCITY = 10.0
"""The observation clips velocities (m/s and rad/s) to this."""

# Noise of the filter. Accelerations are standard deviations of white noise, constant over a frame; rounded from what
# made the rates of shipped policies' rollouts best at 0.5 px.
PIXEL_NOISE = 0.5
"""Of a keypoint of confidence 1, px in each direction; the variance is divided by the confidence."""
ACCELERATION = np.array([30.0, 40.0, 40.0, 100.0, 100.0, 250.0])
"""Of the torso's centre relative to the camera in x and z, m/s², and of torso, thigh, leg and foot, rad/s²."""
STANCE_ACCELERATION = 20.0
"""Of the camera along x in stance, m/s²; in flight it has none."""
STANCE_NOISE = 0.5
"""Of the camera's velocity along x as one frame of stance tells it, m/s: mostly the foot's slipping."""
# The floor's push per mass of the whole hopper: least squares over two shipped policies' contacts in the source gave
# 1050 and 25 (R² 0.85) for both; a third less gave the better heights at 0.5 px, by little.
STIFFNESS = 700.0
"""1/s²."""
DAMPING = 17.0
"""1/s."""
DEEPEST = 0.1
"""How far the foot can be in the floor, m (0.09 in those rollouts); more is an error of the estimate."""
SUBSTEPS = 4
"""Of a frame, to integrate that stiff spring."""
GAUSS_NEWTON_STEPS = 3


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

    def update(self, keypoints: Array, confidences: Array) -> Array:
        """The state after one more frame.

        Args:
            keypoints: ``(n, 5, 2)``, px, in the order of :data:`vision.keypoints.KEYPOINTS`. One that is not finite,
                or further than an image's size from the image's centre, is taken as not seen.
            confidences: ``(n, 5)``, 0 or more; 0 is not seen.

        Returns:
            ``(n, 11)``: height, pitch, thigh, leg, foot, and the velocities of x, z, pitch, thigh, leg, foot, in m,
            rad, s, as in :class:`envs.hopper.Hopper`; angles within ±π, velocities within ±10.

        Raises:
            ValueError: another shape, or a confidence that is NaN, infinite or negative.
        """


class TwoFrame:
    """The difference of two frames over the time between them: the original study's method, and a baseline.

    A part that is not seen keeps its last place and rate; when it is seen again, its rate is the mean over the gap.
    Whatever was never seen in an episode is as in the reference pose. A first frame has no velocities.

    Args:
        view: the camera.
        num_envs: ``n``.
        dt: s between frames.

    Raises:
        ValueError: no environment, or no time between frames.
    """

    def __init__(self, view: View, num_envs: int, dt: float = 0.008) -> None:
        _check_size(num_envs, dt)
        self._view, self._count, self._dt = view, num_envs, dt
        self._pose = np.zeros((num_envs, 6))  # the torso's centre from the camera's axis (x, z), then four angles
        self._rates = np.zeros((num_envs, 6))
        self._age = np.zeros((num_envs, 6))  # frames since each was seen; infinite: never
        self._forward = np.zeros(num_envs)  # the camera's velocity along x
        self.reset(range(num_envs))

    def reset(self, ids: Sequence[int] | Ids) -> None:
        """As :meth:`Estimator.reset`."""
        ids = _check_ids(ids, self._count)
        self._pose[ids] = _start(self._view)
        self._rates[ids] = 0.0
        self._age[ids] = np.inf
        self._forward[ids] = 0.0

    def update(self, keypoints: Array, confidences: Array) -> Array:
        """As :meth:`Estimator.update`."""
        points, weights = _check_frame(self._view, self._count, keypoints, confidences)
        change, seen = _change(self._pose, points, weights)
        self._age += 1
        # An infinite age makes the rate 0.
        self._rates = np.where(seen, change / (self._age * self._dt), self._rates)
        self._pose = self._pose + change
        self._age[seen] = 0.0
        low, velocity = _lowest(self._pose, self._rates)
        if self._view.elevation is None:
            elevation, rise, stance = -low, -velocity[:, 1], np.ones(self._count, bool)
        else:
            elevation, rise = np.full(self._count, self._view.elevation), np.zeros(self._count)
            stance = -(low + elevation) > 0
        told = _rolling(-(low + elevation), velocity, self._rates)
        self._forward = np.where(stance, told, self._forward)
        return _observation(self._pose, self._rates, elevation, np.stack((self._forward, rise), axis=1))


class ChainFilter:
    """A chain of the known lengths fitted to the keypoints, and a Kalman filter of constant velocity around the fit.

    State: the torso's centre relative to the camera, four link angles, and their rates. The fit is an iterated
    extended Kalman filter's update written as weighted least squares (Bell and Cathey, "The iterated Kalman filter
    update as a Gauss-Newton method", 1993): pixel errors, and the distance from the prediction, each over its own
    variance. So parts that are not seen stay where the chain and the prediction put them. The camera's own velocity
    is a second, scalar filter for each environment, corrected in stance alone.

    Args:
        view: the camera.
        num_envs: ``n``.
        dt: s between frames.

    Raises:
        ValueError: no environment, or no time between frames.
    """

    def __init__(self, view: View, num_envs: int, dt: float = 0.008) -> None:
        _check_size(num_envs, dt)
        self._view, self._count, self._dt = view, num_envs, dt
        self._transition = np.kron([[1.0, dt], [0.0, 1.0]], np.eye(6))
        gain = np.array([dt**2 / 2, dt])
        self._noise = np.kron(np.outer(gain, gain), np.diag(ACCELERATION**2))
        self._mean = np.zeros((num_envs, 12))
        self._covariance = np.zeros((num_envs, 12, 12))
        self._fresh: Mask = np.zeros(num_envs, bool)
        # The camera: its height, its velocity (x, z; of a rail, z stays 0), and the variance of that along x.
        self._elevation = np.full(num_envs, view.elevation or 0.0)
        self._motion = np.zeros((num_envs, 2))
        self._variance = np.zeros(num_envs)
        self.reset(range(num_envs))

    def reset(self, ids: Sequence[int] | Ids) -> None:
        """As :meth:`Estimator.reset`."""
        ids = _check_ids(ids, self._count)
        self._mean[ids, :6], self._mean[ids, 6:] = _start(self._view), 0.0
        self._covariance[ids] = np.eye(12)  # wide: an episode starts far closer to rest in the reference pose
        self._fresh[ids] = True
        self._motion[ids] = self._variance[ids] = 0.0

    def update(self, keypoints: Array, confidences: Array) -> Array:
        """As :meth:`Estimator.update`."""
        points, weights = _check_frame(self._view, self._count, keypoints, confidences)
        fresh = self._fresh[:, None]
        self._mean[:, :6] += np.where(fresh, 0.0, self._mean[:, 6:] * self._dt)
        moved = self._transition @ self._covariance @ self._transition.T + self._noise
        self._covariance = np.where(fresh[..., None], self._covariance, moved)
        change, _ = _change(self._mean[:, :6], points, weights)
        self._mean[:, :6] += np.where(fresh, change, 0.0)  # what a first frame shows is worth more than any guess
        self._correct(self._mean[:, :6] + np.where(fresh, 0.0, change), points, weights)
        self._follow()
        self._fresh[:] = False
        return _observation(self._mean[:, :6], self._mean[:, 6:], self._elevation, self._motion)

    def _correct(self, pose: Array, points: Array, weights: Array) -> None:
        """Gauss-Newton from ``pose``, then what the fit says of the rates, through their covariance with the pose."""
        predicted = self._mean[:, :6].copy()
        prior = self._covariance[:, :6, :6]
        information = np.linalg.inv(prior)
        weights = np.tile(weights / (PIXEL_NOISE * self._view.scale) ** 2, 2)[:, None]
        for _ in range(GAUSS_NEWTON_STEPS):
            places, jacobian = _chain(pose, CHAIN)
            errors = (points - places).transpose(0, 2, 1).reshape(self._count, 10, 1)
            weighted = jacobian.transpose(0, 2, 1) * weights
            hessian = weighted @ jacobian + information
            step = weighted @ errors - information @ (pose - predicted)[..., None]
            pose = pose + np.linalg.solve(hessian, step)[..., 0]
        gain = self._covariance[:, :, :6] @ information
        self._mean += (gain @ (pose - predicted)[..., None])[..., 0]
        covariance = self._covariance - gain @ (prior - np.linalg.inv(hessian)) @ gain.transpose(0, 2, 1)
        self._covariance = (covariance + covariance.transpose(0, 2, 1)) / 2

    def _follow(self) -> None:
        """The camera's height and velocity, from the motion of the foot in the image."""
        low, velocity = _lowest(self._mean[:, :6], self._mean[:, 6:])
        if self._view.elevation is None:
            self._fall(low, velocity[:, 1])
        depth = -(low + self._elevation)
        stance = depth > 0
        self._variance += np.where(stance, (STANCE_ACCELERATION * self._dt) ** 2, 0.0)
        gain = np.where(stance, self._variance / (self._variance + STANCE_NOISE**2), 0.0)
        self._motion[:, 0] += gain * (_rolling(depth, velocity, self._mean[:, 6:]) - self._motion[:, 0])
        self._variance *= 1 - gain

    def _fall(self, low: Array, sinking: Array) -> None:
        """Move the camera of ``track`` for one frame: gravity down, the floor up where the foot is in it."""
        height, rise, step = self._elevation, self._motion[:, 1], self._dt / SUBSTEPS
        for left in reversed(range(SUBSTEPS)):
            depth = np.minimum(-(low - sinking * left * step + height), DEEPEST)
            push = np.maximum(STIFFNESS * depth - DAMPING * (sinking + rise), 0.0)
            rise = rise + (np.where(depth > 0, push, 0.0) - GRAVITY) * step
            height = height + rise * step
        height = np.maximum(height, -low - DEEPEST)
        self._elevation = np.where(self._fresh, START_HEIGHT - self._mean[:, 1], height)
        self._motion[:, 1] = np.where(self._fresh, 0.0, rise)


def _start(view: View) -> Array:
    """The reference pose ``(6,)``; where a camera that follows sees the torso is left to the first frame."""
    return np.array([0.0, 0.0 if view.elevation is None else START_HEIGHT - view.elevation, 0.0, 0.0, 0.0, 0.0])


def _chain(pose: Array, links: Array) -> tuple[Array, Array]:
    """Places ``(n, k, 2)`` of points that are sums of links ``(k, 4)``, and their derivative by the pose.

    That is ``(n, 2k, 6)``, its rows x of all points, then z of all.
    """
    angles = pose[:, None, 2:] + RESTS
    across, along = links * np.sin(angles), links * np.cos(angles)
    places = pose[:, None, :2] + np.stack((across.sum(axis=2), along.sum(axis=2)), axis=2)
    count = len(links)
    jacobian = np.zeros((len(pose), 2 * count, 6))
    jacobian[:, :count, 0] = jacobian[:, count:, 1] = 1.0
    jacobian[:, :count, 2:], jacobian[:, count:, 2:] = along, -across
    return places, jacobian


def _lowest(pose: Array, rates: Array) -> tuple[Array, Array]:
    """Lowest point of the foot, m above the camera ``(n,)``, and that end's velocity in x and z, m/s ``(n, 2)``."""
    places, jacobian = _chain(pose, FOOT)
    velocities = (jacobian @ rates[..., None])[..., 0].reshape(-1, 2, 2)  # (n, x and z, heel and tip)
    rows, lowest = np.arange(len(pose)), places[:, :, 1].argmin(axis=1)
    return places[rows, lowest, 1] - SOLE, velocities[rows, :, lowest]


def _rolling(depth: Array, velocity: Array, rates: Array) -> Array:
    """The camera's velocity along x, m/s ``(n,)``, if the foot's end, ``depth`` m in the floor, rolls on it."""
    return np.asarray((SOLE - np.clip(depth, 0.0, SOLE)) * rates[:, 5] - velocity[:, 0])


def _change(pose: Array, points: Array, weights: Array) -> tuple[Array, Mask]:
    """What leads from ``pose`` to that of the points alone, angles the short way: ``(n, 6)``, 0 where not seen.

    Also which parts of the pose are seen ``(n, 6)``: the torso's centre and each link need both their ends.
    """
    links = points[:, 1:] - points[:, :-1]
    angles = np.arctan2(links[..., 0], links[..., 1]) - RESTS
    both = (weights[:, 1:] > 0) & (weights[:, :-1] > 0)
    seen = both[:, [0, 0, 0, 1, 2, 3]]
    change = np.concatenate(((points[:, 0] + points[:, 1]) / 2, angles), axis=1) - pose
    change[:, 2:] = _wrap(change[:, 2:])
    return np.where(seen, change, 0.0), seen


def _wrap(angles: Array) -> Array:
    """The same angles from −π to π."""
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi)


def _observation(pose: Array, rates: Array, elevation: Array, motion: Array) -> Array:
    """The hopper's observation ``(n, 11)``, from what is relative to the camera, its height and its velocity."""
    sums = np.concatenate((pose[:, 2:], rates[:, 2:]), axis=1).reshape(-1, 2, 4)
    angles, angular = np.concatenate((sums[..., :1], sums[..., :-1] - sums[..., 1:]), axis=2).transpose(1, 0, 2)
    velocities = np.clip(np.concatenate((rates[:, :2] + motion, angular), axis=1), -MAX_VELOCITY, MAX_VELOCITY)
    return np.concatenate(((pose[:, 1] + elevation)[:, None], _wrap(angles), velocities), axis=1)


def _check_size(num_envs: int, dt: float) -> None:
    if num_envs < 1 or not 0 < dt < np.inf:
        raise ValueError(f"num_envs is {num_envs} and dt {dt}; accepted: 1 or more, and above 0 s")


def _check_ids(ids: Sequence[int] | Ids, count: int) -> Ids:
    found = np.asarray(ids)
    # A mask would be taken for environments 0 and 1.
    if found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= count):
        raise ValueError(f"ids are {found.tolist()}; accepted: numbers of environments from 0 to {count - 1}")
    return found.astype(np.intp)


def _check_frame(view: View, count: int, keypoints: Array, confidences: Array) -> tuple[Array, Array]:
    """Places ``(n, 5, 2)`` in m and confidences ``(n, 5)``, both 0 where not seen."""
    pixels, weights = np.asarray(keypoints, np.float64), np.asarray(confidences, np.float64)
    for name, array, shape in (("keypoints", pixels, (count, 5, 2)), ("confidences", weights, (count, 5))):
        if array.shape != shape:
            raise ValueError(f"{name} have the shape {array.shape}; accepted: {shape}")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise ValueError(f"a confidence is {weights[wrong][0]}; accepted: finite numbers of 0 or more")
    size = np.array([view.width, view.height])
    near = (np.abs(pixels - (size - 1) / 2) <= size).all(axis=2)  # false for NaN too
    weights = np.where(near, weights, 0.0)
    return np.where(weights[..., None] > 0, view.metres(pixels), 0.0), weights
