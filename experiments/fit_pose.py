"""Fitting a keypoint estimator to a dataset: training, export, and its errors on images that it never saw.

::

    <directory>/
      config.yaml       complete
      provenance.json   the dataset's checksum, versions, machine, wall clock
      training/         MMEngine's checkpoints and logs
      estimator.onnx    the best network on the validation images, for vision.runtime
      metrics.json      errors on the dataset's test images
"""

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from experiments.config import parse_config, to_plain, to_yaml
from experiments.dataset import MANIFEST, read_dataset
from experiments.files import digest, read_json, read_yaml, write_json, write_text
from experiments.run import cores, provenance
from vision.keypoints import Keypoints, keypoints_of
from vision.metrics import KeypointMetrics, measure_keypoints
from vision.pose_config import FitConfig
from vision.runtime import PoseRuntime

CONFIG, ESTIMATOR, METRICS = "config.yaml", "estimator.onnx", "metrics.json"
BATCH = 32


def fit_pose(config: FitConfig, dataset: Path, directory: Path) -> KeypointMetrics:
    """Train on ``dataset`` (or go on), export the best network, and judge it on the test images.

    Raises:
        ValueError: the dataset is unfinished or of other keypoints, or the directory holds something else.
    """
    figure = read_dataset(dataset).figure
    keypoints = keypoints_of(figure)
    _check(config, dataset, keypoints, directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / CONFIG, to_yaml(config))
    started = time.monotonic()
    from vision.mmpose import export, train  # MMPose takes seconds to load

    network = train(config, dataset, keypoints, figure, directory / "training")
    export(network, config.input_size, directory / ESTIMATOR)
    facts: dict[str, Any] = {"dataset": str(dataset), "dataset_sha256": digest(dataset / MANIFEST)}
    write_json(directory / "provenance.json", {**provenance(), **facts, "wall_s": time.monotonic() - started})
    metrics = judge(directory / ESTIMATOR, dataset, "test")
    write_json(directory / METRICS, metrics.to_dict())
    return metrics


def _check(config: FitConfig, dataset: Path, keypoints: Keypoints, directory: Path) -> None:
    if not (dataset / MANIFEST).is_file():
        raise ValueError(f"{dataset}: not finished (it has no {MANIFEST}); finish it with simgap synth {dataset}")
    names = read_json(dataset / "annotations" / "train.json")["categories"][0]["keypoints"]
    if tuple(names) != keypoints.names:
        raise ValueError(f"{dataset}: keypoints are {', '.join(names)}; accepted: {', '.join(keypoints.names)}")
    file = directory / CONFIG
    if file.exists():
        there, wanted = to_plain(parse_config(FitConfig, read_yaml(file), str(file))), to_plain(config)
        for key in wanted:
            if there[key] != wanted[key]:
                raise ValueError(
                    f"{directory}: holds an estimator with {key} = {there[key]!r}, not {wanted[key]!r}; "
                    "accepted: the same configuration, or another directory"
                )


def judge(estimator: Path, dataset: Path, split: str) -> KeypointMetrics:
    """Errors on one split of a dataset, in the dataset's pixels."""
    runtime = PoseRuntime(estimator, cores())
    keypoints = keypoints_of(read_dataset(dataset).figure)
    labels = json.loads((dataset / "annotations" / f"{split}.json").read_text(encoding="utf-8"))
    files = {image["id"]: dataset / image["file_name"] for image in labels["images"]}
    truth = np.array([annotation["keypoints"] for annotation in labels["annotations"]], float)
    truth = truth.reshape(len(truth), -1, 3)
    found = []
    for i in range(0, len(truth), BATCH):
        chosen = [files[annotation["image_id"]] for annotation in labels["annotations"][i : i + BATCH]]
        images = [cv2.imread(str(file), cv2.IMREAD_COLOR)[..., ::-1] for file in chosen]
        factor = runtime.size / images[0].shape[0]
        resized = [cv2.resize(image, (runtime.size,) * 2, interpolation=cv2.INTER_LINEAR) for image in images]
        points, _ = runtime(np.stack(resized))
        found.append((points + 0.5) / factor - 0.5)
    return measure_keypoints(np.concatenate(found), truth[..., :2], truth[..., 2].astype(int), keypoints.skeleton)
