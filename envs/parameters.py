"""Physical parameters of a model by name: where they live in the model, what they may be, how to set them.

Names are ``<element>_<quantity>``: ``torso_mass``, ``torso_inertia``, ``foot_friction``,
``thigh_joint_damping``, ``thigh_joint_gear``, and ``gravity``. A body without a name has that of its joint, a geom
without one that of its body, with a number where that has several. There is no friction of a geom that touches nothing,
and no damping of a joint that has neither damping nor a motor. A value is absolute but for inertia's, in SI units:

========== ==========================================================================================
mass        kg; the body's inertia follows as if the XML had been edited, unless ``mass_only``
inertia     factor on the inertia that the body's mass and shape imply (nominal 1); what is drawn in a domain that
            shifts it multiplies the domain's
friction    sliding friction coefficient of a geom; a contact has that of its geom with the higher ``priority`` in the
            MJCF, and where these are equal, as in all figures but anymal_c, the larger one
damping     N·m·s/rad (or N·s/m) of a joint
gear        N·m (or N) of a motor at full control
stiffness   N·m/rad (or N/m) of an actuator that follows a position: its gain kp
strength    N·m (or N) that such an actuator is limited to
gravity     m/s², downwards
========== ==========================================================================================
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from envs.task import Array

POSITIVE = ("mass", "inertia", "gear", "stiffness", "strength")
"""Quantities that must be above zero; the others must not be negative."""


@dataclass(frozen=True)
class Parameter:
    """One physical parameter: where it lives in the model, and its value there."""

    name: str
    quantity: str
    field: str
    """MjModel field, as :meth:`mujoco.batch.Batch.expand` names it."""
    index: int
    """Row of the field."""
    nominal: float

    def check(self, value: float) -> None:
        """Raise ``ValueError`` unless ``value`` is physical."""
        positive = self.quantity in POSITIVE
        if not np.isfinite(value) or value < 0 or (positive and value == 0):
            bound = "above 0" if positive else "0 or more"
            raise ValueError(f"{self.name} = {value:g} is not physical: it must be finite and {bound}")


def physical_parameters(model: mujoco.MjModel) -> dict[str, Parameter]:
    """Every parameter of ``model`` that can be shifted or drawn, by name.

    Raises:
        ValueError: two have the same name.
    """
    found: list[Parameter] = []

    def add(element: str, quantity: str, field: str, index: int, nominal: float) -> None:
        name = f"{element}_{quantity}" if element else quantity
        found.append(Parameter(name, quantity, field, index, float(nominal)))

    for body in range(1, model.nbody):
        name = body_name(model, body)
        add(name, "mass", "body_mass", body, model.body_mass[body])
        add(name, "inertia", "body_inertia", body, 1.0)
    for geom in range(model.ngeom):
        if _touches(model, geom):
            add(geom_name(model, geom), "friction", "geom_friction", geom, model.geom_friction[geom, 0])
    driven = [int(joint) for joint in model.actuator_trnid[:, 0]]
    for joint in range(model.njnt):
        dof = int(model.jnt_dofadr[joint])
        if joint in driven or model.dof_damping[dof]:
            add(model.joint(joint).name, "damping", "dof_damping", dof, model.dof_damping[dof])
    for motor, joint in enumerate(driven):
        name = model.joint(joint).name
        if model.actuator_biastype[motor] == mujoco.mjtBias.mjBIAS_NONE:
            add(name, "gear", "actuator_gear", motor, model.actuator_gear[motor, 0])
            continue
        add(name, "stiffness", "actuator_biasprm", motor, -model.actuator_biasprm[motor, 1])
        if model.actuator_forcelimited[motor]:
            add(name, "strength", "actuator_forcerange", motor, model.actuator_forcerange[motor, 1])
    add("", "gravity", "opt.gravity", 0, -model.opt.gravity[2])
    names = [parameter.name for parameter in found]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the model has several of {', '.join(repeated)}; accepted: elements with names of their own")
    return {parameter.name: parameter for parameter in found}


def body_name(model: mujoco.MjModel, body: int) -> str:
    """What a body is called, or its first joint where it has no name, or else its number."""
    name: str = model.body(body).name
    if not name and model.body_jntnum[body]:
        name = model.joint(int(model.body_jntadr[body])).name
    return name or f"body_{body}"


def geom_name(model: mujoco.MjModel, geom: int) -> str:
    """What a geom is called but for ``_geom``, or its body; with a number where several of that have no name."""
    name: str = model.geom(geom).name.removesuffix("_geom")
    if name:
        return name
    body = int(model.geom_bodyid[geom])
    own = [int(g) for g in np.flatnonzero(model.geom_bodyid == body) if not model.geom(int(g)).name]
    nameless = [other for other in own if _touches(model, other)]
    return body_name(model, body) + (f"_{nameless.index(geom) + 1}" if len(nameless) > 1 else "")


def _touches(model: mujoco.MjModel, geom: int) -> bool:
    """Whether any other geom can touch this one."""
    others = np.arange(model.ngeom) != geom
    types, affinities = model.geom_contype, model.geom_conaffinity
    meets = (types[geom] & affinities[others]) | (types[others] & affinities[geom])
    return bool(meets.any())


def find_parameter(parameters: dict[str, Parameter], name: str) -> Parameter:
    """Look up ``name``; a ``ValueError`` names the nearest match and everything accepted."""
    if name in parameters:
        return parameters[name]
    close = difflib.get_close_matches(name, parameters, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ""
    accepted = ", ".join(sorted(parameters))
    raise ValueError(f"unknown physical parameter {name!r}{hint} (accepted: {accepted})")


def operate(operation: str, nominal: float, operand: Array | float) -> Array:
    """Apply ``=`` (set), ``+`` (add) or ``*`` (scale) to the remembered nominal value."""
    operand = np.asarray(operand, np.float64)
    if operation == "=":
        return operand
    if operation == "+":
        return np.asarray(nominal + operand)
    if operation == "*":
        return np.asarray(nominal * operand)
    raise ValueError(f"unknown operation {operation!r}; accepted: = (set), + (add), * (scale)")


FIELDS = {
    "mass": ("body_mass", "body_inertia"),
    "inertia": ("body_inertia",),
    "friction": ("geom_friction",),
    "damping": ("dof_damping",),
    "gear": ("actuator_gear",),
    "stiffness": ("actuator_gainprm", "actuator_biasprm"),
    "strength": ("actuator_forcerange",),
    "gravity": ("opt.gravity",),
}
"""Model fields that a quantity touches."""


def write_parameters(
    model: mujoco.MjModel,
    parameters: Mapping[str, Parameter],
    values: Mapping[str, Array],
    fields: Mapping[str, npt.NDArray[Any]],
    rows: npt.NDArray[np.integer[Any]],
    mass_only: bool = False,
) -> None:
    """Write absolute parameter ``values``, each ``(n,)``, into ``rows`` of model ``fields``.

    ``model`` holds the nominal values and ``parameters`` are its own; both are only read. Constants that MuJoCo
    derives from the fields (``mj_setConst``) are the caller's to recompute. ``mass_only`` leaves inertia
    untouched by mass, as much of the literature does.
    """
    bodies: dict[int, None] = {}
    for name, value in values.items():
        parameter = parameters[name]
        match parameter.quantity:
            case "mass":
                fields["body_mass"][rows, parameter.index] = value
                if not mass_only:
                    bodies[parameter.index] = None
            case "inertia":
                bodies[parameter.index] = None
            case "friction" | "gear":
                fields[parameter.field][rows, parameter.index, 0] = value
            case "damping":
                fields["dof_damping"][rows, parameter.index] = value
            case "stiffness":
                # Of gain · control + bias₀ + bias₁ · position + bias₂ · velocity, only the damping (bias₂) stays.
                factor = (value / parameter.nominal)[:, None]
                row = parameter.index
                fields["actuator_gainprm"][rows, row, :1] = model.actuator_gainprm[row, :1] * factor
                fields["actuator_biasprm"][rows, row, :2] = model.actuator_biasprm[row, :2] * factor
            case "strength":
                fields["actuator_forcerange"][rows, parameter.index] = np.stack((-value, value), axis=1)
            case "gravity":
                fields["opt.gravity"][rows, 2] = -value
    for body in bodies:
        element = body_name(model, body)
        mass = values.get(f"{element}_mass", np.full(len(rows), model.body_mass[body]))
        shape = model.body_inertia[body] if mass_only else body_inertia(model, body, mass)
        factor = values.get(f"{element}_inertia", np.ones(len(rows)))
        fields["body_inertia"][rows, body] = shape * factor[:, None]


def body_inertia(model: mujoco.MjModel, body: int, mass: Array) -> Array:
    """Diagonal inertia ``(n, 3)`` of ``body`` if its mass were ``mass`` ``(n,)``.

    A body of one capsule gets the exact arithmetic of MuJoCo's compiler, so that a mass set at run time
    equals the same model compiled from an edited XML, bit for bit. Any other body keeps its shape and has
    its inertia scaled with its mass, equal to recompiling up to rounding.
    """
    geoms = np.flatnonzero(model.geom_bodyid == body)
    capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
    if len(geoms) == 1 and model.geom_type[geoms[0]] == capsule:
        radius, half_length = model.geom_size[geoms[0], :2]
        nominal = _capsule_inertia(radius, half_length, model.body_mass[body : body + 1])
        if np.array_equal(nominal[0], model.body_inertia[body]):
            return _capsule_inertia(radius, half_length, mass)
    return np.asarray(model.body_inertia[body] * (mass / model.body_mass[body])[:, None])


def _capsule_inertia(radius: float, half_length: float, mass: Array) -> Array:
    """Principal inertia ``(n, 3)`` of solid capsules along z, in the order of operations of MuJoCo's compiler."""
    height = 2 * half_length
    sphere = mass * 4 * radius / (4 * radius + 3 * height)
    cylinder = mass - sphere
    lateral = cylinder * (3 * radius * radius + height * height) / 12
    axial = cylinder * radius * radius / 2
    ball = 2 * sphere * radius * radius / 5
    lateral = lateral + (ball + sphere * height * (3 * radius + 2 * height) / 8)
    return np.stack((lateral, lateral, axial + ball), axis=1)
