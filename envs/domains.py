"""Domains: named sets of physical shifts of a figure.

A domain is written as text: a name that the figure declares (``nominal``, ``source``, ``target``), shifts,
or both, separated by commas::

    source
    source, torso_mass+1
    foot_friction*0.5, gravity=3.7

A shift is a physical parameter of :mod:`envs.parameters`, one of ``=`` (set), ``+`` or ``-`` (add) and ``*``
(scale), and a number. It acts on the value of the named domain, or on the figure's own.

``actuator_delay=2`` (environment steps) and ``sensor_noise=0.01`` (standard deviation) stand beside the shifts: what
no physical parameter can express; see :mod:`envs.disturbances`.
"""

import copy
import operator
import re
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from envs.parameters import FIELDS, find_parameter, operate, physical_parameters, write_parameters
from envs.task import Array, Task, load_model

_SHIFT = re.compile(r"^(?P<name>[A-Za-z_]\w*?)\s*(?P<operation>[=+*-])\s*(?P<value>[^=*\s][^=*]*)$")

DISTURBANCES = ("actuator_delay", "sensor_noise")
MAX_DELAY = 1000  # environment steps; only so that a mistyped one does not fill the memory


@dataclass(frozen=True)
class Domain:
    """Shifts ``(parameter, operation, value)``, applied in order to a figure's model."""

    text: str
    """The domain as it was written: its name in files and tables."""
    shifts: tuple[tuple[str, str, float], ...]
    actuator_delay: int = 0
    """Environment steps until a command reaches the motors."""
    sensor_noise: float = 0.0
    """Standard deviation of the noise on every entry of an observation."""

    def __post_init__(self) -> None:
        if not 0 <= self.actuator_delay <= MAX_DELAY:
            raise ValueError(f"domain {self.text!r}: actuator_delay must be from 0 to {MAX_DELAY} steps")
        if not self.sensor_noise >= 0:
            raise ValueError(f"domain {self.text!r}: sensor_noise must be 0 or more")


def parse_domain(text: str, task: Task) -> Domain:
    """Read a domain's text.

    Raises:
        ValueError: an unknown name, parameter or operation, or a value that is not a finite number.
    """
    shifts: list[tuple[str, str, float]] = []
    disturbances: dict[str, Any] = dict.fromkeys(DISTURBANCES, 0)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for position, part in enumerate(parts):
        if position == 0 and part in task.domains:
            named = parse_domain(task.domains[part], task)
            shifts.extend(named.shifts)
            disturbances = {name: getattr(named, name) for name in DISTURBANCES}
            continue
        match = _SHIFT.match(part)
        if match is None:
            raise ValueError(
                f"domain {text!r}: cannot read {part!r} (accepted: first a name of "
                f"{', '.join(task.domains)}; then shifts such as torso_mass+1, foot_friction*0.5, gravity=3.7, "
                "actuator_delay=2, sensor_noise=0.01)"
            )
        name, operation, number = match["name"], match["operation"], match["value"]
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"domain {text!r}: {number!r} in {part!r} is not a number") from None
        if not np.isfinite(value):
            raise ValueError(f"domain {text!r}: {part!r} is not finite")
        if name in DISTURBANCES:
            whole = name == "actuator_delay"
            if operation != "=" or (whole and value != int(value)):
                kind = "a whole number of steps" if whole else "a standard deviation"
                raise ValueError(f"domain {text!r}: cannot read {part!r}; accepted: {name}= and {kind}")
            disturbances[name] = int(value) if whole else value
            continue
        if operation == "-":
            operation, value = "+", -value
        shifts.append((name, operation, value))
    return Domain(text if parts else "nominal", tuple(shifts), **disturbances)


def domain_model(task: Task, domain: Domain | str, mass_only: bool = False) -> mujoco.MjModel:
    """The task's model with the domain's shifts applied and all derived constants recomputed.

    Raises:
        ValueError: a shift names no parameter of this figure, or makes it unphysical.
    """
    domain = parse_domain(domain, task) if isinstance(domain, str) else domain
    model = load_model(task)
    parameters = physical_parameters(model)
    values: dict[str, Array] = {}
    for name, operation, operand in domain.shifts:
        try:
            parameter = find_parameter(parameters, name)
            nominal = float(values[name][0]) if name in values else parameter.nominal
            values[name] = np.atleast_1d(operate(operation, nominal, operand))
            parameter.check(float(values[name][0]))
        except ValueError as error:
            raise ValueError(f"domain {domain.text!r} of {task.name}: {error}") from None
    pristine = copy.copy(model)
    touched = {name for fields in FIELDS.values() for name in fields}
    fields = {name: operator.attrgetter(name)(model)[None] for name in touched}
    write_parameters(pristine, parameters, values, fields, np.zeros(1, np.intp), mass_only)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    # MuJoCo must not quietly put a diverged simulation back to its reference pose; and looking for islands of
    # constraints costs 9 % of a step and finds one where there is one body tree: the results are the same bits.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET | mujoco.mjtDisableBit.mjDSBL_ISLAND
    return model
