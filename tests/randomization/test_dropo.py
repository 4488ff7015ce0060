"""DROPO: the likelihood against closed forms, and parameters recovered from a hopper's log."""

from typing import Any, Literal

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from randomization import dropo


def closed_form(predicted: Any, observed: Any, epsilon: float, covariance: str) -> float:
    total = 0.0
    for i, point in enumerate(observed):
        matrix = np.cov(predicted[:, i], rowvar=False)
        if covariance == "diagonal":
            matrix = np.diag(np.diag(matrix))
        total += multivariate_normal(predicted[:, i].mean(axis=0), matrix + epsilon * np.eye(len(point))).logpdf(point)
    return total


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_likelihood_is_that_of_the_samples_gaussian(covariance: Literal["diagonal", "full"]) -> None:
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=(2, 30, 5, 3)) @ rng.normal(size=(3, 3))
    observed = rng.normal(size=(5, 3))
    found = dropo.log_likelihood(predicted, observed, 0.01, covariance)
    expected = [closed_form(each, observed, 0.01, covariance) for each in predicted]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_of_a_linear_system_the_targets_mean_and_spread_are_found() -> None:
    rng = np.random.default_rng(1)
    effects = rng.uniform(1, 2, (200, 1))  # of the parameter on each transition
    observed = effects * rng.normal(0.3, 0.1, (200, 1))
    found = dropo.fit(lambda unit: unit[:, None, :] * effects, observed, np.ones(1), np.array([0.7]), seed=2)
    assert found.distribution.mean[0] == pytest.approx(0.3, abs=0.02)
    assert found.distribution.std[0] == pytest.approx(0.1, rel=0.2)
    assert found.log_likelihood > found.start


def test_a_hoppers_parameters_are_recovered_and_simulations_counted(known: Any) -> None:
    found = dropo.fit(known.predict, known.next_states, known.scale, known.search.nominal, seed=0, generations=16)
    np.testing.assert_allclose(found.distribution.mean, known.truth, atol=0.03)  # of the range
    assert found.distribution.std[0] < 0.03  # the torso moves most of what is measured
    population = 4 + int(3 * np.log(6))
    assert found.simulated_steps == 15 * dropo.SAMPLES * (1 + 16 * population)


def test_the_same_seed_finds_the_same() -> None:
    observed = np.random.default_rng(0).normal(0.4, 0.1, (20, 1))
    fits = [
        dropo.fit(lambda unit: np.repeat(unit[:, None], 20, 1), observed, np.ones(1), np.array([0.5]), 7, generations=5)
        for _ in range(2)
    ]
    np.testing.assert_equal(fits[0].distribution.mean, fits[1].distribution.mean)


def test_a_full_covariance_of_more_entries_than_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="covariance full: states have 29 entries; accepted: fewer than 20, or diag"):
        dropo.fit(lambda unit: unit, np.zeros((4, 29)), np.ones(29), np.array([0.5]), 0, covariance="full")
