"""What a study set out to reach, beside what it reached."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from experiments.findings import DASH, number, percent, setting_labels, span
from experiments.sights import matching, ratio
from experiments.statistics import seed_scores
from experiments.tables import CELL


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
