"""Frames of rollouts: the keypoints are where the picture shows them."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.domains import domain_model
from envs.render import Camera
from experiments.dataset import POLICIES
from experiments.plain import to_yaml
from experiments.pose_frames import PoseFrames, draw, render_frames
from experiments.run import Run
from synth_data.scene import Scene
from vision.keypoints import keypoints_of

SHIPPED, POOR = [POLICIES / "hopper"], POLICIES / "hopper" / "poor"
MODEL = domain_model(envs.task_of("hopper"), "source")
SIZE = 96


def frames(camera: str = "track", count: int = 30, seed: int = 0) -> PoseFrames:
    return render_frames("hopper", SHIPPED, camera, SIZE, count, seed)


@pytest.fixture(scope="module", params=["track", "rail"])
def view(request: pytest.FixtureRequest) -> tuple[str, PoseFrames]:
    return request.param, frames(request.param)


def pixels_of_the_figure(states: npt.NDArray[np.float64], camera: str) -> list[npt.NDArray[np.bool_]]:
    """MuJoCo's own segmentation of each state, ``(SIZE, SIZE)``."""
    data, named = mujoco.MjData(MODEL), Camera(MODEL, camera)
    renderer = mujoco.Renderer(MODEL, SIZE, SIZE)
    renderer.enable_segmentation_rendering()
    shown = []
    for state in states:
        data.qpos[:] = state[: MODEL.nq]
        mujoco.mj_forward(MODEL, data)
        named.place(data)
        renderer.update_scene(data, camera=named.id)
        geoms: Any = renderer.render()
        is_geom = geoms[..., 1] == mujoco.mjtObj.mjOBJ_GEOM
        shown.append(np.asarray(is_geom & (MODEL.geom_bodyid[np.where(is_geom, geoms[..., 0], 0)] > 0)))
    renderer.close()
    return shown


def test_every_array_has_a_row_for_each_frame(view: tuple[str, PoseFrames]) -> None:
    seen = view[1]
    found = {name: (part.shape, part.dtype.name) for name, part in vars(seen).items() if name != "policy"}
    assert found == {
        "images": ((30, SIZE, SIZE, 3), "uint8"),
        "keypoints": ((30, 5, 2), "float64"),
        "flags": ((30, 5), "int64"),
        "states": ((30, MODEL.nq + MODEL.nv), "float64"),
        "falling": ((30,), "bool"),
    }
    assert seen.policy.shape == (30,)


def test_visible_keypoints_lie_on_the_drawn_figure(view: tuple[str, PoseFrames]) -> None:
    camera, seen = view
    hits = []
    for figure, keypoints, flags in zip(
        pixels_of_the_figure(seen.states, camera), seen.keypoints, seen.flags, strict=True
    ):
        columns, rows = np.rint(keypoints[flags == 2]).astype(int).clip(0, SIZE - 1).T
        hits.append(figure[rows, columns])
    assert len(np.concatenate(hits)) > 130  # most of 150 are in the image
    assert np.concatenate(hits).mean() > 0.98


def test_the_image_is_gymnasiums() -> None:
    seen = render_frames("hopper", SHIPPED, "track", SIZE, 6, 0, "nominal")
    env: Any = gymnasium.make("Hopper-v5", render_mode="rgb_array", width=SIZE, height=SIZE, camera_name="track")
    env.reset()
    for state, image in zip(seen.states, seen.images, strict=True):
        env.unwrapped.set_state(state[: MODEL.nq], state[MODEL.nq :])
        np.testing.assert_array_equal(image, env.render())
    env.close()


def test_flags_say_what_is_in_the_image(view: tuple[str, PoseFrames]) -> None:
    seen = view[1]
    inside = ((seen.keypoints >= -0.5) & (seen.keypoints < SIZE - 0.5)).all(axis=2)
    np.testing.assert_array_equal(seen.flags, np.where(inside, 2, 0))


def test_a_keypoint_that_leaves_the_image_is_flagged() -> None:
    jump = np.zeros((1, MODEL.nq + MODEL.nv))
    jump[0, :2] = 3.0, 1.25 + 1.4  # m: upright in the air; the rail camera sees 1.24 m up from its own height
    _, keypoints, flags = draw(Scene(MODEL, keypoints_of("hopper"), 32), jump, "rail")
    assert flags.tolist() == [[0, 0, 2, 2, 2]]
    np.testing.assert_array_equal(keypoints[0, :, 1] < -0.5, [True, True, False, False, False])


def test_each_policy_gives_an_equal_share(view: tuple[str, PoseFrames]) -> None:
    names, counts = np.unique(view[1].policy, return_counts=True)
    assert names.tolist() == ["hopper/good", "hopper/mediocre", "hopper/poor"]
    assert counts.tolist() == [10, 10, 10]
    assert np.unique(frames(count=5).policy, return_counts=True)[1].tolist() == [2, 2, 1]


def test_only_a_policy_that_fails_falls(view: tuple[str, PoseFrames]) -> None:
    seen = view[1]
    assert set(seen.policy[seen.falling]) == {"hopper/poor"}
    assert 0 < seen.falling.sum() < 10
    healthy = seen.states[~seen.falling]
    assert np.all(healthy[:, 1] > 0.7)  # m: Gymnasium's hopper ends its episode below


def test_the_same_seed_gives_the_same_arrays() -> None:
    first, again, other = (render_frames("hopper", [POOR], "rail", 64, 8, seed) for seed in (0, 0, 1))
    for field in dataclasses.fields(PoseFrames):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert not np.array_equal(first.states, other.states)
    assert not np.array_equal(first.images, other.images)


def test_a_policy_acts_in_the_given_domain() -> None:
    names = ("source", "target")
    source, target = (render_frames("hopper", [POOR], "track", 16, 8, 0, name).states for name in names)
    assert not np.array_equal(source, target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"figure": "unicorn"}, f"unknown figure 'unicorn'; accepted: {', '.join(envs.FIGURES)}"),
        ({"camera": "drone"}, "unknown camera 'drone'; accepted: track, rail"),
        ({"frames": 0}, "frames is 0; it must be 3 or more: one of each policy"),
        ({"size": 481}, "size is 481; it must be from 1 to 480"),
        ({"size": 0}, "size is 0; it must be from 1 to 480"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"policies": []}, "no run is given; accepted: run directories, or folders of them"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    request = {"figure": "hopper", "policies": SHIPPED, "camera": "track", "size": 32, "frames": 3, "seed": 0}
    with pytest.raises(ValueError, match=f"^{message}$"):
        render_frames(**{**request, **changes})


def test_more_frames_than_states_are_refused() -> None:
    message = r"^frames is 9000; hopper/poor came to \d+ states and cannot give its share of 9000$"
    with pytest.raises(ValueError, match=message):
        render_frames("hopper", [POOR], "track", 32, 9000, 0)


def test_a_run_of_another_figure_is_refused(own_run: Run) -> None:
    text = to_yaml(own_run.config).replace("figure: hopper", "figure: unicorn")
    (own_run.directory / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match="unknown figure 'unicorn'"):
        render_frames("hopper", [own_run.directory], "track", 32, 3, 0)


def test_a_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED[0] / "good", tmp_path / "good", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(ValueError, match="no checkpoint yet"):
        render_frames("hopper", [tmp_path / "good"], "track", 32, 3, 0)
