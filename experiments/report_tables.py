"""Tables of a report: statistics as strings, in the order in which they are read."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.findings import (
    ARROW,
    PERCENT,
    cell_labels,
    count,
    duration,
    method,
    number,
    percent,
    setting_labels,
    span,
)
from experiments.sights import MODEL, PARTS, REAL, TRUE, matching
from experiments.statistics import seed_scores
from experiments.tables import CELL

MOST_CARDS = 8
"""Beyond that large numbers explain nothing, and charts are there."""
SIGHT_WORDS = ("true state", "error model", "estimator")

Table = dict[str, Any]
"""``columns`` (headings) and ``rows`` (of strings, or of ``(value, small print)`` pairs)."""


def headlines(study: Mapping[str, Any], summary: pd.DataFrame) -> list[dict[str, str]]:
    """The numbers shown large: what each method earns in the target, between its two references.

    Randomised cells judged in their own training domain are left to the tables, and so are all of a large study.
    """
    cards = []
    for row, setting in zip(_rows(summary), setting_labels(summary), strict=True):
        plain, at_home = row["randomization"] == "none", row["train_domain"] == row["eval_domain"]
        oracle = plain and row["train_domain"] == study["target"] != study["source"]
        no_gap = study["source"] == study["target"]
        in_target = row["eval_domain"] == study["target"]
        if (plain and at_home) or (in_target and (plain or no_gap or not at_home)):
            cards.append(
                {
                    "route": f"{row['train_domain']} {ARROW} {row['eval_domain']}",
                    "method": "oracle" if oracle else method(row["randomization"]),
                    "setting": setting,
                    "value": number(row["iqm"]),
                    "interval": span(row["iqm_low"], row["iqm_high"]) or "no interval",
                }
            )
    return cards if len(cards) <= MOST_CARDS else []


def gap_table(study: Mapping[str, Any], summary: pd.DataFrame, lost: pd.DataFrame) -> Table | None:
    """One row per cell: both domains, gap, share closed, worst seed, CVaR; None without a gap."""
    if lost.empty:
        return None
    source, target = study["source"], study["target"]
    shared = [c for c in lost.columns if c in summary.columns and c != "n_seeds"]
    in_target = summary[summary["eval_domain"] == target].drop(columns="n_seeds")
    merged = lost.merge(in_target, on=shared)
    rows = []
    for label, row in zip(_short_labels(merged), _rows(merged), strict=True):
        share = (percent(row["share_closed"]), span(row["share_low"], row["share_high"], percent))
        if row["randomization"] == "none" and row["train_domain"] == source:
            share = (f"0{PERCENT}", "the baseline")
        elif row["randomization"] == "none" and row["train_domain"] == target:
            share = (f"100{PERCENT}", "the oracle")
        rows.append(
            [
                label,
                number(row["source_iqm"]),
                number(row["target_iqm"]),
                (number(row["gap"]), span(row["gap_low"], row["gap_high"])),
                percent(row["relative_gap"]),
                share,
                number(row["worst_seed"]),
                number(row["cvar10"]),
                str(row["n_seeds"]),
            ]
        )
    columns = [_heading(lost), f"in {source}", f"in {target}", "gap", "gap in %", "share closed"]
    columns += [f"worst seed in {target}", f"CVaR10 in {target}", "seeds"]
    return {"columns": columns, "rows": rows}


def parts_table(study: Mapping[str, Any], parts: pd.DataFrame, summary: pd.DataFrame) -> Table | None:
    """One row per cell: its returns through each sight, and what each part of the gap takes; None without any."""
    if parts.empty:
        return None
    source, target = study["source"], study["target"]
    rows = []
    for label, row in zip(_short_labels(parts), _rows(parts), strict=True):
        returns = [
            number(_iqm(summary, {**{name: row[name] for name in CELL}, "eval_domain": domain}, sight))
            for sight in (TRUE, MODEL, REAL)
            for domain in (source, target)
        ]
        taken = [(number(row[part]), span(row[f"{part}_low"], row[f"{part}_high"])) for part in PARTS]
        rows.append([label, *returns, *taken, str(row["n_seeds"])])
    columns = [_heading(parts), *(f"{sight} in {domain}" for sight in SIGHT_WORDS for domain in (source, target))]
    return {"columns": [*columns, *PARTS, "seeds"], "rows": rows}


def _iqm(summary: pd.DataFrame, cell: Mapping[str, Any], sight: str) -> float:
    """Of the cell through ``sight``, which may be its pipeline's own."""
    through = matching(summary, {**cell, "pipeline": f"{cell['pipeline']}@{sight}"})
    found = through if len(through) else matching(summary, cell)
    return float(found["iqm"].iloc[0])


def levels_table(summary: pd.DataFrame) -> Table:
    """One row per cell and evaluation domain: IQM, mean, spread of seeds, worst seed and CVaR."""
    columns = [_heading(summary), "judged in", "IQM", "mean", "SD of seeds", "worst seed", "CVaR10"]
    rows = [
        [
            label,
            row["eval_domain"],
            (number(row["iqm"]), span(row["iqm_low"], row["iqm_high"])),
            *(number(row[c]) for c in ("mean", "std", "worst_seed", "cvar10")),
            *(number(row[c]) for c in ("n_seeds", "episodes")),
        ]
        for label, row in zip(_short_labels(summary), _rows(summary), strict=True)
    ]
    return {"columns": [*columns, "seeds", "episodes"], "rows": rows}


def runs_table(runs: pd.DataFrame, episodes: pd.DataFrame) -> Table:
    """One row per training run: size, wall-clock, divergences, and its mean return per domain."""
    keys = ["figure", "pipeline", "randomization", "agent", "train_domain", "seed"]
    scores = seed_scores(episodes).groupby([*keys, "eval_domain"]).mean().unstack("eval_domain")
    domains = list(scores.columns)
    budget = ["target_episodes", "target_steps"] if (runs["target_steps"] > 0).any() else []
    merged = runs.merge(scores, left_on=keys, right_index=True, how="left")
    rows = [
        [
            row["cell"],
            *(number(row[c]) for c in ("seed", "steps")),
            duration(row["wall_s"]),
            *(number(row[c]) for c in ("steps_per_s", "diverged", *budget, *domains)),
        ]
        for row in _rows(merged)
    ]
    columns = ["run", "seed", "steps", "wall clock", "steps/s", "diverged"]
    return {
        "columns": [*columns, *(c.replace("_", " ") for c in budget), *(f"in {domain}" for domain in domains)],
        "rows": rows,
    }


def budget_words(runs: pd.DataFrame) -> str:
    """How much data of the target each method took, a run at most."""
    used = runs[runs["target_steps"] > 0].groupby("randomization", sort=False)
    parts = [
        f"{name} {count(int(rows['target_episodes'].max()), 'episode')} ({number(rows['target_steps'].max())} steps)"
        for name, rows in used[["target_episodes", "target_steps"]]
    ]
    if not parts:
        return "Target budget, oracles aside: 0 episodes."
    return f"Target budget of a run, at most: {', '.join(parts)}; every other method 0 episodes, oracles aside."


def training_words(runs: pd.DataFrame) -> str:
    """How many runs were trained, how long one takes, of each setting too, and how many episodes diverged."""
    typical, longest = duration(runs["wall_s"].median()), duration(runs["wall_s"].max())
    words = (
        f"{count(len(runs), 'training run')}; a run took {typical} in the median ({longest} at "
        f"most), at {number(runs['steps_per_s'].median())} steps/s"
    )
    diverged = int(runs["diverged"].sum())
    words += f"; {number(diverged)} training episodes diverged." if diverged else "."
    medians = runs["wall_s"].groupby(setting_labels(runs[["figure", "pipeline", "agent"]]), sort=False).median()
    if len(medians) == 1:
        return words
    return f"{words} By setting: {', '.join(f'{name} {duration(taken)}' for name, taken in medians.items())}."


def _heading(frame: pd.DataFrame) -> str:
    """Of the cells' labels."""
    return "setting, trained in" if setting_labels(frame).any() else "trained in"


def _short_labels(frame: pd.DataFrame) -> pd.Series:
    return cell_labels(frame).str.removeprefix("trained in ")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]
