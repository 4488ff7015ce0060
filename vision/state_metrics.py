"""How far estimated observations of the hopper are from the true ones, entry by entry."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.chain import wrap

Array = npt.NDArray[np.float64]

ENTRIES = (
    "height",
    "pitch",
    "thigh",
    "leg",
    "foot",
    "velocity_x",
    "velocity_z",
    "pitch_rate",
    "thigh_rate",
    "leg_rate",
    "foot_rate",
)
"""The observation's entries."""
UNITS = ("m", *("rad",) * 4, *("m/s",) * 2, *("rad/s",) * 4)
"""Of the entries."""
ANGLES = slice(1, 5)


@dataclass(frozen=True)
class StateMetrics:
    """Errors of each of :data:`ENTRIES`, in its own unit; an error of an angle is taken the short way round."""

    rmse: tuple[float, ...]
    mae: tuple[float, ...]
    """Mean absolute error."""
    r2: tuple[float, ...]
    """Coefficient of determination: 1 less the sum of squared errors over that of the truth about its mean; NaN for
    a truth that never changes."""

    def to_dict(self) -> dict[str, dict[str, float]]:
        """By measure, then by entry."""
        columns = {"rmse": self.rmse, "mae": self.mae, "r2": self.r2}
        return {measure: dict(zip(ENTRIES, values, strict=True)) for measure, values in columns.items()}


def measure_states(estimated: npt.NDArray[np.floating[Any]], true: npt.NDArray[np.floating[Any]]) -> StateMetrics:
    """Compare ``m`` estimated observations with the true ones, each ``(m, 11)``.

    Raises:
        ValueError: other shapes, nothing to compare, or a number that is not finite.
    """
    estimated, true = np.asarray(estimated, np.float64), np.asarray(true, np.float64)
    if estimated.shape != true.shape or true.ndim != 2 or true.shape[1] != len(ENTRIES) or not len(true):
        raise ValueError(
            f"estimated and true have shapes {estimated.shape} and {true.shape}; "
            f"accepted: (m, {len(ENTRIES)}) for both, m of 1 or more"
        )
    for name, states in (("estimated", estimated), ("true", true)):
        bad = np.argwhere(~np.isfinite(states))
        if len(bad):
            row, entry = bad[0]
            raise ValueError(f"{name} {ENTRIES[entry]} of row {row} is {states[row, entry]}; accepted: finite numbers")
    errors = estimated - true
    errors[:, ANGLES] = wrap(errors[:, ANGLES])
    squares = (errors**2).mean(axis=0)
    spread = true.var(axis=0)
    r2 = np.where(spread > 0, 1 - squares / np.where(spread > 0, spread, 1.0), np.nan)
    rmse, mae = np.sqrt(squares), np.abs(errors).mean(axis=0)
    return StateMetrics(*(tuple(float(value) for value in row) for row in (rmse, mae, r2)))
