"""The filtering estimator: what the chain's lengths and the last frames say, beside the keypoints of this one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.chain import (
    GRAVITY,
    KEYPOINT_LINKS,
    START_HEIGHT,
    Array,
    Mask,
    forward_kinematics,
    lowest_point,
    observation,
    pose_change,
    reference_pose,
    rolling_velocity,
)
from vision.reconstruct import Ids, State, View, check_frame, check_ids, check_size, copy_state, restore_state

# Noise. Accelerations are standard deviations of white noise, constant over a frame; rounded from what made the rates
# of shipped policies' rollouts best at 0.5 px.
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


class ChainFilter:
    """A chain of the known lengths fitted to the keypoints, and a Kalman filter of constant velocity around the fit.

    State: the torso's centre relative to the camera, four link angles, and their rates. The fit is an iterated
    extended Kalman filter's update written as weighted least squares (Bell and Cathey, "The iterated Kalman filter
    update as a Gauss-Newton method", 1993): pixel errors, and the distance from the prediction, each over its own
    variance. So parts that are not seen stay where the chain and the prediction put them. The camera's own velocity
    is a second, scalar filter for each environment, corrected in stance alone.

    Under a camera that follows the figure in height (``track``), the camera (= the centre of mass) falls freely from
    the reference height, where an episode starts, and is carried by a spring and a damper between the floor and the
    foot that is seen: the simulator's floor gives way by several centimetres, so that a foot at rest on a hard one
    would mislead. The error of a take-off's velocity grows through the flight, to decimetres in a high jump, and
    stance corrects it.

    Args:
        view: the camera.
        num_envs: ``n``.
        dt: s between frames.

    Raises:
        ValueError: no environment, or no time between frames.
    """

    def __init__(self, view: View, num_envs: int, dt: float = 0.008) -> None:
        check_size(num_envs, dt)
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
        self._arrays: State = {
            "mean": self._mean,
            "covariance": self._covariance,
            "fresh": self._fresh,
            "elevation": self._elevation,
            "motion": self._motion,
            "variance": self._variance,
        }
        self.reset(range(num_envs))

    def reset(self, ids: Sequence[int] | Ids) -> None:
        """As :meth:`vision.reconstruct.Estimator.reset`."""
        ids = check_ids(ids, self._count)
        self._mean[ids, :6], self._mean[ids, 6:] = reference_pose(self._view.elevation), 0.0
        self._covariance[ids] = np.eye(12)  # wide: an episode starts far closer to rest in the reference pose
        self._fresh[ids] = True
        self._motion[ids] = self._variance[ids] = 0.0

    def update(self, keypoints: Array, confidences: Array, actions: Array) -> Array:
        """As :meth:`vision.reconstruct.Estimator.update`; the actions tell it nothing."""
        points, weights = check_frame(self._view, self._count, keypoints, confidences, actions)
        fresh = self._fresh[:, None]
        self._mean[:, :6] += np.where(fresh, 0.0, self._mean[:, 6:] * self._dt)
        moved = self._transition @ self._covariance @ self._transition.T + self._noise
        self._covariance[:] = np.where(fresh[..., None], self._covariance, moved)
        change, _ = pose_change(self._mean[:, :6], points, weights)
        self._mean[:, :6] += np.where(fresh, change, 0.0)  # what a first frame shows is worth more than any guess
        self._correct(self._mean[:, :6] + np.where(fresh, 0.0, change), points, weights)
        self._follow()
        self._fresh[:] = False
        return observation(self._mean[:, :6], self._mean[:, 6:], self._elevation, self._motion)

    def state(self) -> State:
        """As :meth:`vision.reconstruct.Estimator.state`."""
        return copy_state(self._arrays)

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """As :meth:`vision.reconstruct.Estimator.restore`."""
        restore_state(self._arrays, state)

    def _correct(self, pose: Array, points: Array, weights: Array) -> None:
        """Gauss-Newton from ``pose``, then what the fit says of the rates, through their covariance with the pose."""
        predicted = self._mean[:, :6].copy()
        prior = self._covariance[:, :6, :6]
        information = np.linalg.inv(prior)
        weights = np.tile(weights / (PIXEL_NOISE * self._view.scale) ** 2, 2)[:, None]
        for _ in range(GAUSS_NEWTON_STEPS):
            places, jacobian = forward_kinematics(pose, KEYPOINT_LINKS)
            errors = (points - places).transpose(0, 2, 1).reshape(self._count, 10, 1)
            weighted = jacobian.transpose(0, 2, 1) * weights
            hessian = weighted @ jacobian + information
            step = weighted @ errors - information @ (pose - predicted)[..., None]
            pose = pose + np.linalg.solve(hessian, step)[..., 0]
        gain = self._covariance[:, :, :6] @ information
        self._mean += (gain @ (pose - predicted)[..., None])[..., 0]
        covariance = self._covariance - gain @ (prior - np.linalg.inv(hessian)) @ gain.transpose(0, 2, 1)
        self._covariance[:] = (covariance + covariance.transpose(0, 2, 1)) / 2

    def _follow(self) -> None:
        """The camera's height and velocity, from the motion of the foot in the image."""
        low, velocity = lowest_point(self._mean[:, :6], self._mean[:, 6:])
        if self._view.elevation is None:
            self._fall(low, velocity[:, 1])
        depth = -(low + self._elevation)
        stance = depth > 0
        self._variance += np.where(stance, (STANCE_ACCELERATION * self._dt) ** 2, 0.0)
        gain = np.where(stance, self._variance / (self._variance + STANCE_NOISE**2), 0.0)
        self._motion[:, 0] += gain * (rolling_velocity(depth, velocity, self._mean[:, 6:]) - self._motion[:, 0])
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
        self._elevation[:] = np.where(self._fresh, START_HEIGHT - self._mean[:, 1], height)
        self._motion[:, 1] = np.where(self._fresh, 0.0, rise)
