"""Grids of shifted physics: how a sweep is written, and the cells that it has.

An axis is written ``PARAMETERS OPERATION LOW:HIGH:COUNT``: ``COUNT`` values, evenly from ``LOW`` to ``HIGH``, that are
added to the domain's own value of a physical parameter (``torso_mass=-1.5:3:19`` or ``torso_mass+-1.5:3:19``), that it
is scaled by (``torso_mass*0.5:2:16``), or that it is set to (``torso_mass==0.1:3:15``). Several parameters, separated
by commas, move together: ``foot_friction,floor_friction*0.3:2:15``.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

import envs
from envs.domains import domain_model, parse_domain
from envs.parameters import find_parameter, operate, physical_parameters

Array = npt.NDArray[np.float64]

MOST_VALUES, MOST_CELLS = 1000, 100_000
"""Of an axis, and of a grid."""
ACCEPTED = "torso_mass=-1.5:3:19 (added, as with +), torso_mass*0.5:2:16 (scaled) or torso_mass==0.1:3:15 (set)"
_AXIS = re.compile(
    r"^\s*(?P<names>[A-Za-z_]\w*(\s*,\s*[A-Za-z_]\w*)*)\s*(?P<operation>==|=|\+|\*)"
    r"(?P<low>[^:]+):(?P<high>[^:]+):(?P<count>[^:]+)$"
)
_OPERATIONS = {"=": "+", "+": "+", "*": "*", "==": "="}
_WORDS = {"+": "add", "*": "scale", "=": "set"}
_UNITS = {"mass": "kg", "damping": "N·m·s/rad", "gear": "N·m", "gravity": "m/s²"}


@dataclass(frozen=True)
class Axis:
    """Physical parameters that are shifted together, and by what."""

    names: tuple[str, ...]
    operation: str
    """``+``, ``*`` or ``=``, as :func:`envs.parameters.operate` takes it."""
    low: float
    high: float
    count: int

    @cached_property
    def values(self) -> tuple[float, ...]:
        """Operands, ascending; of twelve digits, so that their text is short and reads back as the same number."""
        return tuple(float(f"{value:.12g}") for value in np.linspace(self.low, self.high, self.count))

    def text(self, operand: float) -> str:
        """One operand in a domain's notation."""
        form = f"{operand:+.12g}" if self.operation == "+" else f"{self.operation}{operand:.12g}"
        return ", ".join(f"{name}{form}" for name in self.names)

    def short(self, operand: float) -> str:
        """One operand without the parameters' names: ``+0.5``, ``×2`` or ``=3``."""
        text = f"{operand:+.4g}" if self.operation == "+" else f"{operand:.4g}"
        return {"+": "", "*": "\u00d7", "=": "="}[self.operation] + text.replace("-", "\u2212")

    @property
    def written(self) -> str:
        """The axis in the notation of :func:`parse_axis`."""
        operation = "==" if self.operation == "=" else self.operation
        return f"{','.join(self.names)}{operation}{self.low:.12g}:{self.high:.12g}:{self.count}"

    @property
    def slug(self) -> str:
        """For names of files."""
        values = f"{self.low:.12g}_{self.high:.12g}_{self.count}"
        return f"{','.join(self.names)}-{_WORDS[self.operation]}_{values}"

    @property
    def label(self) -> str:
        """What a chart says along the axis, with the unit."""
        names = ", ".join(self.names)
        if self.operation == "*":
            return f"factor on {names}"
        unit = _UNITS.get(self.names[0].rpartition("_")[2], "")
        return f"{'shift of ' if self.operation == '+' else ''}{names}{f' ({unit})' if unit else ''}"


def parse_axis(text: str) -> Axis:
    """Read one axis.

    Raises:
        ValueError: not of the form above, bounds that are not finite or not ascending, or an impossible count.
    """
    match = _AXIS.match(text)
    if match is None:
        raise ValueError(f"sweep {text!r} cannot be read; accepted: parameter and low:high:count, such as {ACCEPTED}")
    try:
        low, high = float(match["low"]), float(match["high"])
    except ValueError:
        raise ValueError(f"sweep {text!r}: low and high must be numbers; accepted: such as {ACCEPTED}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"sweep {text!r}: low must be below high, and both finite")
    count = match["count"].strip()
    if not (count.isascii() and count.isdigit() and 2 <= int(count) <= MOST_VALUES):
        raise ValueError(f"sweep {text!r}: count is {count}; it must be a whole number from 2 to {MOST_VALUES}")
    names = tuple(name.strip() for name in match["names"].split(","))
    return Axis(names, _OPERATIONS[match["operation"]], low, high, int(count))


@dataclass(frozen=True)
class Grid:
    """Every combination of one or two axes' values, as shifts of ``base``. Cell 0 is ``base`` itself."""

    figure: str
    base: str
    """A domain."""
    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.axes) <= 2:
            raise ValueError(f"a sweep of {len(self.axes)} axes; accepted: one or two")
        names = [name for axis in self.axes for name in axis.names]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sweep: {repeated[0]} is shifted twice; accepted: each parameter once")
        cells = math.prod(axis.count for axis in self.axes)
        if cells > MOST_CELLS:
            raise ValueError(f"sweep: {cells:,} cells; it must be at most {MOST_CELLS:,}")
        task = envs.task_of(self.figure)
        parameters = physical_parameters(domain_model(task, self.base))
        shifted = {name for name, _, _ in parse_domain(self.base, task).shifts}
        for axis in self.axes:
            for name in axis.names:
                if name in shifted and name.endswith("_inertia"):  # a factor on what the base's model has already
                    raise ValueError(f"sweep {axis.written}: {self.base!r} shifts {name} itself; accepted: one of both")
                try:
                    parameter = find_parameter(parameters, name)
                    for operand in (axis.low, axis.high):
                        parameter.check(float(operate(axis.operation, parameter.nominal, operand)))
                except ValueError as error:
                    raise ValueError(f"sweep {axis.written} of {self.base}: {error}") from None

    @cached_property
    def _own(self) -> dict[str, float]:
        """The base's own value of each parameter."""
        parameters = physical_parameters(domain_model(envs.task_of(self.figure), self.base))
        return {name: parameter.nominal for name, parameter in parameters.items()}

    @cached_property
    def origin(self) -> tuple[float, ...]:
        """The operands that change nothing: of each axis 0, 1, or the base's own value (of its first parameter)."""
        return tuple({"+": 0.0, "*": 1.0, "=": self._own[axis.names[0]]}[axis.operation] for axis in self.axes)

    @cached_property
    def operands(self) -> Array:
        """Of each cell but the first, ``(cells, axes)``; the last axis changes fastest."""
        return np.array(list(product(*(axis.values for axis in self.axes))))

    def domain(self, cell: int) -> str:
        """A cell in a domain's notation."""
        if cell == 0:
            return self.base
        shifts = (axis.text(float(v)) for axis, v in zip(self.axes, self.operands[cell - 1], strict=True))
        return ", ".join((self.base, *shifts))

    @property
    def slug(self) -> str:
        """Figure, base and axes as a name of files."""
        base = re.sub(r"\s+", "", self.base).replace("/", "_")
        return "-".join((self.figure, base, *(axis.slug for axis in self.axes))).replace("*", "x")

    def as_operands(self, parameter: str, axis: Axis, values: Sequence[float]) -> list[float]:
        """Absolute values of a parameter as operands of ``axis``; NaN where no factor leads to a value."""
        own = self._own[parameter]
        if axis.operation == "+":
            return [value - own for value in values]
        if axis.operation == "*":
            return [value / own if own else math.nan for value in values]
        return list(values)


class CellShifts:
    """The physics of a part of a grid: simulation ``i`` is of cell ``i // episodes``; surplus ones are of the last."""

    def __init__(self, grid: Grid, operands: Array, episodes: int) -> None:
        """``operands`` are rows of :attr:`Grid.operands`, one a cell."""
        self._of = {
            (name, axis.operation): operands[:, column] for column, axis in enumerate(grid.axes) for name in axis.names
        }
        self._episodes = episodes

    def bounds(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Smallest and largest operand of each (parameter, operation)."""
        return {key: (float(values.min()), float(values.max())) for key, values in self._of.items()}

    def sample(self, keys: npt.NDArray[np.int64]) -> dict[tuple[str, str], Array]:
        """Operands ``(n,)`` for ``keys`` ``(n, 2)`` of (environment, episode)."""
        cells = keys[:, 0] // self._episodes
        return {name: values[np.minimum(cells, len(values) - 1)] for name, values in self._of.items()}

    def observe(self, keys: object, parameters: object, returns: object) -> None:
        """A grid learns nothing."""

    def metrics(self) -> dict[str, float]:
        """Nothing moves."""
        return {}

    def state_dict(self) -> dict[str, object]:
        """Nothing is learned."""
        return {}

    def load_state_dict(self, state: object) -> None:
        """Nothing to restore."""
