"""Bounds that move by what is earned at them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from experiments.checkpoints import load_section, save_checkpoint
from randomization import AutoDR, AutoDRConfig, parse_draw

DRAWS = [parse_draw(text) for text in ("thigh_mass * uniform(0.5, 1.5)", "torso_mass + uniform(-1, 3)")]
THIGH, TORSO = ("thigh_mass", "*"), ("torso_mass", "+")
AT_BOUNDS = AutoDRConfig(boundary=1.0, episodes=20, widen=0.7, narrow=0.4, step=0.1)


def adr(config: AutoDRConfig = AT_BOUNDS, seed: int = 3) -> AutoDR:
    return AutoDR(DRAWS, seed, config, reference_return=1000)


def everyone(environments: int, episode: int = 0) -> npt.NDArray[np.int64]:
    """Keys of the same episode in every environment."""
    return np.array([(env, episode) for env in range(environments)], np.int64)


def restored(state: Any, folder: Path) -> Any:
    """The state after a way through a checkpoint."""
    return load_section(save_checkpoint(folder, 1, {"state": state}), "state")


def play(curriculum: AutoDR, earned: float, episodes: int = 400, start: int = 0) -> None:
    """Episodes of one environment, one after the other, each earning the same."""
    for episode in range(start, start + episodes):
        keys = everyone(1, episode)
        curriculum.sample(keys)
        curriculum.observe(keys, {}, np.array([earned]))


def test_it_begins_at_nominal_alone() -> None:
    drawn = adr().sample(everyone(50))
    assert drawn[THIGH].tolist() == pytest.approx([1.0] * 50)
    assert drawn[TORSO].tolist() == pytest.approx([0.0] * 50)
    assert adr().bounds() == {THIGH: (0.5, 1.5), TORSO: (-1, 3)}


def test_the_twentieth_good_episode_at_a_bound_widens_that_bound_alone() -> None:
    curriculum = adr()
    told: dict[int, int] = {}
    for episode in range(400):
        keys = everyone(1, episode)
        curriculum.sample(keys)
        bound, _ = curriculum._testing[0]
        told[bound] = told.get(bound, 0) + 1
        before = np.concatenate((curriculum.low, curriculum.high))
        curriculum.observe(keys, {}, np.array([700.0]))
        moved = np.concatenate((curriculum.low, curriculum.high)) - before
        if told[bound] == 20:
            # Below nominal a bound widens downwards, above it upwards.
            expected = np.zeros(4)
            expected[bound] = -0.1 if bound < 2 else 0.1
            assert moved == pytest.approx(expected)
            return
        assert not moved.any()
    raise AssertionError("no bound was tested twenty times")


def test_all_bounds_reach_the_largest_range_and_stay_there() -> None:
    curriculum = adr()
    play(curriculum, 800.0, 3000)
    assert curriculum.low.tolist() == [0, 0]
    assert curriculum.high.tolist() == [1, 1]
    found = curriculum.metrics()
    assert (found["thigh_mass/low"], found["thigh_mass/high"]) == (0.5, 1.5)
    assert (found["torso_mass/low"], found["torso_mass/high"]) == (-1.0, 3.0)
    assert found["width"] == 1
    assert found["widened"] == 5 + 5 + 3 + 8  # steps of a tenth from positions 0.5 and 0.25
    assert found["narrowed"] == 0
    drawn = curriculum.sample(everyone(200, 4000))
    assert ((drawn[THIGH] >= 0.5) & (drawn[THIGH] <= 1.5)).all()


def test_bad_returns_narrow_the_bounds_back_to_nominal_and_no_further() -> None:
    curriculum = adr()
    play(curriculum, 800.0, 3000)
    play(curriculum, 399.9, 3000, start=3000)
    np.testing.assert_array_equal(curriculum.low, curriculum.nominal)
    np.testing.assert_array_equal(curriculum.high, curriculum.nominal)
    assert curriculum.metrics()["narrowed"] == 21


@pytest.mark.parametrize("earned", [400.0, 699.9])
def test_between_the_thresholds_nothing_moves(earned: float) -> None:
    curriculum = adr()
    play(curriculum, earned, 1000)
    assert curriculum.metrics()["width"] == 0
    assert curriculum.metrics()["bound_return"] == pytest.approx(earned)


def test_episodes_between_the_bounds_move_nothing() -> None:
    curriculum = adr(AutoDRConfig(boundary=1e-12))
    play(curriculum, 1000.0, 500)
    assert curriculum.metrics()["width"] == 0
    assert "bound_return" not in curriculum.metrics()


def test_a_boundary_episode_has_one_parameter_at_a_bound_and_the_others_between() -> None:
    curriculum = adr(AutoDRConfig(boundary=0.4, step=0.25))
    curriculum.low[:], curriculum.high[:] = [0.3, 0.1], [0.6, 0.7]
    drawn = curriculum.sample(everyone(4000))
    positions = np.stack((drawn[THIGH] - 0.5, (drawn[TORSO] + 1) / 4))
    places = np.array([0.3, 0.1, 0.6, 0.7])
    assert len(curriculum._testing) == pytest.approx(1600, abs=4 * np.sqrt(4000 * 0.4 * 0.6))
    counts = np.zeros(4)
    for env in range(4000):
        bound, place = curriculum._testing.get(env, (None, None))
        inside = (positions[:, env] > places[:2] + 1e-9) & (positions[:, env] < places[2:] - 1e-9)
        if bound is None:
            assert inside.all()
            continue
        assert place == places[bound]
        assert positions[bound % 2, env] == pytest.approx(places[bound])
        assert inside[1 - bound % 2]
        counts[bound] += 1
    assert counts == pytest.approx(np.full(4, 400), abs=4 * np.sqrt(400))


def test_an_episode_at_a_bound_that_has_moved_since_says_nothing() -> None:
    curriculum = adr(AutoDRConfig(boundary=1.0, episodes=1))
    keys = everyone(40)
    curriculum.sample(keys)
    tested = {bound for bound, _ in curriculum._testing.values()}
    curriculum.observe(keys, {}, np.full(40, 900.0))  # the first of each bound moves it, the others were before that
    assert tested == {0, 1, 2, 3}
    assert curriculum.metrics()["widened"] == 4


def test_a_draw_depends_on_its_key_and_on_where_the_bounds_are() -> None:
    curriculum = adr(AutoDRConfig(boundary=0.5))
    curriculum.low[:], curriculum.high[:] = 0.1, 0.9
    together = curriculum.sample(everyone(30, 7))
    for env in (0, 12, 29):
        other = adr(AutoDRConfig(boundary=0.5))
        other.low[:], other.high[:] = 0.1, 0.9
        alone = other.sample(np.array([[env, 7]]))
        assert all(alone[name][0] == together[name][env] for name in (THIGH, TORSO))
    different = adr(AutoDRConfig(boundary=0.5), seed=4)
    different.low[:], different.high[:] = 0.1, 0.9
    assert not np.array_equal(different.sample(everyone(30, 7))[THIGH], together[THIGH])


def test_it_continues_from_a_checkpoint_as_if_never_interrupted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    config = AutoDRConfig(boundary=0.8, episodes=3)
    curriculum = adr(config)
    for episode in range(150):
        keys = everyone(4, episode)
        curriculum.sample(keys)
        if episode == 70:
            other = adr(config)
            other.load_state_dict(restored(curriculum.state_dict(), tmp_path))
            rng_of_other = np.random.default_rng()
            rng_of_other.bit_generator.state = rng.bit_generator.state
        if episode > 70:
            drawn: Any = other.sample(keys)
            np.testing.assert_equal(drawn, curriculum.sample(keys))
        if episode >= 70:
            other.observe(keys, {}, rng_of_other.uniform(0, 1200, 4))
        curriculum.observe(keys, {}, rng.uniform(0, 1200, 4))
    assert curriculum.metrics()["widened"] > 5
    np.testing.assert_equal(other.state_dict(), curriculum.state_dict())
    assert other.metrics() == curriculum.metrics()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boundary": 0.0}, r"^adr.boundary is 0; it must be above 0 and at most 1$"),
        ({"episodes": 0}, r"^adr.episodes is 0; it must be 1 or more$"),
        ({"step": 1.1}, r"^adr.step is 1.1; it must be above 0 and at most 1$"),
        ({"widen": float("nan")}, r"^adr.widen is nan; it must be above 0$"),
        ({"narrow": 0.8}, r"^adr.narrow is 0.8; it must be from 0 to widen, 0.7$"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoDRConfig(**options)
