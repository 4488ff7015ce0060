"""The largest ranges of a curriculum as positions from 0 to 1, and where nominal lies in them.

Position ``x`` of a range stands for the operand ``distribution.quantile(x)``: linear in a uniform range, geometric in a
log-uniform one. A curriculum moves within positions and knows no units.
"""

import math
from collections.abc import Sequence

import numpy as np

from randomization.distributions import Array, LogUniform, Uniform
from randomization.parameters import Draw

_NOTHING = {"*": 1.0, "+": 0.0}
"""Operands that leave the nominal value as it is."""


def nominal_positions(draws: Sequence[Draw], method: str) -> Array:
    """Position ``(draws,)`` of the nominal value in each range.

    Raises:
        ValueError: a draw is no range, sets its parameter whatever nominal is, or leaves nominal out.
    """
    return np.array([_nominal_position(draw, method) for draw in draws])


def _nominal_position(draw: Draw, method: str) -> float:
    range_, what = draw.distribution, f"{method}: the draw of {draw.name}"
    if not isinstance(range_, Uniform | LogUniform):
        raise ValueError(
            f"{what} is no range; accepted: the largest one, as uniform(low, high) or loguniform(low, high)"
        )
    if draw.operation not in _NOTHING:
        raise ValueError(f"{what} sets it, and nominal is where {method} starts; accepted: operations + and *")
    nothing, (low, high) = _NOTHING[draw.operation], range_.support
    if not low <= nothing <= high or low == high:
        raise ValueError(f"{what} goes from {low:g} to {high:g}; accepted: a range with nominal, {nothing:g}, in it")
    if isinstance(range_, LogUniform):
        low, nothing, high = math.log(low), math.log(nothing), math.log(high)
    return (nothing - low) / (high - low)
