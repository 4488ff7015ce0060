"""The state as the task observes it, the domain's sensor noise included."""

from dataclasses import dataclass, field, replace

from stable_baselines3.common.vec_env import VecEnv

from envs import BatchedEnv
from pipelines.pose import SIGHTS, PosePipeline


@dataclass(frozen=True)
class StatePipeline:
    """Shows the agent exactly what the task observes; it may be judged on what a pose estimator makes of it."""

    pose: PosePipeline = field(default_factory=PosePipeline)
    """Through which it is judged when it is not on the state itself."""
    name: str = "state"

    @property
    def sights(self) -> tuple[str, ...]:
        """What it can be judged through; the first is its own."""
        return SIGHTS

    @property
    def training_sight(self) -> str:
        """What it is trained through."""
        return "state"

    def wrap(self, env: BatchedEnv, sight: str, seed: int) -> VecEnv:
        """The environment itself, or as it is seen through another sight; see :class:`pipelines.pose.PosePipeline`."""
        return env if sight == "state" else replace(self.pose, critic="pose").wrap(env, sight, seed)
