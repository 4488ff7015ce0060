"""System identification: the one set of parameters that predicts logged transitions best, by ``mujoco.sysid``.

Box-bounded nonlinear least squares (Gauss-Newton, ``mujoco.minimize``) on the differences between predicted and logged
next states in units of ``scale``; all columns of a finite-difference Jacobian are one batch of simulations. The
intervals are those of ``mujoco.sysid.calculate_intervals``: they take the model for right and what is left for noise.
"""

import importlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from randomization.identification import Array, Gaussian, Predict

TRANSITIONS = 1000
"""Of a log, at most."""
_STEP = 1e-4  # of the finite differences, a share of the range: contacts make smaller ones noisy
_FAR = 1e6


@dataclass(frozen=True)
class SysidFit:
    """What least squares found."""

    distribution: Gaussian
    """A point."""
    half_width: Array
    """Of the 95 % intervals of the parameters, in unit coordinates; infinite where the data say nothing."""
    residual: float
    """Root mean square of what is left, in units of the scale."""
    start: float
    """The same where the search began, at least a hundredth of the range away from its ends."""


def fit(predict: Predict, next_states: Array, scale: Array, start: Array) -> SysidFit:
    """Identify parameters ``(p,)`` in unit coordinates, from ``start``.

    Args:
        predict: next states for parameters in unit coordinates.
        next_states: ``(n, d)``, as logged.
        scale: ``(d,)``, the unit of each entry.
        start: ``(p,)``.
    """
    # Not by an import statement: this part of MuJoCo alone is marked as typed, and mypy would hold the rest to that.
    sysid: Any = importlib.import_module("mujoco.sysid")

    def residuals(x: Array) -> Array:
        """Of one vector, or of the columns of a matrix."""
        columns = np.atleast_2d(x.T)
        away = np.clip((predict(columns) - next_states) / scale, -_FAR, _FAR).reshape(len(columns), -1).T
        return np.asarray(away[:, 0] if x.ndim == 1 else away)

    def residual_fn(x: Array, _: Any) -> tuple[list[Array], None, None]:
        return [residuals(x)], None, None

    begin = np.clip(start, 0.01, 0.99)  # least squares stall in a corner of the range
    parameters = sysid.ParameterDict({"all": sysid.Parameter("all", begin, np.zeros_like(begin), np.ones_like(begin))})
    quiet = io.StringIO()  # the solver prints each step, and sysid forwards no switch for that
    found, result = sysid.optimize(
        parameters, residual_fn, optimizer="mujoco", verbose=False, max_iters=50, eps=_STEP, output=quiet
    )
    x = np.clip(found.as_vector(), 0, 1)
    left = residuals(x)
    _, half_width = sysid.calculate_intervals([left], np.asarray(result.jac))
    return SysidFit(Gaussian(x, np.zeros_like(x)), np.asarray(half_width), _rms(left), _rms(residuals(begin)))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
