"""The report of a study: from the files of its directory to tables, figures and one HTML page.

``write_report`` reads ``study.yaml``, ``episodes.csv``, ``runs.csv``, ``provenance.json`` and, if
present, ``curves.csv``, ``curricula.csv`` and ``videos/*.mp4``. It writes ``summary.csv``, ``gaps.csv``,
``figures/*.png``, ``report.html`` (self-contained) and ``README.md``. It never trains.
"""

from pathlib import Path

from experiments import (
    curricula,
    findings,
    goals,
    method_report,
    plots,
    report_charts,
    report_inputs,
    report_tables,
    sights,
)
from experiments.files import write_text
from experiments.pages import TEMPLATES, data_uri
from experiments.provenance import machines, trained_where
from experiments.statistics import gaps, read_episodes, summarize
from experiments.tables import CURRICULA, CURVES, RUNS, SETTING, read_table


def write_report(directory: Path) -> Path:
    """Write every derived file of the study in ``directory`` and return the path of the HTML page.

    Raises:
        ValueError: one line naming the file, and where in it, if an input is missing or damaged.
            All inputs are read before anything is written.
    """
    directory = Path(directory)
    study = report_inputs.read_study(directory / "study.yaml")
    provenance = report_inputs.read_provenance(directory / "provenance.json")
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
    charts = report_charts.charts_of_figures(study, sights.own(episodes), summary, lost, curves)
    compared, pairs, first = method_report.methods_part(study, sights.own(episodes), summary)
    figures = {
        **charts,
        **curricula.figures(moved),
        **report_charts.sight_figures(parts, sights.calibration(episodes)),
        **compared,
    }
    chosen = report_charts.chosen_comparisons(study, directory, everything, episodes)
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
        "answer": [*first, *findings.answer(study, summary, lost)],
        "cautions": findings.cautions(summary, episodes, provenance),
        "headlines": report_tables.headlines(study, summary),
        "setting": findings.setting_words(summary.iloc[0]) if single else "",
        "horizons": findings.horizons(summary),
        "main": report_tables.gap_table(study, summary, lost),
        "parts": report_tables.parts_table(study, parts, everything),
        "levels": report_tables.levels_table(everything),
        "goals": goals.goals_reached(study, everything, episodes, runs),
        "figures": figures,
        "kinds": {kind: [n for n, c in charts.items() if c["kind"] == kind] for kind in ("returns", "gap", "learning")},
        "pairs": pairs,
        "runs": report_tables.runs_table(runs, episodes),
        "training": report_tables.training_words(runs),
        "budget": report_tables.budget_words(runs),
        "elsewhere": "" if trained_on in ([], [trained_where(provenance)]) else machines(map(str, trained_on)),
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


def _title(stem: str) -> str:
    return stem.replace("-in-", ", judged in ")
