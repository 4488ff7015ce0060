"""What a search makes large: one number for the evaluation episodes of a policy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.statistics import iqm

Array = npt.NDArray[np.float64]


def mean(returns: Array, moving: Array) -> float:
    """The mean return."""
    return float(returns.mean())


def middle(returns: Array, moving: Array) -> float:
    """The interquartile mean of the returns, which single lucky or failed episodes do not move."""
    return iqm(returns)


def stable(returns: Array, moving: Array) -> float:
    """``mean · (1 − std / |mean|)``, with the standard deviation of these episodes themselves (ddof 0).

    For a positive mean that is mean − std. For a negative one it is mean + std, which favours spread: take another
    objective where returns are negative. At a mean of 0 it is −std.
    """
    average, deviation = float(returns.mean()), float(returns.std())
    return average * (1 - deviation / abs(average)) if average else -deviation


def motion(returns: Array, moving: Array) -> float:
    """The mean over episodes of return · share of the episode in which the figure gets ahead.

    A figure that stands still and lives on its bonus scores 0, one that moves all the time its return, so standing is
    no way to score. A negative return counts whole: standing is no way out either. See
    :func:`experiments.evaluate.play_once` for ``moving``.
    """
    return float(np.where(returns > 0, returns * moving, returns).mean())


OBJECTIVES: dict[str, Callable[[Array, Array], float]] = {
    "mean": mean,
    "iqm": middle,
    "stable": stable,
    "motion": motion,
}
"""Each takes the episodes' returns and the shares of their time in which the figure gets ahead, ``(n,)``."""


def scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Every objective of evaluation episodes, as :func:`experiments.evaluate.evaluate` returns them."""
    returns = np.array([row["return"] for row in rows], np.float64)
    moving = np.array([row["moving"] for row in rows], np.float64)
    return {name: objective(returns, moving) for name, objective in OBJECTIVES.items()}
