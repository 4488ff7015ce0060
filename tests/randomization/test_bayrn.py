"""BayRn: a function of its tries, and it finds what a random search of the same budget does not."""

from typing import Any

import numpy as np
import pytest

from randomization import bayrn
from randomization.identification import MAX_STD, MIN_STD

OPTIMUM = np.array([0.7, 0.3])


def earned(point: Any) -> float:
    return 100.0 * float(1 - np.sum((point - OPTIMUM) ** 2))


def test_fifteen_tries_come_close_to_the_best_distribution() -> None:
    point = bayrn.start(np.array([0.2]))
    tried = [(point, earned(point))]
    while len(tried) < 15:
        point = bayrn.propose(tried, seed=1)
        assert ((point >= 0) & (point <= 1)).all()
        tried.append((point, earned(point)))
    np.testing.assert_allclose(bayrn.best(tried), OPTIMUM, atol=0.05)


def test_the_same_tries_and_seed_propose_the_same() -> None:
    tried = [(np.array([x, 1 - x]), earned(np.array([x, 1 - x]))) for x in (0.1, 0.4, 0.8, 0.9)]
    np.testing.assert_array_equal(bayrn.propose(tried, seed=3), bayrn.propose(tried, seed=3))
    assert (bayrn.propose(tried[:1], seed=3) != bayrn.propose(tried[:1], seed=4)).all()


def test_a_point_is_means_and_logarithms_of_deviations() -> None:
    found = bayrn.gaussian(np.array([0.2, 0.9, 0.0, 1.0]))
    np.testing.assert_array_equal(found.mean, [0.2, 0.9])
    np.testing.assert_allclose(found.std, [MIN_STD, MAX_STD])
    assert bayrn.gaussian(bayrn.start(np.array([0.4]))).std[0] == pytest.approx(np.sqrt(MIN_STD * MAX_STD))
