"""Keyed draws: a function of seed, environment and episode alone, acting on the nominal value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import envs
from randomization import Draw, FixedRandomizer, parse_draw
from randomization.distributions import Uniform

DRAWS = (
    "thigh_mass * uniform(0.7, 1.3)",
    "leg_mass + truncnormal(0, 0.5, -1, 1)",
    "foot_friction = loguniform(0.5, 2)",
)
PARAMETERS = (("thigh_mass", "*"), ("leg_mass", "+"), ("foot_friction", "="))


def randomizer(seed: int = 3) -> FixedRandomizer:
    return FixedRandomizer([parse_draw(draw) for draw in DRAWS], seed)


def keys(*rows: tuple[int, int]) -> npt.NDArray[np.int64]:
    return np.array(rows, np.int64)


def test_draws_are_quantiles_of_the_keys_own_numbers() -> None:
    drawn = randomizer(seed=3).sample(keys((2, 5), (0, 9)))
    u = np.stack([np.random.default_rng((3, *key)).random(3) for key in ((2, 5), (0, 9))])
    for j, draw in enumerate(DRAWS):
        expected = parse_draw(draw).distribution.quantile(u[:, j].copy())
        np.testing.assert_array_equal(drawn[PARAMETERS[j]], expected)
    assert tuple(drawn) == PARAMETERS


def test_the_draw_of_a_key_does_not_depend_on_the_other_keys() -> None:
    rows = [(env, episode) for env in range(6) for episode in range(5)]
    together = randomizer().sample(keys(*rows))
    shuffled = np.random.default_rng(0).permutation(len(rows))
    reordered = randomizer().sample(keys(*rows)[shuffled])
    for j, row in enumerate(rows):
        alone = randomizer().sample(keys(row))
        for name in PARAMETERS:
            assert together[name][j] == alone[name][0]
    for name in PARAMETERS:
        np.testing.assert_array_equal(together[name][shuffled], reordered[name])


@dataclass(frozen=True)
class Strides:
    """Draws the distance in memory between its numbers."""

    support = (0.0, 1.0)

    def quantile(self, u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.full(len(u), float(u.strides[0]))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_numbers_reach_a_distribution_packed(count: int) -> None:
    """Of a strided array NumPy's power has one last bit or another, as the allocator pleases."""
    draws = [Draw(f"{name}_mass", "*", Strides()) for name in ("thigh", "leg", "foot")]
    for values in FixedRandomizer(draws, seed=0).sample(keys(*((0, k) for k in range(count)))).values():
        assert values.tolist() == [8.0] * count


def test_every_key_and_seed_draws_otherwise() -> None:
    rows = keys(*((env, episode) for env in range(8) for episode in range(8)))
    drawn = [randomizer(seed).sample(rows) for seed in range(4)]
    for name in PARAMETERS:
        assert len(np.unique([sample[name] for sample in drawn])) == 4 * 64


def test_draws_of_two_parameters_are_independent() -> None:
    wide = FixedRandomizer([Draw("thigh_mass", "*", Uniform(0, 1)), Draw("leg_mass", "*", Uniform(0, 1))], seed=0)
    drawn = wide.sample(keys(*((env, episode) for env in range(40) for episode in range(40))))
    correlation = np.corrcoef(np.stack(list(drawn.values())))[0, 1]
    assert abs(correlation) < 4 / np.sqrt(1600)


def test_observing_returns_teaches_a_fixed_distribution_nothing() -> None:
    untouched, taught = randomizer(), randomizer()
    taught.observe(keys((0, 0)), {"thigh_mass": np.array([3.0])}, np.array([100.0]))
    np.testing.assert_equal(taught.sample(keys((1, 1))), untouched.sample(keys((1, 1))))


def expected_values(env: envs.BatchedEnv, key: tuple[int, int]) -> dict[str, float]:
    """Absolute values of one episode, from its key and the nominal model alone."""
    nominal = {name: parameter.nominal for name, parameter in envs.physical_parameters(env.model).items()}
    drawn = {name: float(values[0]) for (name, _), values in randomizer().sample(keys(key)).items()}
    return {
        "thigh_mass": nominal["thigh_mass"] * drawn["thigh_mass"],
        "leg_mass": nominal["leg_mass"] + drawn["leg_mass"],
        "foot_friction": drawn["foot_friction"],
    }


@pytest.mark.parametrize(("num_envs", "num_threads"), [(1, 1), (3, 1), (3, 2)])
def test_no_episode_compounds_on_an_earlier_one(num_envs: int, num_threads: int) -> None:
    env = envs.make_vec(
        "hopper", num_envs, "source", horizon=1, seed=8, num_threads=num_threads, randomizer=randomizer()
    )
    env.reset()
    actions = np.zeros((num_envs, 3), np.float32)
    for episode in range(51):
        for i in range(num_envs):
            expected = expected_values(env, (i, episode))
            assert {name: value[i] for name, value in env.parameters.items()} == expected
            model = env.batch.get_model(i)
            assert model.body("thigh").mass[0] == expected["thigh_mass"]
            assert model.body("leg").mass[0] == expected["leg_mass"]
            assert model.geom("foot_geom").friction[0] == expected["foot_friction"]
            assert model.body("torso").mass[0] == 2.534
        env.step(actions)


def test_environments_count_their_own_episodes() -> None:
    env = envs.make_vec("hopper", 3, seed=8, num_threads=1, randomizer=randomizer())
    env.reset()
    rng = np.random.default_rng(0)
    episodes = np.zeros(3, int)
    for _ in range(150):
        episodes += env.step(rng.uniform(-1, 1, (3, 3)).astype(np.float32))[2]
    assert len(set(episodes.tolist())) > 1
    for i, episode in enumerate(episodes.tolist()):
        expected = expected_values(env, (i, episode))
        assert {name: value[i] for name, value in env.parameters.items()} == expected


def test_a_new_seed_starts_the_episodes_again() -> None:
    env = envs.make_vec("hopper", 2, num_threads=1, randomizer=randomizer())
    for reset, episode in enumerate((0, 1, 0)):
        if reset == 2:
            env.seed(77)  # seeds the starts; the draws keep the randomizer's own seed
        env.reset()
        for i in range(2):
            assert {name: value[i] for name, value in env.parameters.items()} == expected_values(env, (i, episode))


def test_the_randomizer_observes_what_it_drew_and_what_it_earned() -> None:
    class Recorder(FixedRandomizer):
        seen: list[tuple[Any, Mapping[str, Any], Any]]

        def observe(self, keys: Any, parameters: Mapping[str, Any], returns: Any) -> None:
            self.seen.append((keys, parameters, returns))

    recorder = Recorder([parse_draw(draw) for draw in DRAWS], seed=3)
    recorder.seen = []
    env = envs.make_vec("hopper", 2, horizon=3, seed=1, num_threads=1, randomizer=recorder)
    env.reset()
    earned = np.zeros(2)
    for _ in range(3):
        assert recorder.seen == []
        earned += env.step(np.zeros((2, 3), np.float32))[1]
    ((episodes, parameters, returns),) = recorder.seen
    assert episodes.tolist() == [[0, 0], [1, 0]]
    np.testing.assert_array_equal(returns, earned)
    for i in range(2):
        assert {name: values[i] for name, values in parameters.items()} == expected_values(env, (i, 0))


def test_bounds_are_the_supports() -> None:
    assert randomizer().bounds() == {
        ("thigh_mass", "*"): (0.7, 1.3),
        ("leg_mass", "+"): (-1, 1),
        ("foot_friction", "="): (0.5, 2),
    }


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        ("torso_mass = uniform(0, 1)", r"^torso_mass = 0 is not physical: it must be finite and above 0$"),
        ("torso_mass + uniform(-9, 1)", r"^torso_mass = -6.466 is not physical"),
        ("torso_mass * uniform(-1, 1)", r"^torso_mass = -2.534 is not physical"),
        ("torso_mass = truncnormal(3, 0.1, -2, 9)", r"^torso_mass = -2 is not physical"),
        ("foot_friction + uniform(-3, 0)", r"^foot_friction = -1 is not physical: it must be finite and 0 or more$"),
        ("gravity + truncnormal(0, 1, -10, 1)", r"^gravity = -0.19 is not physical"),
        ("leg_joint_gear * uniform(0, 1)", r"^leg_joint_gear = 0 is not physical"),
        ("tigh_mass * uniform(0.5, 1)", r"^unknown physical parameter 'tigh_mass', did you mean 'thigh_mass'\?"),
    ],
)
def test_draws_that_could_be_unphysical_are_refused_when_building(draw: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make_vec("hopper", 1, "source", num_threads=1, randomizer=FixedRandomizer([parse_draw(draw)], seed=0))


def test_a_randomizer_names_each_parameter_once() -> None:
    draw = parse_draw(DRAWS[0])
    with pytest.raises(ValueError, match=r"^randomisation: nothing to draw; name each physical parameter once$"):
        FixedRandomizer([], seed=0)
    with pytest.raises(ValueError, match=r"^randomisation: thigh_mass drawn twice; name each physical parameter once$"):
        FixedRandomizer([draw, parse_draw(DRAWS[1]), draw], seed=0)
