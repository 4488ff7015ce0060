"""The camera projects as OpenCV does, with COCO's pixel coordinates."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vision.camera import Array, Camera

FLIP = np.diag([1.0, -1.0, -1.0])  # between OpenCV's axes (x right, y down, z forward) and MuJoCo's


def rotation(rng: np.random.Generator) -> Array:
    return np.asarray(Rotation.from_quat(rng.normal(size=4)).as_matrix())


def random_camera(seed: int) -> Camera:
    rng = np.random.default_rng(seed)
    return Camera(rng.normal(size=3), rotation(rng), np.array(rng.uniform(20, 120)), width=320, height=180)


def upright(fovy: float = 45.0, width: int = 224, height: int = 224) -> Camera:
    """At the origin, with its own axes as the world's."""
    return Camera(np.zeros(3), np.eye(3), np.array(fovy), width, height)


def in_front(camera: Camera, count: int, seed: int) -> Array:
    local = np.random.default_rng(seed).uniform([-3, -3, -5], [3, 3, -0.5], (count, 3))
    return np.asarray(camera.position + local @ camera.rotation.T)


@pytest.mark.parametrize("seed", range(5))
def test_points_land_where_opencv_puts_them(seed: int) -> None:
    camera = random_camera(seed)
    points = in_front(camera, 20, seed)
    view = FLIP @ camera.rotation.T
    turn, _ = cv2.Rodrigues(view)
    expected, _ = cv2.projectPoints(points, turn, -view @ camera.position, camera.intrinsics, np.zeros(5))
    pixels, depths = camera.project(points)
    np.testing.assert_allclose(pixels, expected[:, 0], rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(depths, ((points - camera.position) @ view.T)[:, 2])


def test_a_point_on_the_axis_lands_in_the_middle() -> None:
    pixels, depths = upright(width=320, height=180).project(np.array([[0.0, 0.0, -2.5]]))
    np.testing.assert_array_equal(pixels, [[159.5, 89.5]])
    np.testing.assert_array_equal(depths, [2.5])


@pytest.mark.parametrize(("width", "height"), [(224, 224), (320, 180), (180, 320)])
@pytest.mark.parametrize("fovy", [30.0, 45.0, 100.0])
def test_the_field_of_view_ends_at_the_images_edges(fovy: float, width: int, height: int) -> None:
    reach = np.tan(np.radians(fovy) / 2)
    aside = reach * width / height
    pixels, _ = upright(fovy, width, height).project(np.array([[aside, reach, -1], [-aside, -reach, -1]], float))
    np.testing.assert_allclose(pixels, [[width - 0.5, -0.5], [-0.5, height - 0.5]], atol=1e-9)


def test_intrinsics_of_a_right_angle() -> None:
    expected = np.array([[[90, 0, 159.5], [0, 90, 89.5], [0, 0, 1]]] * 2)
    camera = Camera(np.zeros((2, 3)), np.stack([np.eye(3)] * 2), np.full(2, 90.0), 320, 180)
    np.testing.assert_allclose(camera.intrinsics, expected, rtol=1e-14)


def test_points_that_are_not_in_front_have_no_pixel() -> None:
    points = np.array([[0.1, 0.2, 1.0], [0.3, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    camera = upright()
    pixels, depths = camera.project(points)
    np.testing.assert_array_equal(depths, [-1, 0, 0, 1])
    np.testing.assert_array_equal(np.isnan(pixels), np.array([[1, 1]] * 3 + [[0, 0]], bool))
    np.testing.assert_array_equal(camera.inside(pixels), [False, False, False, True])


def test_the_image_ends_half_a_pixel_outside_the_outer_centres() -> None:
    camera = upright(width=320, height=180)
    edge = np.nextafter
    inside = [[-0.5, -0.5], [edge(319.5, 0), 0], [0, edge(179.5, 0)], [160, 90]]
    outside = [[edge(-0.5, -1), 0], [0, edge(-0.5, -1)], [319.5, 0], [0, 179.5]]
    np.testing.assert_array_equal(camera.inside(np.array(inside)), [True] * 4)
    np.testing.assert_array_equal(camera.inside(np.array(outside)), [False] * 4)


@pytest.mark.parametrize("shared", [True, False], ids=["shared points", "own points"])
def test_many_cameras_at_once_equal_one_by_one(shared: bool) -> None:
    single = [random_camera(seed) for seed in range(4)]
    position, rotations, fovy = (
        np.stack([getattr(c, part) for c in single]) for part in ("position", "rotation", "fovy")
    )
    stacked = Camera(position, rotations, fovy, 320, 180)
    points = np.random.default_rng(0).normal(size=(7, 3) if shared else (4, 7, 3))
    pixels, depths = stacked.project(points)
    assert np.isfinite(pixels).any()
    assert np.isnan(pixels).any()
    for i, camera in enumerate(single):
        expected_pixels, expected_depths = camera.project(points if shared else points[i])
        np.testing.assert_allclose(pixels[i], expected_pixels, rtol=1e-12)
        np.testing.assert_allclose(depths[i], expected_depths, rtol=1e-12)


STILL = (0.0, 0.0, 0.0)


def test_a_camera_without_deviation_stays() -> None:
    camera = random_camera(1)
    held = camera.held(STILL, np.eye(3), 1.0)
    np.testing.assert_array_equal(held.position, camera.position)
    np.testing.assert_array_equal(held.rotation, camera.rotation)
    np.testing.assert_allclose(held.fovy, camera.fovy, rtol=1e-14)


@pytest.mark.parametrize("zoom", [0.5, 0.95, 3.0])
def test_zoom_scales_the_focal_length(zoom: float) -> None:
    camera = random_camera(2)
    np.testing.assert_allclose(camera.held(STILL, np.eye(3), zoom).focal, zoom * camera.focal, rtol=1e-12)


def test_the_offset_is_along_the_cameras_own_axes_before_its_turn() -> None:
    camera = random_camera(3)
    held = camera.held((0.1, 0.2, 0.3), rotation(np.random.default_rng(0)), 1.0)
    moved = camera.rotation.T @ (held.position - camera.position)
    np.testing.assert_allclose(moved, [0.1, 0.2, 0.3], rtol=0, atol=1e-12)


def test_turns_about_right_up_and_back_are_pitch_yaw_and_roll() -> None:
    camera = upright(width=101, height=101)
    ahead = np.array([[0.0, 0.0, -1.0], [0.1, 0.0, -1.0]])
    turns = Rotation.from_rotvec(0.1 * np.eye(3)).as_matrix()
    up, left, rolled = (camera.held(STILL, turn, 1.0) for turn in turns)
    shift = camera.focal * np.tan(0.1)
    np.testing.assert_allclose(up.project(ahead[:1])[0], [[50, 50 + shift]], rtol=1e-12)
    np.testing.assert_allclose(left.project(ahead[:1])[0], [[50 + shift, 50]], rtol=1e-12)
    turned = 50 + 0.1 * camera.focal * np.array([np.cos(0.1), np.sin(0.1)])
    np.testing.assert_allclose(rolled.project(ahead)[0], [[50, 50], turned], rtol=1e-12)
