"""Labels are what pycocotools reads, and what was drawn."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools.coco import COCO

from envs.hopper import Hopper
from envs.task import load_model
from synth_data.coco import Record, make_dataset, make_record
from synth_data.poses import PoseConfig, Poser
from synth_data.sample import Sample, Sampler, SynthConfig
from synth_data.scene import Scene
from vision.camera import Camera
from vision.keypoints import keypoints_of

KEYPOINTS = keypoints_of("hopper")
VISIBLE = np.zeros(5, bool)
SIZE = 100


def sample_of(index: int = 3) -> Sample:
    """A sample whose keypoints a camera of 90 degrees at the origin sees on known pixels; the last is behind it."""
    model, config = load_model(Hopper()), SynthConfig(size=SIZE, poses=PoseConfig({"joints": 1}))
    drawn = Sampler(config, Scene(model, KEYPOINTS, SIZE), Poser(model, config.poses, {})).sample(index)
    camera = Camera(np.zeros(3), np.eye(3), np.array(90.0), SIZE, SIZE)
    points = np.array([[0, 0, -1], [0.1, 0.2, -2], [-0.4, 0.4, -1], [0, 1.1, -1], [0, 0, 1]], float)
    return replace(drawn, moment=replace(drawn.moment, camera=camera, keypoints=points))


def blob(seed: int) -> npt.NDArray[np.bool_]:
    """A ragged figure in a corner of the image."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20:61, 5:31] = np.random.default_rng(seed).random((41, 26)) < 0.7
    mask[[20, 60], 8] = mask[40, [5, 30]] = True
    return mask


def record(index: int, mask: npt.NDArray[np.bool_], hidden: npt.NDArray[np.bool_] = VISIBLE) -> Record:
    return make_record(sample_of(index), mask, hidden, f"images/{index:06d}.jpg", "ab" * 32)


def loaded(records: list[Record], path: Path) -> COCO:
    path.write_text(json.dumps(make_dataset(records, "hopper", KEYPOINTS, {"version": "1"})))
    return COCO(str(path))


def test_masks_boxes_and_areas_come_back_from_pycocotools(tmp_path: Path) -> None:
    masks = {index: blob(index) for index in (3, 8)}
    coco: Any = loaded([record(index, mask) for index, mask in masks.items()], tmp_path / "labels.json")
    assert sorted(coco.getImgIds()) == [3, 8]
    for index, mask in masks.items():
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[index]))
        np.testing.assert_array_equal(coco.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == [5, 20, 26, 41]
        (image,) = coco.loadImgs([index])
        assert (image["file_name"], image["width"], image["height"]) == (f"images/{index:06d}.jpg", SIZE, SIZE)


def test_a_wide_image_keeps_its_axes() -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[90, 2:50] = True
    made = record(1, mask)
    assert made["bbox"] == [2, 90, 48, 1]
    assert made["area"] == 48


def test_keypoints_are_flagged_visible_hidden_or_outside() -> None:
    hidden = np.array([False, True, False, True, True])
    made = record(3, blob(0), hidden)
    # Focal length 50 around (49.5, 49.5); above the image and behind the camera are outside, whatever hides them.
    assert made["keypoints"] == [[49.5, 49.5, 2], [52.0, 44.5, 1], [29.5, 29.5, 2], [0, 0, 0], [0, 0, 0]]


def test_annotations_count_the_keypoints_in_the_image(tmp_path: Path) -> None:
    coco: Any = loaded([record(3, blob(0), np.array([False, True, False, False, False]))], tmp_path / "labels.json")
    (annotation,) = coco.loadAnns(coco.getAnnIds())
    assert annotation["num_keypoints"] == 3
    assert annotation["keypoints"][:6] == [49.5, 49.5, 2, 52.0, 44.5, 1]
    assert len(annotation["keypoints"]) == 15
    assert annotation["keypoints_3d"] == sample_of().moment.keypoints.tolist()
    assert (annotation["category_id"], annotation["iscrowd"]) == (1, 0)


def test_an_image_without_the_figure_has_no_annotation(tmp_path: Path) -> None:
    empty = record(4, np.zeros((SIZE, SIZE), bool))
    assert (empty["area"], empty["bbox"]) == (0, [0, 0, 0, 0])
    coco: Any = loaded([record(3, blob(0)), empty], tmp_path / "labels.json")
    assert sorted(coco.getImgIds()) == [3, 4]
    assert [annotation["image_id"] for annotation in coco.loadAnns(coco.getAnnIds())] == [3]


def test_the_category_names_keypoints_and_counts_from_1(tmp_path: Path) -> None:
    coco: Any = loaded([record(3, blob(0))], tmp_path / "labels.json")
    (category,) = coco.loadCats(coco.getCatIds())
    assert (category["id"], category["name"]) == (1, "hopper")
    joined = [[category["keypoints"][end - 1] for end in pair] for pair in category["skeleton"]]
    assert joined == [["torso_top", "waist"], ["waist", "knee"], ["knee", "ankle"], ["ankle", "foot_tip"]]
    assert category["sigmas"] == list(KEYPOINTS.sigmas)


def test_a_record_says_what_was_drawn() -> None:
    sample, made = sample_of(), json.loads(json.dumps(record(3, blob(0))))
    assert (made["id"], made["split"], made["sha256"]) == (3, sample.split, "ab" * 32)
    assert made["camera"]["name"] == sample.view
    assert made["camera"]["fovy"] == 90
    intrinsics = np.array([[50, 0, 49.5], [0, 50, 49.5], [0, 0, 1]])
    np.testing.assert_allclose(made["camera"]["intrinsics"], intrinsics, rtol=1e-14)
    assert made["camera"]["rotation"] == np.eye(3).tolist()
    assert made["state"] == {"source": "joints", "qpos": sample.pose.qpos.tolist(), "qvel": sample.pose.qvel.tolist()}
    assert made["sensor"]["seed"] == sample.sensor.seed
    assert tuple(made["appearance"]["hold"]["offset"]) == sample.appearance.hold.offset


@pytest.mark.parametrize("index", range(3))
def test_the_recorded_camera_projects_the_recorded_points_onto_the_recorded_pixels(index: int) -> None:
    model, config = load_model(Hopper()), SynthConfig(size=SIZE, poses=PoseConfig({"joints": 1}))
    sample = Sampler(config, Scene(model, KEYPOINTS, SIZE), Poser(model, config.poses, {})).sample(index)
    made = json.loads(json.dumps(make_record(sample, blob(0), VISIBLE, "a.jpg", "")))
    view = np.diag([1, -1, -1]) @ np.array(made["camera"]["rotation"]).T
    local = (
        (np.array(made["keypoints_3d"]) - made["camera"]["position"])
        @ view.T
        @ np.array(made["camera"]["intrinsics"]).T
    )
    pixels = local[:, :2] / local[:, 2:]
    seen = np.array(made["keypoints"])
    inside = ((pixels >= -0.5) & (pixels < SIZE - 0.5)).all(axis=1)
    np.testing.assert_array_equal(seen[:, 2] > 0, inside)
    assert inside.sum() >= 2
    np.testing.assert_allclose(seen[inside, :2], pixels[inside], atol=5.1e-4)
