"""Statistics put into words: numbers, labels, the answer of a report, cautions."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from experiments.statistics import plain_cell
from experiments.tables import CELL, SETTING

DASH, MINUS, ARROW, PERCENT = "\u2014", "\u2212", "\u2192", "\u202f%"
FEW_SEEDS = 5
"""Below this the percentile interval is far too narrow: on normal scores it covers the true IQM in
50 % (2 seeds) and 75 % (3) of cases, against 90 % with 5 and 94 % with 10 (simulated here)."""


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
    """The horizons of a frame in steps: ``500``, ``500 or 1000``, or ``500 (hopper) or 1000 (ant)``."""
    found = {h: list(dict.fromkeys(rows["figure"])) for h, rows in frame.groupby("horizon", sort=True)}
    several = len(found) > 1 and frame["figure"].nunique() > 1
    return " or ".join(f"{number(h)} ({', '.join(who)})" if several else number(h) for h, who in found.items())


def method(randomization: str) -> str:
    """How a randomization reads in a label."""
    return "no randomisation" if randomization == "none" else randomization


def setting_labels(frame: pd.DataFrame) -> pd.Series:
    """What tells each row's setting from the others' in the frame; empty if they share one.

    A column is left out where those before it decide on it: the agent of a pipeline that has one, or an agent's steps.
    """
    units = {"horizon": "-step episodes", "steps": " steps"}
    labels = pd.Series("", index=frame.index, dtype=object)
    for column in (c for c in SETTING if c in frame):
        varies = frame.groupby(labels)[column].transform("nunique") > 1
        words = [number(value) + units[column] if column in units else str(value) for value in frame[column]]
        said = pd.Series(words, index=frame.index, dtype=object)
        labels = labels.where(~varies, (labels + " \u00b7 " + said).str.removeprefix(" \u00b7 "))
    return labels


def cell_labels(frame: pd.DataFrame) -> pd.Series:
    """Label each row's cell: ``trained in source · uniform``, or ``pose · source · uniform`` where settings vary."""
    rows = zip(frame["train_domain"], frame["randomization"], setting_labels(frame), strict=True)
    labels = [
        " \u00b7 ".join([*([setting, domain] if setting else [f"trained in {domain}"]), method(randomization)])
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
    setting_of = dict(zip(frame[CELL].itertuples(index=False, name=None), settings, strict=True))
    borrowing: dict[str, list[str]] = {}
    for _, group in frame.groupby(SETTING, sort=False):
        setting, rows = settings[group.index[0]], [row for _, row in group.iterrows()]
        plain = plain_cell(setting_of, rows[0][CELL].to_dict(), study["source"])
        if plain and setting_of[plain] != setting and not gaps.empty and group["won_back"].notna().any():
            borrowing.setdefault(setting_of[plain], []).append(setting)
        if setting and not gaps.empty:
            said = "; ".join(_in_short(row, study["target"]) for row in rows)
            where = f"per {horizons(group)}-step episode in {study['source']} and {study['target']}"
            sentences.append(f"{setting}, {where}: {said}.")  # a name, written as it is
            continue
        said_in_full = [
            _level(row) if gaps.empty else _gap_sentence(row, study["source"], study["target"]) for row in rows
        ]
        if setting:
            said_in_full[0] = f"{setting}: {said_in_full[0][0].lower()}{said_in_full[0][1:]}"
        sentences += said_in_full
    for only, without in borrowing.items():
        where = "; ".join(without)
        sentences.append(f"Nothing was trained without randomisation with {where}: gains there are over {only}.")
    return sentences


def _in_short(row: Mapping[str, Any], target: str) -> str:
    """A cell among others of its setting: both returns, and whether a loss, and a gain over no randomisation, show."""
    both = f"{number(row['source_iqm'])} and {number(row['target_iqm'])}"
    if row["train_domain"] == target:
        return f"{both} trained in {target}"
    low, high = row["gap_low"], row["gap_high"]
    lost = "one seed" if math.isnan(low) else "no loss is shown" if low <= 0 <= high else ""
    if not lost:
        interval = span(*((low, high) if row["gap"] > 0 else (-high, -low)))
        lost = f"{'loses' if row['gap'] > 0 else 'gains'} {number(abs(row['gap']))}, 95{PERCENT} interval {interval}"
    words = f"{both} with {method(row['randomization'])} ({lost})"
    gain, low, high = row["won_back"], row["won_back_low"], row["won_back_high"]
    if math.isnan(gain) or math.isnan(low):
        return words
    if low <= 0 <= high:
        return f"{words}, in {target} no different from no randomisation as far as can be told"
    more = f"{number(abs(gain))} {'more' if gain > 0 else 'less'}"
    span_words = interval_words(*((low, high) if gain > 0 else (-high, -low)))
    return f"{words}, in {target} {more} than without {span_words}"


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


def cautions(summary: pd.DataFrame, episodes: pd.DataFrame, provenance: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the numbers: runs that are missing or another study's, few seeds,
    divergence."""
    notes = []
    if missing := provenance["missing"]:
        cells = Counter(name.rpartition("/")[0] for name in missing)
        which = ", ".join(f"{many} of {cell}" for cell, many in cells.items())
        notes.append(f"The study is not complete: {count(len(missing), 'run')} missing ({which}).")
    for other, runs in provenance["taken_over"].items():
        notes.append(
            f"{count(len(runs), 'run')} taken over from study {other}, which trains the same; their time is not in "
            "this study's wall-clock."
        )
    fewest = int(summary["n_seeds"].min())
    if fewest < FEW_SEEDS:
        notes.append(
            f"Only {count(fewest, 'seed')} in the smallest cell: intervals from fewer than "
            f"{FEW_SEEDS} seeds are too narrow, or absent. Read them as a first look."
        )
    diverged = int(episodes["diverged"].sum())
    if diverged:
        notes.append(
            f"{number(diverged)} of {number(len(episodes))} evaluation episodes ended because the "
            "physics diverged; they count with the return they had."
        )
    return notes
