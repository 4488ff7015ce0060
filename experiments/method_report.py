"""The part of a study's report that sets every method against every other in the target."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments import method_charts
from experiments.findings import PERCENT, cell_labels, horizons, number, percent, span
from experiments.method_statistics import compare, told_apart
from experiments.report_tables import Table
from experiments.statistics import seed_scores
from experiments.tables import CELL

MOST_METHODS = 12
"""Beyond that nobody reads a matrix of all pairs."""


def methods_part(
    study: Mapping[str, Any], episodes: pd.DataFrame, summary: pd.DataFrame
) -> tuple[dict[str, dict[str, Any]], Table | None]:
    """Charts and the table of pairs; neither where there is but one method, more than a dozen, or several scales.

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
        return {}, None
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
    return figures, _table(pairs)


def _table(pairs: list[dict[str, Any]]) -> Table:
    rows = []
    for pair in pairs:
        difference = (_signed(pair["difference"]), span(pair["difference_low"], pair["difference_high"]))
        bounds = pair["probability_low"], pair["probability_high"]
        probability = (percent(pair["probability"]), span(*bounds, percent))
        verdict = "yes" if told_apart(pair) else "no" if difference[1] else "one seed"
        rows.append([f"{pair['first']} against {pair['second']}", difference, verdict, probability])
    columns = ["methods", "difference of IQMs", "larger than its interval?", "probability of improvement"]
    return {"columns": columns, "rows": rows}


def _signed(value: float) -> str:
    return f"+{number(value)}" if round(value) > 0 else number(value)
