from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments import sight_charts, sights
from experiments.findings import setting_labels
from experiments.goals import goals_reached
from experiments.report_tables import parts_table
from experiments.statistics import summarize

CELL: dict[str, Any] = {"study": "s", "figure": "hopper", "horizon": 500, "randomization": "none", "agent": "ppo"}
CELL |= {"steps": 1000, "train_domain": "source"}
OFFSETS = np.array([-30.0, -10.0, 0.0, 10.0, 30.0])
LEVELS = {  # returns in source and target
    "state": (1700.0, 1200.0),
    "state@estimator": (1300.0, 700.0),
    "state@error-model": (1350.0, 800.0),
    "pose": (1650.0, 1100.0),
    "pose@state": (1680.0, 1190.0),
    "pose@error-model": (1660.0, 1150.0),
    "pixels": (900.0, 400.0),
}


def episodes_of(levels: dict[str, tuple[float, float]], **changes: Any) -> pd.DataFrame:
    """One episode of each of five seeds, whose IQM and mean are the level."""
    rows = [
        {**CELL, "pipeline": pipeline, "eval_domain": domain, "seed": seed, "episode": 0, "return": level + offset}
        for pipeline, both in levels.items()
        for domain, level in zip(("source", "target"), both, strict=True)
        for seed, offset in enumerate(OFFSETS)
    ]
    return pd.DataFrame(rows).assign(length=500, terminated=False, diverged=False, **changes)


@pytest.fixture
def episodes() -> pd.DataFrame:
    return episodes_of(LEVELS)


def test_own_sight_is_the_one_that_is_not_written(episodes: pd.DataFrame) -> None:
    assert set(sights.own(episodes)["pipeline"]) == {"state", "pose", "pixels"}
    table = sights.seen(episodes).groupby("pipeline").mean()
    assert table.loc["pose", ("estimator", "target")] == 1100
    assert table.loc["state", ("state", "source")] == 1700
    assert table.loc["state", ("estimator", "source")] == 1300
    assert "pixels" not in table.index  # seen in one way only


def test_a_pipeline_of_another_kind_keeps_its_own_name() -> None:
    table = sights.seen(episodes_of({"pixels": (900, 400), "pixels@appearance": (800, 300)}))
    assert set(table.columns.get_level_values("sight")) == {"pixels", "appearance"}


@pytest.mark.parametrize(
    ("pipeline", "other", "own"),
    [
        ("pose", "error-model", "estimator"),
        ("pose", "two-frame", "estimator"),
        ("state", "error-model", "state"),
        ("state", "estimator", "state"),
    ],
)
def test_own_sight_follows_from_any_other(pipeline: str, other: str, own: str) -> None:
    episodes = episodes_of({pipeline: (900, 400), f"{pipeline}@{other}": (800, 300)})
    table = sights.seen(episodes)
    assert set(table.columns.get_level_values("sight")) == {own, other}
    assert table[own, "source"].mean() == 900
    assert len(sights.calibration(episodes)) == (10 if {own, other} == {"estimator", "error-model"} else 0)


def test_parts_of_the_gap_add_up(episodes: pd.DataFrame) -> None:
    parts = sights.taken_apart(episodes, "source", "target").set_index("pipeline")
    assert set(parts.index) == {"state", "pose"}
    pose = parts.loc["pose"]
    assert (pose["dynamics"], pose["perception"], pose["interaction"], pose["total"]) == (490, 30, 60, 580)
    assert (parts["dynamics"] + parts["perception"] + parts["interaction"]).equals(parts["total"])
    assert pose["n_seeds"] == 5
    # Seeds differ alike in every sight and domain, so that paired differences do not differ at all.
    assert (pose["dynamics_low"], pose["dynamics_high"]) == (490, 490)


def test_interval_of_a_part_holds_its_value() -> None:
    episodes = episodes_of(LEVELS)
    shifted = (episodes["pipeline"] == "pose") & (episodes["eval_domain"] == "target")
    episodes.loc[shifted, "return"] += 5 * OFFSETS[episodes.loc[shifted, "seed"]]
    pose = sights.taken_apart(episodes, "source", "target").set_index("pipeline").loc["pose"]
    assert pose["interaction_low"] < 60 < pose["interaction_high"]
    assert 20 < pose["interaction_high"] - pose["interaction_low"] < 2 * 5 * 60


@pytest.mark.parametrize("missing", ["pose@state", "state@estimator"])
def test_cells_that_were_not_judged_so_are_left_out(missing: str) -> None:
    parts = sights.taken_apart(episodes_of({k: v for k, v in LEVELS.items() if k != missing}), "source", "target")
    assert list(parts["pipeline"]) == ["state" if missing.startswith("pose") else "pose"]


def test_nothing_is_lost_to_the_domain_of_training(episodes: pd.DataFrame) -> None:
    assert sights.taken_apart(episodes.assign(train_domain="target"), "source", "target").empty
    assert sights.taken_apart(episodes, "source", "source").empty


def test_calibration_pairs_prediction_and_estimator(episodes: pd.DataFrame) -> None:
    pairs = sights.calibration(episodes)
    assert len(pairs) == 2 * 2 * 5
    pose = pairs[(pairs["pipeline"] == "pose") & (pairs["eval_domain"] == "target") & (pairs["seed"] == 0)]
    assert pose[["predicted", "reached"]].to_numpy().tolist() == [[1120, 1070]]
    words = sight_charts.calibration_words(pairs)
    assert "Over 20 pairs of a run and a domain the estimator earns 52 less" in words.replace("\u202f", " ")
    assert words.endswith("with shadows, reflections and multisampling; the estimator sees them without.")
    assert sights.calibration(episodes_of({"state": (1, 2)})).empty


def test_rows_of_a_comparison(episodes: pd.DataFrame) -> None:
    rows = [
        {"text": "raw image", "cell": {"pipeline": "pixels"}, "published": {"source": 444, "target": 193}},
        {"text": "never made", "cell": {"pipeline": "pixels", "agent": "sac"}},
    ]
    found = sights.compare(rows, summarize(episodes))
    assert list(found["text"]) == ["raw image", "raw image", "never made", "never made"]
    assert list(found["iqm"].iloc[:2]) == [900, 400]
    assert list(found["published"].iloc[:2]) == [444, 193]
    assert list(found["n_seeds"]) == [5, 5, 0, 0]
    drawn = [text.get_text() for text in sight_charts.comparison_chart(found, episodes).axes[0].texts]
    assert {"900  (5)", "400  (5)", "444", "193", "not measured"} <= set(drawn)


def test_a_comparison_must_choose_one_cell(episodes: pd.DataFrame) -> None:
    both = pd.concat([episodes, episodes.assign(agent="sac")])
    with pytest.raises(ValueError, match="comparison row 'raw' fits 2 cells; accepted: one"):
        sights.compare([{"text": "raw", "cell": {"pipeline": "pixels"}}], summarize(both))


def test_goals_as_a_share_of_another_cell(episodes: pd.DataFrame) -> None:
    goal = {"text": "pose of state", "pipeline": "pose", "randomization": "none", "train_domain": "source"}
    of = {"pipeline": "state", "agent": "ppo"}
    goals = [
        {**goal, "eval_domain": "source", "at_least": 0.8, "of": of},
        {**goal, "eval_domain": "target", "at_least": 0.95, "of": of},
        {**goal, "eval_domain": "target", "at_least": 0.8, "of": {"pipeline": "touch"}},
        {**goal, "eval_domain": "target", "at_least": 1000.0},
    ]
    students = episodes_of({"pose": LEVELS["pose"]}, agent="dagger", steps=60)
    everything = pd.concat([students, episodes])
    rows = goals_reached({"goals": goals}, summarize(everything), everything, pd.DataFrame())
    said = [[row[key].replace("\u202f", " ") for key in ("text", "goal", "reached", "verdict")] for row in rows]
    assert said[0] == ["pose of state (dagger)", "≥ 80 %", "97 %", "met"]  # 1650 / 1700, whatever the steps
    assert said[1] == ["pose of state (ppo)", "≥ 80 %", "97 %", "met"]
    assert said[2] == ["pose of state (dagger)", "≥ 95 %", "92 %", "missed by 3 points"]
    assert [row["verdict"] for row in rows[4:6]] == ["not measured"] * 2
    assert said[6] == ["pose of state (dagger)", "≥ 1000", "1100", "met"]


def test_ratio_of_iqms() -> None:
    value, low, high = sights.ratio(800.0 + OFFSETS, 1000.0 + OFFSETS, ["x"])
    assert value == 0.8
    assert 0.7 < low < 0.8 < high < 0.9
    assert all(np.isnan(sights.ratio(OFFSETS, OFFSETS - 100.0, ["x"])))


def test_labels_leave_out_what_follows_from_the_rest(episodes: pd.DataFrame) -> None:
    two = pd.concat([sights.own(episodes), episodes_of({"pose": (1, 2)}, agent="dagger", steps=60)])
    assert set(setting_labels(two.reset_index(drop=True))) == {"state", "pose · ppo", "pose · dagger", "pixels"}


def test_table_of_the_parts(episodes: pd.DataFrame) -> None:
    parts = sights.taken_apart(episodes, "source", "target")
    table = parts_table({"source": "source", "target": "target"}, parts, summarize(episodes))
    assert table is not None
    assert table["columns"][1:7] == [
        f"{sight} in {domain}"
        for sight in ("true state", "error model", "estimator")
        for domain in ("source", "target")
    ]
    pose = next(row for row in table["rows"] if "pose" in row[0])
    assert pose[1:7] == ["1680", "1190", "1660", "1150", "1650", "1100"]
    assert pose[-2] == ("580", "580 to 580")
    figure = sight_charts.parts_chart(parts)
    assert {"490", "30", "60", "580"} <= {text.get_text() for text in figure.axes[0].texts}
