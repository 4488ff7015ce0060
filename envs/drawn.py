"""The physical parameters that a randomizer draws, in every simulation of a batch."""

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from envs.parameters import FIELDS, find_parameter, operate, physical_parameters, write_parameters
from envs.randomizer import Randomizer
from envs.task import Array


class DrawnParameters:
    """Each simulation's own values of what ``randomizer`` draws, as parameters and as fields of its model."""

    def __init__(self, model: mujoco.MjModel, batch: Batch, randomizer: Randomizer | None, mass_only: bool) -> None:
        """Check that all that can be drawn is physical.

        Raises:
            ValueError: a parameter that the model does not have, or an operand that leaves nothing physical.
        """
        self._model, self._batch, self._randomizer, self._mass_only = model, batch, randomizer, mass_only
        self._nominal = physical_parameters(model)
        self.values: dict[str, Array] = {}
        """Absolute value of every drawn parameter, ``(num_envs,)`` each."""
        names: set[str] = set()
        bounds = {} if randomizer is None else randomizer.bounds()
        for (name, operation), operands in bounds.items():
            parameter = find_parameter(self._nominal, name)
            for operand in operands:
                parameter.check(float(operate(operation, parameter.nominal, operand)))
            names.update(FIELDS[parameter.quantity])
        self._fields: dict[str, npt.NDArray[Any]] = {name: batch.expand(name) for name in sorted(names)}

    def draw(self, ids: npt.NDArray[np.int32], keys: npt.NDArray[np.int64]) -> None:
        """Give simulations ``ids`` the parameters of episodes ``keys``."""
        if self._randomizer is not None:
            drawn = self._randomizer.sample(keys).items()
            self.write(ids, {name: operate(how, self._nominal[name].nominal, by) for (name, how), by in drawn})

    def write(self, ids: npt.NDArray[np.int32], values: Mapping[str, Array]) -> None:
        """Give simulations ``ids`` absolute parameter ``values``, each ``(n,)``."""
        for name, value in values.items():
            self.values.setdefault(name, np.full(self._batch.state.shape[0], np.nan))[ids] = value
        write_parameters(self._model, self._nominal, values, self._fields, ids, self._mass_only)
        self._batch.set_const(ids)

    def masses(self, ids: npt.NDArray[np.int32]) -> Array:
        """Mass of each body of simulations ``ids``, ``(n, bodies)``."""
        drawn = self._fields.get("body_mass")
        return np.tile(self._model.body_mass, (len(ids), 1)) if drawn is None else drawn[ids]
