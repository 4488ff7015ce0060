from pathlib import Path

import mujoco
import numpy as np
import pytest

import envs
from envs.domains import domain_model
from envs.render import Camera as Mount
from experiments.dataset import POLICIES
from experiments.rollouts import DRAWS, Filmed, Rollouts, roll_out
from experiments.run import Run
from randomization import RandomizationConfig, make_randomizer
from synth_data.scene import Scene
from vision.keypoints import keypoints_of
from vision.reconstruct import View

SHIPPED = (POLICIES / "hopper",)
KEYPOINTS = keypoints_of("hopper")
cameras = pytest.mark.parametrize("camera", ["track", "rail"])


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    return roll_out("hopper", SHIPPED, "rail", 224, num_envs=12, steps=200, seed=0)[0]


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


def test_frames_fit_together(rollouts: Rollouts) -> None:
    """Heights come back from the keypoints of the rail camera, and rates from the angles of frames in a row."""
    shapes = [array.shape for array in (rollouts.keypoints, rollouts.actions, rollouts.observations, rollouts.starts)]
    assert shapes == [(200, 12, 5, 2), (200, 12, 3), (200, 12, 11), (200, 12)]
    height = 1.0 + (111.5 - rollouts.keypoints[..., :2, 1].mean(axis=-1)) * View(224, 224, 1.0).scale
    np.testing.assert_allclose(height, rollouts.observations[..., 0], rtol=0, atol=1e-9)
    going = ~rollouts.starts[1:]
    mean_rate = (rollouts.observations[1:, :, 6] + rollouts.observations[:-1, :, 6]) / 2
    rise = np.diff(rollouts.observations[..., 0], axis=0) / 0.008
    assert np.corrcoef(mean_rate[going], rise[going])[0, 1] > 0.99


def test_episodes_start_without_an_action_near_the_reference_pose(rollouts: Rollouts) -> None:
    starts = rollouts.starts
    assert starts[0].all()
    assert starts.sum() > 12  # some fell and began anew
    assert np.all(rollouts.actions[starts] == 0)
    assert np.all(np.abs(rollouts.observations[starts] - [1.25, *[0] * 10]) <= 0.005)
    assert np.abs(rollouts.actions).max() == 1
    # Every fourth policy acts without noise, so its actions change less from frame to frame.
    change = np.abs(np.diff(rollouts.actions, axis=0)).mean(axis=(0, 2))
    assert change[::4].mean() < np.delete(change, slice(None, None, 4)).mean()


def test_rollouts_depend_on_the_seed_alone(rollouts: Rollouts) -> None:
    again, _ = roll_out("hopper", SHIPPED, "rail", 224, num_envs=12, steps=20, seed=0)
    np.testing.assert_array_equal(again.keypoints, rollouts.keypoints[:20])
    np.testing.assert_array_equal(again.actions, rollouts.actions[:20])
    other, _ = roll_out("hopper", SHIPPED, "rail", 224, num_envs=12, steps=20, seed=1)
    assert not np.array_equal(other.keypoints, again.keypoints)


def test_a_policy_of_another_figure_is_refused(own_run: Run) -> None:
    text = (own_run.directory / "config.yaml").read_text().replace("figure: hopper", "figure: unicorn")
    (own_run.directory / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match="unknown figure 'unicorn'"):
        roll_out("hopper", [own_run.directory], "track", 224, 2, 2, 0)


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run found"):
        roll_out("hopper", [tmp_path], "track", 224, 2, 2, 0)
