"""Batched networks compute what each network computes on its own."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from agents.population import Population


def network(bias: bool = True) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(7, 5, bias), nn.Tanh(), nn.Linear(5, 4, bias), nn.ReLU(), nn.Linear(4, 3, bias), nn.Tanh()
    )


@pytest.mark.parametrize("bias", [True, False])
def test_a_population_acts_like_a_loop_over_its_networks(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    one = network(bias)
    count = len(parameters_to_vector(one.parameters()))
    parameters = torch.randn(6, count, generator=generator)
    inputs = torch.randn(6, 9, 7, generator=generator)
    with torch.no_grad():
        found = Population(one, parameters)(inputs)
        for row, given, outputs in zip(parameters, inputs, found, strict=True):
            vector_to_parameters(row, one.parameters())
            torch.testing.assert_close(outputs, one(given), atol=1e-6, rtol=1e-5)
    assert found.shape == (6, 9, 3)
    assert found.dtype == torch.float32
    assert found.std(dim=0).min() > 0.01  # the individuals differ


def test_parameters_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^parameters of shape \(2, 5\); accepted: \(individuals, 79\)$"):
        Population(network(), torch.zeros(2, 5))
