"""Frames: the batched environment sees what the single one sees, and bad requests are refused."""

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.hopper import Hopper
from envs.render import Camera, Renderer
from envs.task import load_model


def random_actions(env: Any) -> Any:
    """Eight steps of a batch of two: ``(8, 2, actuators)``."""
    space = env.action_space
    return np.random.default_rng(0).uniform(space.low, space.high, (8, 2, *space.shape)).astype(np.float32)


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_the_batch_renders_what_the_single_environment_renders(figure: str) -> None:
    batched = envs.make_vec(figure, 2, seed=4, num_threads=1)
    singles: list[Any] = [envs.make(figure, render_mode="rgb_array") for _ in range(2)]
    batched.reset()
    for i, env in enumerate(singles):
        env.reset(seed=4 + i)
    for actions in random_actions(batched)[:2]:  # none falls yet: the batch would begin anew
        batched.step(actions)
        for env, action in zip(singles, actions, strict=True):
            env.step(action)
    images: Any = batched.get_images()
    for image, env in zip(images, singles, strict=True):
        np.testing.assert_array_equal(image, env.render())
        env.close()
    assert (images[0] != images[1]).any()
    batched.close()


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_rendering_the_batch_changes_no_result(figure: str) -> None:
    seen = []
    for rendered in (True, False):
        env: Any = envs.make_vec(figure, 2, horizon=5, num_threads=1)
        env.reset()
        path = []
        for actions in random_actions(env):
            path.append(env.step(actions))
            if rendered and len(path) == 3:
                env.get_images()
        env.close()
        seen.append(path)
    np.testing.assert_equal(seen[0], seen[1])


def test_an_unknown_camera_is_refused() -> None:
    batched = envs.make_vec("hopper", 1, num_threads=1, camera="drone")
    single = envs.make("hopper", render_mode="rgb_array", camera="drone")
    batched.reset()
    single.reset(seed=0)
    for frame in (batched.get_images, single.render):
        with pytest.raises(ValueError, match=r"^unknown camera 'drone'; accepted: track"):
            frame()


def cameras(qpos: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """Position and rotation of ``track`` and ``rail`` in a pose."""
    model = load_model(Hopper())
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    found = {}
    for name in ("track", "rail"):
        camera = Camera(model, name)
        mujoco.mj_forward(model, data)
        camera.place(data)
        found[name] = np.concatenate((data.cam_xpos[camera.id], data.cam_xmat[camera.id]))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_rail_camera_follows_along_the_floor_at_one_height(seed: int) -> None:
    model = load_model(Hopper())
    reference = mujoco.MjData(model)
    mujoco.mj_forward(model, reference)
    qpos = model.qpos0 + np.random.default_rng(seed).uniform(-0.5, 0.5, model.nq)
    placed = cameras(qpos)
    assert placed["rail"][2] == reference.cam_xpos[0, 2]
    assert abs(placed["track"][2] - reference.cam_xpos[0, 2]) > 1e-3
    others = [0, 1, *range(3, 12)]  # x, y and where it looks
    np.testing.assert_array_equal(placed["rail"][others], placed["track"][others])


def test_a_jump_shows_through_the_rail_camera_only() -> None:
    model = load_model(Hopper())
    data = mujoco.MjData(model)
    rows = {}
    for name in ("track", "rail"):
        renderer = Renderer(model, name, size=64)
        for height in (0.0, 0.4):
            data.qpos[:] = model.qpos0 + np.array([0, height, 0, 0, 0, 0])
            frame = renderer.frame(model, data).astype(int)
            rows[name, height] = np.flatnonzero((frame[..., 0] - frame[..., 2] > 30).any(axis=1)).min()
        renderer.close()
    assert rows["track", 0.0] == rows["track", 0.4]
    # At 3 m and 45 degrees, an image is 2 × 3 m × tan(22.5°) high.
    assert abs(rows["rail", 0.0] - rows["rail", 0.4] - 0.4 * 64 / (6 * np.tan(np.pi / 8))) <= 1


def test_without_a_track_camera_there_is_no_rail() -> None:
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="door"/></worldbody></mujoco>')
    for name in ("rail", "track"):
        with pytest.raises(ValueError, match=rf"^unknown camera '{name}'; accepted: door$"):
            Camera(model, name)
    with pytest.raises(ValueError, match=r"^unknown camera 'drone'; accepted: track, rail$"):
        Camera(load_model(Hopper()), "drone")


def test_every_figure_has_a_camera_that_follows_it() -> None:
    for figure in envs.FIGURES:
        model = load_model(envs.task_of(figure))
        camera = Camera(model, "track")
        data = mujoco.MjData(model)
        seen = []
        for x in (0.0, 0.7):
            data.qpos[0] = x
            mujoco.mj_forward(model, data)
            seen.append(data.cam_xpos[camera.id].copy())
        np.testing.assert_allclose(seen[1] - seen[0], [0.7, 0, 0], atol=1e-12, err_msg=figure)
        assert seen[0][1] < -1  # from the side


@pytest.mark.parametrize("figure", [name for name in envs.FIGURES if name != "inverted_pendulum"])
def test_the_floor_has_no_end(figure: str) -> None:
    """120 m away is a whole number of checks from the start, and four to six times what MuJoCo draws."""
    model = load_model(envs.task_of(figure))
    data = mujoco.MjData(model)
    renderer = Renderer(model, "track", size=64, fast=True)
    frames = []
    for place in ([0, 0], [119.5, 0], [120, -120 if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE else 0]):
        data.qpos[:2] = model.qpos0[:2] + place
        frames.append(renderer.frame(model, data).astype(int))
    renderer.close()
    assert np.abs(frames[2] - frames[0]).mean() < 0.1
    assert np.abs(frames[1] - frames[0]).mean() > 5  # the checks move by
