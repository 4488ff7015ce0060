"""Frames of many simulations: the same picture from workers as from here, and as Gymnasium draws it."""

import os
import pickle
import signal
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.film import Film, Shot
from envs.frame_worker import Worker
from envs.frames import Frames
from envs.render import Renderer
from randomization import RandomizationConfig, make_randomizer

Image = npt.NDArray[np.uint8]


def moved(num_envs: int = 3, steps: int = 20, **options: Any) -> envs.BatchedEnv:
    """Simulations that have fallen for a while."""
    env = envs.make_vec("hopper", num_envs, num_threads=1, **options)
    env.reset()
    for actions in np.random.default_rng(0).uniform(-1, 1, (steps, num_envs, 3)).astype(np.float32):
        env.step(actions)
    return env


@pytest.mark.parametrize("camera", ["track", "rail"])
@pytest.mark.parametrize("size", [84, 224])
def test_only_edges_shadow_and_reflection_differ_from_gymnasium(camera: str, size: int) -> None:
    """Mean difference over all pixels: 1.2 levels of 256 at 84 pixels and 0.9 at 224."""
    env = moved(1)
    frames = Frames(Film(env.model, 1, camera, size))
    ours = frames.draw(env.shot())[0].astype(int)
    frames.close()
    model = env.model
    renderer = Renderer(model, camera, size)
    theirs = renderer.frame(env.batch.get_model(0), env.batch.get_data(0)).astype(int)
    renderer.close()
    difference = np.abs(ours - theirs)
    assert difference.mean() < 1.5
    assert (difference.max(axis=2) > 1).mean() < 0.07


def test_the_slow_frame_is_gymnasiums_own() -> None:
    theirs: Any = gymnasium.make(
        "Hopper-v5", render_mode="rgb_array", width=96, height=96, camera_name="track"
    ).unwrapped
    theirs.reset(seed=3)
    wanted = theirs.render()
    renderer = Renderer(theirs.model, "track", 96)
    np.testing.assert_array_equal(renderer.frame(theirs.model, theirs.data), wanted)
    renderer.close()
    theirs.close()


@pytest.mark.parametrize("gray", [True, False])
def test_workers_draw_what_is_drawn_here(gray: bool) -> None:
    """Also for bodies of other masses, which the camera follows, and for some of the simulations only."""
    draws = make_randomizer(RandomizationConfig("uniform", draws=("foot_mass * uniform(0.2, 3)",)), (), 0)
    env = moved(5, randomizer=draws)
    film = Film(env.model, 5, "track", 40, gray)
    here, there = Frames(film), Frames(film, workers=2)
    try:
        for ids in (None, np.array([1, 4], np.int32), np.array([0], np.int32)):
            wanted = here.draw(env.shot(ids))
            assert wanted.shape == (5 if ids is None else len(ids), 40, 40, 1 if gray else 3)
            np.testing.assert_array_equal(there.draw(env.shot(ids)), wanted)
    finally:
        here.close()
        there.close()


def test_gray_is_the_luminance() -> None:
    env = moved(1)
    color, gray = (Frames(Film(env.model, 1, "rail", 32, gray)) for gray in (False, True))
    wanted = color.draw(env.shot())[0] @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(gray.draw(env.shot())[0, ..., 0], wanted, atol=1)
    color.close()
    gray.close()


def test_a_camera_follows_the_centre_of_the_masses_that_were_drawn() -> None:
    draws = make_randomizer(RandomizationConfig("uniform", draws=("foot_mass * uniform(2.9, 3)",)), (), 0)
    env = moved(1, randomizer=draws)
    frames = Frames(Film(env.model, 1, "track", 64))
    shot = env.shot()
    renderer = Renderer(env.model, "track", 64, fast=True)
    wanted = renderer.frame(env.batch.get_model(0), env.batch.get_data(0))
    np.testing.assert_array_equal(frames.draw(shot)[0], wanted)
    light = Shot(shot.ids, shot.qpos, env.model.body_mass[None], shot.episodes)
    assert (frames.draw(light)[0] != wanted).any()
    np.testing.assert_array_equal(frames.draw(shot)[0], wanted)
    frames.close()
    renderer.close()


def test_the_end_of_an_episode_can_be_seen() -> None:
    env = envs.make_vec("hopper", 2, horizon=4, num_threads=1)
    env.reset()
    for step in range(4):
        assert env.ended is None
        before = env.shot()
        env.step(np.full((2, 3), 0.3 * step, np.float32))
    ended: Any = env.ended
    np.testing.assert_array_equal(ended.ids, [0, 1])
    np.testing.assert_array_equal(ended.episodes, [0, 0])
    assert 0 < np.abs(ended.qpos - before.qpos).max() < 0.1
    np.testing.assert_array_equal(env.shot().episodes, [1, 1])
    assert np.abs(env.shot().qpos - ended.qpos).max() > 0.01
    env.step(np.zeros((2, 3), np.float32))
    assert env.ended is None


class Paint:
    """A floor that is as red as the episode is late, and a ball for environment 1."""

    def furnish(self, model: mujoco.MjModel, num_envs: int, xml: Path) -> mujoco.MjModel:
        assert (num_envs, xml.name) == (2, "hopper.xml")
        return model

    def dress(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        context: mujoco.MjrContext,
        camera: int,
        env: int,
        episode: int,
    ) -> None:
        model.geom_matid[:] = -1
        model.geom_rgba[0] = (episode / 10, 0, 0, 1)

    def decorate(self, scene: mujoco.MjvScene, data: mujoco.MjData, camera: int, env: int) -> None:
        if env == 1:
            place = data.cam_xpos[camera] + [0, 1.0, 0]
            kind, size, turn = mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, 0.1), np.eye(3).ravel()
            mujoco.mjv_initGeom(scene.geoms[scene.ngeom], kind, size, place, turn, np.array([0, 1, 0, 1], np.float32))
            scene.ngeom += 1


class Refused(Paint):
    """Looks that there is no room for."""

    def furnish(self, model: mujoco.MjModel, num_envs: int, xml: Path) -> mujoco.MjModel:
        raise ValueError("too many textures")


@pytest.mark.parametrize("workers", [1, 2])
def test_looks_that_do_not_serve_are_told(workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    env = moved(2)
    frames = Frames(Film(env.model, 2, "rail", 32, looks=(Refused(), env.task.xml)), workers)
    with pytest.raises(ValueError, match=r"^too many textures$"):
        frames.draw(env.shot())
    assert capfd.readouterr().err == ""
    frames.close()


def test_a_worker_that_is_not_needed_any_more_ends_silently(capfd: pytest.CaptureFixture[str]) -> None:
    worker = Worker(Film(moved(1).model, 1, "rail", 32))
    worker.close()  # before it has said that it is there
    assert worker._process.exitcode == 0
    assert capfd.readouterr().err == ""


def test_looks_go_with_environment_and_episode() -> None:
    env = moved(2)
    film = Film(env.model, 2, "rail", 48, looks=pickle.loads(pickle.dumps((Paint(), env.task.xml))))
    shot = env.shot()
    for workers in (1, 2):
        frames = Frames(film, workers)
        red: list[int] = []
        for late in (9, 2):
            seen = frames.draw(Shot(shot.ids, shot.qpos, shot.masses, np.array([late, 0])))
            red.append(int(seen[0, -1, 24, 0]))
            assert seen[0, -1, 24, 1] == 0
            assert seen[1, -1, 24, 0] == 0
            assert seen[1, 24, 24, 1] > 100 > seen[1, 24, 24, 0]
        assert red[1] == pytest.approx(red[0] * 2 / 9, abs=2)
        frames.close()


def test_what_cannot_be_drawn_is_refused() -> None:
    model = envs.make_vec("hopper", 2, num_threads=1).model
    with pytest.raises(ValueError, match=r"^unknown camera 'drone'; accepted: track, rail"):
        Film(model, 2, "drone", 48)
    with pytest.raises(ValueError, match=r"^size is 0; it must be from 1 to 4096 px$"):
        Film(model, 2, "rail", 0)


def test_a_dead_worker_is_told() -> None:
    env = moved(2)
    frames = Frames(Film(env.model, 2, "rail", 32), workers=2)
    frames.draw(env.shot())
    os.kill(frames._workers[1]._process.pid or 0, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"^a rendering process has died \(exit status -9\)$"):
        frames.draw(env.shot())
    frames.close()
