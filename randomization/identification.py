"""From data of the target to a distribution of parameters: what the methods share, and their settings.

A method sees parameters in unit coordinates: 0 and 1 are the ends of each one's search range. What it finds is a
:class:`Gaussian`, written as draws that a randomiser reads.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from randomization.distributions import TruncatedNormal
from randomization.parameters import parse_draw

Array = npt.NDArray[np.float64]
Predict = Callable[[Array], Array]
"""Next states ``(m, n, d)`` of ``n`` logged transitions for parameters ``(m, p)`` in unit coordinates."""

ONCE = ("dropo", "sysid")
"""Methods that fit logged transitions once, before training."""
IN_ROUNDS = ("bayrn", "simopt")
"""Methods that look at the target between rounds of training."""
MIN_STD, MAX_STD = 0.005, 0.3
"""Of a fitted distribution, as a share of the search range: never a point, never more than all of it."""
_NAME = re.compile(r"^[A-Za-z][\w.-]{0,39}$")


@dataclass(frozen=True)
class IdentifyConfig:
    """How data of the target decide what is drawn in training."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    method: str = "none"
    """One of: none, sysid, dropo (fit a log, then train), simopt, bayrn (look at the target between rounds)."""
    policy: str = ""
    """Whose actions sysid and dropo log: a run on the source, a folder of runs of which the same seed, or a cell of
    the study."""
    domain: str = "target"
    """Where the data come from."""
    episodes: int = 5
    """Episodes there: of the log of sysid and dropo, or after each round but the last of simopt and bayrn."""
    rounds: int = 5
    """Equal parts that simopt and bayrn split the training steps into."""
    search: tuple[str, ...] = ()
    """Parameters and their ranges, e.g. 'torso_mass * uniform(0.5, 2)'; empty for every mass, from half to twice."""
    episodes_spent: int = 0
    """Target episodes that went into draws given by hand, such as those of simgap identify: part of the budget."""
    steps_spent: int = 0
    """Target steps that went into them."""
    name: str = ""
    """What directories, tables and goals call the result; empty for the method and what differs from its defaults."""

    def __post_init__(self) -> None:
        if self.method not in ("none", *ONCE, *IN_ROUNDS):
            raise ValueError(
                f"unknown identification {self.method!r}; accepted: {', '.join(('none', *ONCE, *IN_ROUNDS))}"
            )
        for name, low, high in (("episodes", 1, 100_000), ("rounds", 2, 1000)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from {low} to {high}")
        if min(self.episodes_spent, self.steps_spent) < 0:
            raise ValueError("episodes_spent and steps_spent must be 0 or more")
        if (self.method in ONCE) != bool(self.policy):
            accepted = "none" if self.policy else "a run on the source, or a cell of the study"
            raise ValueError(f"policy is {self.policy!r} and the method {self.method}; accepted: {accepted}")
        if self.name and (self.method == "none" or not _NAME.match(self.name)):
            raise ValueError(
                f"name of an identification is {self.name!r}; accepted: with a method, a letter, then letters, digits, "
                "_ . or -"
            )
        if self.search:
            parse_search(self.search)

    @property
    def label(self) -> str:
        """Short name for paths and tables: its own, or the method and what differs from its defaults."""
        if self.name or self.method == "none":
            return self.name
        parts = [self.method]
        if self.search:
            parts.append(f"[{';'.join(text.replace(' ', '') for text in self.search)}]")
        defaults = IdentifyConfig
        if self.episodes != defaults.episodes:
            parts.append(f"-{self.episodes}episodes")
        if self.method in IN_ROUNDS and self.rounds != defaults.rounds:
            parts.append(f"-{self.rounds}rounds")
        return "".join(parts)


@dataclass(frozen=True)
class Search:
    """Parameters and the ranges in which they are sought."""

    drawn: tuple[tuple[str, str], ...]
    """Each one's name and operation."""
    low: Array
    high: Array

    def operands(self, unit: Array) -> Array:
        """Operands of unit coordinates ``(..., p)``."""
        return np.asarray(self.low + unit * (self.high - self.low))

    def unit(self, operands: Array) -> Array:
        """Unit coordinates of operands ``(..., p)``, cut to the range."""
        return np.asarray(np.clip((operands - self.low) / (self.high - self.low), 0, 1))

    @property
    def nominal(self) -> Array:
        """Where nothing is changed, in unit coordinates; the middle for a parameter that is set."""
        neutral = {"*": 1.0, "+": 0.0}
        middle = (self.low + self.high) / 2
        operands = [neutral.get(operation, middle[i]) for i, (_, operation) in enumerate(self.drawn)]
        return self.unit(np.array(operands))


def parse_search(texts: Sequence[str]) -> Search:
    """Read search ranges in the notation of draws, of which only the bounds count.

    Raises:
        ValueError: one that cannot be read, is empty, or a parameter twice.
    """
    draws = [parse_draw(text) for text in texts]
    names = [draw.name for draw in draws]
    for text, draw in zip(texts, draws, strict=True):
        low, high = draw.distribution.support
        if low == high or names.count(draw.name) > 1:
            raise ValueError(f"search {text!r}: accepted: each parameter once, with a range such as uniform(0.5, 2)")
    bounds = np.array([draw.distribution.support for draw in draws], np.float64)
    return Search(tuple((draw.name, draw.operation) for draw in draws), bounds[:, 0], bounds[:, 1])


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions in unit coordinates, cut off outside the search range."""

    mean: Array
    std: Array
    """Zero for a point."""

    def quantile(self, u: Array) -> Array:
        """Parameters ``(m, p)`` in unit coordinates of uniform numbers ``(m, p)``."""
        columns = [
            TruncatedNormal(mean, std, 0, 1).quantile(u[:, i]) if std > 0 else np.full(len(u), mean)
            for i, (mean, std) in enumerate(zip(self.mean, self.std, strict=True))
        ]
        return np.stack(columns, axis=1)

    def draws(self, search: Search) -> tuple[str, ...]:
        """The distribution in the notation of :func:`randomization.parse_draw`."""
        texts = []
        width = search.high - search.low
        for (name, operation), mean, std, low, high in zip(
            search.drawn, search.operands(self.mean), self.std * width, search.low, search.high, strict=True
        ):
            law = (
                f"truncnormal({mean:.6g}, {std:.6g}, {low:g}, {high:g})"
                if std > 0
                else f"uniform({mean:.6g}, {mean:.6g})"
            )
            texts.append(f"{name} {operation} {law}")
        return tuple(texts)


def subset(count: int, most: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of at most ``most`` of ``count`` transitions, drawn without repetition, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
