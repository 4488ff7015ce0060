"""SB3's PPO and RecurrentPPO with an entropy bonus that may follow a schedule.

Much entropy early keeps the policy from settling on the first gait that does not fall; little of it late lets the
policy train on what its mean action, which is judged, really does.
"""

from typing import Any

import sb3_contrib
import stable_baselines3
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import LinearSchedule

from agents.supervised import SupervisedPolicy, encode_rollout, fit_encoder
from agents.worst_episodes import WorstEpisodes


class EntropySchedule(OnPolicyAlgorithm):
    """Sets ``ent_coef`` before each update, where SB3 sets the learning rate."""

    ent_schedule: LinearSchedule | None = None
    """``ent_coef`` as a function of the training that remains; None leaves it constant."""

    def _update_learning_rate(self, optimizers: Any) -> None:
        super()._update_learning_rate(optimizers)
        if self.ent_schedule is not None:
            self.ent_coef = self.ent_schedule(self._current_progress_remaining)
            self.logger.record("train/ent_coef", self.ent_coef)


class PPO(WorstEpisodes, EntropySchedule, stable_baselines3.PPO):
    """Proximal policy optimisation."""

    def train(self) -> None:
        """Learn from a rollout; where the encoder is supervised, the actor first and the encoder then."""
        if not isinstance(self.policy, SupervisedPolicy):
            super().train()
            return
        assert isinstance(self.rollout_buffer, DictRolloutBuffer)
        observations = encode_rollout(self.policy, self.rollout_buffer)
        super().train()
        self.logger.record("train/state_loss", fit_encoder(self.policy, observations))


class RecurrentPPO(EntropySchedule, sb3_contrib.RecurrentPPO):
    """PPO with an LSTM."""
