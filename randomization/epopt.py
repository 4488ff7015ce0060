"""EPOpt: learning from the worst of the sampled dynamics.

Rajeswaran et al., "EPOpt: Learning Robust Neural Network Policies Using Model Ensembles", ICLR 2017,
https://arxiv.org/abs/1610.01283, algorithm 1: of the episodes of an update only those count whose return is at most the
``epsilon`` percentile, so that the policy improves its conditional value at risk. The dynamics are drawn from fixed
distributions; which episodes count is the learner's business (:mod:`agents.worst_episodes`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class EPOptConfig:
    """Which share of the episodes is learned from, and from when."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    epsilon: float = 0.1
    """Share of an update's episodes that are learned from: those of the lowest return."""
    warmup: float = 0.5
    """Share of the training steps over which all episodes are learned from first."""

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 1:
            raise ValueError(f"epopt.epsilon is {self.epsilon:g}; it must be above 0 and at most 1")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"epopt.warmup is {self.warmup:g}; it must be from 0 to 1")
