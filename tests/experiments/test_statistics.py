from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rliable import metrics
from scipy import stats

from experiments.findings import answer
from experiments.statistics import (
    GAP_COLUMNS,
    SUMMARY_COLUMNS,
    bootstrap,
    cvar,
    gaps,
    interval,
    iqm,
    read_episodes,
    summarize,
)
from experiments.tables import EPISODES

CELL = {
    "study": "s",
    "figure": "hopper",
    "horizon": 500,
    "pipeline": "state",
    "randomization": "none",
    "agent": "ppo",
    "steps": 1000,
    "train_domain": "source",
}


def cell(scores: dict[str, list[float]], per_seed: int = 2, **changes: object) -> pd.DataFrame:
    """Episodes whose mean is exactly each seed's score, per evaluation domain."""
    rows = [
        CELL
        | {"eval_domain": domain, "seed": seed, "episode": episode}
        | {"return": score + (-10.0 if episode % 2 else 10.0), "length": 500}
        | {"terminated": False, "diverged": False}
        | changes
        for domain, values in scores.items()
        for seed, score in enumerate(values)
        for episode in range(per_seed)
    ]
    return pd.DataFrame(rows)[list(EPISODES)]


def three_cells() -> pd.DataFrame:
    return pd.concat(
        [
            cell({"source": [100, 110, 120, 130], "target": [40, 50, 60, 70]}),
            cell({"source": [95, 96, 97, 98], "target": [85, 86, 87, 88]}, randomization="uniform"),
            cell({"source": [20, 21, 22, 23], "target": [104, 105, 106, 105]}, train_domain="target"),
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10, 33])
def test_iqm_equals_rliable_and_scipy(count: int) -> None:
    scores = np.random.default_rng(count).normal(size=count)
    assert iqm(scores) == pytest.approx(metrics.aggregate_iqm(scores[:, None]), abs=1e-12)
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25), abs=1e-12)


def test_iqm_pools_a_matrix_and_refuses_nothing() -> None:
    assert iqm([[0, 1], [2, 1000]]) == 1.5
    with pytest.raises(ValueError, match="no scores"):
        iqm([])


def test_cvar_is_the_mean_of_the_worst_tenth_and_of_at_least_one() -> None:
    assert cvar(np.arange(30)) == 1.0  # 3 of 30, although 0.1 * 30 > 3 in floats
    assert cvar([5.0, 3.0, 9.0]) == 3.0
    assert cvar([1.0, 2.0, 3.0], fraction=1) == 2.0
    with pytest.raises(ValueError, match="fraction"):
        cvar([1.0], fraction=0)


def test_bootstrap_matches_the_standard_error_of_a_mean() -> None:
    scores = np.random.default_rng(0).normal(10, 3, size=40)
    replicates = bootstrap(np.mean, scores, np.random.default_rng(1), reps=4000)
    assert replicates.shape == (4000,)
    assert replicates.std() == pytest.approx(scores.std() / np.sqrt(40), rel=0.05)


def test_bootstrap_resamples_strata_independently_and_rows_together() -> None:
    rng = np.random.default_rng(0)
    paired = np.stack([np.arange(8.0), np.arange(8.0) - 5], axis=1)
    same = bootstrap(lambda pair: float(np.mean(pair[:, 0] - pair[:, 1])), paired, rng, 50)
    assert np.all(same == 5)  # rows of one stratum stay together
    apart = bootstrap(lambda a, b: float(a.mean() - b.mean()), [paired[:, 0], paired[:, 1]], rng)
    variance = 2 * paired[:, 0].var() / 8
    assert apart.var() == pytest.approx(variance, rel=0.15)


def test_bootstrap_is_seeded_and_one_seed_gives_no_interval() -> None:
    scores = np.arange(6.0)
    first, second = (bootstrap(iqm, scores, np.random.default_rng(7), 20) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.isnan(interval(bootstrap(iqm, scores[:1], np.random.default_rng(0)))).all()
    with pytest.raises(ValueError, match="at least one"):
        bootstrap(iqm, [np.array([])], np.random.default_rng(0))


def test_interval_is_a_percentile_interval_and_undefined_replicates_widen_it() -> None:
    replicates = np.arange(1001.0)
    assert interval(replicates) == (25.0, 975.0)
    assert interval(replicates, level=0.5) == (250.0, 750.0)
    replicates[[500, 501]] = np.nan
    assert interval(replicates) == (23.0, 977.0)
    replicates[400:440] = np.nan
    assert np.isnan(interval(replicates)).all()


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = interval(bootstrap(iqm, rng.normal(size=10), rng, reps=200))
        hits += low <= 0 <= high
    assert 0.87 <= hits / 200 <= 0.99


def test_summarize_by_hand() -> None:
    frame = summarize(cell({"source": [10, 20, 30, 100]}, per_seed=4))
    assert list(frame.columns) == SUMMARY_COLUMNS
    (row,) = frame.to_dict("records")
    assert (row["n_seeds"], row["episodes"], row["horizon"]) == (4, 16, 500)
    assert (row["iqm"], row["mean"], row["worst_seed"], row["cvar10"]) == (25, 40, 10, 0)
    assert row["std"] == pytest.approx(np.std([10, 20, 30, 100], ddof=1))
    assert 10 <= row["iqm_low"] < 25 < row["iqm_high"] <= 100


def test_summarize_one_seed_has_neither_interval_nor_spread() -> None:
    row = summarize(cell({"source": [10]})).iloc[0]
    assert row["iqm"] == 10
    assert np.isnan([row["iqm_low"], row["iqm_high"], row["std"]]).all()


def test_numbers_depend_neither_on_row_order_nor_on_other_cells() -> None:
    def ordered(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sort_values([c for c in (*CELL, "eval_domain") if c in frame]).reset_index(drop=True)

    episodes = three_cells()
    episodes["return"] += np.random.default_rng(0).normal(size=len(episodes))
    shuffled = episodes.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(ordered(summarize(episodes)), ordered(summarize(shuffled)), check_exact=True)
    lost, lost_shuffled = (gaps(each, "source", "target") for each in (episodes, shuffled))
    pd.testing.assert_frame_equal(ordered(lost), ordered(lost_shuffled), check_exact=True)
    alone = summarize(episodes[episodes["randomization"] == "uniform"])
    within = summarize(episodes).query("randomization == 'uniform'").reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, within, check_exact=True)


def test_cells_stand_in_the_order_of_the_episodes_with_those_of_one_setting_together() -> None:
    in_target = three_cells().query("train_domain == 'target'")
    cells = [
        three_cells().query("randomization == 'uniform'").assign(pipeline="state"),
        in_target.assign(pipeline="pixels"),
        in_target.assign(pipeline="state"),
        three_cells().query("train_domain == 'source' and randomization == 'none'").assign(pipeline="state"),
    ]
    expected = [
        ("state", "source", "uniform"),
        ("state", "source", "none"),
        ("state", "target", "none"),
        ("pixels", "target", "none"),
    ]
    episodes = pd.concat(cells)
    columns = ["pipeline", "train_domain", "randomization"]
    assert list(gaps(episodes, "source", "target")[columns].itertuples(index=False, name=None)) == expected
    domains = list(episodes["eval_domain"].unique())
    summary = summarize(episodes)[[*columns, "eval_domain"]].itertuples(index=False, name=None)
    assert list(summary) == [(*cell, domain) for cell in expected for domain in domains]


def test_gaps_by_hand() -> None:
    frame = gaps(three_cells(), "source", "target")
    assert list(frame.columns) == GAP_COLUMNS
    none, uniform, oracle = frame.to_dict("records")
    assert (none["source_iqm"], none["target_iqm"], none["gap"]) == (115, 55, 60)
    assert (none["gap_low"], none["gap_high"]) == (60, 60)  # the same loss in every seed: paired
    assert none["relative_gap"] == pytest.approx(60 / 115)
    assert np.isnan([none["share_closed"], none["won_back"], oracle["share_closed"]]).all()
    assert (uniform["gap"], uniform["won_back"]) == (10, 31.5)
    assert uniform["share_closed"] == pytest.approx((86.5 - 55) / (105 - 55))
    assert uniform["share_low"] < uniform["share_closed"] < uniform["share_high"]
    assert oracle["train_domain"] == "target"
    assert oracle["target_iqm"] == 105


def test_share_is_undefined_without_an_oracle_or_when_it_is_no_better() -> None:
    episodes = three_cells()
    without = gaps(episodes[episodes["train_domain"] == "source"], "source", "target")
    assert without["share_closed"].isna().all()
    assert without["won_back"].notna().sum() == 1
    episodes.loc[episodes["train_domain"] == "target", "return"] -= 80
    worse = gaps(episodes, "source", "target")
    assert worse["share_closed"].isna().all()
    assert worse["share_low"].isna().all()


def test_gaps_uses_seeds_judged_in_both_domains_and_compares_within_a_setting() -> None:
    episodes = pd.concat(
        [
            cell({"source": [100, 110, 120], "target": [40, 50]}),
            cell({"source": [90, 90], "target": [80, 80]}, randomization="uniform", horizon=1000),
        ]
    )
    frame = gaps(episodes, "source", "target")
    assert list(frame["n_seeds"]) == [2, 2]
    assert list(frame["gap"]) == [60, 10]
    assert frame["won_back"].isna().all()
    assert gaps(episodes, "source", "source").empty
    assert list(gaps(episodes, "source", "elsewhere").columns) == GAP_COLUMNS


def test_a_setting_without_a_plain_cell_is_measured_by_the_only_one_of_the_figure() -> None:
    history = cell({"source": [90, 90], "target": [80, 80]}, randomization="uniform", pipeline="history", steps=7)
    plain = three_cells()
    row = gaps(pd.concat([plain, history]), "source", "target").query("pipeline == 'history'").iloc[0]
    assert row["won_back"] == 80 - 55
    assert row["share_closed"] == pytest.approx((80 - 55) / (105 - 55))
    both = pd.concat([plain, history])
    study = {"source": "source", "target": "target"}
    *_, last = answer(study, summarize(both), gaps(both, "source", "target"))
    assert last == "Nothing was trained without randomisation with history: gains there are over state."
    two = gaps(pd.concat([plain, plain.assign(pipeline="pixels"), history]), "source", "target")
    assert two.query("pipeline == 'history'")[["won_back", "share_closed"]].isna().all(axis=None)


def test_read_episodes_round_trip(tmp_path: Path) -> None:
    episodes = three_cells()
    episodes.to_csv(tmp_path / "episodes.csv", index=False)
    pd.testing.assert_frame_equal(
        read_episodes(tmp_path / "episodes.csv"), episodes, check_dtype=False, check_exact=True
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "line 1 must name the columns"),
        (lambda text: text.replace("seed,", "sead,", 1), "line 1 must name the columns"),
        (lambda text: text.splitlines()[0] + "\n", "no rows"),
        (lambda text: text[:-40], "fields where 15 are expected.*truncated"),
        (lambda text: text.replace("110.0", "nan", 1), "line 2, column return: 'nan' is not a fi"),
        (lambda text: text.replace("110.0", "inf", 1), "line 2, column return: 'inf' is not a fi"),
        (lambda text: text.replace(",500,", ",0,", 1), "line 2, column horizon: '0' is not a wh"),
        (lambda text: text.replace("False", "maybe", 1), "column terminated.*True or False"),
        (lambda text: text + text.splitlines()[-1] + "\n", "line 50, column episode: 1 repeats"),
        (lambda text: text + '"', "not a CSV text file|fields where"),
        (lambda text: text + "\x00", "not a CSV text file|fields where"),
    ],
)
def test_read_episodes_names_what_is_wrong_in_one_line(
    tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "episodes.csv"
    path.write_text(damage(three_cells().to_csv(index=False)))
    with pytest.raises(ValueError, match=message) as raised:
        read_episodes(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_read_episodes_refuses_a_missing_file_and_binary(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    with pytest.raises(ValueError, match=r"episodes\.csv: cannot be read \(No such file"):
        read_episodes(path)
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match="not a CSV text file"):
        read_episodes(path)
