"""SimOpt: REPS's weights and bound against closed forms, and steps towards the truth."""

from typing import Any

import numpy as np
import pytest

from randomization import simopt
from randomization.identification import Gaussian


def test_the_divergence_of_normal_distributions_is_the_closed_form() -> None:
    old, new = Gaussian(np.array([0.5]), np.array([0.1])), Gaussian(np.array([0.6]), np.array([0.05]))
    expected = np.log(0.1 / 0.05) + (0.05**2 + 0.1**2) / (2 * 0.1**2) - 0.5
    assert simopt.divergence(new, old) == pytest.approx(expected)
    assert simopt.divergence(old, old) == 0


@pytest.mark.parametrize("max_kl", [0.1, 1.0])
def test_the_weights_use_the_bound_up_and_favour_cheap_samples(max_kl: float) -> None:
    costs = np.random.default_rng(0).uniform(3, 9, 500)
    weights = simopt.weights(costs, max_kl)
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights[np.argsort(costs)]) <= 0).all()
    assert np.sum(weights * np.log(weights * len(costs))) == pytest.approx(max_kl, rel=1e-3)


def test_equal_costs_change_no_weight() -> None:
    np.testing.assert_array_equal(simopt.weights(np.full(4, 2.0)), 0.25)


@pytest.mark.parametrize("max_kl", [0.01, 0.3, 1.0])
def test_no_update_diverges_by_more_than_the_bound(max_kl: float) -> None:
    old = Gaussian(np.array([0.2, 0.5]), np.array([0.05, 0.1]))
    for seed in range(20):
        samples = old.quantile(np.random.default_rng(seed).random((8, 2)))
        new = simopt.update(old, samples, samples[:, 0] * 1e3, max_kl)
        assert 0 < simopt.divergence(new, old) <= max_kl


def test_updates_reach_the_parameters_whose_trajectories_are_the_targets() -> None:
    belief, rng = Gaussian(np.array([0.2, 0.8]), np.array([0.25, 0.25])), np.random.default_rng(4)
    inputs = rng.normal(size=(1, 30, 2))  # one episode of 30 steps

    def trajectories(unit: Any) -> Any:
        return unit[:, None, None, :] * inputs

    real = trajectories(np.array([[0.6, 0.4]]))[0]
    for _ in range(15):
        samples = belief.quantile(rng.random((simopt.SAMPLES, 2)))
        costs = simopt.discrepancy(trajectories(samples), real, np.ones((1, 30), bool), np.ones(2))
        belief = simopt.update(belief, samples, costs)
    np.testing.assert_allclose(belief.mean, [0.6, 0.4], atol=0.02)
    assert (belief.std < 0.03).all()


def test_the_discrepancy_counts_only_steps_that_there_were() -> None:
    real, running = np.zeros((1, 3, 1)), np.array([[True, True, False]])
    simulated = np.array([2.0, 4.0, 100.0]).reshape(1, 1, 3, 1)
    # (2/2 + (2/2)² + 4/2 + (4/2)²) over two steps
    np.testing.assert_allclose(simopt.discrepancy(simulated, real, running, np.array([2.0])), [4.0])
