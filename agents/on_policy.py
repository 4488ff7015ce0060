"""The on-policy algorithms of SB3 and sb3-contrib, with what an agent here explores by."""

import sb3_contrib
import stable_baselines3
from stable_baselines3.common.buffers import DictRolloutBuffer

from agents.exploration import Exploration
from agents.supervised import SupervisedPolicy, encode_rollout, fit_encoder
from agents.worst_episodes import WorstEpisodes


class PPO(WorstEpisodes, Exploration, stable_baselines3.PPO):
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


class RecurrentPPO(Exploration, sb3_contrib.RecurrentPPO):
    """PPO with an LSTM."""


class A2C(Exploration, stable_baselines3.A2C):
    """Advantage actor-critic: one gradient step for each rollout."""


class TRPO(Exploration, sb3_contrib.TRPO):
    """Trust region policy optimisation."""
