"""The report of a study: from the files of its directory to tables, figures and one HTML page.

``write_report`` reads ``study.yaml``, ``episodes.csv``, ``runs.csv``, ``provenance.json`` and, if
present, ``curves.csv``, ``curricula.csv`` and ``videos/*.mp4``. It writes ``summary.csv``, ``gaps.csv``,
``figures/*.png``, ``report.html`` (self-contained) and ``README.md``. It never trains.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from envs import file_form
from experiments import curricula, findings, goals, method_report, plots, report_tables, sight_charts, sights
from experiments.config import NAME, NAME_WORDS
from experiments.files import read_json, read_yaml, write_text
from experiments.findings import PERCENT, count
from experiments.pages import TEMPLATES, data_uri
from experiments.run import trained_where
from experiments.statistics import gaps, read_episodes, summarize
from experiments.tables import CURRICULA, CURVES, RUNS, SETTING, check_chosen, read_table

Fields = Mapping[str, type | tuple[type, ...]]
STUDY_FIELDS: Fields = {
    "name": str,
    "title": str,
    "description": str,
    "source": str,
    "target": str,
    "seeds": int,
    "episodes": int,
    "base": dict,
}
GOAL_FIELDS: Fields = {"text": str}
COMPARISON_FIELDS: Fields = {"name": str, "title": str, "caption": str, "rows": list}
ROW_FIELDS: Fields = {"text": str, "cell": dict}
PROVENANCE_FIELDS: Fields = {
    "command": str,
    "machine": str,
    "cpu": str,
    "cores": int,
    "python": str,
    "versions": dict,
    "commit": str,
    "wall_s": (int, float),
    "started": str,
    "missing": list,
    "taken_over": dict,
    "trained_on": list,
}


def write_report(directory: Path) -> Path:
    """Write every derived file of the study in ``directory`` and return the path of the HTML page.

    Raises:
        ValueError: one line naming the file, and where in it, if an input is missing or damaged.
            All inputs are read before anything is written.
    """
    directory = Path(directory)
    study = _read_study(directory / "study.yaml")
    path = directory / "provenance.json"
    # What an older version did not write yet.
    whole: dict[str, Any] = {"missing": [], "taken_over": {}, "trained_on": []}
    provenance = _checked(path, {**whole, **read_json(path)}, PROVENANCE_FIELDS)
    trained_on = provenance["trained_on"]
    episodes = read_episodes(directory / "episodes.csv")
    runs = read_table(directory / "runs.csv", RUNS)
    curves = None
    if (directory / "curves.csv").exists():
        curves = read_table(directory / "curves.csv", CURVES).dropna()
    moved = None
    if (directory / "curricula.csv").exists():
        moved = read_table(directory / "curricula.csv", CURRICULA)
    videos = sorted((directory / "videos").glob("[!.]*.mp4"))

    everything = summarize(episodes)
    all_lost = gaps(episodes, study["source"], study["target"])
    summary, lost = sights.own(everything), sights.own(all_lost)
    parts = sights.taken_apart(episodes, study["source"], study["target"])
    charts = _charts_of_figures(study, sights.own(episodes), summary, lost, curves)
    compared, pairs = method_report.methods_part(study, sights.own(episodes), summary)
    figures = {
        **charts,
        **curricula.figures(moved),
        **_sight_figures(parts, sights.calibration(episodes)),
        **compared,
    }
    chosen = _comparisons(study, path.parent, everything, episodes)
    if clash := figures.keys() & chosen.keys():
        raise ValueError(f"{directory / 'study.yaml'}: comparisons: {min(clash)} is the name of another chart")
    figures |= chosen
    for name, figure in figures.items():
        plots.save(figure["figure"], directory / "figures" / f"{name}.png")
    write_text(directory / "summary.csv", everything.to_csv(index=False))
    write_text(directory / "gaps.csv", all_lost.to_csv(index=False))
    if not parts.empty:
        write_text(directory / "parts.csv", parts.to_csv(index=False))

    single = len(summary[SETTING].drop_duplicates()) == 1
    context = {
        "study": study,
        "provenance": provenance,
        "answer": findings.answer(study, summary, lost),
        "cautions": findings.cautions(summary, episodes, provenance),
        "headlines": report_tables.headlines(study, summary),
        "setting": findings.setting_words(summary.iloc[0]) if single else "",
        "horizons": findings.horizons(summary),
        "main": report_tables.gap_table(study, summary, lost),
        "parts": report_tables.parts_table(study, parts, everything),
        "levels": report_tables.levels_table(everything),
        "goals": goals.goals_reached(study, everything, episodes),
        "figures": figures,
        "kinds": {kind: [n for n, c in charts.items() if c["kind"] == kind] for kind in ("returns", "gap", "learning")},
        "pairs": pairs,
        "runs": report_tables.runs_table(runs, episodes),
        "training": report_tables.training_words(runs),
        "budget": report_tables.budget_words(runs),
        "elsewhere": "" if trained_on in ([], [trained_where(provenance)]) else "; ".join(map(str, trained_on)),
        "took": findings.duration(provenance["wall_s"]),
        "per_seed": sorted(set(summary["episodes"] // summary["n_seeds"])),
        "videos": [{"title": _title(v.stem), "uri": data_uri(v.read_bytes(), "video/mp4")} for v in videos],
        "uris": {n: data_uri((directory / "figures" / f"{n}.png").read_bytes(), "image/png") for n in figures},
    }
    readme = TEMPLATES.get_template("report.md.j2").render(context)
    write_text(directory / "README.md", readme)
    page = TEMPLATES.get_template("report.html.j2").render(context)
    write_text(directory / "report.html", page)
    return directory / "report.html"


def _read_study(path: Path) -> dict[str, Any]:
    study = _checked(path, read_yaml(path), STUDY_FIELDS)
    for key in ("goals", "cells", "comparisons"):
        study[key] = study.get(key) or []
        _checked(path, study, {key: list})
    study["tuning"] = [line.strip() for line in str(study.get("tuning") or "").splitlines() if line.strip()]
    for place, goal in enumerate(study["goals"]):
        _checked(path, goal, GOAL_FIELDS, f"goals[{place}].")
        try:
            goals.check_goal(goal)
        except ValueError as error:
            raise ValueError(f"{path}: goals[{place}].{error}") from None
    for place, comparison in enumerate(study["comparisons"]):
        _checked(path, comparison, COMPARISON_FIELDS, f"comparisons[{place}].")
        if not re.fullmatch(NAME, comparison["name"]):  # it becomes a file's name
            raise ValueError(f"{path}: comparisons[{place}].name {comparison['name']!r} must be {NAME_WORDS}")
        for row in comparison["rows"]:
            _checked(path, row, ROW_FIELDS, f"comparisons[{place}].rows: ")
            check_chosen(row["cell"], f"{path}: comparisons[{place}].rows: cell")
    return study


def _checked(
    path: Path,
    content: object,
    fields: Fields,
    prefix: str = "",
) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{path}: {prefix or 'the file '}must map the keys {', '.join(fields)}")
    for key, kind in fields.items():
        if not isinstance(content.get(key), kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            names = {str: "text", int: "a whole number", float: "a number", dict: "a mapping", list: "a list"}
            found = repr(content[key])[:60] if key in content else "nothing"
            raise ValueError(f"{path}: {prefix}{key} must be {names[kinds[-1]]}; found {found}")
    return content


def _charts_of_figures(
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


def _comparisons(
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


def _sight_figures(parts: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, dict[str, Any]]:
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


def _title(stem: str) -> str:
    return stem.replace("-in-", ", judged in ")
