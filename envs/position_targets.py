"""Robots whose joints follow position targets: their models are checked, and all get the same meaning of an action."""

from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np


def load_robot(xml: Path, joints: Sequence[str], standing: Sequence[float], scales: Sequence[float]) -> mujoco.MjModel:
    """Compile ``xml`` so that an action ``a`` from −1 to 1 sends a joint to its angle ``standing`` + ``scale`` · ``a``.

    The file's position actuators keep their gain, damping and largest torque. A file without a camera ``track`` gets
    one that looks along y. The ground's friction holds in its contacts, whatever the robot's: see
    :func:`_prefer_ground`. The file may be a stranger's: MJCF runs no code.

    Raises:
        ValueError: it cannot be compiled, or it is not one free body with position actuators on ``joints``.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(xml))
        if all(camera.name != "track" for camera in spec.cameras):
            mode = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
            spec.worldbody.add_camera(name="track", mode=mode, pos=(0, -2.6, 0.9), xyaxes=(1, 0, 0, 0, 0.1, 1))
        model = spec.compile()
    except ValueError as error:
        raise ValueError(f"model {str(xml)!r} cannot be compiled: {' '.join(str(error).split())}") from None
    fault = _fault(model, joints)
    if fault:
        raise ValueError(f"model {str(xml)!r}: {fault}")
    _prefer_ground(model)
    kp = model.actuator_gainprm[:, 0].copy()
    model.actuator_gainprm[:, 0] = kp * scales
    model.actuator_biasprm[:, 0] = kp * standing
    model.actuator_ctrlrange[:] = (-1, 1)
    model.actuator_ctrllimited[:] = True
    return model


def _prefer_ground(model: mujoco.MjModel) -> None:
    """Raise the priority of the world's geoms above that of the robot's, so that a shift of their friction has effect.

    Where the robot's feet had the higher one, as MuJoCo Menagerie's have, the ground takes over what they made of their
    contacts, which stay as they were.
    """
    ground = model.geom_bodyid == 0
    foot = int(np.argmax(np.where(ground, -1, model.geom_priority)))
    top = model.geom_priority[foot]
    for geom in np.flatnonzero(ground & (model.geom_priority <= top)):
        if model.geom_priority[geom] < top:
            for field in (model.geom_condim, model.geom_friction, model.geom_solref, model.geom_solimp):
                field[geom] = field[foot]
        model.geom_priority[geom] = top + 1


def _fault(model: mujoco.MjModel, joints: Sequence[str]) -> str:
    """Why this is not one free body with position actuators on ``joints``, or nothing."""
    free, *found = [model.joint(joint) for joint in range(model.njnt)] or [None]
    if free is None or free.type != mujoco.mjtJoint.mjJNT_FREE:
        return "its first joint must be a free one"
    names = [joint.name for joint in found]
    if names != [*joints] or any(joint.type != mujoco.mjtJoint.mjJNT_HINGE for joint in found):
        return f"its other joints are {', '.join(names) or 'none'}; accepted: hinges {', '.join(joints)}"
    driven = [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]]
    if driven != names or (model.actuator_trntype != mujoco.mjtTrn.mjTRN_JOINT).any():
        return f"its {model.nu} actuators must drive one joint each, in the order of the joints: {', '.join(joints)}"
    kp = model.actuator_gainprm[:, 0]
    follows = (
        (model.actuator_dyntype == mujoco.mjtDyn.mjDYN_NONE)
        & (model.actuator_gaintype == mujoco.mjtGain.mjGAIN_FIXED)
        & (model.actuator_biastype == mujoco.mjtBias.mjBIAS_AFFINE)
        & (kp > 0)
        & (model.actuator_biasprm[:, 0] == 0)
        & (model.actuator_biasprm[:, 1] == -kp)
        & (model.actuator_gear[:, 0] == 1)
    )
    if not follows.all():
        actuator = joints[int(np.argmin(follows))]
        return f"the actuator of {actuator} must follow a position (<position kp=…>, gear 1, no time constant)"
    return ""
