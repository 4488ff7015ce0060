"""Distributions: quantiles against SciPy's closed forms, moments of draws, and the notation."""

import math
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats

from randomization.distributions import (
    DISTRIBUTIONS,
    Distribution,
    LogUniform,
    TruncatedNormal,
    Uniform,
    parse_distribution,
)


def truncated(mean: float, std: float, low: float, high: float) -> Any:
    return stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)


CASES: dict[str, tuple[Distribution, Any]] = {
    "uniform(0.7, 1.3)": (Uniform(0.7, 1.3), stats.uniform(0.7, 0.6)),
    "uniform(-5, -1e-1)": (Uniform(-5, -0.1), stats.uniform(-5, 4.9)),
    "loguniform(0.25, 4)": (LogUniform(0.25, 4), stats.loguniform(0.25, 4)),
    "loguniform(1e-6, 1e3)": (LogUniform(1e-6, 1e3), stats.loguniform(1e-6, 1e3)),
    "truncnormal(1, 0.2, 0.5, 1.5)": (TruncatedNormal(1, 0.2, 0.5, 1.5), truncated(1, 0.2, 0.5, 1.5)),
    "truncnormal(0, 1, 0.5, 9)": (TruncatedNormal(0, 1, 0.5, 9), truncated(0, 1, 0.5, 9)),
    "truncnormal(2, 10, 1, 1.5)": (TruncatedNormal(2, 10, 1, 1.5), truncated(2, 10, 1, 1.5)),
    "truncnormal(0, 0.05, 0.45, 1)": (TruncatedNormal(0, 0.05, 0.45, 1), truncated(0, 0.05, 0.45, 1)),
    "truncnormal(10, 0.4, 0, 1)": (TruncatedNormal(10, 0.4, 0, 1), truncated(10, 0.4, 0, 1)),
}
ALL = pytest.mark.parametrize(("text", "distribution", "reference"), [(k, *v) for k, v in CASES.items()], ids=CASES)


@ALL
def test_quantiles_equal_scipys(text: str, distribution: Distribution, reference: Any) -> None:
    u = np.linspace(1e-6, 1 - 1e-6, 1001)
    np.testing.assert_allclose(distribution.quantile(u), reference.ppf(u), rtol=1e-9, atol=1e-12)


@ALL
def test_draws_have_the_moments_of_the_distribution(text: str, distribution: Distribution, reference: Any) -> None:
    n = 20_000
    draws = distribution.quantile(np.random.default_rng(0).random(n))
    mean, variance, excess = reference.stats(moments="mvk")
    standard_error = math.sqrt(variance / n)
    assert draws.mean() == pytest.approx(mean, abs=5 * standard_error)
    assert draws.var() == pytest.approx(variance, rel=5 * math.sqrt((excess + 2) / n))


@ALL
def test_the_support_holds_every_draw(text: str, distribution: Distribution, reference: Any) -> None:
    np.testing.assert_allclose(distribution.support, reference.support(), rtol=1e-12)
    low, high = distribution.support
    draws = distribution.quantile(np.array([0.0, 1e-300, 0.5, 1 - 2**-53]))
    assert ((low <= draws) & (draws <= high)).all()


@ALL
def test_the_notation_is_read(text: str, distribution: Distribution, reference: Any) -> None:
    assert parse_distribution(text) == distribution
    assert parse_distribution(f"  {text.replace('(', ' ( ').replace(',', ' ,')}  ") == distribution


@pytest.mark.parametrize("distribution", [Uniform(2, 2), LogUniform(2, 2), TruncatedNormal(9, 1, 2, 2)])
def test_a_distribution_of_one_value_draws_exactly_that(distribution: Distribution) -> None:
    assert distribution.support == (2, 2)
    np.testing.assert_array_equal(distribution.quantile(np.array([0.01, 0.3, 0.999])), 2.0)


ACCEPTED = "accepted: uniform(low, high), loguniform(low, high), truncnormal(mean, std, low, high)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"cannot read distribution ''; {ACCEPTED}"),
        ("uniform", f"cannot read distribution 'uniform'; {ACCEPTED}"),
        ("unifrom(0, 1)", f"cannot read distribution 'unifrom(0, 1)'; {ACCEPTED}"),
        ("Uniform(0, 1)", f"cannot read distribution 'Uniform(0, 1)'; {ACCEPTED}"),
        ("uniform(0, 1) + 1", f"cannot read distribution 'uniform(0, 1) + 1'; {ACCEPTED}"),
        ("uniform((0, 1))", f"cannot read distribution 'uniform((0, 1))'; {ACCEPTED}"),
        ("uniform()", "'uniform()': every argument must be a number"),
        ("uniform(0, one)", "'uniform(0, one)': every argument must be a number"),
        ("uniform(0, 1,)", "'uniform(0, 1,)': every argument must be a number"),
        ("uniform(0, nan)", "'uniform(0, nan)': every argument must be finite"),
        ("loguniform(1, inf)", "'loguniform(1, inf)': every argument must be finite"),
        ("uniform(0, 1e999)", "'uniform(0, 1e999)': every argument must be finite"),
        ("uniform(1)", "'uniform(1)': uniform takes (low, high)"),
        ("uniform(1, 2, 3)", "'uniform(1, 2, 3)': uniform takes (low, high)"),
        ("truncnormal(0, 1)", "'truncnormal(0, 1)': truncnormal takes (mean, std, low, high)"),
        ("uniform(2, 1)", "uniform: low 2 is above high 1"),
        ("loguniform(0, 1)", "loguniform: need 0 < low <= high, got 0 and 1"),
        ("loguniform(2, 1)", "loguniform: need 0 < low <= high, got 2 and 1"),
        ("normal(0, 1)", f"cannot read distribution 'normal(0, 1)'; {ACCEPTED}"),
        ("truncnormal(0, 1, 31, 32)", "truncnormal: the bounds are 31 std from the mean; accepted: 30"),
        ("truncnormal(0, 0, -1, 1)", "truncnormal: need std > 0 and low <= high, got std 0, -1, 1"),
        ("truncnormal(0, 1, 2, 1)", "truncnormal: need std > 0 and low <= high, got std 1, 2, 1"),
    ],
)
def test_bad_notation_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_distribution(text)


def test_every_distribution_has_a_case() -> None:
    assert {type(distribution) for distribution, _ in CASES.values()} == set(DISTRIBUTIONS.values())
