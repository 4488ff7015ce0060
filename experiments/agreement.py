"""How well one ranking agrees with another: pure functions of two scores for each individual."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.statistics import bootstrap, interval

Array = NDArray[np.float64]

TOP = 0.25
"""Share of the individuals that count as the best."""
REPLICATES = 1000


@dataclass(frozen=True)
class Agreement:
    """Of predicted with true scores; correlations with 95 % bootstrap intervals over individuals, NaN if undefined."""

    spearman: float
    spearman_low: float
    spearman_high: float
    kendall: float
    kendall_low: float
    kendall_high: float
    top: float
    """Share of the truly best quarter that the prediction has in its best quarter; by chance that is the quarter."""


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where all of one side are equal.

    Spearman 1904, "The proof and measurement of association between two things", as in ``scipy.stats.spearmanr``.
    """
    x, y = (_orders(scores).sum(axis=1) for scores in (a, b))  # twice the ranks, minus their mean
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def kendall(a: ArrayLike, b: ArrayLike) -> float:
    """Kendall's tau-b, which corrects for ties; NaN where all of one side are equal.

    Kendall 1945, "The treatment of ties in ranking problems", as in ``scipy.stats.kendalltau``.
    """
    x, y = (_orders(scores) for scores in (a, b))
    scale = np.sqrt(np.square(x).sum() * np.square(y).sum())
    return float((x * y).sum() / scale) if scale > 0 else float("nan")


def _orders(scores: ArrayLike) -> Array:
    """Of each pair 1 where the first is greater, −1 where the second is, and 0 where they are equal: ``(n, n)``."""
    values = np.asarray(scores, float)
    return np.asarray(np.sign(values[:, None] - values))


def top_overlap(predicted: ArrayLike, true: ArrayLike, share: float = TOP) -> float:
    """Share of the truly best that the prediction too has among its best; of equal scores the earlier is better."""
    count = max(1, round(share * np.size(true)))
    best = [set(np.argsort(-np.asarray(scores), kind="stable")[:count].tolist()) for scores in (predicted, true)]
    return len(best[0] & best[1]) / count


def agree(predicted: ArrayLike, true: ArrayLike, rng: np.random.Generator) -> Agreement:
    """Everything above of ``(n,)`` scores each; ``rng`` resamples the individuals.

    Raises:
        ValueError: the scores are not of the same two individuals or more, or one is not finite.
    """
    scores = np.array([np.asarray(predicted, float), np.asarray(true, float)]).T
    if scores.ndim != 2 or len(scores) < 2 or not np.isfinite(scores).all():
        raise ValueError(f"scores of shape {scores.shape[::-1]}; accepted: two rows of 2 or more finite numbers")
    rho, tau = (_with_interval(statistic, scores, rng) for statistic in (spearman, kendall))
    return Agreement(*rho, *tau, top_overlap(scores[:, 0], scores[:, 1]))


def _with_interval(
    statistic: Callable[[Array, Array], float], scores: Array, rng: np.random.Generator
) -> tuple[float, float, float]:
    def of_columns(drawn: Array) -> float:
        return statistic(drawn[:, 0], drawn[:, 1])

    return of_columns(scores), *interval(bootstrap(of_columns, scores, rng, REPLICATES))
