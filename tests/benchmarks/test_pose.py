"""Every engine is measured on every size and batch, and bfloat16's cost is that of the images given."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import pose
from benchmarks.pose import contenders, main, precision_rows, speed_rows
from vision.runtime import FAINT, PoseRuntime


@pytest.fixture(scope="module")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An estimator of 64 px that knows nothing."""
    from vision.keypoints import keypoints_of
    from vision.mmpose import build
    from vision.pose_config import FitConfig
    from vision.pose_export import export

    config, file = FitConfig(input_size=64), tmp_path_factory.mktemp("estimator") / "estimator.onnx"
    torch.manual_seed(0)
    export(build(config, keypoints_of("hopper")), config, file)
    return file


@pytest.fixture(scope="module")
def dataset(estimator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three test images, labelled with what the estimator says of them in float32; one point is outside."""
    directory = tmp_path_factory.mktemp("dataset")
    (directory / "annotations").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    for i, image in enumerate(images):
        cv2.imwrite(str(directory / f"{i}.png"), image[..., ::-1])
    keypoints, _ = PoseRuntime(estimator)(images)
    flags = np.full((3, 5, 1), 2)
    flags[0, 0] = 0
    keypoints[0, 0] = 1e6
    labels = np.concatenate((keypoints, flags), axis=2).reshape(3, 15)
    annotations = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)],
        "annotations": [{"image_id": i, "keypoints": labels[i].tolist()} for i in range(3)],
    }
    (directory / "annotations/test.json").write_text(json.dumps(annotations), encoding="utf-8")
    return directory


def test_the_exported_network_is_the_one_that_torch_runs() -> None:
    looks = contenders(64, 1)
    assert list(looks) == ["torch", "float32", "bfloat16"]
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    (points, scores), (ours, confidences) = looks["torch"](images), looks["float32"](images)
    np.testing.assert_allclose(confidences, np.where(scores < FAINT, 0, scores), atol=1e-3)
    np.testing.assert_allclose(ours, points.numpy(), atol=0.01)


def test_everything_is_measured_in_every_repeat_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], estimator: Path, dataset: Path
) -> None:
    monkeypatch.setattr(pose, "SIZES", (64, 96))
    monkeypatch.setattr(pose, "BATCHES", (1, 2))
    monkeypatch.setattr(pose, "REPEATS", 2)
    monkeypatch.setenv("COLUMNS", "200")
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    main(3, estimator, dataset)
    assert (torch.get_rng_state() == state).all()
    assert torch.get_num_threads() == threads
    printed = capsys.readouterr().out
    for where in ("64 × 64, batch 1", "64 × 64, batch 2", "96 × 96, batch 1", "96 × 96, batch 2"):
        for name in ("torch", "float32", "bfloat16", "float32 / torch", "bfloat16 / torch"):
            assert f"│ {where}: {name} " in printed
    assert "What bfloat16 costs estimator.onnx" in printed


def test_ratios_are_over_torch() -> None:
    rows = speed_rows({"64 × 64, batch 1": {"torch": [10.0, 20.0], "float32": [20.0, 60.0], "bfloat16": [30.0, 40.0]}})
    assert [(row.name, row.values, row.unit) for row in rows] == [
        ("64 × 64, batch 1: torch", (10.0, 20.0), "images/s"),
        ("64 × 64, batch 1: float32", (20.0, 60.0), "images/s"),
        ("64 × 64, batch 1: bfloat16", (30.0, 40.0), "images/s"),
        ("64 × 64, batch 1: float32 / torch", (2.0, 3.0), "×"),
        ("64 × 64, batch 1: bfloat16 / torch", (3.0, 2.0), "×"),
    ]


def test_whole_batches_cover_the_images() -> None:
    seen = []
    speeds = pose.take_turns({"a": lambda images: seen.append(images.shape)}, size=64, batch=8, images=17)
    assert seen == [(8, 64, 64, 3)] * 3
    assert speeds["a"] > 0


def test_bfloat16_costs_what_it_moves(estimator: Path, dataset: Path) -> None:
    median, near, furthest, exact, rough = precision_rows(estimator, dataset, 1)
    # The labels are float32's answers, so bfloat16's error is how far it moves a point; the one outside does not count.
    assert exact.value == pytest.approx(0, abs=1e-6)
    assert rough.value == pytest.approx(median.value)
    assert 0 <= median.value <= near.value <= furthest.value < 100
    assert {row.unit for row in (median, near, furthest, exact, rough)} == {"px"}


@pytest.mark.parametrize(
    ("images", "with_estimator", "message"), [(0, False, "images is 0"), (1, True, "accepted: both")]
)
def test_what_cannot_be_measured_is_refused(images: int, with_estimator: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main(images, Path("estimator.onnx") if with_estimator else None)


def test_a_missing_mmpose_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vision.mmpose", None)
    with pytest.raises(RuntimeError, match=r"^the comparison needs MMPose \(.*\): pip install .* --no-deps mmpose$"):
        contenders(64, 1)
