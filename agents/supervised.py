"""A policy on images whose encoder learns from the simulator what it looks at, and from the reward nothing.

In training the true state is known, so the encoder is fitted to it by regression, and the actor is a small network on
the estimate: the reward, a poor teacher of a convolutional network, has only that to teach. The encoder is also told
the actions taken since the oldest frame: a robot knows its own commands, and what a motor has done within the last
frame hardly shows in it.
"""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from agents.asymmetric import ACTIONS, STATE, AsymmetricPolicy
from agents.encoders import Encoder

EPOCHS, BATCH = 3, 256
"""How often each rollout's frames are fitted, and in batches of how many; more epochs did not learn faster."""
HIDDEN = 512


class StateHead(BaseFeaturesExtractor):
    """Frames and last actions to an estimate of the state."""

    def __init__(self, encoder: Encoder, actions: int, entries: int) -> None:
        """``actions`` and ``entries`` are the lengths of the vectors of actions and of the state."""
        super().__init__(encoder._observation_space, entries)
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(encoder.features_dim + actions, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, entries)
        )

    def forward(self, frames: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """(batch, entries)."""
        estimate: torch.Tensor = self.head(torch.cat([self.encoder(frames), actions], dim=1))
        return estimate


class SupervisedPolicy(AsymmetricPolicy):
    """For PPO: the actor sees the estimate, the critic the state itself. Hidden layers are tanh."""

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        **options: Any,
    ) -> None:
        """As :class:`AsymmetricPolicy`; the default is as wide as SB3's policy on the state."""
        net_arch = {"pi": [64, 64], "vf": [64, 64]} if net_arch is None else net_arch
        super().__init__(observation_space, action_space, lr_schedule, net_arch, **options)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """The actor's; called once."""
        encoder = super().make_features_extractor()
        assert isinstance(encoder, Encoder)
        lengths = (int(np.prod(self.observation_space[entry].shape or ())) for entry in (ACTIONS, STATE))
        return StateHead(encoder, *lengths)

    def estimate(self, obs: PyTorchObs) -> torch.Tensor:
        """The state as the encoder sees it, (batch, entries), normalised as the state is."""
        assert isinstance(obs, dict)
        found: torch.Tensor = self.pi_features_extractor(obs[self.seen], obs[ACTIONS])
        return found

    def _actor_features(self, obs: PyTorchObs) -> torch.Tensor:
        assert isinstance(obs, dict)
        if obs[self.seen].ndim == 2:  # encoded by encode_rollout
            return obs[self.seen]
        with torch.no_grad():
            return self.estimate(obs)


def encode_rollout(policy: SupervisedPolicy, buffer: DictRolloutBuffer) -> dict[str, np.ndarray[Any, Any]]:
    """Put the estimates in the place of a rollout's frames: its encoder stays as it is while the actor learns.

    Returns:
        The rollout's observations as they were, (steps * environments, ...) each.
    """
    observations = {name: buffer.swap_and_flatten(array) for name, array in buffer.observations.items()}
    with torch.no_grad():
        parts = [
            policy.estimate(batch) for batch in _batches(policy, observations, np.arange(len(observations[STATE])))
        ]
    estimates = torch.cat(parts).cpu().numpy()
    steps, envs = buffer.observations[STATE].shape[:2]
    buffer.observations[policy.seen] = estimates.reshape(envs, steps, -1).swapaxes(0, 1)
    return observations


def fit_encoder(policy: SupervisedPolicy, observations: dict[str, np.ndarray[Any, Any]]) -> float:
    """Fit the encoder to a rollout's states; returns the mean smooth L1 loss."""
    losses = []
    for _ in range(EPOCHS):
        order = np.random.permutation(len(observations[STATE]))  # noqa: NPY002  # SB3's generator, which checkpoints carry
        for batch in _batches(policy, observations, order):
            loss = nn.functional.smooth_l1_loss(policy.estimate(batch), batch[STATE])
            policy.optimizer.zero_grad()
            loss.backward()
            policy.optimizer.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def _batches(policy: SupervisedPolicy, observations: dict[str, np.ndarray[Any, Any]], order: Any) -> Any:
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        yield {name: torch.as_tensor(array[rows], device=policy.device) for name, array in observations.items()}
