"""What the terminal shows of runs and studies."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from experiments import report_tables
from experiments.checkpoints import list_checkpoints
from experiments.executors import LOG
from experiments.files import read_json, read_yaml
from experiments.findings import horizons
from experiments.identify import Identified
from experiments.metrics import read_curve
from experiments.plain import flat, to_plain, to_yaml
from experiments.reward_report import prediction_rows, ranking_rows
from experiments.run import Run
from experiments.statistics import gaps, read_episodes, summarize
from experiments.sweep_report import read_sweep_table
from experiments.teacher import teacher_directory

SHOWN = ("study", "seed", "horizon")
"""Keys of the configuration that the table shows in any case."""
WIDTH = 120
"""Columns of text that a study's table needs."""


def print_runs(runs: Sequence[Run]) -> None:
    """Everything about one run, or a table of several with the keys in which their configurations differ."""
    console = _console()
    if len(runs) == 1:
        console.print(to_yaml(runs[0].config), highlight=False, markup=False)
    keys = differing_keys(runs)
    table = _table(["run", "state", "steps", "wall clock", "steps/s", "training return", "horizon", *keys])
    for run in runs:
        values = flat(to_plain(run.config))
        name = f"{run.config.study}/{run.name}"
        differing = [str(values.get(key, "-")) for key in keys]
        table.add_row(name, *_progress(run), f"{run.config.training_horizon} steps", *differing)
    console.print(table)
    if len(runs) == 1:
        if runs[0].done and (budget := runs[0].result())["target_steps"]:
            spent = f"{budget['target_episodes']} episodes, {budget['target_steps']} steps"
            console.print(f"target budget: {spent}", highlight=False)
        for key, value in (*_on_disk(runs[0]), *_provenance(runs[0])):
            console.print(f"{key}: {value}", highlight=False, markup=False)
    judged = [run for run in runs if run.episodes.exists()]
    if judged:
        print_returns(judged)


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Dotted keys of the configuration that are not the same in all ``runs``, beyond what the table says anyway."""
    configs = [flat(to_plain(run.config)) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if key not in SHOWN and any(c.get(key) != configs[0].get(key) for c in configs)]


def _on_disk(run: Run) -> list[tuple[str, str]]:
    """The run's directory, its checkpoints, and the runs and estimators that it needs."""
    files = [path for path in run.directory.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    steps = [f"{int(path.name):,}" for path in list_checkpoints(run.checkpoints)]
    lines = [
        ("directory", f"{run.directory} ({size:.1f} MB in {len(files)} files)"),
        ("checkpoints", f"{' and '.join(steps)} steps" if steps else "none"),
    ]
    if teacher := teacher_directory(run):
        there = (teacher / "done.json").exists()
        lines.append(("teacher", f"{teacher}{'' if there else ' (not trained to its end)'}"))
    if run.config.pipeline == "pose":
        lines.append(("estimator", _estimator(run)))
    if (log := run.directory / LOG).exists():
        lines.append(("log", str(log)))
    return lines


def _estimator(run: Run) -> str:
    try:
        return str(run.config.pose.directory(run.config.task.name))
    except ValueError as error:  # it need not be on every machine that the run is looked at on
        return str(error)


def _provenance(run: Run) -> list[tuple[str, str]]:
    """With what, where and how often the run was started; of all starts the last."""
    starts = run.starts()
    if not starts:
        return []
    versions = starts[-1].get("versions")
    facts = {key: value for key, value in starts[-1].items() if key != "versions"}
    lines = [("starts", str(len(starts))), *((key, str(value)) for key, value in facts.items())]
    if isinstance(versions, dict):
        lines.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return lines


def _progress(run: Run) -> list[str]:
    curve = read_curve(run)
    recent = "-"
    if len(curve):
        last = curve.iloc[-1]
        recent = f"{last['return']:.0f}"
        if "best" in curve:
            recent += f" ({last['worst']:.0f} to {last['best']:.0f})"
    if run.done:
        result = run.result()
        speed = result["steps"] / result["wall_s"]
        return [
            "done",
            f"{result['steps']:,}",
            f"{result['wall_s']:.0f} s",
            f"{speed:,.0f}",
            recent,
        ]
    checkpoints = list_checkpoints(run.checkpoints)
    steps = int(checkpoints[-1].name) if checkpoints else 0
    return ["unfinished", f"{steps:,} of {run.config.steps:,}", "-", "-", recent]


def print_returns(runs: Sequence[Run]) -> None:
    """Returns of runs in the domains that they have been evaluated in."""
    episodes = pd.concat([read_episodes(run.episodes) for run in runs])
    _print(report_tables.levels_table(summarize(episodes)), _returns_title(episodes))


def print_study(directory: Path) -> None:
    """The main table of a study: the gap, or the returns where there is none."""
    study = read_yaml(directory / "study.yaml")
    episodes = read_episodes(directory / "episodes.csv")
    summary = summarize(episodes)
    table = report_tables.gap_table(study, summary, gaps(episodes, study["source"], study["target"]))
    _print(table or report_tables.levels_table(summary), _returns_title(episodes))


def print_sweep(directory: Path) -> None:
    """How robust each method of a sweep is."""
    table, horizon = read_sweep_table(directory)
    _print(table, f"return per episode of {horizon} steps: IQM over seeds (95 % interval)")


def print_pose(report: Path) -> None:
    """An estimator's goals beside what was reached."""
    goals = read_json(report / "metrics.json")["goals"]
    table = _table(["goal", "wanted", *goals[0]["reached"]])
    for goal in goals:
        reached = [f"{value}{'' if goal['met'][camera] else ' missed'}" for camera, value in goal["reached"].items()]
        table.add_row(goal["text"], goal["wanted"], *reached)
    _show(table)


def print_reward(directory: Path) -> None:
    """How well a predictor of rewards predicts, and how well it ranks."""
    found = read_json(directory / "metrics.json")
    for columns, rows in (
        (["policy", "steps recorded", "R²", "RMSE", "deviation"], prediction_rows(found)),
        (["ranked", "Spearman", "Kendall", "best quarter"], ranking_rows(found)),
    ):
        table = _table(columns)
        for row in rows:
            table.add_row(*row)
        _show(table)


def print_identified(found: Identified) -> None:
    """What identification found, and what it took."""
    table = _table(["parameter", "mean", "standard deviation"], f"{found.method}: fitted to {found.report['target']}")
    for name, values in found.report["parameters"].items():
        table.add_row(name, f"{values['mean']:.4g}", f"{values['std']:.2g}")
    console = _show(table)
    for key, value in found.report.items():
        if key not in ("parameters", "target"):
            console.print(f"{key}: {value}", highlight=False, markup=False)
    console.print(f"target budget: {found.episodes} episodes, {found.steps} steps", highlight=False)


def _returns_title(episodes: pd.DataFrame) -> str:
    return f"return per episode of {horizons(episodes)} steps: IQM over seeds (95 % interval)"


def _console() -> Console:
    """Without markup, as options of a figure stand in brackets; in a file or pipe wider than the 80 that Rich takes."""
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    return console


def _print(data: report_tables.Table, title: str) -> None:
    """A report's table, narrow enough for eighty columns: small print below its value, "·" as a line break."""
    table = _table(data["columns"], title)
    for row in data["rows"]:
        table.add_row(*(cell.replace(" · ", "\n") if isinstance(cell, str) else "\n".join(cell) for cell in row))
    _show(table)


def _show(table: Table) -> Console:
    """Print it as wide as the terminal allows; the console, for what is said below."""
    console = _console()
    _fit(table, console)
    console.print(table)
    return console


def _fit(table: Table, console: Console) -> None:
    """Break cells at spaces where the terminal is narrower than the table; Rich alone breaks words first."""
    excess = console.measure(table, options=console.options.update_width(10 * WIDTH)).maximum - console.width
    if excess <= 0:
        return
    sizes = []
    for column in table.columns:
        texts = [str(cell) for cell in (column.header, *column.cells)]
        line = max(len(line) for text in texts for line in text.split("\n"))
        sizes.append((line, max(len(word) for text in texts for word in re.split("[ \n]", text)), column))
    for line, word, column in sorted(sizes, key=lambda size: size[0], reverse=True):
        column.width = max(line - excess, word)
        excess = max(excess - (line - column.width), 0)


def _table(columns: Sequence[str], title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table
