"""Domain randomisation from distributions that never change; uniform ones unless told otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from randomization.distributions import Array
from randomization.parameters import Draw

Keys = npt.NDArray[np.int64]
"""Rows ``(n, 2)`` of (environment, episode)."""


class FixedRandomizer:
    """Independent draws, each a function of (seed, environment, episode) and of nothing else."""

    def __init__(self, draws: Sequence[Draw], seed: int) -> None:
        """``draws`` must name each parameter once.

        Raises:
            ValueError: there is nothing to draw, or a parameter twice.
        """
        self.draws = named_once(draws)
        self.seed = seed

    def bounds(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Smallest and largest operand of each (parameter, operation)."""
        return supports(self.draws)

    def sample(self, keys: Keys) -> dict[tuple[str, str], Array]:
        """Operands ``(n,)`` for ``keys`` ``(n, 2)`` of (environment, episode)."""
        return operands(self.draws, keyed_uniforms(self.seed, keys, len(self.draws)))

    def observe(self, keys: Keys, parameters: Mapping[str, Array], returns: Array) -> None:
        """Fixed distributions learn nothing."""

    def metrics(self) -> dict[str, float]:
        """Nothing moves."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


def named_once(draws: Sequence[Draw]) -> tuple[Draw, ...]:
    """The draws, of which there must be one, and each of another parameter.

    Raises:
        ValueError: there is nothing to draw, or a parameter twice.
    """
    names = [draw.name for draw in draws]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not draws or repeated:
        problem = f"{', '.join(repeated)} drawn twice" if repeated else "nothing to draw"
        raise ValueError(f"randomisation: {problem}; name each physical parameter once")
    return tuple(draws)


def supports(draws: Sequence[Draw]) -> dict[tuple[str, str], tuple[float, float]]:
    """Smallest and largest operand of each (parameter, operation)."""
    return {(draw.name, draw.operation): draw.distribution.support for draw in draws}


def keyed_uniforms(seed: int, keys: Keys, count: int) -> Array:
    """``(count, n)`` uniform numbers, column ``i`` of which depends on ``seed`` and ``keys[i]`` alone."""
    # One packed row for each draw: where NumPy fears that a strided array overlaps its result it computes powers
    # without SIMD, to another last bit, and whether it does depends on where the allocator put the two.
    u = np.empty((count, len(keys)))
    for i, (env, episode) in enumerate(keys):
        u[:, i] = np.random.default_rng((seed, int(env), int(episode))).random(count)
    return u


def operands(draws: Sequence[Draw], positions: Array) -> dict[tuple[str, str], Array]:
    """Operands ``(n,)`` of each draw at ``positions`` ``(draws, n)`` between 0 and 1 of its distribution."""
    return {
        (draw.name, draw.operation): draw.distribution.quantile(row) for draw, row in zip(draws, positions, strict=True)
    }
