"""The baseline estimator: two frames and the time between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.chain import Array, lowest_point, observation, pose_change, reference_pose, rolling_velocity
from vision.reconstruct import Ids, State, View, check_frame, check_ids, check_size, copy_state, restore_state


class TwoFrame:
    """The difference of two frames over the time between them: the original study's method, and a baseline.

    A part that is not seen keeps its last place and rate; when it is seen again, its rate is the mean over the gap.
    Whatever was never seen in an episode is as in the reference pose. A first frame has no velocities. Under a camera
    that follows the figure in height (``track``), the lowest point of the foot is taken to be on the floor in every
    frame, which is wrong in flight by as much as the foot is above it.

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
        self._pose = np.zeros((num_envs, 6))
        self._rates = np.zeros((num_envs, 6))
        self._age = np.zeros((num_envs, 6))  # frames since each was seen; infinite: never
        self._forward = np.zeros(num_envs)  # the camera's velocity along x
        self._arrays: State = {"pose": self._pose, "rates": self._rates, "age": self._age, "forward": self._forward}
        self.reset(range(num_envs))

    def reset(self, ids: Sequence[int] | Ids) -> None:
        """As :meth:`vision.reconstruct.Estimator.reset`."""
        ids = check_ids(ids, self._count)
        self._pose[ids] = reference_pose(self._view.elevation)
        self._rates[ids] = 0.0
        self._age[ids] = np.inf
        self._forward[ids] = 0.0

    def update(self, keypoints: Array, confidences: Array, actions: Array) -> Array:
        """As :meth:`vision.reconstruct.Estimator.update`; the actions tell it nothing."""
        points, weights = check_frame(self._view, self._count, keypoints, confidences, actions)
        change, seen = pose_change(self._pose, points, weights)
        self._age += 1
        # An infinite age makes the rate 0.
        self._rates[:] = np.where(seen, change / (self._age * self._dt), self._rates)
        self._pose += change
        self._age[seen] = 0.0
        low, velocity = lowest_point(self._pose, self._rates)
        if self._view.elevation is None:
            elevation, rise, stance = -low, -velocity[:, 1], np.ones(self._count, bool)
        else:
            elevation, rise = np.full(self._count, self._view.elevation), np.zeros(self._count)
            stance = -(low + elevation) > 0
        rolling = rolling_velocity(-(low + elevation), velocity, self._rates)
        self._forward[stance] = rolling[stance]
        return observation(self._pose, self._rates, elevation, np.stack((self._forward, rise), axis=1))

    def state(self) -> State:
        """As :meth:`vision.reconstruct.Estimator.state`."""
        return copy_state(self._arrays)

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """As :meth:`vision.reconstruct.Estimator.restore`."""
        restore_state(self._arrays, state)
