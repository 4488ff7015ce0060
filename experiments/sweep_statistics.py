"""What a sweep says of a method: its curve, its worst case, how far it carries. The training seed is the unit.

Each policy gets its own numbers over the grid's cells; those of a method are interquartile means over its seeds, with
bootstrap intervals, as everywhere (see :mod:`experiments.statistics`).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.statistics import bootstrap, cvar, interval, iqm, random_stream
from experiments.tables import CELL

Array = NDArray[np.float64]

KEPT = 0.9
"""Share of the nominal return that the robustness radius asks for."""
SCORES = ("nominal", "mean", "cvar10", "worst", "radius")
_HALVINGS = 30
_REPS = 2000


def scores_of(method: pd.DataFrame) -> tuple[Array, Array]:
    """Mean returns of a method's seeds: of the base ``(seeds,)`` and of the grid's cells ``(seeds, cells)``.

    Args:
        method: rows of one method in ``sweep.csv``, every cell of every seed.
    """
    wide = method.pivot(index="seed", columns="cell", values="return").to_numpy(float)
    return wide[:, 0], wide[:, 1:]


def policy_scores(nominal: float, cells: Array, axes: Sequence[Array], origin: Sequence[float]) -> dict[str, float]:
    """What one policy's returns over the cells amount to.

    - ``nominal``: its return in the base itself;
    - ``mean`` and ``worst`` over the cells; ``cvar10``, the mean of the worst tenth of the cells, at least one;
    - ``radius``: see :func:`robustness_radius`.

    Args:
        nominal: mean return in the base.
        cells: mean returns ``(cells,)``, the last axis changing fastest.
        axes: the operands of each axis.
        origin: the operands of the base.
    """
    values = cells.reshape([len(axis) for axis in axes])
    return {
        "nominal": nominal,
        "mean": float(cells.mean()),
        "cvar10": cvar(cells),
        "worst": float(cells.min()),
        "radius": robustness_radius(nominal, values, axes, origin),
    }


def robustness_radius(
    nominal: float, values: Array, axes: Sequence[Array], origin: Sequence[float], kept: float = KEPT
) -> float:
    """The largest shift that keeps a share ``kept`` of the nominal return, returns between cells being interpolated.

    With one axis: the largest ``r``, in the axis's units, such that every shift of the grid that is no further than
    ``r`` from the base, to either side, keeps the return. With two: the largest ``r`` such that the whole rectangle of
    shifts that are no further than ``r`` times the grid's reach from the base keeps it, where an axis's reach is the
    distance of its furthest value from the base; from 0, nothing, to 1, the whole grid. The grid's end is the most that
    can be found, so a radius there means "at least". Returns are linear between neighbouring cells (bilinear with two
    axes).

    Returns:
        The radius; NaN where the base is outside the grid or its return is not positive.
    """
    inside = all(axis[0] <= at <= axis[-1] for axis, at in zip(axes, origin, strict=True))
    if not inside or not nominal > 0:
        return math.nan
    reach = [max(axis[-1] - at, at - axis[0]) for axis, at in zip(axes, origin, strict=True)]

    def keeps(share: float) -> bool:
        low = values
        for dimension, (axis, at, far) in enumerate(zip(axes, origin, reach, strict=True)):
            # A function that is linear between the axis's values is lowest at one of them, or at an end of the range.
            first, last = max(at - share * far, axis[0]), min(at + share * far, axis[-1])
            points = np.concatenate(([first], axis[(axis > first) & (axis < last)], [last]))
            low = _interpolated(low, axis, points, dimension)
        return bool(low.min() >= kept * nominal)

    unit = reach[0] if len(axes) == 1 else 1.0
    if not keeps(0.0):
        return 0.0
    if keeps(1.0):
        return unit
    good, bad = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if keeps(middle) else (good, middle)
    return good * unit


def _interpolated(values: Array, axis: Array, points: Array, dimension: int) -> Array:
    """``values`` along one dimension, read at ``points`` instead of at ``axis``."""
    left = np.clip(np.searchsorted(axis, points, side="right") - 1, 0, len(axis) - 2)
    share = (points - axis[left]) / (axis[left + 1] - axis[left])
    shape = [1] * values.ndim
    shape[dimension] = len(points)
    weight = share.reshape(shape)
    below, above = np.take(values, left, dimension), np.take(values, left + 1, dimension)
    return np.asarray(below * (1 - weight) + above * weight)


def curve(scores: Array, key: Sequence[object], seed: int = 0) -> tuple[Array, Array, Array]:
    """IQM over seeds at every cell with its pointwise 95 % interval, each ``(cells,)``; NaN intervals for one seed.

    Args:
        scores: ``(seeds, cells)``; a resampled seed brings all its cells along.
        key: names the method, for its random stream.
        seed: of the resampling.
    """
    count = len(scores)
    middle = _iqm_rows(scores)
    if count == 1:
        return middle, np.full_like(middle, math.nan), np.full_like(middle, math.nan)
    rng = random_stream(seed, *key, "curve")
    draws = np.array([_iqm_rows(scores[rng.integers(count, size=count)]) for _ in range(_REPS)])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return middle, low, high


def _iqm_rows(scores: Array) -> Array:
    """The interquartile mean of each column."""
    cut = int(0.25 * len(scores))
    return np.asarray(np.sort(scores, axis=0)[cut : len(scores) - cut].mean(axis=0))


def summarize_sweep(
    table: pd.DataFrame, axes: Sequence[Array], origin: Sequence[float], seed: int = 0
) -> list[dict[str, Any]]:
    """One dict for each method, in the order of the table.

    Each holds the columns of the cell, ``n_seeds``, and of every one of :data:`SCORES` the IQM over seeds, ``_low`` and
    ``_high``; ``cells``, each seed's returns ``(seeds, cells)``; ``curve``, ``curve_low`` and ``curve_high``
    ``(cells,)``; and ``weakest``, the cell (from 1) of the lowest IQM over seeds.
    """
    methods = []
    for key, rows in table.groupby(CELL, sort=False):
        nominal, cells = scores_of(rows)
        each = [policy_scores(float(n), c, axes, origin) for n, c in zip(nominal, cells, strict=True)]
        method: dict[str, Any] = {**dict(zip(CELL, key, strict=True)), "n_seeds": len(each)}
        for name in SCORES:
            values = np.array([scores[name] for scores in each])
            low, high = interval(bootstrap(iqm, values, random_stream(seed, *key, name)))
            method |= {name: iqm(values), f"{name}_low": low, f"{name}_high": high}
        middle, low_curve, high_curve = curve(cells, list(key), seed)
        method |= {"cells": cells, "curve": middle, "curve_low": low_curve, "curve_high": high_curve}
        methods.append({**method, "weakest": int(middle.argmin()) + 1})
    return methods
