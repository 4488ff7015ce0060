"""Our parts of MMPose, and a training from the first update to the exported file."""

import json
import math
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vision.keypoints import keypoints_of
from vision.mmpose import SoftArgmax, SpatialSoftmaxLoss, Warp, best, build, train
from vision.pose_config import MODELS, FitConfig
from vision.pose_export import Exported, export
from vision.runtime import FAINT, PoseRuntime
from vision.weights import read_tensors

SAMPLE = Path(__file__).parents[2] / "results" / "synth-hopper" / "sample"
KEYPOINTS = keypoints_of("hopper")
TINY = FitConfig(input_size=64, epochs=2, batch_size=16)
multiprocessing.set_forkserver_preload(["vision.mmpose"])  # as fit-pose does


def blob(size: int, x: float, y: float) -> npt.NDArray[np.uint8]:
    """A picture of one soft bright spot."""
    rows, columns = np.mgrid[:size, :size]
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 6.0**2))
    return np.repeat((255 * spot)[..., None], 3, axis=2).astype(np.uint8)


def centre(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    weights = image[..., 0].astype(float)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()])


@pytest.mark.parametrize("seed", range(3))
def test_a_warp_moves_labels_with_pixels(seed: int) -> None:
    warp = Warp(64, rotation=30, scale=0.2, shift=0.05, seed=seed)
    points = np.array([[[60.0, 70.0]]])
    given = {"img": blob(128, 60, 70), "keypoints": points, "keypoints_visible": np.ones((1, 1))}
    found = warp.transform(given)
    np.testing.assert_allclose(centre(found["img"]), found["transformed_keypoints"][0, 0], atol=0.1)


def test_without_augmentation_a_warp_is_a_resize_that_keeps_pixel_edges() -> None:
    points = np.array([[[0.0, 127.0]]])
    found = Warp(64).transform({"img": blob(128, 60, 70), "keypoints": points, "keypoints_visible": np.ones((1, 1))})
    np.testing.assert_allclose(found["transformed_keypoints"][0, 0], [-0.25, 63.25])
    # MMPose's way back to the original image.
    back = found["transformed_keypoints"] / 64 * found["input_scale"] + found["input_center"] - found["input_scale"] / 2
    np.testing.assert_allclose(back, points, atol=1e-4)


def test_what_leaves_the_picture_does_not_count() -> None:
    points = np.array([[[200.0, 60.0], [60.0, 60.0]]])
    found = Warp(64).transform({"img": blob(128, 60, 70), "keypoints": points, "keypoints_visible": np.ones((1, 2))})
    assert found["keypoints_visible"].tolist() == [[0.0, 1.0]]


def test_a_codecs_keypoints_survive_the_way_to_a_heatmap_and_back() -> None:
    codec = SoftArgmax(input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5, unbiased=True)
    points = np.array([[[30.3, 25.7], [33.1, 40.2]]])
    heatmaps = codec.encode(points, np.ones((1, 2)))["heatmaps"]
    found, _ = codec.decode(np.log(np.maximum(heatmaps, 1e-9)))
    np.testing.assert_allclose(found, points, atol=0.1)


def test_the_loss_is_the_targets_entropy_when_the_network_is_right() -> None:
    codec = SoftArgmax(input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5, unbiased=True)
    target = torch.from_numpy(codec.encode(np.array([[[30.3, 25.7]]]), np.ones((1, 1)))["heatmaps"])[None]
    loss = SpatialSoftmaxLoss()(target.clamp_min(1e-9).log(), target, torch.ones(1, 1))
    assert float(loss) == pytest.approx(math.log(2 * math.pi * math.e * 1.5**2), abs=0.02)  # of a Gaussian in a plane


def test_the_loss_leaves_out_keypoints_without_weight() -> None:
    logits, target = torch.randn(1, 2, 16, 16), torch.rand(1, 2, 16, 16)
    both = SpatialSoftmaxLoss()(logits, target, torch.tensor([[1.0, 0.0]]))
    alone = SpatialSoftmaxLoss()(logits[:, :1], target[:, :1], torch.ones(1, 1))
    assert float(both) == pytest.approx(float(alone))


# MMPose's CSPNeXt asks torch for CUDA's autocast by its old name.
@pytest.mark.filterwarnings("ignore:.torch.cuda.amp.autocast:FutureWarning")
@pytest.mark.parametrize("model", MODELS)
def test_every_network_answers_in_the_file_as_in_torch(tmp_path: Path, model: str) -> None:
    torch.manual_seed(0)
    size = 128 if model == "scnet50" else 64
    config = replace(TINY, model=model, input_size=size)
    network = build(config, KEYPOINTS)
    export(network, config, tmp_path / "e.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.no_grad():
        points, scores = Exported(network, config).eval()(torch.from_numpy(images))
    runtime = PoseRuntime(tmp_path / "e.onnx")
    assert (runtime.size, runtime.keypoints) == (size, 5)
    found, certain = runtime(images)
    np.testing.assert_allclose(found, points, atol=0.05)
    np.testing.assert_allclose(certain, np.where(scores < FAINT, 0, scores), atol=1e-3)
    one, _ = runtime(images[:1])  # another batch size
    np.testing.assert_allclose(one, found[:1], atol=0.01)


def test_a_training_learns_resumes_and_keeps_the_best(tmp_path: Path) -> None:
    seen: list[tuple[int, int, float, float]] = []
    train(TINY, SAMPLE, KEYPOINTS, "hopper", tmp_path, 1, lambda *row: seen.append(row))
    assert [row[:2] for row in seen] == [(i + 1, 6) for i in range(6)]  # 52 images make 3 whole batches
    assert all(row[2] > 0 for row in seen)
    rows = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert sorted(file.name for file in tmp_path.glob("epoch_*.pth")) == ["epoch_1.pth", "epoch_2.pth"]
    best(TINY, KEYPOINTS, tmp_path)
    again = train(TINY, SAMPLE, KEYPOINTS, "hopper", tmp_path, 1).state_dict()  # is done already
    assert all(torch.equal(again[name], value) for name, value in read_tensors(tmp_path / "epoch_2.pth").items())
    assert list(tmp_path.glob("*/vis_data/events.out.tfevents.*"))

    seen.clear()
    (tmp_path / "epoch_2.pth").unlink()  # as if it had been killed in the second epoch
    train(TINY, SAMPLE, KEYPOINTS, "hopper", tmp_path, 1, lambda *row: seen.append(row))
    assert [row[0] for row in seen] == [4, 5, 6]

    seen.clear()
    longer = replace(TINY, epochs=3)
    (tmp_path / "epoch_9.pth").write_bytes(b"half a checkpoint")
    train(longer, SAMPLE, KEYPOINTS, "hopper", tmp_path, 1, lambda *row: seen.append(row))
    assert [row[:2] for row in seen] == [(7, 9), (8, 9), (9, 9)]


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    config = replace(TINY, learning_rate=0.999, mixed_precision=False, epochs=30, schedule="steps")
    with pytest.raises(RuntimeError, match="training diverged in epoch 1; try a lower learning_rate"):
        _poisoned(config, tmp_path)


def _poisoned(config: FitConfig, directory: Path) -> None:
    weights = build(config, KEYPOINTS).state_dict()
    weights["head.final_layer.bias"] = torch.full_like(weights["head.final_layer.bias"], torch.nan)
    torch.save(weights, directory / "w.pth")
    train(replace(config, weights=str(directory / "w.pth")), SAMPLE, KEYPOINTS, "hopper", directory / "t", 1)


def test_cuda_where_there_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no CUDA device; accepted here: cpu"):
        train(replace(TINY, device="cuda"), SAMPLE, KEYPOINTS, "hopper", tmp_path, 1)
