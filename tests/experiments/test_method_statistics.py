import math

import numpy as np
import numpy.typing as npt
import pytest
from rliable import metrics
from scipy import stats

from experiments.method_statistics import (
    compare,
    performance_profile,
    probability_of_improvement,
    profile_band,
    thresholds_of,
    told_apart,
)

Array = npt.NDArray[np.float64]

RNG = np.random.default_rng(0)
OURS, THEIRS = RNG.normal(1700, 80, 10), RNG.normal(1600, 300, 7)


def test_the_profile_is_the_empirical_survival_function() -> None:
    # What rliable's library computes (np.mean(scores > tau)); its import fails beside pandas 3.
    thresholds = np.concatenate((np.linspace(800, 2200, 57), THEIRS))
    assert performance_profile(THEIRS, thresholds) == pytest.approx(stats.ecdf(THEIRS).sf.evaluate(thresholds))


def test_the_profile_by_hand() -> None:
    assert performance_profile([1.0, 2.0, 3.0, 4.0], [0.5, 2.0, 3.5, 4.0]).tolist() == [1.0, 0.5, 0.25, 0.0]


def test_the_profiles_band_covers_a_binomial_share() -> None:
    scores = np.repeat([0.0, 1.0], 50)
    low, high = profile_band(scores, np.array([0.5]), np.random.default_rng(1))
    assert low[0] == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert high[0] == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)
    assert np.isnan(profile_band(scores[:1], np.array([0.5]), np.random.default_rng(1))).all()


@pytest.mark.parametrize(
    ("x", "y"),
    [(OURS, THEIRS), (THEIRS, OURS), (np.array([1.0, 2, 2, 5]), np.array([2.0, 2, 3])), (OURS[:1], THEIRS[:1])],
)
def test_the_probability_of_improvement_equals_rliables(x: Array, y: Array) -> None:
    expected = metrics.probability_of_improvement(x[:, None], y[:, None])
    assert probability_of_improvement(x, y) == pytest.approx(expected, abs=1e-12)


def test_the_probability_of_improvement_by_hand() -> None:
    assert probability_of_improvement([2.0, 3.0], [1.0, 2.0]) == 0.875  # three wins and a tie
    assert probability_of_improvement(OURS, OURS) == 0.5
    with pytest.raises(ValueError, match="needs scores on both sides"):
        probability_of_improvement([], [1.0])


def test_its_interval_is_scipys_percentile_bootstrap() -> None:
    expected = stats.bootstrap(
        (OURS, THEIRS),
        probability_of_improvement,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    (row,) = compare({"ours": OURS, "theirs": THEIRS})
    assert [row["probability_low"], row["probability_high"]] == pytest.approx(list(expected), abs=0.04)


def test_every_pair_is_compared_once_and_only_clear_differences_are_told_apart() -> None:
    scores = {"a": np.arange(10.0), "b": np.arange(10.0) + 100, "c": np.arange(10.0) + 101, "one": np.array([5.0])}
    rows = compare(scores)
    by = {(row["first"], row["second"]): row for row in rows}
    assert list(by) == [("a", "b"), ("a", "c"), ("a", "one"), ("b", "c"), ("b", "one"), ("c", "one")]
    assert by["a", "b"]["difference"] == -100
    assert by["a", "b"]["difference_low"] <= -100 <= by["a", "b"]["difference_high"]
    assert (by["a", "b"]["probability"], by["a", "b"]["probability_high"]) == (0.0, 0.0)
    assert [told_apart(by["a", other]) for other in ("b", "c", "one")] == [True, True, False]
    assert not told_apart(by["b", "c"])
    assert math.isnan(by["a", "one"]["difference_low"])
    assert compare({"a": scores["a"], "c": scores["c"]}) == [by["a", "c"]]  # whoever else is there


def test_thresholds_reach_beyond_every_score() -> None:
    thresholds = thresholds_of([OURS, THEIRS])
    assert performance_profile(THEIRS, thresholds)[[0, -1]].tolist() == [1.0, 0.0]
    assert performance_profile([5.0], thresholds_of([np.array([5.0])]))[[0, -1]].tolist() == [1.0, 0.0]
