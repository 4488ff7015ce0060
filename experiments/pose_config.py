"""Everything that decides what ``simgap fit-pose`` makes, as plain data."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from vision.pose_config import FitConfig

BATCH, CHUNK = 64, 50
"""Simulations in an update, and frames that its gradient goes back at most; memory goes on from chunk to chunk."""


@dataclass(frozen=True)
class RolloutConfig:
    """MuJoCo's frames of trained policies, in the source domain, that an estimator is judged on."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    policies: tuple[str, ...] = ()
    """Run directories, or folders of them; empty for those that ship with simgap."""
    frames: int = 600
    """Single frames of each camera, falls to the ground among them."""
    episodes: int = 8
    """Whole episodes of each policy and camera, half of them with noisy actions; every other one is for fitting the
    error model, the rest for judging."""
    steps: int = 250
    """Frames of an episode at most."""
    seed: int = 0
    """Of the starts and the choice of frames."""

    def __post_init__(self) -> None:
        for name, least in (("frames", 1), ("episodes", 4), ("steps", 20), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if self.episodes % 4:
            raise ValueError(f"episodes is {self.episodes}; it must be a multiple of 4")


@dataclass(frozen=True)
class LearnedConfig:
    """A learned state estimator and its training."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    policies: tuple[str, ...] = ()
    """Run directories, or folders of them, that act in its simulations; empty for the gaits that ship with simgap."""
    frames: int = 1_200_000
    """Simulated frames to learn from."""
    epochs: int = 16
    """Passes over them, each with errors of its own."""
    hidden: int = 160
    """Size of the network's memory."""
    learning_rate: float = 3e-3
    """Highest learning rate, of one cycle."""
    seed: int = 0
    """Of the weights, the simulations, their errors and the order."""

    def __post_init__(self) -> None:
        for name in ("epochs", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.frames < BATCH * CHUNK:
            raise ValueError(f"frames is {self.frames}; it must be {BATCH * CHUNK} or more")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0 and below 1")


@dataclass(frozen=True)
class PoseConfig:
    """A keypoint estimator, what it is judged on, and the state estimator that follows it."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    network: Annotated[FitConfig, tyro.conf.arg(name="")] = field(default_factory=FitConfig)
    """The keypoint estimator and its training."""
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    """What it is judged on."""
    learned: LearnedConfig = field(default_factory=LearnedConfig)
    """The learned state estimator."""
