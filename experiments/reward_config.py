"""Everything that decides what ``simgap fit-reward`` makes, as plain data."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RewardConfig:
    """A predictor of rewards: what it learns from, and whom it ranks."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    policies: tuple[str, ...] = ()
    """Trained runs on the state, or folders of them, that it learns from."""
    individuals: tuple[str, ...] = ()
    """Runs to rank, or folders of them; empty for those it learns from. A run of agent cem stands for a population
    drawn from its search distribution, any other for its last checkpoint."""
    population: int = 64
    """Individuals that are drawn of each run of agent cem."""
    domain: str = ""
    """Domain to record and to rank in; empty for the one that the first run was trained in."""
    points: int = 500_000
    """Environment steps that are recorded in all: as many with random actions as with the policies' own and with each
    noise."""
    noise: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Standard deviations of the noise on the policies' actions, in half ranges of the actuators."""
    episodes: int = 10
    """Episodes that each individual is judged on."""
    observations: int = 1000
    """Recorded observations of each kind of policy that individuals are ranked on."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the network's hidden layers."""
    epochs: int = 20
    """Passes over the recorded steps."""
    batch_size: int = 1024
    """Steps in an update."""
    learning_rate: float = 1e-3
    """Highest learning rate, of one cycle."""
    seed: int = 0
    """Of actions, starts, split, weights and individuals."""

    def __post_init__(self) -> None:
        for name, least in (
            *(("population", 2), ("points", 100), ("episodes", 1), ("observations", 1)),
            *(("epochs", 1), ("batch_size", 2), ("seed", 0)),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        for level in self.noise:
            if not (math.isfinite(level) and level > 0):
                raise ValueError(f"noise has {level}; each must be above 0")
        if len(set(self.noise)) < len(self.noise):
            raise ValueError(f"noise has a level twice: {self.noise}; accepted: each once")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}; accepted: one width or more, each 1 or more")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0 and below 1")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of policy that are recorded."""
        return ("random", "good", *(f"noisy {level:g}" for level in self.noise))
