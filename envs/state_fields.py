"""What a task reads of every simulation of a batch, also what MuJoCo computes on demand only."""

from collections.abc import Mapping

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from envs.task import CONTACT_FORCES, Array, Task


class StateFields:
    """The MjData fields that ``task`` declares, of every simulation of a batch."""

    def __init__(self, task: Task, model: mujoco.MjModel, num_envs: int, num_threads: int) -> None:
        """Make the batch too, as it depends on the fields what it has to keep."""
        self._model = model
        # Contact forces are computed from all that a step leaves behind, which only a persistent batch keeps.
        self.batch = Batch(model, num_envs, num_threads, persistent=CONTACT_FORCES in task.fields)
        bound = {name: self.batch.bind(name) for name in task.fields}
        self._derived = {name: field for name, field in bound.items() if not field.flags.writeable}
        """Fields that follow from a simulation's state; the batch alone writes them, so they are copied."""
        self.arrays: dict[str, Array] = {
            name: np.zeros_like(field) if name in self._derived else field for name, field in bound.items()
        }
        """Each field, ``(num_envs, *shape)``."""
        self._data = mujoco.MjData(model)

    def start(self, ids: npt.NDArray[np.int32]) -> None:
        """Read what simulations ``ids`` begin with."""
        for name, field in self._derived.items():
            self.arrays[name][ids] = 0.0 if name == CONTACT_FORCES else field[ids]

    def read(self, watched: npt.NDArray[np.bool_]) -> None:
        """Read what the last step computed; contact forces of the ``watched`` simulations only."""
        for name, field in self._derived.items():
            self.arrays[name][:] = field
        if CONTACT_FORCES in self._derived:
            forces = self.arrays[CONTACT_FORCES]
            for i in np.flatnonzero(watched):
                # No force of a contact depends on what may be drawn: each contact has its own friction already.
                mujoco.mj_rnePostConstraint(self._model, self.batch.get_data(i, self._data))
                forces[i] = self._data.cfrc_ext

    def state_dict(self) -> dict[str, Array]:
        """The fields that the physics' own state does not hold."""
        return {name: self.arrays[name].copy() for name in self._derived}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Continue from :meth:`state_dict`."""
        for name in self._derived:
            self.arrays[name][:] = state[name]
