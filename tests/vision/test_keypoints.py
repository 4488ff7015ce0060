"""Keypoints are where MuJoCo has the joints and the ends of the capsules, in any pose."""

import mujoco
import numpy as np
import pytest

from envs.hopper import Hopper
from envs.task import load_model
from vision.keypoints import KEYPOINTS, Array, Keypoints, keypoints_of

MODEL = load_model(Hopper())
BODIES = [MODEL.body(i).name for i in range(MODEL.nbody)]
HOPPER = keypoints_of("hopper")


def poses(count: int) -> list[mujoco.MjData]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        data = mujoco.MjData(MODEL)
        data.qpos[:] = rng.uniform(-2, 2, MODEL.nq)
        mujoco.mj_forward(MODEL, data)
        found.append(data)
    return found


def located(data: mujoco.MjData) -> dict[str, Array]:
    return dict(zip(HOPPER.names, HOPPER.locate(BODIES, data.xpos, data.xmat), strict=True))


@pytest.mark.parametrize(("name", "joint"), [("waist", "thigh"), ("knee", "leg"), ("ankle", "foot")])
def test_the_keypoints_between_links_are_the_joints(name: str, joint: str) -> None:
    for data in poses(20):
        anchor = data.xanchor[MODEL.joint(f"{joint}_joint").id]
        np.testing.assert_allclose(located(data)[name], anchor, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "geom", "end"), [("torso_top", "torso_geom", 1), ("foot_tip", "foot_geom", -1)])
def test_the_outer_keypoints_are_the_ends_of_the_capsules_axes(name: str, geom: str, end: int) -> None:
    for data in poses(20):
        axis = data.geom(geom).xmat.reshape(3, 3)[:, 2]
        expected = data.geom(geom).xpos + end * axis * MODEL.geom(geom).size[1]
        np.testing.assert_allclose(located(data)[name], expected, rtol=0, atol=1e-12)


def test_the_foots_tip_is_in_front_of_the_reference_poses_ankle() -> None:
    data = mujoco.MjData(MODEL)
    mujoco.mj_forward(MODEL, data)
    points = located(data)
    np.testing.assert_allclose(points["foot_tip"] - points["ankle"], [0.26, 0, 0], atol=1e-12)
    np.testing.assert_allclose([points[n][2] for n in HOPPER.names[:4]], [1.45, 1.05, 0.6, 0.1], atol=1e-12)


@pytest.mark.parametrize("rotation", [(9,), (3, 3)])
def test_many_poses_at_once_equal_one_by_one(rotation: tuple[int, ...]) -> None:
    rows = poses(6)
    xpos = np.stack([data.xpos for data in rows]).reshape(2, 3, -1, 3)
    xmat = np.stack([data.xmat for data in rows]).reshape(2, 3, -1, *rotation)
    together = HOPPER.locate(BODIES, xpos, xmat)
    alone = np.stack([HOPPER.locate(BODIES, data.xpos, data.xmat) for data in rows])
    np.testing.assert_allclose(together, alone.reshape(2, 3, 5, 3), rtol=0, atol=1e-15)


def test_bodies_are_found_by_name_not_by_place() -> None:
    (data,) = poses(1)
    order = np.random.default_rng(1).permutation(MODEL.nbody)
    shuffled = HOPPER.locate([BODIES[i] for i in order], data.xpos[order], data.xmat[order])
    np.testing.assert_array_equal(shuffled, HOPPER.locate(BODIES, data.xpos, data.xmat))


def test_bodies_without_which_nothing_can_be_located_are_named() -> None:
    message = r"^no body foot, leg for the keypoints; the model has world, torso, thigh$"
    with pytest.raises(ValueError, match=message):
        HOPPER.locate(["world", "torso", "thigh"], np.zeros((3, 3)), np.zeros((3, 9)))


def test_a_figure_without_keypoints_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^no keypoints for figure 'unicorn'; accepted: hopper$"):
        keypoints_of("unicorn")


@pytest.mark.parametrize("keypoints", KEYPOINTS.values(), ids=KEYPOINTS)
def test_every_definition_is_complete(keypoints: Keypoints) -> None:
    count = len(set(keypoints.names))
    assert [len(part) for part in (keypoints.names, keypoints.bodies, keypoints.offsets, keypoints.sigmas)] == (
        [count] * 4
    )
    assert all(0 <= a < count and 0 <= b < count and a != b for a, b in keypoints.skeleton)
    assert {point for pair in keypoints.skeleton for point in pair} == set(range(count))
    assert all(sigma > 0 for sigma in keypoints.sigmas)
