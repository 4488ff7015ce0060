"""Reward options of the figures, against values worked out by hand."""

from typing import Any

import numpy as np
import pytest

import envs
from envs.rewards import OFF, above_speed, control_cost


def test_the_control_cost_is_the_weighted_sum_of_squares() -> None:
    action = np.array([[1.0, -2.0], [0.5, 0.0]])
    np.testing.assert_array_equal(control_cost(0.5, action), [2.5, 0.125])
    assert control_cost(0.5, action.astype(np.float32)).dtype == np.float64


def test_a_step_below_the_minimum_speed_earns_nothing_but_pays_for_going_back() -> None:
    speed = np.array([-1.0, 0.0, 0.4, 0.5, 2.0])
    bonus = np.ones(5)
    forward, survive = above_speed(0.5, speed, 3.0 * speed, bonus)
    np.testing.assert_array_equal(forward, [-3.0, 0.0, 0.0, 1.5, 6.0])
    np.testing.assert_array_equal(survive, [0.0, 0.0, 0.0, 1.0, 1.0])
    forward, survive = above_speed(OFF, speed, 3.0 * speed, bonus)
    np.testing.assert_array_equal(forward, 3 * speed)
    np.testing.assert_array_equal(survive, bonus)


RUNNERS = ("hopper", "walker2d", "half_cheetah", "ant")


def rewards(figure: str, steps: int = 60) -> tuple[Any, Any]:
    """Rewards ``(steps, 2)`` and terms of random actions that no option changes."""
    env: Any = envs.make_vec(figure, 2, horizon=20, seed=1, num_threads=1)
    env.reset()
    rng = np.random.default_rng(0)
    paid, terms = [], []
    for _ in range(steps):
        paid.append(env.step(rng.uniform(-1, 1, (2, env.model.nu)).astype(np.float32))[1])
        terms.append(dict(env.terms))
    return np.array(paid), {name: np.array([term[name] for term in terms]) for name in terms[0]}


@pytest.mark.parametrize("figure", RUNNERS)
def test_the_forward_weight_scales_the_forward_reward_alone(figure: str) -> None:
    plain, terms = rewards(figure)
    weighted, _ = rewards(f"{figure}[forward_reward_weight=3]")
    np.testing.assert_allclose(weighted, plain + 2 * terms["reward_forward"], atol=1e-12)


@pytest.mark.parametrize("figure", RUNNERS)
def test_the_minimum_speed_takes_the_reward_of_slow_steps_alone(figure: str) -> None:
    plain, terms = rewards(figure)
    _, raised = rewards(f"{figure}[minimum_speed=0.02]")
    slow = terms["reward_forward"] < 0.02
    assert 0 < slow.mean() < 1
    np.testing.assert_array_equal(
        raised["reward_forward"], np.where(slow, np.minimum(terms["reward_forward"], 0), terms["reward_forward"])
    )
    if figure != "half_cheetah":
        np.testing.assert_array_equal(raised["reward_survive"], np.where(slow, 0, terms["reward_survive"]))
    total = sum(raised[name] for name in terms)
    np.testing.assert_allclose(rewards(f"{figure}[minimum_speed=0.02]")[0], total, atol=1e-12)
    assert (plain != total).any()


@pytest.mark.parametrize("figure", [*RUNNERS, "inverted_pendulum"])
def test_the_control_penalty_is_declared_and_charged(figure: str) -> None:
    weight = envs.task_of(figure).control_cost_weight  # type: ignore[attr-defined]  # of every figure here
    _, terms = rewards(figure)
    _, charged = rewards(f"{figure}[control_cost_weight={weight + 1}]")
    squares = charged["reward_ctrl"] - terms["reward_ctrl"]
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (60, *squares.shape[1:], envs.make_vec(figure, 1, num_threads=1).model.nu))
    np.testing.assert_allclose(squares, -np.sum(np.square(actions.astype(np.float32)), axis=2), rtol=1e-5)


def test_a_pendulum_pays_for_its_carts_speed() -> None:
    env: Any = envs.make_vec("inverted_pendulum[speed_penalty=0.2]", 1, num_threads=1)
    env.reset()
    paid = env.step(np.array([[1.0]], np.float32))[1]
    speed = env.states()[0, 2]
    assert speed > 0.1
    assert paid[0] == pytest.approx(1 - 0.2 * speed)
    np.testing.assert_array_equal(env.terms["reward_speed"], [-0.2 * speed])
