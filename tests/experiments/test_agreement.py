import numpy as np
import pytest
from scipy import stats

from experiments.agreement import agree, kendall, spearman, top_overlap


@pytest.mark.parametrize("ties", [False, True])
def test_correlations_equal_scipys(ties: bool) -> None:
    rng = np.random.default_rng(0)
    for count in (4, 10, 60):
        a = rng.normal(size=count)
        b = a + rng.normal(size=count)
        if ties:
            a, b = np.round(a), np.round(b)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
        assert kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)


def test_known_rankings() -> None:
    ranks = np.arange(5)
    assert (spearman(ranks, ranks**3), kendall(ranks, ranks**3)) == pytest.approx((1, 1))
    assert (spearman(ranks, -ranks), kendall(ranks, -ranks)) == pytest.approx((-1, -1))
    # One neighbouring pair of ten pairs is the other way round; the sum of squared rank differences is 2.
    swapped = [0, 2, 1, 3, 4]
    assert (spearman(ranks, swapped), kendall(ranks, swapped)) == pytest.approx((1 - 6 * 2 / (5 * 24), (9 - 1) / 10))


def test_without_differences_there_is_no_ranking() -> None:
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert np.isnan(kendall([1, 2, 3], [4, 4, 4]))


def test_the_best_are_counted() -> None:
    true = np.arange(8)  # the best quarter is 6 and 7
    assert top_overlap(true, true) == 1
    assert top_overlap([0, 0, 0, 0, 0, 9, 8, 0], true) == 0.5
    assert top_overlap(-true, true) == 0
    assert top_overlap([5, 4, 3], [3, 5, 4], share=0.1) == 0  # at least one is compared
    assert top_overlap([7, 7, 7, 7], [9, 0, 0, 0]) == 1  # of equal scores the earlier is better


def test_intervals_hold_the_value_are_seeded_and_narrow_with_more_individuals() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=200)
    predicted = true + rng.normal(size=200)
    few, many = (agree(predicted[:n], true[:n], np.random.default_rng(0)) for n in (20, 200))
    for found in (few, many):
        assert found.spearman_low < found.spearman < found.spearman_high
        assert found.kendall_low < found.kendall < found.kendall_high
    assert many.spearman_high - many.spearman_low < 0.5 * (few.spearman_high - few.spearman_low)
    # Of two standard normals plus noise of the same size r is 0.707; Spearman's ρ of normals is 6/π asin(r/2).
    expected = 6 / np.pi * np.arcsin(0.5**0.5 / 2)
    assert many.spearman_low < expected < many.spearman_high
    assert agree(predicted[:20], true[:20], np.random.default_rng(0)) == few


def test_a_perfect_ranking_is_perfect_and_an_undefined_one_has_no_interval() -> None:
    true = np.arange(20.0)
    found = agree(2 * true + 1, true, np.random.default_rng(0))
    assert (found.spearman, found.spearman_low, found.kendall, found.top) == pytest.approx((1, 1, 1, 1))
    flat = agree(np.zeros(20), true, np.random.default_rng(0))
    assert np.isnan([flat.spearman, flat.spearman_low, flat.spearman_high, flat.kendall]).all()


@pytest.mark.parametrize(("predicted", "true"), [([1.0], [2.0]), ([1.0, np.nan], [1.0, 2.0])])
def test_scores_that_cannot_be_compared_are_refused(predicted: list[float], true: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^scores of shape .*; accepted: two rows of 2 or more finite numbers$"):
        agree(predicted, true, np.random.default_rng(0))
