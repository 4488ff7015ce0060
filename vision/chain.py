"""The hopper as a chain of four links in the plane y = 0, relative to its camera.

A *pose* ``(n, 6)`` is the torso's centre, x and z in m from the camera's axis, then the angles about +y of torso,
thigh, leg and foot from their pose at rest, in rad; its *rates* are in m/s and rad/s. The model's pitch turns about +y
and its three joints about −y, so pitch = ``a_0`` and joint k = ``a_(k-1) − a_k``, all zero in the reference pose.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# The chain of hopper.xml: torso_top to waist, waist to knee, knee to ankle, ankle to foot_tip, m; and the angle about
# +y by which each link is turned from +z in the reference pose.
LENGTHS = np.array([0.4, 0.45, 0.5, 0.26])
RESTS = np.array([-np.pi, -np.pi, -np.pi, np.pi / 2])
KEYPOINT_LINKS: Array = LENGTHS * [[-0.5, 0, 0, 0], [0.5, 0, 0, 0], [0.5, 1, 0, 0], [0.5, 1, 1, 0], [0.5, 1, 1, 1]]
"""Each keypoint is the torso's centre plus a sum of links ``(5, 4)``, m: half the torso, then link by link."""
FOOT_LINKS = np.array([[0.2, 0.45, 0.5, -0.13], [0.2, 0.45, 0.5, 0.26]])
"""The same for the ends of the foot's capsule, heel (0.13 m behind the ankle) and tip."""
SOLE = 0.06
"""Radius of the foot's capsule, m."""
START_HEIGHT = 1.25
"""Height of the torso in the reference pose, in which an episode starts, m."""
GRAVITY = 9.81
"""m/s²; the hopper's model keeps MuJoCo's default."""
MAX_VELOCITY = 10.0
"""The observation clips velocities (m/s and rad/s) to this."""


def reference_pose(elevation: float | None) -> Array:
    """The pose ``(6,)`` in which an episode starts, seen from a camera ``elevation`` m above the floor.

    With None, a camera that follows the figure, it lies on the camera's axis: where it is, the first frame tells.
    """
    return np.array([0.0, 0.0 if elevation is None else START_HEIGHT - elevation, 0.0, 0.0, 0.0, 0.0])


def forward_kinematics(pose: Array, links: Array) -> tuple[Array, Array]:
    """Points that are sums of links, and how they move with the pose.

    Args:
        pose: ``(n, 6)``.
        links: ``(k, 4)``, m of each link that lead from the torso's centre to each point.

    Returns:
        Places ``(n, k, 2)``, x and z in m from the camera's axis, and their derivative by the pose ``(n, 2k, 6)``,
        its rows x of all points, then z of all.
    """
    angles = pose[:, None, 2:] + RESTS
    across, along = links * np.sin(angles), links * np.cos(angles)
    places = pose[:, None, :2] + np.stack((across.sum(axis=2), along.sum(axis=2)), axis=2)
    count = len(links)
    jacobian = np.zeros((len(pose), 2 * count, 6))
    jacobian[:, :count, 0] = jacobian[:, count:, 1] = 1.0
    jacobian[:, :count, 2:], jacobian[:, count:, 2:] = along, -across
    return places, jacobian


def lowest_point(pose: Array, rates: Array) -> tuple[Array, Array]:
    """The foot's lowest point.

    Args:
        pose: ``(n, 6)``.
        rates: ``(n, 6)``.

    Returns:
        Its height, m above the camera's axis ``(n,)``, and the velocity of the capsule's end above it, relative to
        the camera, m/s along x and z ``(n, 2)``.
    """
    places, jacobian = forward_kinematics(pose, FOOT_LINKS)
    velocities = (jacobian @ rates[..., None])[..., 0].reshape(-1, 2, 2)  # (n, x and z, heel and tip)
    rows, lowest = np.arange(len(pose)), places[:, :, 1].argmin(axis=1)
    return places[rows, lowest, 1] - SOLE, velocities[rows, :, lowest]


def rolling_velocity(depth: Array, velocity: Array, rates: Array) -> Array:
    """The camera's velocity along x ``(n,)``, m/s, if the foot rolls on the floor without slipping.

    Args:
        depth: ``(n,)``, how far the foot's lowest point is in the floor, m.
        velocity: ``(n, 2)``, of :func:`lowest_point`, m/s.
        rates: ``(n, 6)``.
    """
    return np.asarray((SOLE - np.clip(depth, 0.0, SOLE)) * rates[:, 5] - velocity[:, 0])


def pose_change(pose: Array, points: Array, confidences: Array) -> tuple[Array, Mask]:
    """What leads from a pose to the one that the keypoints alone show.

    Args:
        pose: ``(n, 6)``.
        points: ``(n, 5, 2)``, keypoints, x and z in m from the camera's axis.
        confidences: ``(n, 5)``, 0 is not seen.

    Returns:
        The change ``(n, 6)``, angles the short way and 0 where not seen, and which parts of the pose are seen
        ``(n, 6)``: the torso's centre and each link need both their ends.
    """
    links = points[:, 1:] - points[:, :-1]
    angles = np.arctan2(links[..., 0], links[..., 1]) - RESTS
    both = (confidences[:, 1:] > 0) & (confidences[:, :-1] > 0)
    seen = both[:, [0, 0, 0, 1, 2, 3]]
    change = np.concatenate(((points[:, 0] + points[:, 1]) / 2, angles), axis=1) - pose
    change[:, 2:] = wrap(change[:, 2:])
    return np.where(seen, change, 0.0), seen


def wrap(angles: Array) -> Array:
    """The same angles ``(...)``, rad, from −π to below π."""
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi)


def observation(pose: Array, rates: Array, elevation: Array, motion: Array) -> Array:
    """What the simulation observes, from what is relative to the camera and what the camera does.

    Args:
        pose: ``(n, 6)``.
        rates: ``(n, 6)``.
        elevation: ``(n,)``, the camera's height, m.
        motion: ``(n, 2)``, the camera's velocity along x and z, m/s.

    Returns:
        ``(n, 11)``, as :meth:`vision.reconstruct.Estimator.update` orders it.
    """
    sums = np.concatenate((pose[:, 2:], rates[:, 2:]), axis=1).reshape(-1, 2, 4)
    angles, angular = np.concatenate((sums[..., :1], sums[..., :-1] - sums[..., 1:]), axis=2).transpose(1, 0, 2)
    velocities = np.clip(np.concatenate((rates[:, :2] + motion, angular), axis=1), -MAX_VELOCITY, MAX_VELOCITY)
    return np.concatenate(((pose[:, 1] + elevation)[:, None], wrap(angles), velocities), axis=1)
