"""How methods compare: score distributions, and whether one improves on another. The training seed is the unit.

Performance profiles (score distributions) and the probability of improvement are those of Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice", https://arxiv.org/abs/2108.13264, for one task.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.statistics import bootstrap, interval, iqm, random_stream

Array = NDArray[np.float64]
_REPS = 2000


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Array:
    """Fraction of ``scores`` ``(n,)`` above each of ``thresholds`` ``(t,)``: shape ``(t,)``."""
    above = np.asarray(scores, float)[:, None] > np.asarray(thresholds, float)
    return np.asarray(above.mean(axis=0))


def profile_band(scores: Array, thresholds: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Pointwise 95 % bootstrap interval of :func:`performance_profile` over seeds; NaN for a single seed."""
    if len(scores) == 1:
        return np.full(len(thresholds), math.nan), np.full(len(thresholds), math.nan)
    draws = scores[rng.integers(len(scores), size=(_REPS, len(scores)))]
    profiles = np.array([performance_profile(draw, thresholds) for draw in draws])
    low, high = np.quantile(profiles, [0.025, 0.975], axis=0)
    return low, high


def probability_of_improvement(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Probability that a random one of ``ours`` is above a random one of ``theirs``, ties counting half.

    It is the Mann-Whitney statistic over the number of pairs.

    Raises:
        ValueError: either has no score.
    """
    x, y = np.asarray(ours, float), np.asarray(theirs, float)
    if not (x.size and y.size):
        raise ValueError("the probability of improvement needs scores on both sides")
    difference = x[:, None] - y
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def compare(scores: Mapping[str, Array], seed: int = 0) -> list[dict[str, Any]]:
    """Every method against every other, in the order given: one dict a pair.

    Args:
        scores: of each method, one a training seed ``(n,)``.
        seed: of the resampling.

    Returns:
        Dicts with ``first``, ``second``, ``difference`` (of their IQMs) and ``probability`` (that the first improves on
        the second), both with ``_low`` and ``_high``, 95 % bootstrap intervals over seeds, the methods resampled
        independently; NaN where a method has one seed.
    """
    rows = []
    for first, second in combinations(scores, 2):
        samples = [np.asarray(scores[name], float) for name in (first, second)]
        row: dict[str, Any] = {"first": first, "second": second}
        for name, statistic in (("difference", _difference), ("probability", probability_of_improvement)):
            low, high = interval(bootstrap(statistic, samples, random_stream(seed, first, second, name)))
            row |= {name: statistic(*samples), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def told_apart(row: Mapping[str, Any]) -> bool:
    """Whether the interval of a pair's difference leaves zero out: whether the difference is larger than it."""
    low, high = row["difference_low"], row["difference_high"]
    return bool(low > 0 or high < 0)


def thresholds_of(scores: Sequence[Array], count: int = 801) -> Array:
    """Evenly from below the lowest score to above the highest, for a profile."""
    lowest, highest = min(s.min() for s in scores), max(s.max() for s in scores)
    margin = 0.03 * (highest - lowest) or 1.0
    return np.linspace(float(lowest - margin), float(highest + margin), count)


def _difference(ours: Array, theirs: Array) -> float:
    return iqm(ours) - iqm(theirs)
