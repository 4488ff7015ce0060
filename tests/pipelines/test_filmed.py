"""Keypoints without rendering, against the labels of the synthetic data and MuJoCo's own cameras."""

import mujoco
import numpy as np
import pytest

import envs
from envs.domains import domain_model
from envs.render import Camera as Mount
from pipelines.filmed import Filmed
from randomization import RandomizationConfig, make_randomizer
from synth_data.scene import Scene
from vision.keypoints import keypoints_of
from vision.reconstruct import View

DRAWS = ("foot_mass * uniform(0.5, 1.5)", "thigh_mass * uniform(0.5, 1.5)")
KEYPOINTS = keypoints_of("hopper")
cameras = pytest.mark.parametrize("camera", ["track", "rail"])


@cameras
def test_keypoints_are_where_the_scene_has_them(camera: str) -> None:
    model = domain_model(envs.task_of("hopper"), "source")
    rng = np.random.default_rng(0)
    qpos = np.concatenate((rng.uniform([-9, 1], [9, 1.6], (20, 2)), rng.uniform(-2, 2, (20, 4))), axis=1)
    found = Filmed(model, KEYPOINTS, camera, 224)(qpos, np.tile(model.body_mass, (20, 1)))
    scene = Scene(model, KEYPOINTS, 224)
    for pose, seen in zip(qpos, found, strict=True):
        posed = scene.pose(pose, camera)
        np.testing.assert_allclose(seen, posed.camera.project(posed.keypoints)[0], atol=1e-9)


@cameras
def test_the_camera_follows_the_drawn_masses(camera: str) -> None:
    """Against MuJoCo's own camera of a simulation whose masses were drawn."""
    randomizer = make_randomizer(RandomizationConfig("uniform", draws=DRAWS), (), 0)
    simulation = envs.make_vec("hopper", 3, "source", randomizer=randomizer, num_threads=1)
    simulation.reset()
    filmed = Filmed(simulation.model, KEYPOINTS, camera, 224)
    bodies = [simulation.model.body(i).name for i in range(simulation.model.nbody)]
    qpos = np.array([0.3, 1.3, 0.2, -0.5, -1.0, 0.4])
    for i in range(3):
        model = simulation.batch.get_model(i)
        data, mount = mujoco.MjData(model), Mount(simulation.model, camera)
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        mount.place(data)
        points = KEYPOINTS.locate(bodies, data.xpos, data.xmat)
        expected = 111.5 + (points[:, [0, 2]] - data.cam_xpos[mount.id, [0, 2]]) * [1, -1] / filmed.view.scale
        np.testing.assert_allclose(filmed(qpos[None], model.body_mass[None])[0], expected, atol=1e-9)
    simulation.close()


def test_views_are_the_cameras() -> None:
    model = domain_model(envs.task_of("hopper"), "source")
    assert Filmed(model, KEYPOINTS, "track", 224).view == View(224, 224, None)
    assert Filmed(model, KEYPOINTS, "rail", 96).view == View(96, 96, 1.0)
    with pytest.raises(ValueError, match=r"^unknown camera 'front'; accepted: track, rail$"):
        Filmed(model, KEYPOINTS, "front", 224)
