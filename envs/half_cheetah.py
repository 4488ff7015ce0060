"""The half cheetah: two legs of three joints each on a long trunk, in the plane. It cannot fall out of an episode.

Constants and reward follow Gymnasium's ``HalfCheetah-v5``; its own XML is used, and the tests hold the two
bit-identical.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.options import check_options
from envs.rewards import OFF, above_speed, control_cost
from envs.task import Array, State, gymnasium_asset

JOINTS = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")

# It runs at the limit of its motors, and real motors are weaker than their data sheet: hot, on a low battery, with
# losses in the gears. In the target each gives 70 % of the torque that the source believes in.
DOMAINS = {"nominal": "", "source": "", "target": ", ".join(f"{joint}_gear*0.7" for joint in JOINTS)}

X, Z = 0, 1  # qpos: metres forward, metres up from the reference pose


@dataclass(frozen=True)
class HalfCheetah:
    """Run forward: speed − control cost."""

    forward_reward_weight: float = 1.0
    minimum_speed: float = OFF
    """A step slower than this, m/s, earns nothing for its speed."""
    control_cost_weight: float = 0.1
    reset_noise: float = 0.1
    """Half-width of the uniform noise on each position at a reset, and deviation of the normal one on velocities."""

    name: str = field(default="half_cheetah", init=False)
    xml: Path = field(default=gymnasium_asset("half_cheetah.xml"), init=False)
    frame_skip: int = field(default=5, init=False)
    fields: tuple[str, ...] = field(default=("qpos", "qvel"), init=False)
    observation_size: int = field(default=17, init=False)
    domains: Mapping[str, str] = field(default_factory=lambda: DOMAINS, init=False)
    # The motors carry the gap between source and target: drawing them must be declared.
    randomized: tuple[str, ...] = field(
        default=("torso_mass", *(f"{joint}_mass" for joint in JOINTS), *(f"{joint}_damping" for joint in JOINTS)),
        init=False,
    )

    def __post_init__(self) -> None:
        check_options(self, "control_cost_weight", "reset_noise")

    def observe(self, state: State) -> Array:
        """Height, pitch, six joint angles, then all nine velocities: ``(n, 17)``."""
        return np.concatenate((state["qpos"][:, Z:], state["qvel"]), axis=1)

    def reward(
        self,
        before: State,
        after: State,
        action: npt.NDArray[np.floating[Any]],
        terminated: npt.NDArray[np.bool_],
        dt: float,
    ) -> tuple[Array, dict[str, Array]]:
        """Forward speed − control cost, with each term."""
        speed = (after["qpos"][:, X] - before["qpos"][:, X]) / dt
        forward, _ = above_speed(self.minimum_speed, speed, self.forward_reward_weight * speed, np.zeros_like(speed))
        control = control_cost(self.control_cost_weight, action)
        return forward - control, {"reward_forward": forward, "reward_ctrl": -control}

    def terminated(self, state: State) -> npt.NDArray[np.bool_]:
        """Never: ``(n,)``."""
        return np.zeros(len(state["qpos"]), bool)

    def reset(self, rng: np.random.Generator, qpos0: Array) -> tuple[Array, Array]:
        """The reference pose with uniform noise on positions and normal noise on velocities."""
        qpos = qpos0 + rng.uniform(-self.reset_noise, self.reset_noise, qpos0.shape)
        return qpos, self.reset_noise * rng.standard_normal(qpos0.shape)
