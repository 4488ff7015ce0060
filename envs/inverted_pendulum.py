"""The inverted pendulum: a cart on a rail that keeps a pole upright.

Constants and reward follow Gymnasium's ``InvertedPendulum-v5``; its own XML is used, and the tests hold the two
bit-identical.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.options import check_options
from envs.rewards import control_cost
from envs.task import Array, State, gymnasium_asset

# A rail that is worn and dirty holds the cart back, as the source does not know: at 0.75 m/s the target's friction
# takes all of the 300 N that the motor can give.
DOMAINS = {"nominal": "", "source": "", "target": "slider_damping=400"}

HINGE = 1  # qpos: metres of the cart, radians of the pole
CART = 0  # qvel: metres per second of the cart, radians per second of the pole


@dataclass(frozen=True)
class InvertedPendulum:
    """Keep the pole upright: 1 for each step in which it is."""

    healthy_reward: float = 1.0
    healthy_angle: float = 0.2
    """Largest angle of the pole, rad."""
    speed_penalty: float = 0.0
    """Reward lost for each m/s of the cart, either way."""
    control_cost_weight: float = 0.0
    """Reward lost for each squared unit of control, of which the motor takes ±3."""
    reset_noise: float = 0.01
    """Half-width of the uniform noise on each position and velocity at a reset."""

    name: str = field(default="inverted_pendulum", init=False)
    xml: Path = field(default=gymnasium_asset("inverted_pendulum.xml"), init=False)
    frame_skip: int = field(default=2, init=False)
    fields: tuple[str, ...] = field(default=("qpos", "qvel"), init=False)
    observation_size: int = field(default=4, init=False)
    domains: Mapping[str, str] = field(default_factory=lambda: DOMAINS, init=False)
    # The slider's friction carries the gap between source and target: drawing it must be declared.
    randomized: tuple[str, ...] = field(default=("cart_mass", "pole_mass", "hinge_damping", "slider_gear"), init=False)

    def __post_init__(self) -> None:
        check_options(self, "healthy_angle", "speed_penalty", "control_cost_weight", "reset_noise")

    def observe(self, state: State) -> Array:
        """The cart's place, the pole's angle, and their velocities: ``(n, 4)``."""
        return np.concatenate((state["qpos"], state["qvel"]), axis=1)

    def reward(
        self,
        before: State,
        after: State,
        action: npt.NDArray[np.floating[Any]],
        terminated: npt.NDArray[np.bool_],
        dt: float,
    ) -> tuple[Array, dict[str, Array]]:
        """Upright bonus − speed penalty − control cost, with each term."""
        survive = ~terminated * self.healthy_reward
        speed = self.speed_penalty * np.abs(after["qvel"][:, CART])
        control = control_cost(self.control_cost_weight, action)
        terms = {"reward_survive": survive, "reward_speed": -speed, "reward_ctrl": -control}
        return survive - speed - control, terms

    def terminated(self, state: State) -> npt.NDArray[np.bool_]:
        """Fallen: ``(n,)``."""
        return np.asarray(~(np.abs(state["qpos"][:, HINGE]) <= self.healthy_angle))

    def reset(self, rng: np.random.Generator, qpos0: Array) -> tuple[Array, Array]:
        """The reference pose with uniform noise; one draw for positions, one for velocities."""
        qpos = qpos0 + rng.uniform(-self.reset_noise, self.reset_noise, qpos0.shape)
        qvel = rng.uniform(-self.reset_noise, self.reset_noise, qpos0.shape)
        return qpos, qvel
