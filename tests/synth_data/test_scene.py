"""The scene holds what MuJoCo holds: shapes, poses and cameras."""

import mujoco
import numpy as np
import pytest

from envs.hopper import Hopper
from envs.task import load_model
from synth_data.scene import FLOOR, Scene
from vision.keypoints import Keypoints, keypoints_of

MODEL = load_model(Hopper())
MIDDLE = Keypoints(("middle",), ("b",), ((0, 0, 0),), (), (0.1,))
WORLD = """<mujoco><asset>{asset}</asset><worldbody>{world}<body name="b" pos="0 0 1"><freejoint/>
<camera name="track" mode="trackcom" pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>{geoms}</body></worldbody></mujoco>"""


def hopper() -> Scene:
    return Scene(MODEL, keypoints_of("hopper"), size=128)


def scene_of(geoms: str, asset: str = "", world: str = "") -> Scene:
    model = mujoco.MjModel.from_xml_string(WORLD.format(geoms=geoms, asset=asset, world=world))
    return Scene(model, MIDDLE, size=64)


def forwarded(seed: int) -> mujoco.MjData:
    data = mujoco.MjData(MODEL)
    data.qpos[:] = np.random.default_rng(seed).uniform(-1, 1, MODEL.nq)
    mujoco.mj_forward(MODEL, data)
    return data


def test_the_hopper_is_a_floor_and_four_links() -> None:
    scene = hopper()
    assert scene.links == ("torso", "thigh", "leg", "foot")
    shapes = [("floor", FLOOR), ("torso_geom", 0), ("thigh_geom", 1), ("leg_geom", 2), ("foot_geom", 3)]
    assert [(geom.name, geom.link) for geom in scene.geoms] == shapes
    np.testing.assert_array_equal(scene.geoms[0].mesh[0].max(axis=0), [20, 20, 0])  # as MuJoCo draws it
    reaches = [geom.mesh[0].max(axis=0) for geom in scene.geoms[1:]]
    expected = [[r, r, r + h] for r, h in ((0.05, 0.2), (0.05, 0.225), (0.04, 0.25), (0.06, 0.195))]
    np.testing.assert_allclose(reaches, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_pose_is_mujocos(seed: int) -> None:
    data = forwarded(seed)
    posed = hopper().pose(data.qpos, "track")
    np.testing.assert_array_equal(posed.positions, data.geom_xpos)
    np.testing.assert_array_equal(posed.rotations, data.geom_xmat.reshape(-1, 3, 3))
    np.testing.assert_allclose(posed.keypoints[1:4], data.xanchor[3:], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(posed.camera.position, data.cam_xpos[0])
    np.testing.assert_array_equal(posed.camera.rotation, data.cam_xmat[0].reshape(3, 3))
    assert (float(posed.camera.fovy), posed.camera.width, posed.camera.height) == (45, 128, 128)


def test_the_rail_camera_keeps_its_height() -> None:
    scene, jump = hopper(), MODEL.qpos0 + np.array([0.7, 0.5, 0, 0, 0, 0])
    track, rail, still = (scene.pose(q, c).camera for q, c in ((jump, "track"), (jump, "rail"), (MODEL.qpos0, "track")))
    np.testing.assert_allclose(track.position - still.position, [0.7, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(rail.position - still.position, [0.7, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(rail.rotation, track.rotation)


def test_a_pose_is_not_changed_by_the_next() -> None:
    scene = hopper()
    first = scene.pose(forwarded(0).qpos, "rail")
    kept = [np.copy(part) for part in (first.positions, first.rotations, first.keypoints, first.camera.position)]
    second = scene.pose(forwarded(1).qpos, "rail")
    for before, after in zip(
        kept, (first.positions, first.rotations, first.keypoints, first.camera.position), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    assert (second.positions[1:] != first.positions[1:]).any(axis=1).all()


def test_a_keypoint_may_lie_in_its_own_link_and_its_neighbours() -> None:
    torso, thigh, leg, foot = range(4)
    ends = {torso, thigh}
    expected = [ends, ends, {torso, thigh, leg}, {thigh, leg, foot}, {leg, foot}]
    assert [set(near) for near in hopper().carriers] == expected


def test_only_what_mujoco_shows_is_drawn() -> None:
    geoms = """<geom name="seen" size=".1"/><geom name="clear" size=".1" rgba="1 1 1 0"/>
    <geom name="other" size=".1" group="3"/><geom size=".1 .2" type="cylinder"/>"""
    scene = scene_of(geoms, world='<geom name="wall" type="box" size="1 2 3" pos="4 5 6"/>')
    assert [(geom.name, geom.link) for geom in scene.geoms] == [("wall", FLOOR), ("seen", 0), ("geom4", 0)]
    posed = scene.pose(scene.model.qpos0, "track")
    np.testing.assert_array_equal(posed.positions, [[4, 5, 6], [0, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    ("geom", "reach"),
    [
        ('type="sphere" size=".3"', (0.3, 0.3, 0.3)),
        ('type="capsule" size=".1 .2"', (0.1, 0.1, 0.3)),
        ('type="cylinder" size=".1 .2"', (0.1, 0.1, 0.2)),
        ('type="ellipsoid" size=".1 .2 .3"', (0.1, 0.2, 0.3)),
        ('type="box" size=".1 .2 .3"', (0.1, 0.2, 0.3)),
    ],
)
def test_shapes_have_mujocos_sizes(geom: str, reach: tuple[float, float, float]) -> None:
    ((vertices, _),) = [geom.mesh for geom in scene_of(f"<geom {geom}/>").geoms]
    np.testing.assert_allclose(vertices.max(axis=0), reach, rtol=1e-12)
    np.testing.assert_allclose(vertices.min(axis=0), -np.array(reach), rtol=1e-12)


def test_a_mesh_is_where_its_file_puts_it() -> None:
    corners = np.array([[0, 0, 0], [0.6, 0, 0], [0, 0.4, 0], [0, 0, 0.2]])
    text = " ".join(map(str, corners.ravel()))
    other = "0 0 0 1 0 0 0 1 0 0 0 1 1 1 1"
    asset = f'<mesh name="first" vertex="{other}"/><mesh name="second" vertex="{text}"/>'
    scene = scene_of('<geom type="mesh" mesh="second" pos="1 2 3"/>', asset)
    ((vertices, faces),) = [geom.mesh for geom in scene.geoms]
    posed = scene.pose(scene.model.qpos0, "track")
    world = vertices @ posed.rotations[0].T + posed.positions[0]
    expected = corners + np.array([1, 2, 4])
    assert {tuple(row) for row in world.round(5)} == {tuple(row) for row in expected.round(5)}
    volume = sum(np.linalg.det(vertices[list(face)]) for face in faces) / 6
    np.testing.assert_allclose(volume, 0.6 * 0.4 * 0.2 / 6, rtol=1e-5)


def test_a_shape_that_cannot_be_drawn_is_refused() -> None:
    world = '<geom name="hill" type="hfield" hfield="f"/>'
    asset = '<hfield name="f" nrow="2" ncol="2" size="1 1 1 1"/>'
    with pytest.raises(ValueError, match=r"^geom 'hill': shape mjGEOM_HFIELD cannot be drawn by Blender yet$"):
        scene_of('<geom size=".1"/>', asset, world)


def test_a_model_that_lacks_bodies_or_cameras_is_refused() -> None:
    xml = '<mujoco><worldbody>{}<body name="b"><freejoint/><geom size=".1"/></body></worldbody></mujoco>'
    camera = '<camera name="track"/>'
    with pytest.raises(ValueError, match=r"^no body foot, leg, thigh, torso for the keypoints; the model has world, b"):
        Scene(mujoco.MjModel.from_xml_string(xml.format(camera)), keypoints_of("hopper"), 64)
    with pytest.raises(ValueError, match=r"^unknown camera 'drone'; accepted: track, rail$"):
        hopper().pose(MODEL.qpos0, "drone")
