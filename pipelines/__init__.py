"""What turns a simulation into the agent's observation."""

from typing import Protocol

from stable_baselines3.common.vec_env import VecEnv

from envs import BatchedEnv
from pipelines.history import HistoryEnv, HistoryPipeline
from pipelines.pixels import PixelsEnv, PixelsPipeline
from pipelines.pose import PoseEnv, PosePipeline
from pipelines.privileged import PrivilegedPipeline
from pipelines.state import StatePipeline

__all__ = [
    "PIPELINES",
    "HistoryEnv",
    "HistoryPipeline",
    "Pipeline",
    "PixelsEnv",
    "PixelsPipeline",
    "PoseEnv",
    "PosePipeline",
    "PrivilegedPipeline",
    "StatePipeline",
]

PIPELINES = ("state", "pixels", "pose", "history", "privileged")


class Pipeline(Protocol):
    """One of :data:`PIPELINES` with its settings: frozen dataclasses."""

    @property
    def name(self) -> str:
        """In paths and tables."""
        ...

    @property
    def sights(self) -> tuple[str, ...]:
        """What can stand between a simulation and the agent; the first is what it is judged through."""
        ...

    @property
    def training_sight(self) -> str:
        """The one that it is trained through."""
        ...

    def wrap(self, env: BatchedEnv, sight: str, seed: int) -> VecEnv:
        """The environment as it is seen through ``sight``; what is random in it is drawn from ``seed``."""
        ...
