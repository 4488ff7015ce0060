"""DORAEMON's step against problems with known solutions, and its bookkeeping."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import NonlinearConstraint, brentq, minimize

from experiments.checkpoints import load_section, save_checkpoint
from randomization import Doraemon, DoraemonConfig, betas, parse_draw
from randomization.doraemon import REFUSED, RETREATED, WAITING, WIDENED
from randomization.doraemon_step import Episodes, step

Array = npt.NDArray[np.float64]
DRAWS = [parse_draw(text) for text in ("thigh_mass * uniform(0.5, 1.5)", "torso_mass + uniform(-1, 1)")]
THIGH, TORSO = ("thigh_mass", "*"), ("torso_mass", "+")
HIGHEST = float(np.log(110.0))


def everyone(environments: int, episode: int = 0) -> npt.NDArray[np.int64]:
    """Keys of the same episode in every environment."""
    return np.array([(env, episode) for env in range(environments)], np.int64)


def grid(theta: Array, succeeds: Any = lambda x: np.ones(x.shape[1]), count: int = 400) -> Episodes:
    """Episodes at evenly spread quantiles of ``theta``, one parameter; ``succeeds`` of their positions."""
    x = betas.quantile(theta, ((np.arange(count) + 0.5) / count)[None])
    return Episodes(x, betas.log_density(theta, x), np.asarray(succeeds(x), np.float64))


def test_where_all_succeed_a_step_uses_up_its_divergence_and_keeps_the_mean() -> None:
    theta = np.log([100.0, 100.0])
    found = step(theta, grid(theta), alpha=0.5, kl=0.1, highest=HIGHEST)
    # The best is symmetric, so it is the one Beta(c, c) with c below 100 whose divergence is 0.1.
    shape = brentq(lambda c: betas.divergence(theta, np.log([c, c])) - 0.1, 1.0, 99.0)
    assert np.exp(found.theta) == pytest.approx([shape, shape], rel=1e-4)
    assert found.accepted
    assert found.feasible
    assert found.status == 0


def test_wide_distributions_still_move_and_end_uniform() -> None:
    theta, steps = np.log(np.full(6, 100.0)), 0
    rng = np.random.default_rng(0)
    while betas.entropy(theta) < -1e-6:
        x = betas.quantile(theta, rng.random((3, 100)))
        found = step(theta, Episodes(x, betas.log_density(theta, x), np.ones(100)), 0.5, 0.1, HIGHEST)
        assert found.accepted
        assert betas.entropy(found.theta) > betas.entropy(theta)
        assert betas.divergence(theta, found.theta) <= 0.1 + 1e-6
        theta, steps = found.theta, steps + 1
        assert steps < 20
    np.testing.assert_allclose(theta, 0, atol=1e-3)


def test_the_widest_distribution_stays() -> None:
    found = step(np.zeros(2), grid(np.zeros(2)), 0.5, 0.1, HIGHEST)
    assert found.accepted
    np.testing.assert_allclose(found.theta, 0, atol=1e-6)


def test_the_success_rate_is_kept_at_its_bound() -> None:
    """Success below 0.55 alone: the step may widen until the estimate is alpha, and another solver agrees."""
    theta = np.log([60.0, 60.0])
    episodes = grid(theta, lambda x: x[0] < 0.55)
    found = step(theta, episodes, alpha=0.85, kl=0.5, highest=HIGHEST)
    assert found.accepted
    assert found.feasible
    assert episodes.success(found.theta) == pytest.approx(0.85, abs=1e-4)
    other = minimize(
        lambda t: -betas.entropy(t),
        theta,
        jac=lambda t: -betas.entropy_gradient(t),
        method="trust-constr",
        bounds=[(0, HIGHEST)] * 2,
        constraints=[
            NonlinearConstraint(lambda t: betas.divergence(theta, t), -np.inf, 0.5),
            NonlinearConstraint(episodes.success, 0.85, np.inf),
        ],
        options={"maxiter": 300},
    )
    assert betas.entropy(found.theta) == pytest.approx(-other.fun, abs=2e-3)


def test_where_alpha_is_out_of_reach_the_success_rate_is_raised() -> None:
    theta = np.log([20.0, 20.0])
    episodes = grid(theta, lambda x: x[0] < 0.35)  # 2 % of the episodes
    found = step(theta, episodes, alpha=0.9, kl=0.1, highest=HIGHEST)
    assert found.accepted
    assert not found.feasible
    assert betas.divergence(theta, found.theta) == pytest.approx(0.1, abs=1e-4)
    assert episodes.success(found.theta) > 3 * episodes.success(theta)
    first, second = np.exp(found.theta)
    assert first / (first + second) < 0.5


def test_where_alpha_is_only_just_missed_the_step_ends_feasible() -> None:
    theta = np.log([20.0, 20.0])
    episodes = grid(theta, lambda x: x[0] < 0.5)
    found = step(theta, episodes, alpha=0.52, kl=0.1, highest=HIGHEST)
    assert found.accepted
    assert found.feasible
    assert episodes.success(theta) < 0.52
    assert episodes.success(found.theta) >= 0.52 - 1e-4


def test_without_any_success_nothing_moves() -> None:
    theta = np.log([20.0, 20.0])
    found = step(theta, grid(theta, lambda x: np.zeros(x.shape[1])), 0.5, 0.1, HIGHEST)
    assert not found.accepted
    np.testing.assert_array_equal(found.theta, theta)


def test_the_estimate_and_its_gradient_are_those_of_the_weighted_mean() -> None:
    old, new = np.log([3.0, 2.0, 5.0, 4.0]), np.log([2.0, 2.5, 4.0, 6.0])
    rng = np.random.default_rng(2)
    x = betas.quantile(old, rng.random((2, 50)))
    episodes = Episodes(x, betas.log_density(old, x), (rng.random(50) < 0.6).astype(float))
    ratio = np.exp(betas.log_density(new, x)) / np.exp(betas.log_density(old, x))
    assert episodes.success(new) == pytest.approx(np.mean(ratio * episodes.successes))
    assert episodes.success(old) == pytest.approx(episodes.successes.mean())
    eye = 1e-6 * np.eye(4)
    expected = [(episodes.success(new + e) - episodes.success(new - e)) / 2e-6 for e in eye]
    np.testing.assert_allclose(episodes.success_gradient(new), expected, rtol=1e-5)
    assert episodes.effective_size(old) == pytest.approx(50)
    assert episodes.effective_size(new) == pytest.approx(ratio.sum() ** 2 / (ratio**2).sum())


def doraemon(seed: int = 3, **options: Any) -> Doraemon:
    return Doraemon(DRAWS, seed, DoraemonConfig(**{"episodes": 40, **options}), reference_return=1000)


def play(curriculum: Doraemon, earned: Any, episodes: int, start: int = 0, environments: int = 8) -> None:
    """Episodes of some environments, which earn a function of what was drawn."""
    for episode in range(start, start + episodes):
        keys = everyone(environments, episode)
        curriculum.observe(keys, {}, earned(curriculum.sample(keys)))


def good(drawn: Any) -> Array:
    return np.full(len(drawn[THIGH]), 700.0)


def light(drawn: Any) -> Array:
    """Success where the thigh is not much heavier than nominal."""
    return np.where(drawn[THIGH] < 1.1, 700.0, 699.0)


def test_it_begins_as_beta_100_100_around_nominal() -> None:
    drawn = doraemon().sample(everyone(4000))
    for values, centre, width in ((drawn[THIGH], 1.0, 1.0), (drawn[TORSO], 0.0, 2.0)):
        assert values.mean() == pytest.approx(centre, abs=0.005)
        assert values.std() == pytest.approx(width / np.sqrt(4 * 201), rel=0.05)
    off_centre = Doraemon([parse_draw("leg_mass * uniform(0.9, 1.3)")], 0, DoraemonConfig(), 1000)
    assert np.exp(off_centre.theta) == pytest.approx([50, 150])


def test_nothing_moves_before_the_success_rate_has_reached_alpha() -> None:
    curriculum = doraemon()
    start = curriculum.theta
    play(curriculum, lambda drawn: np.full(8, 699.0), 10)
    np.testing.assert_array_equal(curriculum.theta, start)
    assert curriculum.metrics()["step_kind"] == WAITING
    assert curriculum.metrics()["success"] == 0
    play(curriculum, good, 5, start=10)
    assert curriculum.metrics()["step_kind"] == WIDENED
    play(curriculum, lambda drawn: np.zeros(8), 5, start=15)
    assert curriculum.metrics()["step_kind"] == REFUSED  # no success anywhere: nowhere to retreat to
    play(curriculum, lambda drawn: np.where(drawn[THIGH] < 1, 700.0, 0.0) * (drawn[TORSO] < 0), 5, start=20)
    assert curriculum.metrics()["step_kind"] in (RETREATED, WIDENED)


def test_success_everywhere_ends_uniform_over_the_largest_ranges() -> None:
    curriculum = doraemon()
    play(curriculum, good, 100)
    found = curriculum.metrics()
    assert found["entropy"] == pytest.approx(0, abs=1e-5)
    assert (found["thigh_mass/low"], found["thigh_mass/high"]) == pytest.approx((0.55, 1.45), abs=1e-3)
    assert (found["torso_mass/low"], found["torso_mass/high"]) == pytest.approx((-0.9, 0.9), abs=2e-3)
    assert found["solver_status"] == 0
    assert found["effective_sample_size"] == pytest.approx(40, rel=1e-3)


def test_failure_on_one_side_keeps_the_distribution_on_the_other() -> None:
    curriculum = doraemon(alpha=0.8, episodes=100)
    play(curriculum, light, 600)
    drawn = curriculum.sample(everyone(2000, 700))
    assert (drawn[THIGH] < 1.1).mean() == pytest.approx(0.8, abs=0.08)
    assert drawn[TORSO].std() == pytest.approx(2 / np.sqrt(12), rel=0.1)  # what does not matter is drawn uniformly


def test_an_episode_counts_by_the_distribution_that_it_was_drawn_from() -> None:
    curriculum = doraemon(episodes=4)
    early = everyone(1)
    curriculum.sample(early)
    position, density = curriculum._pending[0]
    for episode in range(4):  # other environments move the distribution meanwhile
        keys = np.array([(1, episode)])
        curriculum.observe(keys, {}, good(curriculum.sample(keys)))
    assert betas.log_density(curriculum.theta, position[:, None])[0] != density
    curriculum.observe(early, {}, np.array([900.0]))
    kept, kept_density, success = curriculum._ended[0]
    np.testing.assert_array_equal(kept, position)
    assert (kept_density, success) == (density, True)


def test_a_draw_depends_on_its_key_and_on_the_distribution() -> None:
    together = doraemon().sample(everyone(30, 7))
    for env in (0, 12, 29):
        alone = doraemon().sample(np.array([[env, 7]]))
        assert all(alone[name][0] == together[name][env] for name in (THIGH, TORSO))
    assert not np.array_equal(doraemon(seed=4).sample(everyone(30, 7))[THIGH], together[THIGH])


def test_it_continues_from_a_checkpoint_as_if_never_interrupted(tmp_path: Path) -> None:
    curriculum = doraemon()
    curriculum.sample(everyone(3, 99))
    path = save_checkpoint(tmp_path / "new", 1, {"state": curriculum.state_dict()})
    doraemon().load_state_dict(load_section(path, "state"))  # before any episode has ended, too
    play(curriculum, light, 33)
    keys = everyone(8, 33)
    curriculum.sample(keys)
    path = save_checkpoint(tmp_path, 1, {"state": curriculum.state_dict()})
    other = doraemon()
    other.load_state_dict(load_section(path, "state"))
    for each in (curriculum, other):
        each.observe(keys, {}, np.full(8, 700.0))
        play(each, light, 40, start=34)
    np.testing.assert_equal(other.state_dict(), curriculum.state_dict())
    assert other.metrics() == curriculum.metrics()
    np.testing.assert_equal(other.sample(everyone(5, 80)), curriculum.sample(everyone(5, 80)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.0}, r"^doraemon.alpha is 1; it must be above 0 and below 1$"),
        ({"kl": 0.0}, r"^doraemon.kl is 0; it must be above 0$"),
        ({"episodes": 1}, r"^doraemon.episodes is 1; it must be 2 or more$"),
        ({"success": float("nan")}, r"^doraemon.success is nan; it must be above 0$"),
        ({"concentration": 2.0}, r"^doraemon.concentration is 2; it must be above 2$"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DoraemonConfig(**options)


def test_nominal_at_the_end_of_a_range_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^doraemon: nominal is at 0 of the range of leg_mass; accepted: from 0.005 to"
    ):
        Doraemon([parse_draw("leg_mass * uniform(1, 2)")], 0, DoraemonConfig(), 1000)
