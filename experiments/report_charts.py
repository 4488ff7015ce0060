"""The charts of a study's report, each with its title and caption."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from envs import file_form
from experiments import findings, plots, sight_charts, sights
from experiments.findings import PERCENT, count


def charts_of_figures(
    study: Mapping[str, Any],
    episodes: pd.DataFrame,
    summary: pd.DataFrame,
    lost: pd.DataFrame,
    curves: pd.DataFrame | None,
) -> dict[str, dict[str, Any]]:
    """The charts of every figure, whose returns have no scale in common; where there are several, they are named."""
    several = summary["figure"].nunique() > 1
    charts = {}
    for body in dict.fromkeys(summary["figure"]):
        own = [frame[frame["figure"] == body] for frame in (episodes, summary, lost)]
        learned = None if curves is None else curves[curves["figure"] == body]
        for kind, chart in _charts(study, own[0], own[1], own[2], learned).items():
            title = f"{chart['title']}: {body}" if several else chart["title"]
            charts[f"{kind}-{file_form(body)}" if several else kind] = {**chart, "title": title, "kind": kind}
    return charts


def _charts(
    study: Mapping[str, Any],
    episodes: pd.DataFrame,
    summary: pd.DataFrame,
    lost: pd.DataFrame,
    curves: pd.DataFrame | None,
) -> dict[str, dict[str, Any]]:
    """Of one figure."""
    horizons = findings.horizons(summary)
    low, high = summary["n_seeds"].min(), summary["n_seeds"].max()
    seeds = count(high, "seed") if low == high else f"{low} to {high} seeds"
    whiskers = f"whiskers are 95{PERCENT} bootstrap intervals over seeds"
    oracle = lost[(lost["train_domain"] == study["target"]) & (lost["randomization"] == "none")]
    reference = {"oracle": oracle["target_iqm"].item()} if len(oracle) == 1 else None
    figures: dict[str, dict[str, Any]] = {
        "returns": {
            "figure": plots.returns_chart(episodes, summary, reference),
            "title": "What each policy earns",
            "caption": f"Return per episode of {horizons} steps. Bars are interquartile means over "
            f"{seeds}, {whiskers}, and each point is one seed\u2019s mean.",
        }
    }
    elsewhere = lost[lost["train_domain"] != study["target"]]
    if not elsewhere.empty:
        figures["gap"] = {
            "figure": plots.gap_chart(elsewhere),
            "title": f"What is lost from {study['source']} to {study['target']}",
            "caption": f"Gap of the same policy between the two domains, {horizons}-step episodes, "
            f"{seeds}; {whiskers}. Where an interval reaches zero, no loss is shown.",
        }
    if curves is not None and not curves.empty:
        figures["learning"] = {
            "figure": plots.learning_curves(curves),
            "title": "How they learned",
            "caption": f"Mean return of recent training episodes (up to {horizons} steps), in the "
            "training domain and under its randomisation. Thick: interquartile mean over seeds; "
            f"band: their 25 to 75{PERCENT} range; thin: each seed.",
        }
    return figures


def chosen_comparisons(
    study: Mapping[str, Any], directory: Path, summary: pd.DataFrame, episodes: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """The charts of chosen cells that the study asks for."""
    figures = {}
    for comparison in study["comparisons"]:
        try:
            compared = sights.compare(comparison["rows"], summary)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{directory / 'study.yaml'}: comparison {comparison['name']}: {error}") from None
        figures[comparison["name"]] = {
            "figure": sight_charts.comparison_chart(compared, episodes),
            "title": comparison["title"],
            "caption": comparison["caption"],
        }
    return figures


def sight_figures(parts: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The gap taken apart, and the error model beside the estimator, where policies were judged through both.

    Args:
        parts: from :func:`experiments.sights.taken_apart`.
        pairs: from :func:`experiments.sights.calibration`.
    """
    figures = {}
    if not parts.empty:
        figures["parts"] = {
            "figure": sight_charts.parts_chart(parts),
            "title": "The gap taken apart",
            "caption": "From the true state in the source to the estimator in the target. Dynamics: what the true "
            "state loses from source to target. Perception: what the estimator loses against the true state, in the "
            "source. Interaction: how much more it loses in the target. Means over seeds of differences within a "
            f"seed, which add up to the total; whiskers are 95{PERCENT} bootstrap intervals over seeds.",
        }
    if not pairs.empty:
        figures["calibration"] = {
            "figure": sight_charts.calibration_chart(pairs),
            "title": "Does the error model predict the estimator?",
            "caption": sight_charts.calibration_words(pairs),
        }
    return figures
