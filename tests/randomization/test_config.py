"""Randomisation by configuration: labels, refusals, and what is built from it."""

import re
from typing import Any

import pytest

from randomization import (
    AutoDR,
    AutoDRConfig,
    Doraemon,
    DoraemonConfig,
    Draw,
    EPOptConfig,
    FixedRandomizer,
    RandomizationConfig,
    make_randomizer,
    parse_draw,
)
from randomization.distributions import TruncatedNormal, Uniform

LIMBS = ("thigh_mass", "leg_mass", "foot_mass")


@pytest.mark.parametrize(
    ("text", "draw"),
    [
        ("thigh_mass * uniform(0.7, 1.3)", Draw("thigh_mass", "*", Uniform(0.7, 1.3))),
        (" torso_mass+uniform(-0.5,0.5) ", Draw("torso_mass", "+", Uniform(-0.5, 0.5))),
        ("gravity = truncnormal(9.81, 0.1, 9, 10)", Draw("gravity", "=", TruncatedNormal(9.81, 0.1, 9, 10))),
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
        ({"method": "adr", "width": 0.5}, "adr0.5"),
        ({"method": "adr", "reference_return": 900.0}, "adr"),
        ({"method": "adr", "adr": AutoDRConfig(step=0.05, episodes=30)}, "adr-episodes30-step0.05"),
        ({"method": "doraemon", "doraemon": DoraemonConfig(alpha=0.7)}, "doraemon-alpha0.7"),
        (
            {"method": "epopt", "draws": ("leg_mass * uniform(1, 2)",), "epopt": EPOptConfig(epsilon=0.2)},
            "epopt[leg_mass*uniform(1,2)]-epsilon0.2",
        ),
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
            r"^draws are given but method is 'none'; accepted: uniform, adr, doraemon, epopt$",
        ),
        ({"name": "wide"}, r"^a name is given but method is 'none'; accepted: uniform, adr, doraemon, epopt$"),
        ({"method": "uniform", "name": "none"}, r"^name of a randomisation is 'none'; accepted: a letter, then "),
        (
            {"method": "uniform", "name": "a/b"},
            r"^name of a randomisation is 'a/b'; accepted: .* none of none, uniform, adr, doraemon, epopt$",
        ),
        ({"method": "adr", "name": "doraemon"}, r"^name of a randomisation is 'doraemon'; accepted: "),
        ({"method": "adr", "reference_return": 0.0}, r"^reference_return is 0; it must be above 0$"),
        (
            {"method": "epopt", "reference_return": 9.0},
            r"^reference_return is set but .* 'epopt'; accepted with: ",
        ),
        (
            {"method": "uniform", "width": 0.2, "draws": ("gravity*uniform(1, 2)",)},
            r"^width is 0.2, but draws are",
        ),
        (
            {"method": "adr", "doraemon": DoraemonConfig(alpha=0.7)},
            r"^doraemon.alpha is set but method is 'adr'$",
        ),
        ({"epopt": EPOptConfig(warmup=0.1)}, r"^epopt.warmup is set but method is 'none'$"),
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


@pytest.mark.parametrize(
    ("method", "kind"),
    [("uniform", FixedRandomizer), ("adr", AutoDR), ("doraemon", Doraemon), ("epopt", FixedRandomizer)],
)
def test_every_method_draws_within_the_same_ranges(method: str, kind: type) -> None:
    config = RandomizationConfig(method, width=0.2).resolved(1000.0)
    built = make_randomizer(config, LIMBS, seed=9)
    assert built is not None
    assert type(built) is kind
    assert built.bounds() == {(name, "*"): (0.8, 1.2) for name in LIMBS}


@pytest.mark.parametrize("method", ["adr", "doraemon"])
def test_a_curriculum_needs_a_reference_return(method: str) -> None:
    config = RandomizationConfig(method)
    with pytest.raises(ValueError, match=rf"^reference_return is needed by {method}: the return of an episode that"):
        make_randomizer(config, LIMBS, seed=0)
    assert config.resolved(1750.0).reference() == 1750
    assert RandomizationConfig(method, reference_return=900.0).resolved(1750.0).reference() == 900
    assert RandomizationConfig("uniform").resolved(1750.0) == RandomizationConfig("uniform")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, r"^epopt.epsilon is 0; it must be above 0 and at most 1$"),
        ({"warmup": 1.5}, r"^epopt.warmup is 1.5; it must be from 0 to 1$"),
    ],
)
def test_impossible_options_of_epopt_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EPOptConfig(**options)
