"""Simulations that start from given states with given physics: what identification compares with the target."""

from collections.abc import Callable, Mapping, Sequence

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from envs.batched import DIVERGED
from envs.domains import domain_model, parse_domain
from envs.parameters import FIELDS, find_parameter, operate, physical_parameters, write_parameters
from envs.task import CONTACT_FORCES, Array, Task

Act = Callable[[Array, int], npt.NDArray[np.floating[npt.NBitBase]]]
"""Actions ``(n, actuators)`` for observations ``(n, size)`` at a step."""


class Simulator:
    """The figure of ``task`` in ``domain``, with operands of ``drawn`` ``(parameter, operation)`` chosen at each call.

    A state is positions then velocities, ``nq + nv`` numbers. What diverges is cut to a large finite number.
    """

    def __init__(
        self,
        task: Task,
        domain: str,
        drawn: Sequence[tuple[str, str]],
        mass_only: bool = False,
        num_threads: int = 1,
    ) -> None:
        """See :func:`envs.make_vec`.

        Raises:
            ValueError: an unknown domain, parameter or operation.
        """
        self.task, self.drawn, self.mass_only, self.num_threads = task, tuple(drawn), mass_only, num_threads
        self.domain = parse_domain(domain, task)
        self.model = domain_model(task, self.domain, mass_only)
        self.dt = float(self.model.opt.timestep) * task.frame_skip
        self._parameters = physical_parameters(self.model)
        for name, operation in self.drawn:
            operate(operation, find_parameter(self._parameters, name).nominal, 1.0)

    def check(self, low: Array, high: Array) -> None:
        """Raise ``ValueError`` unless all operands between ``low`` and ``high`` are physical."""
        for (name, operation), *ends in zip(self.drawn, low, high, strict=True):
            parameter = self._parameters[name]
            for end in ends:
                parameter.check(float(operate(operation, parameter.nominal, end)))

    def check_whole(self, observed: bool = False) -> None:
        """Raise ``ValueError`` where these simulations lack a part of the environment's.

        Such are the domain's delay and noise, which are of whole episodes, and contact forces, which matter where a
        policy has ``observed`` them.
        """
        if self.domain.actuator_delay or self.domain.sensor_noise:
            raise ValueError(
                f"domain {self.domain.text!r}: simulations from given states have no actuator_delay and no "
                "sensor_noise; accepted: a domain without them"
            )
        if not observed or CONTACT_FORCES not in self.task.fields:
            return
        data = mujoco.MjData(self.model)
        try:
            self.task.observe({name: getattr(data, name)[None] for name in self.task.fields if name != CONTACT_FORCES})
        except KeyError:
            raise ValueError(
                f"{self.task.name} observes contact forces, which simulations from given states do not have; "
                "accepted: a figure that observes none, such as ant[contact_forces=none]"
            ) from None

    def next_states(self, operands: Array, states: Array, actions: Array) -> Array:
        """Where each of ``m`` physics takes each of ``n`` states in one environment step.

        Args:
            operands: ``(m, drawn)``.
            states: ``(n, nq + nv)``.
            actions: ``(n, actuators)``.

        Returns:
            ``(m, n, nq + nv)``.

        Raises:
            ValueError: see :meth:`check_whole`.
        """
        self.check_whole()
        batch, start = self._batch(operands)
        qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
        found = np.empty((len(operands), len(states), states.shape[1]))
        for i, (state, action) in enumerate(zip(states, actions, strict=True)):
            batch.state[:] = start
            qpos[:], qvel[:], ctrl[:] = state[: self.model.nq], state[self.model.nq :], action
            batch.step(nstep=self.task.frame_skip)
            found[:, i] = np.concatenate((qpos, qvel), axis=1)
        return _finite(found)

    def trajectories(self, operands: Array, starts: Array, steps: int, act: Act) -> Array:
        """Let a policy act from each of ``e`` starts under each of ``m`` physics; falls end nothing.

        Args:
            operands: ``(m, drawn)``.
            starts: ``(e, nq + nv)``.
            steps: environment steps.
            act: the policy, called with observations of all ``m * e`` simulations.

        Returns:
            The states after each step, ``(m, e, steps, nq + nv)``.

        Raises:
            ValueError: see :meth:`check_whole`.
        """
        self.check_whole(observed=True)
        count = len(starts)
        batch, _ = self._batch(np.repeat(operands, count, axis=0))
        qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
        fields = {name: batch.bind(name) for name in self.task.fields}
        state = np.tile(starts, (len(operands), 1))
        qpos[:], qvel[:] = state[:, : self.model.nq], state[:, self.model.nq :]
        batch.forward()
        found = np.empty((len(state), steps, state.shape[1]))
        for step in range(steps):
            ctrl[:] = act(_finite(self.task.observe(fields)), step)
            batch.step(nstep=self.task.frame_skip)
            found[:, step] = np.concatenate((qpos, qvel), axis=1)
        return _finite(found).reshape(len(operands), count, steps, -1)

    def _batch(self, operands: Array) -> tuple[Batch, Array]:
        """One simulation for each row of operands, and the state that they start from."""
        batch = Batch(self.model, len(operands), self.num_threads)
        values: Mapping[str, Array] = {
            name: operate(operation, self._parameters[name].nominal, operands[:, i])
            for i, (name, operation) in enumerate(self.drawn)
        }
        names = {field for name in values for field in FIELDS[self._parameters[name].quantity]}
        fields = {name: batch.expand(name) for name in sorted(names)}
        rows = np.arange(len(operands), dtype=np.int32)
        write_parameters(self.model, self._parameters, values, fields, rows, self.mass_only)
        batch.set_const(rows)
        return batch, batch.state.copy()


def _finite(states: Array) -> Array:
    return np.clip(np.nan_to_num(states, nan=DIVERGED, posinf=DIVERGED, neginf=-DIVERGED), -DIVERGED, DIVERGED)
