"""Labels in COCO's keypoint format."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from synth_data.sample import Sample
from vision.keypoints import Keypoints

HIDDEN, VISIBLE = 1, 2  # COCO's flags; 0 is for what is outside the image

Record = dict[str, Any]
"""All that is known of one sample, as plain JSON."""


def make_record(
    sample: Sample, figure: npt.NDArray[np.bool_], hidden: npt.NDArray[np.bool_], file: str, checksum: str
) -> Record:
    """What is kept of a rendered sample.

    Args:
        sample: what was drawn.
        figure: which pixels show the figure, ``(height, width)``.
        hidden: which keypoints something hides, ``(keypoints,)``.
        file: name of the image.
        checksum: SHA-256 of the image.
    """
    camera = sample.moment.camera
    pixels, _ = camera.project(sample.moment.keypoints)
    flags = np.where(camera.inside(pixels), np.where(hidden, HIDDEN, VISIBLE), 0)
    encoded = rle.encode(np.asfortranarray(figure.astype(np.uint8)))
    look = {"appearance": asdict(sample.appearance), "sensor": asdict(sample.sensor)}
    return {
        "id": sample.index,
        "file_name": file,
        "sha256": checksum,
        "split": sample.split,
        "width": camera.width,
        "height": camera.height,
        "keypoints": [
            [round(float(x), 3), round(float(y), 3), int(flag)] if flag else [0, 0, 0]
            for (x, y), flag in zip(pixels, flags, strict=True)
        ],
        "keypoints_3d": sample.moment.keypoints.tolist(),
        "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
        "area": int(figure.sum()),
        "bbox": _box(figure),
        "camera": {
            "name": sample.view,
            "position": camera.position.tolist(),
            "rotation": camera.rotation.tolist(),
            "fovy": float(camera.fovy),
            "intrinsics": camera.intrinsics.tolist(),
        },
        "state": {
            "source": sample.pose.source,
            "qpos": sample.pose.qpos.tolist(),
            "qvel": sample.pose.qvel.tolist(),
        },
        **look,
    }


def _box(figure: npt.NDArray[np.bool_]) -> list[int]:
    """``[x, y, width, height]`` around the pixels; zeros when there are none."""
    rows, columns = np.flatnonzero(figure.any(axis=1)), np.flatnonzero(figure.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


def make_dataset(
    records: Iterable[Mapping[str, Any]], figure: str, keypoints: Keypoints, info: Mapping[str, Any]
) -> dict[str, Any]:
    """A COCO keypoint dataset of ``records``; a picture in which nothing of the figure is seen has no annotation."""
    images, annotations = [], []
    for record in records:
        images.append({key: record[key] for key in ("id", "file_name", "width", "height", "camera", "state")})
        if not record["area"]:
            continue
        annotations.append(
            {
                "id": record["id"],
                "image_id": record["id"],
                "category_id": 1,
                "keypoints": [value for point in record["keypoints"] for value in point],
                "num_keypoints": sum(point[2] > 0 for point in record["keypoints"]),
                "keypoints_3d": record["keypoints_3d"],
                "segmentation": record["segmentation"],
                "area": record["area"],
                "bbox": record["bbox"],
                "iscrowd": 0,
            }
        )
    category = {
        "id": 1,
        "name": figure,
        "supercategory": "figure",
        "keypoints": list(keypoints.names),
        "skeleton": [[a + 1, b + 1] for a, b in keypoints.skeleton],  # COCO counts from 1
        "sigmas": list(keypoints.sigmas),
    }
    return {"info": dict(info), "licenses": [], "images": images, "annotations": annotations, "categories": [category]}
