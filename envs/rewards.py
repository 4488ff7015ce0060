"""Reward terms that figures share, in the arithmetic of Gymnasium's environments."""

from typing import Any

import numpy as np
import numpy.typing as npt

from envs.task import Array

OFF = -np.inf
"""A minimum speed that no step is slower than."""


def control_cost(weight: float, action: npt.NDArray[np.floating[Any]]) -> Array:
    """``weight`` times the sum of squared controls ``(n, actuators)``: ``(n,)``."""
    # Gymnasium sums the squares in the action's own precision, then multiplies by a Python number: for float32 actions
    # that is a float64 under NumPy 1 and a float32 from NumPy 2 on.
    precision = (1.0 * action.dtype.type(1)).dtype
    squares = np.sum(np.square(action), axis=1).astype(precision)
    return np.asarray((weight * squares).astype(np.float64))


def above_speed(minimum: float, speed: Array, forward: Array, survive: Array) -> tuple[Array, Array]:
    """The rewards for moving and for staying upright, ``(n,)`` each, where ``speed`` in m/s is at least ``minimum``.

    A slower step earns neither, so that standing still is worth nothing; moving backwards still costs.
    """
    slow = speed < minimum
    return np.where(slow, np.minimum(forward, 0.0), forward), np.where(slow, 0.0, survive)
