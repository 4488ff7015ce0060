"""Distributions that parameters are drawn from, as quantile functions of keyed uniform numbers.

A draw is ``quantile(u)`` for ``u`` in (0, 1), so it depends on nothing but its key. ``parse_distribution`` reads
the notation of configurations and the command line::

    uniform(low, high)   loguniform(low, high)   normal(mean, std)   truncnormal(mean, std, low, high)
"""

import math
import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Array = npt.NDArray[np.float64]


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
class Normal:
    """Gaussian with ``mean`` and standard deviation ``std``; unbounded, so unfit for what must stay positive."""

    mean: float
    std: float

    def __post_init__(self) -> None:
        _require(self.std >= 0, f"normal: std {self.std:g} is negative")

    @property
    def support(self) -> tuple[float, float]:
        """Unbounded, unless ``std`` is zero."""
        return (-math.inf, math.inf) if self.std else (self.mean, self.mean)

    def quantile(self, u: Array) -> Array:
        """The inverse of the cumulative Gaussian."""
        return np.asarray(self.mean + self.std * ndtri(u))


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

    @property
    def support(self) -> tuple[float, float]:
        """``low`` and ``high``."""
        return self.low, self.high

    def quantile(self, u: Array) -> Array:
        """The Gaussian's inverse between the probabilities of the bounds."""
        below, above = ndtr((np.array([self.low, self.high]) - self.mean) / self.std)
        value = self.mean + self.std * ndtri(below + u * (above - below))
        return np.asarray(np.clip(value, self.low, self.high))


DISTRIBUTIONS: dict[str, type[Uniform | LogUniform | Normal | TruncatedNormal]] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "normal": Normal,
    "truncnormal": TruncatedNormal,
}

_CALL = re.compile(r"^\s*(\w+)\s*\(([^()]*)\)\s*$")
_ACCEPTED = "uniform(low, high), loguniform(low, high), normal(mean, std), truncnormal(mean, std, low, high)"


def parse_distribution(text: str) -> Uniform | LogUniform | Normal | TruncatedNormal:
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
