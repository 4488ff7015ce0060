"""Networks that sum up physical parameters in a few numbers, the latent: from the parameters, or from history.

They are those of rapid motor adaptation (Kumar, Fu, Pathak and Malik 2021, arXiv:2107.04034). The paper's adaptation
network has convolutions over 50 steps; here it is a perceptron, as the encoder is.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

from agents.asymmetric import STATE

HISTORY = "history"
"""Entry of the observation that a student acts on: what is observed now, then the past pairs."""
HIDDEN = (256, 128)
"""Widths of both networks' hidden layers: those of the paper's encoder."""


@dataclass(frozen=True)
class LatentOptions:
    """What an agent makes of physical parameters at the end of what it, or its critic, observes."""

    parameters: int = 0
    """How many there are."""
    latent: int = 0
    """Length of what the encoder makes of them; 0: there is no encoder."""

    def networks(self, extractor: type[BaseFeaturesExtractor]) -> dict[str, Any]:
        """``policy_kwargs`` of a policy behind ``extractor``, one of the two above."""
        return {
            "features_extractor_class": extractor,
            "features_extractor_kwargs": {"parameters": self.parameters, "latent": self.latent},
        }


NO_LATENT = LatentOptions()
"""Where no physical parameters are observed."""


class ParameterEncoder(BaseFeaturesExtractor):
    """The state, and the latent of the parameters that stand behind it."""

    def __init__(self, observation_space: spaces.Space[Any], parameters: int, latent: int) -> None:
        """Of vectors whose last ``parameters`` entries are physical ones."""
        self.entries = length_of(observation_space) - parameters
        super().__init__(observation_space, self.entries + latent)
        self.encoder = _perceptron(parameters, latent)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """(batch, entries + latent)."""
        own, parameters = observations[:, : self.entries], observations[:, self.entries :]
        return torch.cat([own, self.encoder(parameters)], dim=1)


class Adaptation(BaseFeaturesExtractor):
    """The state, and the latent as the history tells it; the encoder, which says what it should be, is for training."""

    def __init__(self, observation_space: spaces.Dict, parameters: int, latent: int) -> None:
        """Of ``history`` and of ``state``, whose last ``parameters`` entries are physical ones."""
        self.entries = length_of(observation_space[STATE]) - parameters
        super().__init__(observation_space, self.entries + latent)
        self.encoder = _perceptron(parameters, latent)
        self.adaptation = _perceptron(length_of(observation_space[HISTORY]) - self.entries, latent)

    def forward(self, observations: TensorDict) -> torch.Tensor:
        """(batch, entries + latent); ``observations`` need no ``state``."""
        return torch.cat([observations[HISTORY][:, : self.entries], self.inferred(observations)], dim=1)

    def inferred(self, observations: TensorDict) -> torch.Tensor:
        """The latent as the past pairs tell it, (batch, latent)."""
        found: torch.Tensor = self.adaptation(observations[HISTORY][:, self.entries :])
        return found

    def encoded(self, observations: TensorDict) -> torch.Tensor:
        """The latent of the true parameters, (batch, latent)."""
        found: torch.Tensor = self.encoder(observations[STATE][:, self.entries :])
        return found


def length_of(space: spaces.Space[Any]) -> int:
    return int(np.prod(space.shape or ()))


def _perceptron(entries: int, latent: int) -> nn.Sequential:
    widths = (entries, *HIDDEN)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], latent))
