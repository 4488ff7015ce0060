"""ANYmal C: a quadruped of 52 kg that runs; its twelve joints follow position targets.

The task is that of MUJOCO-AIDL (github.com/danimatasd/MUJOCO-AIDL, PPO in 2023): a step is five physics steps of 2 ms,
and each of the five pays the base's forward speed and its height above half a metre. Episodes last 8 s there: a horizon
of 800 steps. The robot is our own model, ``assets/anymal_c.xml``, or a richer one.

An action moves the target of each joint away from a standing pose. That is the field's practice (legged_gym and Isaac
Lab for this robot, arxiv.org/abs/2109.11978: pose + 0.5 rad · action): a policy that has learned nothing stands while
it tries. Theirs are not clipped and go beyond ±1. Ours end there, so that 1 is a radian, the reach of MUJOCO-AIDL's;
for the hips' abduction it is 0.49 rad, the nearer one of the limits. No target is beyond a joint's limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import mujoco
import numpy as np
import numpy.typing as npt

from envs.options import check_options
from envs.position_targets import load_robot
from envs.task import Array, State

ASSETS = Path(__file__).parent / "assets"
LEGS = ("LF", "RF", "LH", "RH")
"""Left and right, front and hind."""
JOINTS = tuple(f"{leg}_{joint}" for leg in LEGS for joint in ("HAA", "HFE", "KFE"))
"""Hip abduction, hip flexion and knee flexion of each leg: the order of the joints and of the actions."""
# Knees inwards as in legged_gym's pose (0.4 and 0.8 rad), with straighter legs: that one gives way to 0.52 m under kp
# 100, 7 cm above the end of an episode; this one stands at 0.57 m.
STANDING = (0.0, 0.3, -0.5, 0.0, 0.3, -0.5, 0.0, -0.3, 0.5, 0.0, -0.3, 0.5)
"""Angles of the joints in the pose that actions of 0 hold, rad."""
SCALES = (0.49, 1.0, 1.0) * 4
"""How far an action of 1 moves each target, rad."""
START_Z = 0.63
"""Height of the base at a reset, m: the feet are 3.6 cm above the ground, before the noise."""
LEVEL = 0.5
"""Height that pays nothing, m."""

# A load on the back: a fifth of the robot's mass, twice what legged_gym trains for (±5 kg).
DOMAINS = {"nominal": "", "source": "", "target": "base_mass+10"}

X, Z = 0, 2  # of qpos and qvel: m and m/s, forward and up
QUATERNION = slice(3, 7)  # of qpos: the base's orientation


@dataclass(frozen=True)
class AnymalC:
    """Run forward without going down: speed + height − 0.5 m of each physics step, −100 at a fall."""

    ground: Literal["flat", "step"] = "flat"
    """Flat, or with a step of 15 cm, up at 1.5 m and down again at 5.5 m."""
    model: str = ""
    """Another MJCF file of the robot with its ground, such as MuJoCo Menagerie's ``anybotics_anymal_c/scene.xml``.

    Joints and actuators must be those of :data:`JOINTS`; see :func:`envs.position_targets.load_robot`.
    """
    xy: Literal["seen", "hidden"] = "seen"
    """Whether the observation holds the base's place, x and y."""
    forward_reward_weight: float = 1.0
    control_cost_weight: float = 0.0
    fall_cost: float = 100.0
    healthy_z: float = 0.45
    """Lowest height of the base, m, counted from the flat ground."""
    reset_noise: float = 0.02
    """Half-width of the uniform noise on each position and velocity at a reset; the quaternion is then normalised."""

    name: str = field(default="anymal_c", init=False)
    frame_skip: int = field(default=5, init=False)
    fields: tuple[str, ...] = field(default=("qpos", "qvel"), init=False)
    domains: Mapping[str, str] = field(default_factory=lambda: DOMAINS, init=False)
    # The base carries the gap between source and target: drawing it must be declared.
    randomized: tuple[str, ...] = field(
        default=(
            *(f"{leg}_{link}_mass" for leg in LEGS for link in ("HIP", "THIGH", "SHANK")),
            *(f"{joint}_stiffness" for joint in JOINTS),
            "floor_friction",
        ),
        init=False,
    )

    def __post_init__(self) -> None:
        if self.model and self.ground != "flat":
            raise ValueError(f"ground is {self.ground!r}, but model {self.model!r} brings its own; give one of the two")
        check_options(self, "control_cost_weight", "fall_cost", "reset_noise")

    @property
    def xml(self) -> Path:
        """The MJCF file."""
        if self.model:
            return Path(self.model)
        return ASSETS / ("anymal_c.xml" if self.ground == "flat" else "anymal_c_step.xml")

    @property
    def observation_size(self) -> int:
        """Length of one observation."""
        return 37 if self.xy == "seen" else 35

    def load(self) -> mujoco.MjModel:
        """The robot's model, whose controls are actions.

        Raises:
            ValueError: the file is no such robot, or has another time step.
        """
        model = load_robot(self.xml, JOINTS, STANDING, SCALES)
        if model.opt.timestep != 0.002:
            raise ValueError(f"model {str(self.xml)!r}: its time step is {model.opt.timestep:g} s; accepted: 0.002")
        return model

    def observe(self, state: State) -> Array:
        """Place, height, orientation (a quaternion), joint angles, then all velocities: ``(n, 37)``, or 35."""
        first = 0 if self.xy == "seen" else Z
        return np.concatenate((state["qpos"][:, first:], state["qvel"]), axis=1)

    def reward(
        self,
        before: State,
        after: State,
        action: npt.NDArray[np.floating[Any]],
        terminated: npt.NDArray[np.bool_],
        dt: float,
    ) -> tuple[Array, dict[str, Array]]:
        """Sums over the physics steps of speed and of height − 0.5, − control cost − cost of a fall, with each term.

        The base's speeds after each physics step of MuJoCo's Euler integrator add up to its way over the time of one.
        Between the heights before and after, the acceleration is taken as constant. That misses what striking feet do
        within 10 ms: less than 0.005 in a step, less than 0.05 in an episode, as the tests measure.
        """
        n = self.frame_skip
        way = after["qpos"][:, X] - before["qpos"][:, X]
        forward = self.forward_reward_weight * (way * n / dt)
        start, end = before["qpos"][:, Z], after["qpos"][:, Z]
        gained = (after["qvel"][:, Z] - before["qvel"][:, Z]) * dt / n
        heights = (n - 1) / 2 * start + (n + 1) / 2 * end - (n * n - 1) / 12 * gained
        height = heights - n * LEVEL
        control = self.control_cost_weight * np.sum(np.square(action, dtype=np.float64), axis=1)
        fall = terminated * self.fall_cost
        terms = {"reward_forward": forward, "reward_height": height, "reward_ctrl": -control, "reward_fall": -fall}
        return forward + height - control - fall, terms

    def terminated(self, state: State) -> npt.NDArray[np.bool_]:
        """Fallen: ``(n,)``."""
        return np.asarray(state["qpos"][:, Z] < self.healthy_z)

    def reset(self, rng: np.random.Generator, qpos0: Array) -> tuple[Array, Array]:
        """Just above the ground in the standing pose with uniform noise, one draw for positions, one for velocities.

        The model's reference pose ``qpos0`` is not looked at: other models' is another one.
        """
        start = np.array([0.0, 0.0, START_Z, 1.0, 0.0, 0.0, 0.0, *STANDING])
        qpos = start + rng.uniform(-self.reset_noise, self.reset_noise, start.shape)
        qpos[QUATERNION] /= np.linalg.norm(qpos[QUATERNION])
        qvel = rng.uniform(-self.reset_noise, self.reset_noise, len(start) - 1)
        return qpos, qvel
