"""The estimators that ship with simgap do what their card says."""

from pathlib import Path

import numpy as np
import pytest

from envs import task_of
from envs.domains import domain_model
from envs.film import Film, Shot
from envs.frames import Frames
from experiments.dataset import POLICIES
from experiments.pose_files import ESTIMATOR, error_file, learned_file, read_pose_config
from experiments.pose_frames import render_frames
from experiments.pose_images import judge_dataset, judge_frames
from experiments.rollouts import view_of
from pipelines.choices import CAMERAS
from vision.error_model import load_error_model
from vision.error_simulator import ErrorSimulator
from vision.estimators import make_estimator
from vision.keypoints import keypoints_of
from vision.metrics import measure_keypoints
from vision.runtime import PoseRuntime

RESULTS = Path(__file__).parents[2] / "results"
SHIPPED = RESULTS / "pretrained" / "pose" / "hopper"
KEYPOINTS = keypoints_of("hopper")


@pytest.fixture(scope="module")
def runtime() -> PoseRuntime:
    return PoseRuntime(SHIPPED / ESTIMATOR)


def test_it_finds_keypoints_in_blenders_pictures(runtime: PoseRuntime) -> None:
    judged, _ = judge_dataset(runtime, RESULTS / "synth-hopper" / "sample", "test")
    assert judged.measure(KEYPOINTS).overall.median < 0.8  # px


@pytest.mark.parametrize("camera", CAMERAS)
def test_it_finds_keypoints_in_mujocos_frames(runtime: PoseRuntime, camera: str) -> None:
    judged, _ = judge_frames(runtime, "hopper", [POLICIES / "hopper"], camera, 24, seed=7, look="gymnasium")
    assert judged.measure(KEYPOINTS).overall.median < 0.8


@pytest.mark.parametrize("camera", CAMERAS)
def test_it_finds_keypoints_in_the_frames_that_policies_see(runtime: PoseRuntime, camera: str) -> None:
    """Drawn without multisampling, shadows and reflections; all errors are fitted to frames with them."""
    seen = render_frames("hopper", [POLICIES / "hopper"], camera, runtime.size, 24, seed=7)
    model, count = domain_model(task_of("hopper"), "source"), len(seen.states)
    frames = Frames(Film(model, count, camera, runtime.size))
    ids, masses = np.arange(count, dtype=np.int32), np.tile(model.body_mass, (count, 1))
    images = frames.draw(Shot(ids, seen.states[:, : model.nq], masses, np.zeros(count, np.int64)))
    frames.close()
    errors = measure_keypoints(runtime(images)[0], seen.keypoints, seen.flags, KEYPOINTS.skeleton).overall
    assert errors.median < 0.8
    assert errors.p95 < 1.6


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_nothing_is_seen_in_a_picture_with_nothing_in_it(runtime: PoseRuntime, shade: int) -> None:
    _, confidences = runtime(np.full((1, runtime.size, runtime.size, 3), shade, np.uint8))
    assert not confidences.any()


@pytest.mark.parametrize("camera", CAMERAS)
def test_what_follows_it_loads_and_answers(camera: str) -> None:
    view = view_of("hopper", camera, read_pose_config(SHIPPED).network.input_size)
    estimator = make_estimator("learned", view, 3, learned_file(SHIPPED, camera))
    simulator = ErrorSimulator(load_error_model(error_file(SHIPPED, camera)), 3, seed=0)
    standing = np.array([[112.0, 60.0], [112.0, 97.0], [112.0, 139.0], [112.0, 186.0], [136.0, 186.0]])
    seen, confidences = simulator.update(np.tile(standing, (3, 1, 1)))
    assert np.abs(seen - standing).max() < 20
    found = estimator.update(seen, confidences, np.zeros((3, 3)))
    np.testing.assert_allclose(found[:, 1:5], 0, atol=0.2)  # the reference pose, nearly
