"""Randomisation by configuration: labels, refusals, and what is built from it."""

import re
from typing import Any

import pytest

from randomization import Draw, RandomizationConfig, make_randomizer, parse_draw
from randomization.distributions import Normal, Uniform

LIMBS = ("thigh_mass", "leg_mass", "foot_mass")


@pytest.mark.parametrize(
    ("text", "draw"),
    [
        ("thigh_mass * uniform(0.7, 1.3)", Draw("thigh_mass", "*", Uniform(0.7, 1.3))),
        (" torso_mass+uniform(-0.5,0.5) ", Draw("torso_mass", "+", Uniform(-0.5, 0.5))),
        ("gravity = normal(9.81, 0.1)", Draw("gravity", "=", Normal(9.81, 0.1))),
    ],
)
def test_a_draw_is_read(text: str, draw: Draw) -> None:
    assert parse_draw(text) == draw


ACCEPTED = "accepted: parameter, then = + or *, then a distribution, for example 'thigh_mass * uniform(0.7, 1.3)'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"cannot read draw ''; {ACCEPTED}"),
        ("thigh_mass", f"cannot read draw 'thigh_mass'; {ACCEPTED}"),
        ("thigh_mass *", f"cannot read draw 'thigh_mass *'; {ACCEPTED}"),
        ("thigh_mass - uniform(0, 1)", f"cannot read draw 'thigh_mass - uniform(0, 1)'; {ACCEPTED}"),
        ("2 * uniform(0, 1)", f"cannot read draw '2 * uniform(0, 1)'; {ACCEPTED}"),
        ("thigh_mass * uniform(2, 1)", "draw 'thigh_mass * uniform(2, 1)': uniform: low 2 is above high 1"),
        ("thigh_mass * 2", "draw 'thigh_mass * 2': cannot read distribution '2'; accepted: uniform(low, high), "),
    ],
)
def test_a_bad_draw_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse_draw(text)


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "none"),
        ({"width": 0.5}, "none"),
        ({"method": "uniform"}, "uniform"),
        ({"method": "uniform", "width": 0.3}, "uniform"),
        ({"method": "uniform", "width": 0.45}, "uniform0.45"),
        ({"method": "uniform", "draws": ("torso_mass + uniform(-0.5, 0.5)",)}, "uniform[torso_mass+uniform(-0.5,0.5)]"),
        (
            {"method": "uniform", "draws": ("leg_mass * uniform(1, 2)", "gravity = uniform(9, 10)")},
            "uniform[leg_mass*uniform(1,2);gravity=uniform(9,10)]",
        ),
        ({"method": "uniform", "draws": ("leg_mass * uniform(1, 2)",), "name": "heavy-legs"}, "heavy-legs"),
    ],
)
def test_the_label_says_what_differs_from_the_defaults(options: dict[str, Any], label: str) -> None:
    assert RandomizationConfig(**options).label == label


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "adr2"}, r"^unknown randomisation 'adr2'; accepted: none, uniform"),
        ({"width": 1.0}, r"^width is 1; it must be at least 0 and below 1$"),
        ({"width": -0.1}, r"^width is -0.1; it must be at least 0 and below 1$"),
        ({"width": float("nan")}, r"^width is nan; it must be at least 0 and below 1$"),
        (
            {"draws": ("leg_mass * uniform(1, 2)",)},
            r"^draws are given but method is 'none'; accepted: method 'uniform'",
        ),
        ({"name": "wide"}, r"^a name is given but method is 'none'; accepted: method 'uniform'"),
        ({"method": "uniform", "name": "none"}, r"^name of a randomisation is 'none'; accepted: a letter, then "),
        (
            {"method": "uniform", "name": "a/b"},
            r"^name of a randomisation is 'a/b'; accepted: .* none of none, uniform$",
        ),
        ({"method": "uniform", "draws": ("leg_mass",)}, r"^cannot read draw 'leg_mass'; accepted: "),
    ],
)
def test_bad_configurations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomizationConfig(**options)


def test_none_builds_no_randomizer() -> None:
    assert make_randomizer(RandomizationConfig(), LIMBS, seed=0) is None


def test_the_default_scales_the_figures_parameters() -> None:
    built = make_randomizer(RandomizationConfig("uniform", width=0.2), LIMBS, seed=9)
    assert built is not None
    assert built.seed == 9
    assert built.bounds() == {(name, "*"): (0.8, 1.2) for name in LIMBS}


def test_declared_draws_replace_the_defaults() -> None:
    built = make_randomizer(RandomizationConfig("uniform", draws=("torso_mass + uniform(-0.5, 0.5)",)), LIMBS, seed=0)
    assert built is not None
    assert built.bounds() == {("torso_mass", "+"): (-0.5, 0.5)}
