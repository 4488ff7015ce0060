from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.goals import check_goal, goals_reached
from experiments.statistics import iqm, summarize
from experiments.study_config import Goal

IN_SOURCE = np.array([1800.0, 1810, 1790, 1800, 1800])
LOST = np.array([36.0, 30, 42, 36, 36])  # the IQM is 36: 2 % of 1800


def judged(episodes: int = 1) -> pd.DataFrame:
    cell = {"study": "s", "figure": "hopper", "horizon": 500, "pipeline": "state", "agent": "ppo", "steps": 1}
    cell |= {"randomization": "wide", "train_domain": "source", "episode": 0, "length": 500}
    return pd.DataFrame(
        [
            {**cell, "eval_domain": domain, "seed": seed, "return": value, "terminated": False, "diverged": False}
            | {"episode": episode}
            for domain, values in (("source", IN_SOURCE), ("target", IN_SOURCE - LOST))
            for seed, value in enumerate(values)
            for episode in range(episodes)
        ]
    )


RUNS = pd.DataFrame(
    {"figure": "hopper", "pipeline": "state", "randomization": "wide", "agent": "ppo", "train_domain": "source"}
    | {"seed": range(5), "wall_s": [3600.0, 3960, 4320, 4680, 9000]}
)


def reached(study: dict[str, Any] | None = None, **goal: Any) -> tuple[str, ...]:
    wanted = {"text": "g", "randomization": "wide", "train_domain": "source", "eval_domain": "target", **goal}
    check_goal(wanted)
    episodes = judged()
    (row,) = goals_reached(
        {"goals": [wanted], "source": "source", **(study or {})}, summarize(episodes), episodes, RUNS
    )
    return tuple(row[key].replace("\u202f", " ") for key in ("goal", "reached", "interval", "verdict"))


def test_a_gap_of_at_most_so_much() -> None:
    assert reached(score="gap", at_most=40) == ("≤ 40", "36", "32 to 40", "met")
    assert reached(score="gap", at_most=37) == ("≤ 37", "36", "32 to 40", "met, within the uncertainty")
    assert reached(score="gap", at_most=30)[3] == "missed by 6"


def test_a_gap_as_a_share_of_the_return_in_the_source() -> None:
    assert reached(score="relative_gap", at_most=0.03)[:2] == ("≤ 3.0 %", "2.0 %")
    assert reached(score="relative_gap", at_most=0.03)[3] == "met"
    assert reached(score="relative_gap", at_most=0.015)[3] == "missed by 0.5 points"
    assert reached(score="relative_gap", at_most=0.03, eval_domain="source")[3] == "not measured"


def test_the_spread_of_seeds() -> None:
    # Returns of 1764, 1780, 1748, 1764 and 1764 in the target: the root of 2 * 16 * 16 / 4.
    goal, value, interval, verdict = reached(score="sd", at_most=100)
    assert (goal, value, verdict) == ("≤ 100", "11", "met")
    assert interval.startswith("0 to 1")  # some resamples hold one value five times
    assert reached(score="sd", at_most=12)[3] == "met, within the uncertainty"
    assert reached(score="sd", at_most=5)[3] == "missed by 6"


def test_the_mean_of_a_seeds_episodes_less_their_deviation() -> None:
    wanted: dict[str, Any] = {"text": "g", "randomization": "wide", "train_domain": "source", "eval_domain": "target"}
    wanted |= {"score": "stable", "at_least": 1750}
    episodes = judged(episodes=2)
    episodes["return"] += np.where(episodes["episode"] == 0, 10, -10) * (1 + episodes["seed"])
    (row,) = goals_reached({"goals": [wanted], "source": "source"}, summarize(episodes), episodes, RUNS)
    each = [1764 - 10, 1780 - 20, 1748 - 30, 1764 - 40, 1764 - 50]
    assert row["reached"] == f"{iqm(np.array(each, float)):.0f}"
    assert row["verdict"].startswith("missed by")


def test_the_hours_that_a_run_takes() -> None:
    assert reached(score="hours", at_most=3) == ("≤ 3.00 h", "1.20 h", "1.00 h to 2.50 h", "met")
    assert reached(score="hours", at_most=1.25)[3] == "met, within the uncertainty"
    assert reached(score="hours", at_most=1)[3] == "missed by 0.20 h"


def test_a_return_of_at_least_or_at_most() -> None:
    assert reached(at_least=1750)[::3] == ("≥ 1750", "met")
    assert reached(at_least=1766)[3] == "missed by 2"
    assert reached(at_most=1766)[::3] == ("≤ 1766", "met, within the uncertainty")


def test_one_seed_has_no_interval() -> None:
    wanted = {"text": "g", "randomization": "wide", "train_domain": "source", "eval_domain": "target", "at_least": 1750}
    alone = judged().query("seed == 0")
    (row,) = goals_reached({"goals": [wanted], "source": "source"}, summarize(alone), alone, RUNS)
    assert (row["reached"], row["interval"], row["verdict"]) == ("1764", "", "met, without an interval")


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ({}, "at_least, at_most: found 0 of them; accepted: one, a number"),
        ({"at_least": 1, "at_most": 2}, "found 2 of them"),
        ({"at_least": 1, "score": "median"}, "score: 'median' is unknown; accepted: iqm, gap, relative_gap, sd"),
        ({"at_most": 1, "score": "sd", "of": {"agent": "sac"}}, "of: a share is one of IQMs; accepted: score iqm"),
        (
            {"at_least": 1, "of": {"agnt": "sac"}},
            "of: unknown column 'agnt'; accepted: figure, pipeline, .*eval_domain$",
        ),
    ],
)
def test_a_goal_that_cannot_be_is_refused(goal: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_goal(goal)
    with pytest.raises(ValueError, match=message):
        Goal("g", "wide", "source", "target", **goal)
