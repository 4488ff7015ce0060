"""What turns a simulation into the agent's observation."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

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
    "Memory",
    "Pipeline",
    "PixelsEnv",
    "PixelsPipeline",
    "PoseEnv",
    "PosePipeline",
    "PrivilegedPipeline",
    "StatePipeline",
    "memory_of",
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


class Memory(Protocol):
    """What an observation depends on beside the simulation: earlier frames, estimates, pairs."""

    def state_dict(self) -> dict[str, Any]:
        """What continuing needs beside the simulation's own state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of an environment of the same configuration."""
        ...


def memory_of(view: VecEnv) -> Memory | None:
    """What an environment that a pipeline wrapped remembers, or None."""
    # Asked of the class: a wrapper also passes on what its simulation has.
    return cast(Memory, view) if isinstance(view, VecEnvWrapper) and hasattr(type(view), "state_dict") else None
