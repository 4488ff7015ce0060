"""What an estimator says of single pictures with known keypoints: a dataset's, and MuJoCo's own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from experiments.files import write_with
from experiments.pose_frames import render_frames
from vision.keypoints import Keypoints
from vision.metrics import KeypointMetrics, measure_keypoints
from vision.runtime import PoseRuntime

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

BATCH = 32


@dataclass(frozen=True)
class Judged:
    """``m`` pictures' keypoints as found and as they are."""

    predicted: Array
    """Pixels of the picture ``(m, k, 2)``."""
    confidences: Array
    """``(m, k)``, 0 to 1."""
    true: Array
    """Pixels ``(m, k, 2)``."""
    flags: npt.NDArray[np.int64]
    """COCO's ``(m, k)``: 0 outside, 1 hidden, 2 visible (of MuJoCo's frames: inside)."""
    policy: npt.NDArray[np.str_]
    """Run that came to the state, ``(m,)``; empty for a dataset."""
    falling: npt.NDArray[np.bool_]
    """Whether it had failed and nobody acted any more, ``(m,)``."""

    def measure(self, keypoints: Keypoints, chosen: npt.NDArray[np.bool_] | None = None) -> KeypointMetrics:
        """Errors of all pictures, or of those ``chosen``."""
        rows = slice(None) if chosen is None else chosen
        return measure_keypoints(self.predicted[rows], self.true[rows], self.flags[rows], keypoints.skeleton)

    def errors(self) -> Array:
        """Distances of all keypoints inside the pictures, px."""
        distances = np.linalg.norm(self.predicted - self.true, axis=2)
        return np.asarray(distances[self.flags > 0])

    def examples(self, count: int) -> list[int]:
        """Rows spread evenly over all pictures, and as many of those where a keypoint is furthest off."""
        errors = np.where(self.flags > 0, np.linalg.norm(self.predicted - self.true, axis=2), 0.0).max(axis=1)
        even = np.linspace(0, len(errors) - 1, count).round().astype(int)
        return [*even.tolist(), *np.argsort(-errors)[:count].tolist()]

    def save(self, file: Path) -> None:
        """Write a compressed ``.npz``."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        write_with(file, lambda path: np.savez_compressed(path, **arrays))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: not readable.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                return cls(**{field.name: stored[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{file}: not readable ({error}); remove it to make it anew") from None


def judge_dataset(runtime: PoseRuntime, dataset: Path, split: str) -> tuple[Judged, list[Image]]:
    """Let an estimator look at one split of a dataset, resized to what it takes.

    Returns:
        What it says, and the images.

    Raises:
        ValueError: an image of the split is missing or unreadable.
    """
    labels = json.loads((dataset / "annotations" / f"{split}.json").read_text(encoding="utf-8"))
    files = {image["id"]: dataset / image["file_name"] for image in labels["images"]}
    truth = np.array([annotation["keypoints"] for annotation in labels["annotations"]], float)
    truth = truth.reshape(len(truth), -1, 3)
    points, scores, seen = [], [], []
    for start in range(0, len(truth), BATCH):
        chosen = labels["annotations"][start : start + BATCH]
        images = [_read(files[annotation["image_id"]]) for annotation in chosen]
        factors = np.array([runtime.size / image.shape[0] for image in images])[:, None, None]
        resized = [cv2.resize(image, (runtime.size,) * 2, interpolation=cv2.INTER_LINEAR) for image in images]
        found, confidences = runtime(np.stack(resized).astype(np.uint8))
        points.append((found + 0.5) / factors - 0.5)
        scores.append(confidences)
        seen += images
    count = len(truth)
    flags = truth[..., 2].astype(int)
    joined, certain = np.concatenate(points), np.concatenate(scores)
    return Judged(joined, certain, truth[..., :2], flags, np.full(count, ""), np.zeros(count, bool)), seen


def _read(file: Path) -> Image:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{file}: missing or not an image; accepted: the images that simgap synth made")
    return np.asarray(image[..., ::-1], np.uint8)


def judge_frames(
    runtime: PoseRuntime, figure: str, policies: Sequence[Path], camera: str, frames: int, seed: int, look: str
) -> tuple[Judged, list[Image]]:
    """Let an estimator look at MuJoCo's frames of rollouts; see :func:`experiments.pose_frames.render_frames`.

    Returns:
        What it says, and the frames.
    """
    seen = render_frames(figure, policies, camera, runtime.size, frames, seed, look=look)
    found = [runtime(seen.images[start : start + BATCH]) for start in range(0, len(seen.images), BATCH)]
    points, scores = (np.concatenate(column) for column in zip(*found, strict=True))
    return Judged(points, scores, seen.keypoints, seen.flags, seen.policy, seen.falling), list(seen.images)
