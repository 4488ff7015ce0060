"""Known answers of what a search makes large, and policies that stand still and hop."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import envs
from experiments.evaluate import Policy, load_trained, play_once
from experiments.objectives import OBJECTIVES, scores
from experiments.run import open_run

HOPPERS = Path(__file__).parents[2] / "results" / "pretrained" / "policies" / "hopper"


def rows(returns: list[float], moving: list[float] | None = None) -> list[dict[str, Any]]:
    shares = moving or [1.0] * len(returns)
    return [{"return": value, "moving": share} for value, share in zip(returns, shares, strict=True)]


def test_known_answers() -> None:
    found = scores(rows([100.0, 200.0, 300.0, 1000.0]))
    assert list(found) == list(OBJECTIVES) == ["mean", "iqm", "stable", "motion"]
    assert found["mean"] == 400.0
    assert found["iqm"] == 250.0  # without the lowest and the highest quarter
    assert found["stable"] == pytest.approx(400 - np.sqrt((300**2 + 200**2 + 100**2 + 600**2) / 4))
    assert found["motion"] == 400.0  # all of it moving


@pytest.mark.parametrize(
    ("returns", "stable"),
    [
        ([500.0, 500.0], 500.0),  # no spread costs nothing
        ([400.0, 600.0], 400.0),  # mean · (1 − 100 / 500)
        ([-600.0, -400.0], -400.0),  # −500 · (1 − 100 / 500): the formula favours spread below zero
        ([-100.0, 100.0], -100.0),  # a mean of zero
        ([7.0], 7.0),
    ],
)
def test_stable_is_the_mean_less_its_spread(returns: list[float], stable: float) -> None:
    assert scores(rows(returns))["stable"] == pytest.approx(stable)


def test_only_moving_earns_the_return_and_standing_is_no_way_out_of_a_negative_one() -> None:
    assert scores(rows([1000.0, 1000.0], [0.0, 0.5]))["motion"] == 250.0
    assert scores(rows([-200.0, -200.0], [0.0, 1.0]))["motion"] == -200.0


class Standing:
    """Holds the joints and the torso as they are in the reference pose."""

    def predict(self, observations: npt.NDArray[np.float64], memory: object, **_: object) -> tuple[Any, None]:
        """Torques from pitch-free joint angles and rates of the hopper's observation."""
        return np.clip(-3.0 * observations[:, 2:5] - 0.1 * observations[:, 8:11], -1, 1), None


def test_a_hopper_that_stands_scores_nothing_where_one_that_falls_while_hopping_does() -> None:
    env = envs.make_vec("hopper", 10, "source", 500, seed=7, num_threads=1)
    standing: Any = Standing()
    standing_rows = play_once(Policy(standing, env, env))
    hopping_rows = play_once(load_trained(open_run(HOPPERS / "poor"), "source", 10, 1))
    stands, hops = scores(standing_rows), scores(hopping_rows)
    assert [row["length"] for row in standing_rows] == [500] * 10
    assert max(row["length"] for row in hopping_rows) < 500
    assert stands["mean"] > 490 > hops["mean"] > 300  # by its return the stander is the better one
    assert stands["motion"] == 0.0
    assert hops["motion"] == pytest.approx(hops["mean"])


def test_moving_is_the_share_of_half_seconds_in_which_a_scripted_figure_gets_ahead() -> None:
    """A hopper that is put where it is to be before each step, so that its place is known."""
    env = envs.make_vec("hopper", 2, "source", horizon=248, seed=0, num_threads=1)  # four pieces of 62 steps

    class Carried(Standing):
        step = 0

        def predict(self, observations: npt.NDArray[np.float64], memory: object, **_: object) -> tuple[Any, None]:
            piece = self.step // 62
            self.step += 1
            env.batch.bind("qpos")[:, 0] += np.array([0.001, 0.002 * (piece < 1)])  # 0.125 m/s; 0.25 m/s in the first
            return super().predict(observations, memory)

    carried: Any = Carried()
    found = play_once(Policy(carried, env, env))
    assert [row["length"] for row in found] == [248, 248]
    assert [row["moving"] for row in found] == [1.0, 0.25]


def test_an_episode_shorter_than_half_a_second_moves_nowhere() -> None:
    env = envs.make_vec("hopper", 1, "source", horizon=20, seed=0, num_threads=1)
    standing: Any = Standing()
    assert [row["moving"] for row in play_once(Policy(standing, env, env))] == [0.0]
