"""Statistics put into words: numbers, labels, the answer of a report, goals met or missed."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from experiments.sights import matching, ratio
from experiments.statistics import seed_scores
from experiments.tables import CELL, SETTING

DASH, MINUS, ARROW, PERCENT = "\u2014", "\u2212", "\u2192", "\u202f%"
FEW_SEEDS = 5
"""Below this the percentile interval is far too narrow: on normal scores it covers the true IQM in
50 % (2 seeds) and 72 % (3) of cases, against 88 % with 5 and 94 % with 10 (simulated here)."""


def number(value: float) -> str:
    """A return or a count as a plain integer, with separators from 10,000 on; a dash for NaN."""
    if math.isnan(value):
        return DASH
    whole = round(value)
    text = f"{abs(whole):,}" if abs(whole) >= 10_000 else str(abs(whole))
    return f"{MINUS}{text}" if whole < 0 else text


def percent(fraction: float) -> str:
    """A fraction as a whole percentage."""
    return DASH if math.isnan(fraction) else f"{number(100 * fraction)}{PERCENT}"


def count(many: int, thing: str) -> str:
    """A number of things: ``1 seed``, ``10 seeds``."""
    return f"{number(many)} {thing}{'' if many == 1 else 's'}"


def span(low: float, high: float, form: Callable[[float], str] = number) -> str:
    """An interval, ``low to high``; empty when it is undefined (a single seed)."""
    return "" if math.isnan(low) or math.isnan(high) else f"{form(low)} to {form(high)}"


def interval_words(low: float, high: float, form: Callable[[float], str] = number) -> str:
    """An interval in parentheses, or the statement that there is none."""
    words = span(low, high, form)
    return f"(95{PERCENT} interval {words})" if words else "(no interval)"


def duration(seconds: float) -> str:
    """Wall-clock time: ``42 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def horizons(frame: pd.DataFrame) -> str:
    """The horizons of a frame, ``500`` or ``500 or 1000``, in steps."""
    return " or ".join(number(h) for h in sorted(set(frame["horizon"])))


def method(randomization: str) -> str:
    """How a randomization reads in a label."""
    return "no randomisation" if randomization == "none" else randomization


def setting_labels(frame: pd.DataFrame) -> pd.Series:
    """What tells each row's setting from the others' in the frame; empty if they share one."""
    units = {"horizon": "-step episodes", "steps": " steps"}
    varying: list[str] = []
    for column in (c for c in SETTING if c in frame and frame[c].nunique() > 1):
        # One that follows from those before it, as steps often do from the agent, says nothing more.
        if not varying or frame.groupby(varying)[column].nunique().max() > 1:
            varying.append(column)
    labels = [
        " \u00b7 ".join(number(row[c]) + units[c] if c in units else str(row[c]) for c in varying)
        for _, row in frame.iterrows()
    ]
    return pd.Series(labels, index=frame.index, dtype=object)


def cell_labels(frame: pd.DataFrame) -> pd.Series:
    """Label each row's cell, ``trained in source · uniform``, adding whatever else varies."""
    rows = zip(frame["train_domain"], frame["randomization"], setting_labels(frame), strict=True)
    labels = [
        " \u00b7 ".join(filter(None, [f"trained in {domain}", method(randomization), setting]))
        for domain, randomization, setting in rows
    ]
    return pd.Series(labels, index=frame.index, dtype=object)


def setting_words(row: Mapping[str, Any]) -> str:
    """Figure, pipeline, agent and horizon of a cell in words."""
    return (
        f"{row['figure']}, {row['agent']} on the {row['pipeline']} pipeline, "
        f"{number(row['steps'])} training steps, episodes of {number(row['horizon'])} steps"
    )


def answer(study: Mapping[str, Any], summary: pd.DataFrame, gaps: pd.DataFrame) -> list[str]:
    """What the study found, in sentences; claims only what the intervals support.

    Args:
        study: ``study.yaml`` as a dict.
        summary: from ``statistics.summarize``.
        gaps: from ``statistics.gaps``; empty when the study has no gap.
    """
    frame = summary if gaps.empty else gaps
    sentences = []
    settings = setting_labels(frame)
    for _, group in frame.groupby(SETTING, sort=True):
        said = [
            _level(row) if gaps.empty else _gap_sentence(row, study["source"], study["target"])
            for _, row in group.iterrows()
        ]
        if setting := settings[group.index[0]]:
            said[0] = f"{setting[0].upper()}{setting[1:]}: {said[0][0].lower()}{said[0][1:]}"
        sentences += said
    return sentences


def _level(row: Mapping[str, Any]) -> str:
    return (
        f"{_trained(row)}, the policy earns {number(row['iqm'])} per "
        f"{number(row['horizon'])}-step episode in {row['eval_domain']} "
        f"{interval_words(row['iqm_low'], row['iqm_high'])}; "
        f"the worst of {count(row['n_seeds'], 'seed')} earns {number(row['worst_seed'])}."
    )


def _gap_sentence(row: Mapping[str, Any], source: str, target: str) -> str:
    in_source, in_target = number(row["source_iqm"]), number(row["target_iqm"])
    if row["train_domain"] == target:
        who = "the oracle" if row["randomization"] == "none" else "the policy"
        return f"{_trained(row)} itself, {who} earns {in_target} there and {in_source} in {source}."
    words = (
        f"{_trained(row)}, the policy earns {in_source} per {number(row['horizon'])}-step episode "
        f"in {source} and {in_target} in {target}: {_loss_words(row)}"
    )
    return words if math.isnan(row["won_back"]) else f"{words} {_gain_words(row, target)}"


def _trained(row: Mapping[str, Any]) -> str:
    if row["randomization"] == "none":
        return f"Trained without randomisation in {row['train_domain']}"
    return f"Trained with {row['randomization']} randomisation in {row['train_domain']}"


def _loss_words(row: Mapping[str, Any]) -> str:
    low, high = row["gap_low"], row["gap_high"]
    where = interval_words(low, high)
    if math.isnan(low):
        return f"a gap of {number(row['gap'])}, from one seed, so nothing can be claimed."
    if low <= 0 <= high:
        return f"a gap of {number(row['gap'])} {where}, which includes zero: no loss is shown."
    if row["gap"] < 0:
        return f"a gain of {number(-row['gap'])} {interval_words(-high, -low)}."
    share = "" if math.isnan(row["relative_gap"]) else f", or {percent(row['relative_gap'])}"
    return f"it loses {number(row['gap'])} {where}{share}."


def _gain_words(row: Mapping[str, Any], target: str) -> str:
    gain, low, high = row["won_back"], row["won_back_low"], row["won_back_high"]
    direction = "more" if gain >= 0 else "less"
    words = f"In {target} that is {number(abs(gain))} {direction} than without randomisation"
    if math.isnan(low):
        return f"{words}, but one seed gives no interval: no claim can be made."
    if low <= 0 <= high:
        return f"{words} {interval_words(low, high)}; this includes zero, so no claim can be made."
    words += f" {interval_words(*((low, high) if gain >= 0 else (-high, -low)))}"
    if math.isnan(row["share_closed"]):
        return f"{words}."
    closed = f"{percent(row['share_closed'])} of the way to the oracle"
    if math.isnan(row["share_low"]):
        return f"{words}, {closed}, though the distance to the oracle is itself uncertain."
    return f"{words}, {closed} ({span(row['share_low'], row['share_high'], percent)})."


def cautions(study: Mapping[str, Any], summary: pd.DataFrame, episodes: pd.DataFrame) -> list[str]:
    """What a reader must know before believing the numbers: missing or few seeds, divergence."""
    notes = []
    fewest = int(summary["n_seeds"].min())
    if fewest < FEW_SEEDS:
        notes.append(
            f"Only {count(fewest, 'seed')} in the smallest cell: intervals from fewer than "
            f"{FEW_SEEDS} seeds are too narrow, or absent. Read them as a first look."
        )
    short = summary["n_seeds"] != study["seeds"]
    if short.any():
        cells = dict.fromkeys(
            f"{label} ({n} of {study['seeds']})"
            for label, n in zip(cell_labels(summary)[short], summary["n_seeds"][short], strict=True)
        )
        notes.append(f"Not the number of seeds that was planned: {'; '.join(cells)}.")
    diverged = int(episodes["diverged"].sum())
    if diverged:
        notes.append(
            f"{number(diverged)} of {number(len(episodes))} evaluation episodes ended because the "
            "physics diverged; they count with the return they had."
        )
    return notes


def goals_reached(study: Mapping[str, Any], summary: pd.DataFrame, episodes: pd.DataFrame) -> list[dict[str, str]]:
    """Each goal of the study with what was reached; one row for every cell that the goal names.

    A goal with ``of`` is a share of the IQM of the cell that differs in those columns, whatever its training steps.

    Returns:
        Dicts with ``text``, ``goal``, ``reached``, ``interval`` and ``verdict``: ``met``, ``met,
        within the uncertainty`` (the interval is missing or reaches below the goal), ``missed by
        …`` or ``not measured``.
    """
    rows = []
    for goal in study["goals"]:
        wanted = {key: goal[key] for key in [*CELL, "eval_domain"] if goal.get(key)}
        text, form = str(goal["text"]), percent if goal.get("of") else number
        result = {"text": text, "goal": f"\u2265 {form(goal['at_least'])}"}
        chosen = matching(summary, wanted)
        if chosen.empty:
            rows.append(result | {"reached": DASH, "interval": "", "verdict": "not measured"})
        for (_, row), setting in zip(chosen.iterrows(), setting_labels(chosen), strict=True):
            value, low, high = row["iqm"], row["iqm_low"], row["iqm_high"]
            if goal.get("of"):
                value, low, high = _share_of(row, goal["of"], episodes)
            result |= {"text": f"{text} ({setting})" if setting else text}
            result |= {"reached": form(value), "interval": span(low, high, form)}
            rows.append(result | {"verdict": _verdict(value, low, goal["at_least"], form)})
    return rows


def _share_of(row: pd.Series, of: Mapping[str, str], episodes: pd.DataFrame) -> tuple[float, float, float]:
    """The cell's IQM over that of the one which differs in the columns ``of``, with its interval."""
    where = [column for column in [*CELL, "eval_domain"] if column != "steps"]
    own = dict(row[where])
    scores, reference = (
        seed_scores(matching(episodes, cell)).to_numpy(float)
        for cell in ({**own, "steps": row["steps"]}, {**own, **of})
    )
    if not len(reference):
        return math.nan, math.nan, math.nan
    return ratio(scores, reference, list(row[[*CELL, "eval_domain"]]))


def _verdict(value: float, low: float, at_least: float, form: Callable[[float], str]) -> str:
    if math.isnan(value):
        return "not measured"
    if value < at_least:
        short = at_least - value
        return f"missed by {form(max(1, short) if form is number else max(0.01, short))}"
    return "met" if low >= at_least else "met, within the uncertainty"
