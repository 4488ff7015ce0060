"""What a study set out to reach, beside what it reached."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.findings import DASH, PERCENT, number, percent, setting_labels, span
from experiments.objectives import stable
from experiments.sights import matching, ratio
from experiments.statistics import Array, bootstrap, interval, iqm, random_stream, seed_scores
from experiments.tables import CELL, CHOSEN, check_chosen

SCORES = ("iqm", "gap", "relative_gap", "sd", "stable", "hours")
"""Numbers that a goal can be about: the IQM over seeds in ``eval_domain``; what is lost from the study's source to it,
in units of return or as a share of the return in the source; the standard deviation of the seeds' returns in it; the
IQM over seeds of each policy's :func:`experiments.objectives.stable` return; the hours that training a run took, the
median over seeds."""
AT_LEAST, AT_MOST = "\u2265", "\u2264"
Reached = tuple[float, float, float]
"""A number with the ends of its 95 % interval."""


def check_goal(goal: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless the goal has one bound and a score that can be measured."""
    bounds = [goal[key] for key in ("at_least", "at_most") if goal.get(key) is not None]
    if len(bounds) != 1 or not isinstance(bounds[0], int | float):
        raise ValueError(f"at_least, at_most: found {len(bounds)} of them; accepted: one, a number")
    if goal.get("score", "iqm") not in SCORES:
        raise ValueError(f"score: {goal['score']!r} is unknown; accepted: {', '.join(SCORES)}")
    if goal.get("of") and goal.get("score", "iqm") != "iqm":
        raise ValueError(f"of: a share is one of IQMs; accepted: score iqm, not {goal['score']}")
    check_chosen(goal.get("of") or {}, "of", "eval_domain")


def goals_reached(
    study: Mapping[str, Any], summary: pd.DataFrame, episodes: pd.DataFrame, runs: pd.DataFrame
) -> list[dict[str, str]]:
    """Each goal of the study with what was reached; one row for every cell that the goal names.

    A goal with ``of`` is a share of the IQM of the cell that differs in those columns, whatever its training steps.

    Returns:
        Dicts with ``text``, ``goal``, ``reached``, ``interval``, ``verdict``: ``met``, ``met, within the uncertainty``
        (the interval reaches beyond the goal), ``met, without an interval`` (one seed has none), ``missed by …`` or
        ``not measured``; and ``limits``, empty unless it was missed.
    """
    rows = []
    for goal in study["goals"]:
        wanted = {key: goal[key] for key in [*CELL, "eval_domain"] if goal.get(key)}
        text, form = str(goal["text"]), _form(goal)
        at_most = goal.get("at_most") is not None
        bound = float(goal["at_most"] if at_most else goal["at_least"])
        result = {"text": text, "goal": f"{AT_MOST if at_most else AT_LEAST} {form(bound)}", "limits": ""}
        chosen = matching(summary, wanted)
        if chosen.empty:
            rows.append(result | {"reached": DASH, "interval": "", "verdict": "not measured"})
        for (_, row), setting in zip(chosen.iterrows(), setting_labels(chosen), strict=True):
            value, low, high = _reached(row, goal, study, episodes, runs)
            result |= {"text": f"{text} ({setting})" if setting else text}
            result |= {"reached": form(value), "interval": span(low, high, form)}
            side = high if at_most else low
            verdict = _verdict(value, side, bound, -1 if at_most else 1, form)
            missed = verdict.startswith("missed")
            rows.append(result | {"verdict": verdict, "limits": str(goal.get("limits", "")).strip() if missed else ""})
    return rows


def _form(goal: Mapping[str, Any]) -> Callable[[float], str]:
    if goal.get("of"):
        return percent
    return {"relative_gap": _tenths, "hours": _hours}.get(goal.get("score", "iqm"), number)


def _tenths(fraction: float) -> str:
    """A fraction in percent with one decimal."""
    return DASH if math.isnan(fraction) else f"{100 * fraction:.1f}{PERCENT}".replace("-", "\u2212")


def _hours(value: float) -> str:
    """Hours with two decimals."""
    return DASH if math.isnan(value) else f"{value:.2f} h"


def _reached(
    row: pd.Series, goal: Mapping[str, Any], study: Mapping[str, Any], episodes: pd.DataFrame, runs: pd.DataFrame
) -> Reached:
    score = goal.get("score", "iqm")
    if goal.get("of"):
        return _share_of(row, goal["of"], episodes)
    if score == "iqm":
        return row["iqm"], row["iqm_low"], row["iqm_high"]
    key = [*row[CELL], row["eval_domain"], score]
    if score == "stable":
        there = matching(episodes, {**row[CELL], "eval_domain": row["eval_domain"]})
        return _with_interval(iqm, there.groupby("seed")["return"].agg(_stable).to_numpy(float), key)
    if score == "hours":
        trained = matching(runs, dict(row[CHOSEN]))
        return _with_interval(np.median, trained["wall_s"].to_numpy(float) / 3600, key)
    scores = seed_scores(matching(episodes, dict(row[CELL]))).unstack("eval_domain")
    if score == "sd":
        there = scores[row["eval_domain"]].dropna().to_numpy(float)
        return _with_interval(_spread, there, key)
    if study["source"] not in scores or study["source"] == row["eval_domain"]:
        return math.nan, math.nan, math.nan
    pairs = scores[[study["source"], row["eval_domain"]]].dropna().to_numpy(float)
    return _with_interval(_gap if score == "gap" else _relative_gap, pairs, key)


def _with_interval(statistic: Callable[[Array], float], scores: Array, key: list[object]) -> Reached:
    if not len(scores):
        return math.nan, math.nan, math.nan
    low, high = interval(bootstrap(statistic, scores, random_stream(0, *key)))
    return statistic(scores), low, high


def _stable(returns: pd.Series) -> float:
    return stable(returns.to_numpy(float), np.empty(0))


def _spread(scores: Array) -> float:
    """Standard deviation over seeds (ddof 1); NaN for one seed."""
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan


def _gap(pairs: Array) -> float:
    return iqm(pairs[:, 0] - pairs[:, 1])


def _relative_gap(pairs: Array) -> float:
    in_source = iqm(pairs[:, 0])
    return _gap(pairs) / in_source if in_source > 0 else math.nan


def _share_of(row: pd.Series, of: Mapping[str, str], episodes: pd.DataFrame) -> Reached:
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


def _verdict(value: float, side: float, bound: float, sign: int, form: Callable[[float], str]) -> str:
    """``side`` is the end of the interval towards failure; ``sign`` is 1 where more is better, else −1."""
    if math.isnan(value):
        return "not measured"
    short = sign * (bound - value)
    if short > 0:
        least = {number: 1.0, percent: 0.01, _tenths: 0.001, _hours: 0.01}[form]
        return f"missed by {form(max(least, short))}".replace(PERCENT, " points")
    if math.isnan(side):
        return "met, without an interval"
    return "met" if sign * (side - bound) >= 0 else "met, within the uncertainty"
