"""Batched policies act as each policy does on its own."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib.ars.policies import ARSPolicy
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from agents.population import Population

SEEN = spaces.Box(-np.inf, np.inf, (7,), np.float64)
DONE = spaces.Box(np.array([-1, -2, 0], np.float32), np.array([1, 3, 9], np.float32))


def policy(**options: Any) -> ARSPolicy:
    return ARSPolicy(SEEN, DONE, **{"net_arch": [5, 4], "activation_fn": nn.Tanh, **options})


@pytest.mark.parametrize(
    "options", [{}, {"with_bias": False}, {"squash_output": False}, {"net_arch": []}, {"activation_fn": nn.ReLU}]
)
def test_a_population_acts_like_a_loop_over_its_policies(options: dict[str, Any]) -> None:
    one = policy(**options)
    parameters = torch.randn(6, len(parameters_to_vector(one.parameters())), generator=torch.Generator().manual_seed(0))
    observations = np.random.default_rng(0).normal(size=(6, 9, 7))
    population = Population(one, parameters)
    found = population.act(observations)
    with torch.no_grad():
        outputs = population(torch.as_tensor(observations, dtype=torch.float32))
    assert outputs.dtype == torch.float32
    for row, seen, actions, said in zip(parameters, observations, found, outputs, strict=True):
        vector_to_parameters(row, one.parameters())
        np.testing.assert_allclose(actions, one.predict(seen, deterministic=True)[0], atol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(
                said, one.action_net(torch.as_tensor(seen, dtype=torch.float32)), atol=1e-5, rtol=0
            )
    assert found.shape == (6, 9, 3)
    assert found.std(axis=0).min() > 0.01  # the individuals differ


def test_parameters_of_another_policy_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^parameters of shape \(2, 5\); accepted: \(individuals, 79\)$"):
        Population(policy(), torch.zeros(2, 5))
