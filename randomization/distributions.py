"""Distributions that parameters are drawn from, as quantile functions of keyed uniform numbers.

A draw is ``quantile(u)`` for ``u`` in (0, 1), so it depends on nothing but its key. ``parse_distribution`` reads
the notation of configurations and the command line::

    uniform(low, high)   loguniform(low, high)   truncnormal(mean, std, low, high)
"""

import math
import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Array = npt.NDArray[np.float64]

FARTHEST = 30
"""Standard deviations from its mean that the bounds of a truncated Gaussian may be away: beyond, nothing has weight."""


class Distribution(Protocol):
    """A distribution of one number."""

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can be drawn."""
        ...

    def quantile(self, u: Array) -> Array:
        """Value below which a fraction ``u`` of the draws lies."""
        ...


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class Uniform:
    """Every value between ``low`` and ``high`` alike."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(self.low <= self.high, f"uniform: low {self.low:g} is above high {self.high:g}")

    @property
    def support(self) -> tuple[float, float]:
        """``low`` and ``high``."""
        return self.low, self.high

    def quantile(self, u: Array) -> Array:
        """Linear between the bounds."""
        return np.asarray(self.low + u * (self.high - self.low))


@dataclass(frozen=True)
class LogUniform:
    """Every ratio alike: the logarithm is uniform between those of ``low`` and ``high``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(
            0 < self.low <= self.high,
            f"loguniform: need 0 < low <= high, got {self.low:g} and {self.high:g}",
        )

    @property
    def support(self) -> tuple[float, float]:
        """``low`` and ``high``."""
        return self.low, self.high

    def quantile(self, u: Array) -> Array:
        """Geometric between the bounds."""
        return np.asarray(self.low * (self.high / self.low) ** u)


@dataclass(frozen=True)
class TruncatedNormal:
    """Gaussian with the part outside ``low`` and ``high`` cut off and the rest renormalised."""

    mean: float
    std: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _require(
            self.std > 0 and self.low <= self.high,
            f"truncnormal: need std > 0 and low <= high, got std {self.std:g}, {self.low:g}, {self.high:g}",
        )
        away = max(self.low - self.mean, self.mean - self.high) / self.std
        _require(away <= FARTHEST, f"truncnormal: the bounds are {away:.0f} std from the mean; accepted: {FARTHEST}")

    @property
    def support(self) -> tuple[float, float]:
        """``low`` and ``high``."""
        return self.low, self.high

    def quantile(self, u: Array) -> Array:
        """The Gaussian's inverse between the probabilities of the bounds."""
        low, high = (self.low - self.mean) / self.std, (self.high - self.mean) / self.std
        # Beyond the mean the probabilities are those of the mirror image, near 0 instead of near 1, where they round.
        side, u = (-1, 1 - u) if low > 0 else (1, u)
        below, above = ndtr(side * np.array([low, high][::side]))
        value = self.mean + self.std * side * ndtri(below + u * (above - below))
        return np.asarray(np.clip(value, self.low, self.high))


DISTRIBUTIONS: dict[str, type[Uniform | LogUniform | TruncatedNormal]] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "truncnormal": TruncatedNormal,
}

_CALL = re.compile(r"^\s*(\w+)\s*\(([^()]*)\)\s*$")
_ACCEPTED = "uniform(low, high), loguniform(low, high), truncnormal(mean, std, low, high)"


def parse_distribution(text: str) -> Uniform | LogUniform | TruncatedNormal:
    """Read a distribution's notation.

    Raises:
        ValueError: unknown distribution, wrong number of arguments, or one that is not a finite number.
    """
    match = _CALL.match(text)
    if match is None or match[1] not in DISTRIBUTIONS:
        raise ValueError(f"cannot read distribution {text.strip()!r}; accepted: {_ACCEPTED}")
    kind = DISTRIBUTIONS[match[1]]
    try:
        arguments = [float(argument) for argument in match[2].split(",")]
    except ValueError:
        raise ValueError(f"{text.strip()!r}: every argument must be a number") from None
    if not all(math.isfinite(argument) for argument in arguments):
        raise ValueError(f"{text.strip()!r}: every argument must be finite")
    if len(arguments) != len(kind.__dataclass_fields__):
        expected = ", ".join(kind.__dataclass_fields__)
        raise ValueError(f"{text.strip()!r}: {match[1]} takes ({expected})")
    return kind(*arguments)
