"""The part of a study's report that sets every method against every other in the target."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments import method_charts
from experiments.findings import PERCENT, cell_labels, horizons, interval_words, number, percent, span
from experiments.method_statistics import compare, told_apart
from experiments.report_tables import Table
from experiments.statistics import seed_scores
from experiments.tables import CELL

MOST_METHODS = 12
"""Beyond that nobody reads a matrix of all pairs."""
MANY_METHODS = 5
"""From so many on the report's answer begins with who comes first."""


def methods_part(
    study: Mapping[str, Any], episodes: pd.DataFrame, summary: pd.DataFrame
) -> tuple[dict[str, dict[str, Any]], Table | None, list[str]]:
    """Charts, the table of pairs, and who comes first where there are many methods.

    Nothing where there is but one method, more than a dozen, or several scales.

    Methods are the study's cells as they were judged in the target; their returns have one scale if they share figure
    and horizon.

    Args:
        study: ``study.yaml`` as a dict.
        episodes: judged through each pipeline's own sight.
        summary: from ``statistics.summarize`` of these episodes.
    """
    target = study["target"]
    rows = summary[summary["eval_domain"] == target]
    if not 2 <= len(rows) <= MOST_METHODS or len(rows[["figure", "horizon"]].drop_duplicates()) > 1:
        return {}, None, []
    means = seed_scores(episodes)
    labels = cell_labels(rows).str.removeprefix("trained in ")
    scores: dict[str, NDArray[np.float64]] = {
        label: means.loc[(*row[CELL], target)].to_numpy(float)
        for label, (_, row) in zip(labels, rows.iterrows(), strict=True)
    }
    pairs = compare(scores)
    steps = horizons(rows)
    figures = {
        "profiles": {
            "figure": method_charts.profiles_chart(scores, steps, target),
            "title": f"How likely a run is to do well in {target}",
            "caption": f"Performance profiles: the share of a method\u2019s seeds whose mean return in {target} is "
            f"above each value; bands are pointwise 95{PERCENT} bootstrap intervals over seeds. A line above another "
            "everywhere is better everywhere.",
        },
        "improvement": {
            "figure": method_charts.improvement_chart(list(scores), pairs),
            "title": "Which method improves on which",
            "caption": f"Probability in percent that a run of the row\u2019s method earns more in {target} than one of "
            "the column\u2019s (Mann-Whitney). Bold: the difference of their interquartile means is larger than its "
            f"95{PERCENT} interval, which leaves zero out.",
        },
    }
    oracle = (rows["train_domain"] == target) & (study["source"] != target)
    many = len(rows) >= MANY_METHODS and not oracle.all()
    return figures, _table(pairs), [_first(rows.assign(label=labels, oracle=oracle), pairs, target)] if many else []


def _first(methods: pd.DataFrame, pairs: list[dict[str, Any]], target: str) -> str:
    """Which method earns most in the target, and from which of the others it can be told apart.

    Args:
        methods: their ``label`` and summary, and which is an ``oracle``; one is never first, only compared with.
        pairs: from :func:`~experiments.method_statistics.compare`, of these and the others.
    """
    row = methods.loc[methods["iqm"].where(~methods["oracle"]).idxmax()]
    best, aside = row["label"], ", oracles aside" if methods["oracle"].any() else ""
    found: dict[str, list[str]] = {"more": [], "less": [], "no": [], "one seed": []}
    for pair in pairs:
        if best in (pair["first"], pair["second"]):
            verdict, ahead = _verdict(pair), (pair["difference"] > 0) == (pair["first"] == best)
            other = pair["second"] if pair["first"] == best else pair["first"]
            found[("more" if ahead else "less") if verdict == "yes" else verdict].append(other)
    interval = interval_words(row["iqm_low"], row["iqm_high"])
    words = f"In {target}, {best} earns most{aside}: {number(row['iqm'])} {interval}."
    for than in ("more", "less"):
        if found[than]:
            words += f" That is {than} than {', '.join(found[than])}, by differences larger than their intervals."
    if found["no"]:
        words += f" No difference is shown from {', '.join(found['no'])}."
    if found["one seed"]:
        words += f" One seed gives no interval for {', '.join(found['one seed'])}."
    return words


def _verdict(pair: Mapping[str, Any]) -> str:
    """Whether a difference is larger than its interval."""
    if math.isnan(pair["difference_low"]):
        return "one seed"
    return "yes" if told_apart(pair) else "no"


def _table(pairs: list[dict[str, Any]]) -> Table:
    rows = []
    for pair in pairs:
        difference = (_signed(pair["difference"]), span(pair["difference_low"], pair["difference_high"]))
        bounds = pair["probability_low"], pair["probability_high"]
        probability = (percent(pair["probability"]), span(*bounds, percent))
        rows.append([f"{pair['first']} against {pair['second']}", difference, _verdict(pair), probability])
    columns = ["methods", "difference of IQMs", "larger than its interval?", "probability of improvement"]
    return {"columns": columns, "rows": rows}


def _signed(value: float) -> str:
    return f"+{number(value)}" if round(value) > 0 else number(value)
