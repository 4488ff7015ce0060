"""The numbers of a report on an estimator: errors in pixels, degrees and the observation's units, and the goals."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.pose_files import BLENDER, error_file, images_file, learned_file, place, tracks_file
from experiments.pose_frames import LOOKS
from experiments.pose_images import Judged
from experiments.pose_tracks import Tracks
from experiments.rollouts import view_of
from pipelines.choices import CAMERAS
from vision.error_check import compare
from vision.error_model import load_error_model
from vision.estimators import ESTIMATORS, make_estimator
from vision.metrics import KeypointMetrics
from vision.reconstruct import Estimator
from vision.state_metrics import ANGLES, StateMetrics, measure_states

Array = npt.NDArray[np.float64]

HEIGHT, VELOCITY_X, VELOCITY_Z, RATES = 0, 5, 6, slice(7, 11)
WHITE_NOISE = (0.0, 0.25, 0.5, 1.0)
"""Standard deviations in px, in each direction, of the errors in the ablation of the state estimators."""


@dataclass(frozen=True)
class Goal:
    """Something wanted of an estimator, and what came out."""

    text: str
    wanted: str
    unit: str
    reached: dict[str, str]
    """By camera."""
    met: dict[str, bool]


def reconstruct(estimator: Estimator, keypoints: Array, confidences: Array, tracks: Tracks) -> Array:
    """Observations ``(m, 11)`` that an estimator for as many environments as ``tracks`` has episodes gives.

    Args:
        estimator: fresh.
        keypoints: of the tracks' frames ``(m, k, 2)``, px.
        confidences: ``(m, k)``.
        tracks: whose episodes and actions they are.
    """
    found = np.empty((len(keypoints), 11))
    rows = np.array([part.start for part in tracks.parts])
    ends = np.array([part.stop for part in tracks.parts])
    for t in range(int(tracks.lengths.max())):
        running = rows + t < ends
        at = np.minimum(rows + t, ends - 1)
        estimate = estimator.update(keypoints[at], np.where(running[:, None], confidences[at], 0.0), tracks.actions[at])
        found[at[running]] = estimate[running]
    return found


def places() -> list[str]:
    """Where judged pictures come from: the dataset, and each camera in each look."""
    return [BLENDER, *(place(camera, look) for camera in CAMERAS for look in LOOKS)]


def read_images(directory: Path) -> dict[str, Judged]:
    """What the estimator says of single pictures, by where they come from."""
    return {where: Judged.load(images_file(directory, where)) for where in places()}


def held_out(directory: Path, camera: str) -> Tracks:
    """The rollouts that the error model was not fitted to."""
    return Tracks.load(tracks_file(directory, camera)).halves()[1]


def estimates(directory: Path, figure: str, camera: str, size: int) -> dict[str, Array]:
    """Observations ``(m, 11)`` of the held-out rollouts by each state estimator."""
    tracks, view = held_out(directory, camera), view_of(figure, camera, size)
    makers = {
        name: make_estimator(name, view, len(tracks.lengths), learned_file(directory, camera)) for name in ESTIMATORS
    }
    return {
        name: reconstruct(estimator, tracks.predicted, tracks.confidences, tracks) for name, estimator in makers.items()
    }


def noise_ablation(
    directory: Path, figure: str, camera: str, size: int, seed: int
) -> dict[str, dict[float, StateMetrics]]:
    """The state estimators on true keypoints of the held-out rollouts with white noise instead of the real errors."""
    tracks, view = held_out(directory, camera), view_of(figure, camera, size)
    table: dict[str, dict[float, StateMetrics]] = {}
    for name in ("filter", "learned"):
        for noise in WHITE_NOISE:
            rng = np.random.default_rng(seed)
            seen = tracks.true + noise * rng.standard_normal(tracks.true.shape)
            estimator = make_estimator(name, view, len(tracks.lengths), learned_file(directory, camera))
            certain = np.full(seen.shape[:2], np.median(tracks.confidences))
            found = reconstruct(estimator, seen, certain, tracks)
            table.setdefault(name, {})[noise] = measure_states(found, tracks.observations)
    return table


def agreement(directory: Path, camera: str, seed: int) -> dict[str, Any]:
    """Real and simulated errors on the held-out rollouts; see :func:`vision.error_check.compare`."""
    model = load_error_model(error_file(directory, camera))
    return compare(model, held_out(directory, camera).triples(), seed)


def _angle(metrics: StateMetrics) -> float:
    """Mean absolute error of the four angles, degrees."""
    return float(np.degrees(np.mean(metrics.mae[ANGLES])))


def summary(metrics: StateMetrics) -> dict[str, float]:
    """The five figures that the goals are about."""
    return {
        "angles": _angle(metrics),
        "rates": min(metrics.r2[RATES]),
        "vx": metrics.rmse[VELOCITY_X],
        "vz": metrics.rmse[VELOCITY_Z],
        "height": 100 * metrics.rmse[HEIGHT],
    }


def goals(images: dict[str, KeypointMetrics], states: dict[str, dict[str, StateMetrics]], estimator: str) -> list[Goal]:
    """Each goal beside what was reached for each camera.

    Args:
        images: errors on Blender's test images and on each camera's frames.
        states: errors of the state estimators, of each camera that has them.
        estimator: the one that the goals are judged by.
    """
    blender = images[BLENDER].overall.median

    def goal(text: str, sign: str, limit: float, unit: str, digits: int, value: Callable[[str], float]) -> Goal:
        found = {camera: value(camera) for camera in CAMERAS}  # NaN where there is no state
        met = {camera: bool(v <= limit if sign == "≤" else v >= limit) for camera, v in found.items()}
        return Goal(
            text,
            f"{sign} {limit:g}{unit}",
            unit,
            {camera: f"{v:.{digits}f}{unit}" if np.isfinite(v) else "no state" for camera, v in found.items()},
            met,
        )

    state: dict[str, dict[str, float]] = {camera: defaultdict(lambda: float("nan")) for camera in CAMERAS}
    state |= {camera: summary(metrics[estimator]) for camera, metrics in states.items()}
    return [
        goal("keypoint error, median", "≤", 0.5, " px", 2, lambda c: images[c].overall.median),
        goal("keypoint error, 95th percentile", "≤", 1.5, " px", 2, lambda c: images[c].overall.p95),
        goal(
            "median error on MuJoCo over that on Blender", "≤", 1.2, "", 2, lambda c: images[c].overall.median / blender
        ),
        goal("joint angles, mean absolute error", "≤", 1.2, "°", 2, lambda c: state[c]["angles"]),
        goal("angular velocities, worst R²", "≥", 0.9, "", 3, lambda c: state[c]["rates"]),
        goal("velocity x, RMSE", "≤", 0.15, " m/s", 2, lambda c: state[c]["vx"]),
        goal("velocity z, RMSE", "≤", 0.3, " m/s", 2, lambda c: state[c]["vz"]),
        goal("height, RMSE", "≤", 1.0, " cm", 1, lambda c: state[c]["height"]),
    ]


def causes(
    wanted: list[Goal],
    images: Mapping[str, KeypointMetrics],
    white: Mapping[str, Mapping[str, Mapping[float, StateMetrics]]],
) -> list[str]:
    """What limits each goal that was missed, a line each, as the ablations tell it.

    Of pictures: the floor, if the goal is met without its checks, shadows and reflections. Of states: the errors of
    keypoints, if the state estimator meets the goal with true ones, else itself and what the camera holds.
    """
    plainest = list(LOOKS)[-1]
    found = []
    for camera in CAMERAS:
        for goal, measure in zip(wanted, ("median", "p95"), strict=False):
            if not goal.met[camera]:
                plain = getattr(images[place(camera, plainest)].overall, measure)
                found.append(f"{camera}, {goal.text}: {goal.reached[camera]}, and {plain:.2f} px over a {plainest}.")
        if camera not in white:
            found.append(
                f"{camera}: the estimator sees too little of the figure for a model of its errors and a state."
            )
            continue
        perfect = summary(white[camera]["learned"][0.0])
        for goal, key in zip(wanted[3:], ("angles", "rates", "vx", "vz", "height"), strict=True):
            if not goal.met[camera]:
                best = f"{perfect[key]:.3f}{goal.unit}"
                found.append(f"{camera}, {goal.text}: {goal.reached[camera]}, and {best} with true keypoints.")
    return found
