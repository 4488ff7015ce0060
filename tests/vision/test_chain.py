"""The chain stands where MuJoCo puts the hopper's keypoints, and moves as it says."""

import mujoco
import numpy as np
import pytest

from envs.hopper import Hopper
from envs.task import load_model
from vision.camera import Array
from vision.chain import (
    FOOT_LINKS,
    KEYPOINT_LINKS,
    MAX_VELOCITY,
    SOLE,
    forward_kinematics,
    lowest_point,
    observation,
    pose_change,
    reference_pose,
    rolling_velocity,
    wrap,
)
from vision.keypoints import keypoints_of


@pytest.fixture(scope="module")
def data() -> mujoco.MjData:
    """The hopper in any pose, at any velocity."""
    model, rng = load_model(Hopper()), np.random.default_rng(0)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = rng.uniform(-3, 3, 6), rng.uniform(-3, 3, 6)
    mujoco.mj_forward(model, data)
    return data


@pytest.fixture(scope="module")
def pose(data: mujoco.MjData) -> Array:
    """That pose seen from the origin, ``(1, 6)``."""
    pitch, *joints = data.qpos[2:]
    return np.array([[*data.body("torso").xpos[[0, 2]], *(pitch - np.cumsum([0, *joints]))]])


@pytest.fixture(scope="module")
def rates(data: mujoco.MjData) -> Array:
    """Its rates ``(1, 6)``."""
    pitch, *joints = data.qvel[2:]
    return np.array([[*data.qvel[:2], *(pitch - np.cumsum([0, *joints]))]])


@pytest.fixture(scope="module")
def points(data: mujoco.MjData) -> Array:
    """Its keypoints ``(1, 5, 2)``, x and z."""
    model = data.model
    bodies = [model.body(i).name for i in range(model.nbody)]
    return keypoints_of("hopper").locate(bodies, data.xpos, data.xmat)[None, :, [0, 2]]


def test_keypoints_are_sums_of_links(pose: Array, points: Array) -> None:
    np.testing.assert_allclose(forward_kinematics(pose, KEYPOINT_LINKS)[0], points, atol=1e-9)


def test_the_derivative_is_that_of_small_steps(pose: Array) -> None:
    step = 1e-6 * np.eye(6)
    ahead, behind = (forward_kinematics(pose + s, KEYPOINT_LINKS)[0] for s in (step, -step))
    by_step = ((ahead - behind) / 2e-6).transpose(2, 1, 0).reshape(10, 6)
    np.testing.assert_allclose(forward_kinematics(pose, KEYPOINT_LINKS)[1][0], by_step, atol=1e-8)


def test_the_lowest_point_is_of_mujocos_foot(data: mujoco.MjData, pose: Array, rates: Array) -> None:
    model, foot = data.model, data.geom("foot_geom")
    radius, half = model.geom("foot_geom").size[:2]
    axis = foot.xmat.reshape(3, 3)[:, 2]
    ends = foot.xpos + half * np.array([[1], [-1]]) * axis  # heel and tip
    end = ends[ends[:, 2].argmin()]
    jacobian = np.zeros((3, model.nv))
    mujoco.mj_jac(model, data, jacobian, None, end, model.geom("foot_geom").bodyid[0])
    height, velocity = lowest_point(pose, rates)
    assert radius == SOLE
    np.testing.assert_allclose(height, end[2] - radius, atol=1e-9)
    np.testing.assert_allclose(velocity[0], (jacobian @ data.qvel)[[0, 2]], atol=1e-9)
    np.testing.assert_allclose(forward_kinematics(pose, FOOT_LINKS)[0][0], ends[:, [0, 2]], atol=1e-9)


def test_a_rolling_foot_moves_by_its_radius_times_its_rate() -> None:
    rates = np.array([[0.0, 0, 0, 0, 0, 2]] * 4)
    velocity = np.array([[0.3, 9.0]] * 4)
    # The centre of a wheel that turns about +y at 2 rad/s moves along +x at 2 r; in the floor, r is that less.
    found = rolling_velocity(np.array([-1, 0.0, 0.02, 1]), velocity, rates)
    np.testing.assert_allclose(found, [2 * SOLE - 0.3, 2 * SOLE - 0.3, 2 * 0.04 - 0.3, -0.3])


def test_a_change_leads_to_the_pose_of_the_points(pose: Array, points: Array) -> None:
    start = reference_pose(1.0)[None]
    change, seen = pose_change(start, points, np.ones((1, 5)))
    assert seen.all()
    assert (np.abs(change[:, 2:]) <= np.pi).all()
    np.testing.assert_allclose((start + change)[:, :2], pose[:, :2], atol=1e-9)
    np.testing.assert_allclose(wrap((start + change - pose)[:, 2:]), 0, atol=1e-9)


@pytest.mark.parametrize(("hidden", "lost"), [(0, [0, 1, 2]), (1, [0, 1, 2, 3]), (2, [3, 4]), (3, [4, 5]), (4, [5])])
def test_a_link_is_seen_with_both_its_ends(hidden: int, lost: list[int], points: Array) -> None:
    confidences = np.ones((1, 5))
    confidences[0, hidden] = 0
    change, seen = pose_change(reference_pose(None)[None], points, confidences)
    assert np.flatnonzero(~seen).tolist() == lost
    assert (change[~seen] == 0).all()
    assert (change[seen] != 0).all()


def test_an_observation_is_of_the_figure_not_of_the_camera(data: mujoco.MjData, pose: Array, rates: Array) -> None:
    elevation, motion = np.array([1.5]), np.array([[0.5, -0.25]])
    seen, moving = pose - [0, 1.5, 0, 0, 0, 0], rates - [0.5, -0.25, 0, 0, 0, 0]
    found = observation(seen, moving, elevation, motion)
    np.testing.assert_allclose(found[0, 0], data.body("torso").xpos[2], atol=1e-12)
    np.testing.assert_allclose(found[0, 1:5], data.qpos[2:], atol=1e-12)
    np.testing.assert_allclose(found[0, 5:], data.qvel, atol=1e-12)
    fast = observation(seen, 1e3 * moving, elevation, motion)
    np.testing.assert_array_equal(np.abs(fast[0, 5:]), MAX_VELOCITY)


def test_angles_are_wrapped_to_half_a_turn() -> None:
    np.testing.assert_allclose(
        wrap(np.array([0, 4, -4, 7, np.pi])), [0, 4 - 2 * np.pi, 2 * np.pi - 4, 7 - 2 * np.pi, -np.pi]
    )
