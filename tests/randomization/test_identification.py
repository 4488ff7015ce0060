"""What methods of identification share: settings, search ranges, and distributions as draws."""

from typing import Any

import numpy as np
import pytest

from randomization import FixedRandomizer, parse_draw
from randomization.identification import Gaussian, IdentifyConfig, parse_search, subset

SEARCH = ("torso_mass * uniform(0.5, 2)", "foot_friction = uniform(0, 4)", "gravity + uniform(-1, 3)")


def test_unit_coordinates_span_the_ranges_and_start_where_nothing_is_changed() -> None:
    search = parse_search(SEARCH)
    np.testing.assert_array_equal(search.operands(np.zeros(3)), [0.5, 0, -1])
    np.testing.assert_array_equal(search.operands(np.ones(3)), [2, 4, 3])
    np.testing.assert_allclose(search.operands(search.nominal), [1, 2, 0])
    np.testing.assert_allclose(search.unit(np.array([9.0, 1.0, 0.0])), [1, 0.25, 0.25])


def test_a_distribution_draws_what_a_randomiser_draws_of_its_text() -> None:
    found = Gaussian(np.array([0.6, 0.1, 0.5]), np.array([0.1, 0.2, 0.0]))
    search = parse_search(SEARCH)
    texts = found.draws(search)
    assert texts == (
        "torso_mass * truncnormal(1.4, 0.15, 0.5, 2)",
        "foot_friction = truncnormal(0.4, 0.8, 0, 4)",
        "gravity + uniform(1, 1)",
    )
    randomizer = FixedRandomizer([parse_draw(text) for text in texts], seed=3)
    sampled = np.stack(list(randomizer.sample(np.array([[0, e] for e in range(50)])).values()), axis=1)
    uniform = np.array([np.random.default_rng((3, 0, e)).random(3) for e in range(50)])
    np.testing.assert_allclose(sampled, search.operands(found.quantile(uniform)), rtol=1e-12)


def test_a_subset_is_in_order_without_repetition_and_keyed() -> None:
    np.testing.assert_array_equal(subset(4, 5, 0), np.arange(4))
    chosen = subset(1000, 50, 1)
    assert len(chosen) == 50
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, subset(1000, 50, 1))


def test_labels_name_the_method_and_what_differs() -> None:
    assert IdentifyConfig().label == ""
    assert IdentifyConfig("dropo", "none").label == "dropo"
    assert IdentifyConfig("dropo", "none", episodes=2).label == "dropo-2episodes"
    assert IdentifyConfig("bayrn", rounds=8, search=SEARCH[:1]).label == "bayrn[torso_mass*uniform(0.5,2)]-8rounds"
    assert IdentifyConfig("sysid", "none", name="torso").label == "torso"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magic"}, r"unknown identification 'magic'; accepted: none, dropo, sysid, bayrn, simopt"),
        ({"method": "dropo"}, r"policy is '' and the method dropo; accepted: a run on the source, or a cell"),
        ({"method": "simopt", "policy": "x"}, r"policy is 'x' and the method simopt; accepted: none"),
        ({"policy": "x"}, r"policy is 'x' and the method none; accepted: none"),
        ({"method": "simopt", "episodes": 0}, r"episodes is 0; it must be from 1"),
        ({"method": "simopt", "rounds": 1}, r"rounds is 1; it must be from 2"),
        ({"steps_spent": -1}, r"episodes_spent and steps_spent must be 0 or more"),
        ({"name": "mine"}, r"name of an identification is 'mine'; accepted: with a method, a letter"),
        (
            {"method": "simopt", "search": ("gravity = uniform(9, 9)",)},
            r"search 'gravity = uniform\(9, 9\)': accepted",
        ),
        (
            {"method": "simopt", "search": (SEARCH[0], SEARCH[0])},
            r"search 'torso_mass .*': accepted: each parameter once",
        ),
        ({"method": "simopt", "search": ("torso",)}, r"cannot read draw 'torso'"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        IdentifyConfig(**settings)
