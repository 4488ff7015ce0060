"""Folding the observation normaliser into the networks, so that the policy alone acts the same."""

from collections.abc import Iterator

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.latent import ParameterEncoder
from agents.make import Normalizer


def fold_normalizer(agent: BaseAlgorithm, normalizer: Normalizer) -> None:
    """Change the first layer of every network so that it takes raw observations.

    A layer ``W (x - m) / s + b`` equals ``(W / s) x + (b - W m / s)``. The normaliser's clipping lies far
    beyond what is ever observed and is left out.

    Raises:
        ValueError: a network has no layer that could take this.
    """
    if not normalizer.norm_obs:
        return
    moments = normalizer.observation_moments
    mean = torch.as_tensor(moments.mean, dtype=torch.float64)
    scale = torch.as_tensor(np.sqrt(moments.var + normalizer.epsilon))
    layers = list(_first_layers(agent.policy))
    encoder = getattr(agent.policy, "features_extractor", None)
    with torch.no_grad():
        if isinstance(encoder, ParameterEncoder):
            first = encoder.encoder[0]
            assert isinstance(first, torch.nn.Linear)
            _fold(first.weight, first.bias, mean[encoder.entries :], scale[encoder.entries :])
            mean, scale = mean[: encoder.entries], scale[: encoder.entries]
        for weight, bias in layers:
            _fold(weight, bias, mean, scale)


def _fold(weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor) -> None:
    # Critics take the action behind the observation, policies behind an encoder the latent; those columns stay.
    columns = weight[:, : len(mean)].double() / scale
    bias.copy_(bias.double() - columns @ mean)
    weight[:, : len(mean)] = columns.float()


def _first_layers(policy: torch.nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of each layer that sees the observation."""
    containers = (
        "action_net",  # of ARS and CEM: a perceptron; elsewhere it is one layer behind the others
        "mlp_extractor.policy_net",
        "mlp_extractor.value_net",
        "actor.latent_pi",
        "critic",
        "critic_target",
        "actor.mu",  # of TD3; of SAC it is no container
        "actor_target.mu",
    )
    parameters = dict(policy.named_parameters())
    recurrent = [name for name, module in policy.named_modules() if isinstance(module, torch.nn.LSTM)]
    for name in recurrent:
        yield parameters[f"{name}.weight_ih_l0"], parameters[f"{name}.bias_ih_l0"]
    if recurrent:
        if isinstance(policy.critic, torch.nn.Linear):  # a critic without an LSTM of its own
            yield policy.critic.weight, policy.critic.bias
        return
    for name, module in policy.named_modules():
        container = name in containers and isinstance(module, torch.nn.Sequential)
        if container and (len(module) == 0 or getattr(module[0], "bias", None) is None):
            raise ValueError(
                f"{name} has no layer to fold the normaliser into; accepted: 1 or more in net_arch, with a bias"
            )
        first = name.endswith(".0") and any(name.startswith(container) for container in containers)
        if first and isinstance(module, torch.nn.Linear):
            yield module.weight, module.bias
