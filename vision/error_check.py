"""A model of an estimator's errors beside the real ones, along the same true trajectories."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision.error_fit import Mask, Triple, check_episodes
from vision.error_model import Array, ErrorModel
from vision.error_simulator import ErrorSimulator

QUANTILES = (0.5, 0.9, 0.95, 0.99)
LAGS = (1, 2, 5, 10)
BINS = 4
REPEATS = 20
"""Simulations of each episode."""


def compare(model: ErrorModel, episodes: Sequence[Triple], seed: int) -> dict[str, Any]:
    """Statistics of real and simulated errors; meant for episodes that the model was not fitted to.

    Args:
        model: whose latency is left out: the predictions of ``episodes`` are in time.
        episodes: as of :func:`vision.error_fit.fit_error_model`.
        seed: of the simulation.

    Returns:
        ``real`` and ``simulated``, each a list with a dictionary for each keypoint: ``quantiles`` of the error's length
        (50, 90, 95, 99 %), px; ``mean`` and ``std`` in x and y, px; ``autocorrelation`` at 1, 2, 5 and 10 frames, in
        x and y; ``drop_rate`` and mean ``drop_length`` in frames (0 if there is none); ``confidence`` quantiles
        (5, 50, 95 %); ``confidence_correlation`` with the logarithm of the error's length; and ``pose_bias``, the mean
        error in x and y in each quarter of the angles of the link that ends in the keypoint (the first: begins). NaN is
        for what cannot be computed.

    Raises:
        ValueError: as of :func:`vision.error_fit.fit_error_model`, or another number of keypoints.
    """
    check_episodes(episodes)
    if np.shape(episodes[0][0])[1] != len(model.reach):
        raise ValueError(f"episodes of {np.shape(episodes[0][0])[1]} keypoints; accepted: {len(model.reach)}")
    real = [(true[None], predicted[None], confidences[None]) for true, predicted, confidences in episodes]
    simulator = ErrorSimulator(model, REPEATS, seed)
    simulated = []
    for true, _, _ in episodes:
        simulator.reset(range(REPEATS))
        frames = [simulator.update(np.repeat(true[t][None], REPEATS, axis=0)) for t in range(len(true))]
        predicted, confidences = (np.stack(part, axis=1) for part in zip(*frames, strict=True))
        simulated.append((np.repeat(true[None], REPEATS, axis=0), predicted, confidences))
    return {"real": _describe(model, real), "simulated": _describe(model, simulated)}


def _describe(model: ErrorModel, runs: list[Triple]) -> list[dict[str, Any]]:
    """Statistics of each keypoint over runs of ``(repeats, T, ...)`` arrays."""
    errors = [predicted - true for true, predicted, _ in runs]
    dropped = [model.is_gross(error, run[2]) for error, run in zip(errors, runs, strict=True)]
    flat, confidences = _rows(errors), _rows([run[2] for run in runs])
    true, gone = _rows([run[0] for run in runs]), _rows(dropped)
    lengths = np.linalg.norm(flat, axis=2)
    found = []
    for k in range(flat.shape[1]):
        link = true[:, max(k, 1)] - true[:, max(k, 1) - 1]
        found.append(
            {
                "quantiles": np.quantile(lengths[:, k], QUANTILES).tolist(),
                "mean": flat[:, k].mean(axis=0).tolist(),
                "std": flat[:, k].std(axis=0).tolist(),
                "autocorrelation": [_autocorrelation([error[:, :, k] for error in errors], lag) for lag in LAGS],
                "drop_rate": float(gone[:, k].mean()),
                "drop_length": _run_length([part[:, :, k] for part in dropped]),
                "confidence": np.quantile(confidences[:, k], (0.05, 0.5, 0.95)).tolist(),
                "confidence_correlation": _correlation(confidences[:, k], np.log(lengths[:, k] + 1e-3)),
                "pose_bias": _by_angle(np.arctan2(link[:, 1], link[:, 0]), flat[:, k]),
            }
        )
    return found


def _rows(parts: Sequence[Any]) -> Any:
    return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])


def _autocorrelation(errors: list[Array], lag: int) -> list[float]:
    """In x and y, of ``(repeats, T, 2)`` arrays; pairs never cross episodes."""
    mean, variance = (getattr(_rows(errors), moment)(axis=0) for moment in ("mean", "var"))
    pairs = [((e[:, lag:] - mean) * (e[:, :-lag] - mean)).reshape(-1, 2) for e in errors if e.shape[1] > lag]
    if not pairs or not variance.all():
        return [float("nan")] * 2
    return np.asarray(np.concatenate(pairs).mean(axis=0) / variance).tolist()  # type: ignore[no-any-return]


def _correlation(first: Array, second: Array) -> float:
    return float(np.corrcoef(first, second)[0, 1]) if first.std() and second.std() else float("nan")


def _run_length(dropped: list[Mask]) -> float:
    """Mean number of frames in a row, of ``(repeats, T)`` masks."""
    starts = sum(int((part[:, 1:] & ~part[:, :-1]).sum() + part[:, 0].sum()) for part in dropped)
    return float(sum(int(part.sum()) for part in dropped) / starts) if starts else 0.0


def _by_angle(angles: Array, errors: Array) -> list[list[float]]:
    """Mean error in each quarter of the angles, whose cut lies opposite to their circular mean."""
    turned = np.angle(np.exp(1j * angles) * np.exp(-1j * np.angle(np.exp(1j * angles).mean())))
    edges = np.quantile(turned, np.arange(1, BINS) / BINS)
    part = np.searchsorted(edges, turned)
    return [errors[part == j].mean(axis=0).tolist() if (part == j).any() else [float("nan")] * 2 for j in range(BINS)]
