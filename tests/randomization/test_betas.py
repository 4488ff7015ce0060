"""Closed forms of Beta distributions against scipy and torch, gradients against differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch

from randomization import betas

Array = npt.NDArray[np.float64]
SHAPES = [
    (np.array([100.0, 1.0, 2.5]), np.array([100.0, 1.0, 0.7])),
    (np.array([1.2, 30.0, 1.0]), np.array([9.0, 2.0, 1.5])),
]
THETAS = [np.log(np.concatenate(pair)) for pair in SHAPES]
X = np.random.default_rng(0).uniform(0.01, 0.99, (3, 7))


def torch_betas(shapes: tuple[Array, Array]) -> torch.distributions.Beta:
    a, b = (torch.as_tensor(shape, dtype=torch.float64) for shape in shapes)
    return torch.distributions.Beta(a, b)


@pytest.mark.parametrize(("shapes", "theta"), list(zip(SHAPES, THETAS, strict=True)))
def test_closed_forms_equal_scipy(shapes: tuple[Array, Array], theta: Array) -> None:
    frozen = [scipy.stats.beta(a, b) for a, b in zip(*shapes, strict=True)]
    assert betas.entropy(theta) == pytest.approx(sum(each.entropy() for each in frozen), rel=1e-12)
    expected = np.sum([each.logpdf(x) for each, x in zip(frozen, X, strict=True)], axis=0)
    np.testing.assert_allclose(betas.log_density(theta, X), expected, rtol=1e-11)
    expected = np.array([each.ppf(x) for each, x in zip(frozen, X, strict=True)])
    np.testing.assert_allclose(betas.quantile(theta, X), expected, rtol=1e-10)


@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 0), (0, 0)])
def test_the_divergence_equals_that_of_torch_and_an_integral(old: int, new: int) -> None:
    found = betas.divergence(THETAS[old], THETAS[new])
    expected = torch.distributions.kl_divergence(torch_betas(SHAPES[old]), torch_betas(SHAPES[new])).sum()
    assert found == pytest.approx(float(expected), rel=1e-10, abs=1e-12)
    samples = betas.quantile(THETAS[old], np.tile((np.arange(20000) + 0.5) / 20000, (3, 1)))
    # A mean of sums, so it does not matter that the same quantiles of all distributions stand side by side.
    mean = np.mean(betas.log_density(THETAS[old], samples) - betas.log_density(THETAS[new], samples))
    assert found == pytest.approx(mean, rel=2e-3, abs=1e-9)


def test_small_divergences_of_wide_distributions_are_not_negative() -> None:
    """In float32 they come out negative, and a solver that is told so stands still."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        old = rng.uniform(0, 0.2, 20)
        assert 0 < betas.divergence(old, old + rng.normal(0, 1e-4, 20)) < 1e-4


def differences(function: Callable[[Array], Any], theta: Array) -> Array:
    """Central differences, ``(len(theta), ...)``."""
    step = 1e-5
    return np.array([(function(theta + e) - function(theta - e)) / (2 * step) for e in step * np.eye(len(theta))])


@pytest.mark.parametrize("theta", THETAS)
def test_gradients_equal_differences(theta: Array) -> None:
    other = THETAS[0] if theta is THETAS[1] else THETAS[1]
    np.testing.assert_allclose(betas.entropy_gradient(theta), differences(betas.entropy, theta), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        betas.divergence_gradient(other, theta),
        differences(lambda t: betas.divergence(other, t), theta),
        rtol=1e-6,
        atol=1e-7,
    )
    np.testing.assert_allclose(
        betas.log_density_gradient(theta, X),
        differences(lambda t: betas.log_density(t, X), theta),
        rtol=1e-6,
        atol=1e-6,
    )


def test_uniform_distributions_have_the_highest_entropy() -> None:
    uniform = np.zeros(6)
    assert betas.entropy(uniform) == 0
    np.testing.assert_array_equal(betas.entropy_gradient(uniform), np.zeros(6))
    assert betas.divergence(uniform, uniform) == 0
    np.testing.assert_allclose(betas.quantile(uniform, X), X, rtol=1e-14)


def test_quantiles_stay_where_densities_have_logarithms() -> None:
    edges = betas.quantile(np.zeros(2), np.array([[0.0, 1.0]]))
    assert np.isfinite(betas.log_density(np.log([2.0, 3.0]), edges)).all()
