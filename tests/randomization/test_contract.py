"""What every randomizer keeps to, whatever it has learned."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from experiments.checkpoints import load_section, save_checkpoint
from randomization import RANDOMIZERS, RandomizationConfig, Randomizer, make_randomizer

METHODS = [method for method, build in RANDOMIZERS.items() if build is not None]
LIMBS = ("thigh_mass", "leg_mass", "foot_mass")


def build(method: str, seed: int = 5) -> Randomizer:
    built = make_randomizer(RandomizationConfig(method).resolved(100.0), LIMBS, seed)
    assert built is not None
    return built


def keys(environments: int, episode: int) -> npt.NDArray[np.int64]:
    return np.array([(env, episode) for env in range(environments)], np.int64)


def taught(method: str) -> Randomizer:
    """After two thousand episodes, of which those with a light leg went well."""
    built = build(method)
    for episode in range(200):
        drawn = built.sample(keys(10, episode))
        values = {name: operand for (name, _), operand in drawn.items()}
        built.observe(keys(10, episode), values, np.where(values["leg_mass"] < 1.1, 90.0, 10.0))
    return built


def copied(built: Randomizer, method: str, folder: Path) -> Randomizer:
    """Another one, with the state of the first after a way through a checkpoint."""
    other = build(method)
    path = save_checkpoint(folder, 1, {"state": {"randomizer": built.state_dict()}})
    other.load_state_dict(load_section(path, "state")["randomizer"])
    return other


@pytest.mark.parametrize("method", METHODS)
def test_draws_stay_within_the_declared_bounds(method: str) -> None:
    for built in (build(method), taught(method)):
        drawn = built.sample(keys(500, 300))
        assert set(drawn) == set(built.bounds()) == {(limb, "*") for limb in LIMBS}
        for name, (low, high) in built.bounds().items():
            assert drawn[name].shape == (500,)
            assert drawn[name].dtype == np.float64
            assert ((drawn[name] >= low) & (drawn[name] <= high)).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_draw_depends_on_its_own_key_alone(method: str, tmp_path: Path) -> None:
    built = taught(method)
    alone = copied(built, method, tmp_path)
    together = built.sample(keys(20, 400))
    for env in range(20):
        single: Any = alone.sample(np.array([[env, 400]]))
        assert all(single[name][0] == together[name][env] for name in together)


@pytest.mark.parametrize("method", METHODS)
def test_draws_of_other_seeds_and_episodes_are_others(method: str) -> None:
    built = taught(method)
    first, second = built.sample(keys(50, 500)), built.sample(keys(50, 501))
    other = build(method, seed=6)
    other.load_state_dict(built.state_dict())
    third = other.sample(keys(50, 500))
    for name in first:
        # At one of its bounds a parameter may meet itself again.
        assert (first[name] == second[name]).mean() < 0.2
        assert (first[name] == third[name]).mean() < 0.2


@pytest.mark.parametrize("method", METHODS)
def test_what_is_logged_is_finite_and_names_both_ends_of_what_moves(method: str) -> None:
    found = taught(method).metrics()
    assert np.isfinite(list(found.values())).all()
    moving = {name for name in found if name.endswith(("/low", "/high"))}
    expected = {f"{limb}/{end}" for limb in LIMBS for end in ("low", "high")}
    assert moving == (set() if method in ("uniform", "epopt") else expected)
    assert all(type(value) in (float, int) for value in found.values())


@pytest.mark.parametrize("method", ["adr", "doraemon"])
def test_a_curriculum_widens_where_it_goes_well(method: str) -> None:
    found = taught(method).metrics()
    assert found["leg_mass/low"] < 0.75
    assert found["thigh_mass/high"] - found["thigh_mass/low"] > 0.5  # of 0.6, or of 0.54 between the quantiles
