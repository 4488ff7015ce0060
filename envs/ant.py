"""The ant: a torso on four legs of two joints each, free to move in space.

Constants and reward follow Gymnasium's ``Ant-v5``; its own XML is used, and the tests hold the two bit-identical.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from envs.options import check_options
from envs.rewards import OFF, above_speed, control_cost
from envs.task import CONTACT_FORCES, Array, State, gymnasium_asset

LEGS = ("1", "2", "3", "4")

# One motor of a robot with eight fails first: the target's front left leg, hip and ankle, has 40 % of its strength.
# Whoever drew masses during training has seen nothing like it.
DOMAINS = {"nominal": "", "source": "", "target": "hip_1_gear*0.4, ankle_1_gear*0.4"}

Z = 2  # qpos: metres forward, to the left and up, a quaternion, eight angles
TORSO, BODIES = 1, 14  # of the model's bodies, the world included


@dataclass(frozen=True)
class Ant:
    """Walk forward: speed + 1 for each step upright − control cost − contact cost."""

    contact_forces: Literal["bodies", "all", "none"] = "bodies"
    """What is observed of the contact forces on each body: ``bodies``, all but the world's, makes 105 values as in v5;
    ``all`` makes 111 as in Gymnasium's v2 and v3, where the world's six come first and are always 0; ``none`` 27."""
    forward_reward_weight: float = 1.0
    minimum_speed: float = OFF
    """A step slower than this, m/s, earns neither for its speed nor for being upright."""
    control_cost_weight: float = 0.5
    contact_cost_weight: float = 5e-4
    """On the sum of squared contact forces and torques, each cut at ±1 N or N·m."""
    healthy_reward: float = 1.0
    healthy_z_low: float = 0.2
    """Lowest height of the torso, m."""
    healthy_z_high: float = 1.0
    """Largest height of the torso, m."""
    reset_noise: float = 0.1
    """Half-width of the uniform noise on each position at a reset, and deviation of the normal one on velocities."""

    name: str = field(default="ant", init=False)
    xml: Path = field(default=gymnasium_asset("ant.xml"), init=False)
    frame_skip: int = field(default=5, init=False)
    domains: Mapping[str, str] = field(default_factory=lambda: DOMAINS, init=False)
    # The motors carry the gap between source and target: drawing them must be declared.
    randomized: tuple[str, ...] = field(
        default=(
            *("torso_mass", *(f"aux_{leg}_mass" for leg in LEGS), *(f"ankle_{leg}_mass" for leg in LEGS)),
            *(f"{joint}_{leg}_damping" for joint in ("hip", "ankle") for leg in LEGS),
        ),
        init=False,
    )

    def __post_init__(self) -> None:
        check_options(self, "control_cost_weight", "contact_cost_weight", "reset_noise")

    @property
    def fields(self) -> tuple[str, ...]:
        """The MjData fields that are read; contact forces cost time, so only where they count."""
        forces = self.contact_forces != "none" or self.contact_cost_weight != 0
        return ("qpos", "qvel", "xpos", *((CONTACT_FORCES,) if forces else ()))

    @property
    def observation_size(self) -> int:
        """Length of one observation."""
        return 27 + 6 * {"bodies": BODIES - 1, "all": BODIES, "none": 0}[self.contact_forces]

    def observe(self, state: State) -> Array:
        """Height, orientation, eight angles, all 14 velocities, and contact forces: ``(n, observation_size)``."""
        parts = [state["qpos"][:, Z:], state["qvel"]]
        if self.contact_forces != "none":
            first = 0 if self.contact_forces == "all" else 1
            parts.append(_cut(state)[:, first:].reshape(len(parts[0]), -1))
        return np.concatenate(parts, axis=1)

    def reward(
        self,
        before: State,
        after: State,
        action: npt.NDArray[np.floating[Any]],
        terminated: npt.NDArray[np.bool_],
        dt: float,
    ) -> tuple[Array, dict[str, Array]]:
        """Forward speed + upright bonus − control cost − contact cost, with each term."""
        speed = (after["xpos"][:, TORSO, 0] - before["xpos"][:, TORSO, 0]) / dt
        forward, survive = above_speed(
            self.minimum_speed, speed, speed * self.forward_reward_weight, ~terminated * self.healthy_reward
        )
        control = control_cost(self.control_cost_weight, action)
        contact = np.zeros_like(speed)
        if self.contact_cost_weight:
            squares = np.square(_cut(after)).reshape(len(speed), -1)
            contact = self.contact_cost_weight * np.sum(squares, axis=1)
        terms = {"reward_forward": forward, "reward_survive": survive}
        terms |= {"reward_ctrl": -control, "reward_contact": -contact}
        return forward + survive - (control + contact), terms

    def terminated(self, state: State) -> npt.NDArray[np.bool_]:
        """Fallen, jumped, or not finite: ``(n,)``."""
        z = state["qpos"][:, Z]
        finite = np.isfinite(state["qpos"]).all(axis=1) & np.isfinite(state["qvel"]).all(axis=1)
        return np.asarray(~(finite & (z >= self.healthy_z_low) & (z <= self.healthy_z_high)))

    def reset(self, rng: np.random.Generator, qpos0: Array) -> tuple[Array, Array]:
        """The reference pose with uniform noise on positions and normal noise on velocities."""
        qpos = qpos0 + rng.uniform(-self.reset_noise, self.reset_noise, qpos0.shape)
        return qpos, self.reset_noise * rng.standard_normal(len(qpos0) - 1)  # a quaternion turns in three directions


def _cut(state: State) -> Array:
    """Contact torques and forces on each body ``(n, 14, 6)``, N·m and N, cut at ±1."""
    return np.clip(state[CONTACT_FORCES], -1.0, 1.0)
