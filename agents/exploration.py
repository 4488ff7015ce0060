"""How much an on-policy agent explores: an entropy bonus and a standard deviation that may follow schedules.

Much entropy early keeps the policy from settling on the first gait that does not fall; little of it late lets the
policy train on what its mean action, which is judged, really does. A Gaussian's deviation left to the gradient can
also collapse: then nothing new is tried, and a gait that worked is lost for good. A floor under it, or a schedule in
the place of the gradient, prevents that.
"""

import math
from typing import Any

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import LinearSchedule

OPTIONS = ("std", "std_floor")
"""Hyperparameters of every agent that explores so, beside the arguments of its class."""
_HALF_LOG_2_PI_E = 0.5 * math.log(2 * math.pi * math.e)


class HeldSchedule(LinearSchedule):
    """``start`` until the share ``held`` of training is over, from there linear to ``end``."""

    def __init__(self, start: float, end: float, held: float) -> None:
        super().__init__(start, end, 1.0)
        self.held = held

    def __call__(self, progress_remaining: float) -> float:
        """The value while ``progress_remaining`` of training, 1 to 0, is left."""
        return super().__call__(min(1.0, progress_remaining / (1.0 - self.held)))


class Exploration(OnPolicyAlgorithm):
    """Sets ``ent_coef`` before each update, where SB3 sets the learning rate, and the deviation after it."""

    ent_schedule: Schedule | None = None
    """``ent_coef`` as a function of the training that remains; None leaves it constant."""
    std_schedule: Schedule | None = None
    """The standard deviation of every action likewise; None leaves it to the gradient."""
    std_floor: float = 0.0
    """What the deviation does not fall below, scheduled or learnt."""

    def schedule_exploration(self, entropy: Schedule | None, std: Schedule | None, std_floor: float) -> None:
        """Take the schedules; to be called once, before learning.

        Raises:
            ValueError: the policy has no standard deviation that could be set.
        """
        self.ent_schedule, self.std_schedule, self.std_floor = entropy, std, std_floor
        if std is None and not std_floor:
            return
        learnt = getattr(self.policy, "log_std", None)
        if learnt is None or self.use_sde:
            raise ValueError("std and std_floor are for Gaussian policies; accepted with them: use_sde=false")
        if std is not None:
            # No optimiser and no line search moves what is no parameter; a checkpoint holds it under the same name.
            del self.policy.log_std
            self.policy.register_buffer("log_std", learnt.detach().clone())
        self.hold_std(1.0)

    def hold_std(self, remaining: float) -> None:
        """Bring the deviation to where it should be while ``remaining`` of training, 1 to 0, is left."""
        log_std: torch.Tensor = getattr(self.policy, "log_std", torch.empty(0))
        with torch.no_grad():
            if self.std_schedule is not None:
                log_std.fill_(math.log(max(self.std_schedule(remaining), self.std_floor)))
            elif self.std_floor:
                log_std.clamp_(min=math.log(self.std_floor))

    def train(self) -> None:
        """Learn from a rollout."""
        super().train()
        self.finish_update()

    def finish_update(self) -> None:
        """After each update: hold the deviation and log it with the entropy, as the next rollout will have them."""
        self.hold_std(self._current_progress_remaining)
        log_std: torch.Tensor | None = getattr(self.policy, "log_std", None)
        if log_std is not None and not self.use_sde:
            self.logger.record("train/std", log_std.exp().mean().item())
            self.logger.record("train/entropy", (log_std + _HALF_LOG_2_PI_E).sum().item())

    def _update_learning_rate(self, optimizers: Any) -> None:
        super()._update_learning_rate(optimizers)
        if self.ent_schedule is not None:
            self.ent_coef = self.ent_schedule(self._current_progress_remaining)
            self.logger.record("train/ent_coef", self.ent_coef)
