"""Rows of the tables in a report on an estimator: numbers as text."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.pose_files import BLENDER
from experiments.pose_findings import summary
from experiments.pose_images import Judged
from vision.estimators import ESTIMATORS
from vision.keypoints import Keypoints
from vision.metrics import Errors, KeypointMetrics
from vision.state_metrics import ENTRIES, UNITS, StateMetrics

Row = dict[str, Any]


def name_of(where: str) -> str:
    """What a kind of picture is called in a table."""
    return "Blender, test images" if where == BLENDER else f"MuJoCo, {where}"


def errors_row(name: str, errors: Errors) -> Row:
    """Median and 95th percentile."""
    return {"name": name, "median": f"{errors.median:.2f}", "p95": f"{errors.p95:.2f}"}


def keypoint_rows(
    judged: Mapping[str, Judged], images: Mapping[str, KeypointMetrics], keypoints: Keypoints
) -> Iterator[Row]:
    """Errors of each kind of picture, and of its parts: visible and hidden points, or policies and falls."""
    for where, metrics in images.items():
        found, name = judged[where], name_of(where)
        yield _shares(name, metrics.overall, metrics)
        if where == BLENDER:
            yield _shares(f"{name}: visible", metrics.visible)
            yield _shares(f"{name}: hidden", metrics.hidden)
            continue
        for policy in np.unique(found.policy):
            part = found.measure(keypoints, (found.policy == policy) & ~found.falling)
            yield _shares(f"{name}: {policy}", part.overall, part)
        if found.falling.any():
            part = found.measure(keypoints, found.falling)
            yield _shares(f"{name}: falling", part.overall, part)


def _shares(name: str, errors: Errors, metrics: KeypointMetrics | None = None) -> Row:
    row = {**errors_row(name, errors), "count": f"{errors.count:,}", "mean": f"{errors.mean:.2f}"}
    shares = {"pck_1": "", "pck_2": "", "pck_5": "", "auc": ""}
    if metrics is not None:
        shares = {key: f"{getattr(metrics, key):.3f}" for key in shares}
    return {**row, **shares}


def single_row(name: str, metrics: KeypointMetrics) -> Row:
    """Each keypoint's median error and each angle's mean absolute one."""
    pixels = [f"{errors.median:.2f}" for errors in metrics.keypoints]
    return {"name": name, "cells": [*pixels, *(f"{angle:.2f}" for angle in metrics.degrees)]}


def state_rows(metrics: Mapping[str, StateMetrics], true: Any) -> list[Row]:
    """RMSE and R² of each observation by each state estimator, beside the true values' deviation."""
    return [
        {
            "name": name.replace("_", " "),
            "unit": unit,
            "deviation": f"{true[:, entry].std():.3f}",
            "cells": [
                text
                for estimator in ESTIMATORS
                for text in (f"{metrics[estimator].rmse[entry]:.3f}", f"{metrics[estimator].r2[entry]:.2f}")
            ],
        }
        for entry, (name, unit) in enumerate(zip(ENTRIES, UNITS, strict=True))
    ]


def noise_rows(real: Mapping[str, StateMetrics], white: Mapping[str, Mapping[float, StateMetrics]]) -> list[Row]:
    """What the goals are about, for real errors and for white ones of each size."""
    rows = [_noise_row("the estimator's own", name, metrics) for name, metrics in real.items()]
    for name, table in white.items():
        for size, metrics in table.items():
            rows.append(_noise_row(f"white, {size:g} px" if size else "none", name, metrics))
    return rows


def _noise_row(errors: str, estimator: str, metrics: StateMetrics) -> Row:
    digits = {"angles": 2, "rates": 3, "vx": 2, "vz": 2, "height": 1}
    values = {key: f"{value:.{digits[key]}f}" for key, value in summary(metrics).items()}
    return {"errors": errors, "estimator": estimator, **values}


def stage_rows(seconds: Mapping[str, float]) -> list[Row]:
    """How long each stage took."""
    return [{"name": name, "minutes": f"{value / 60:.1f}"} for name, value in seconds.items()]
