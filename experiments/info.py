"""What the terminal shows of runs and studies."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from experiments import report_tables
from experiments.checkpoints import list_checkpoints
from experiments.config import to_yaml
from experiments.files import read_json, read_yaml
from experiments.identify import Identified
from experiments.metrics import read_curve
from experiments.run import Run
from experiments.statistics import gaps, read_episodes, summarize


def print_runs(runs: Sequence[Run]) -> None:
    """Everything about one run, or a table of several."""
    console = Console()
    if len(runs) == 1:
        console.print(to_yaml(runs[0].config), highlight=False, markup=False)
    table = _table(["run", "state", "steps", "wall clock", "steps/s", "training return", "horizon"])
    for run in runs:
        table.add_row(f"{run.config.study}/{run.name}", *_progress(run), f"{run.config.horizon} steps")
    console.print(table)
    if len(runs) == 1:
        if runs[0].done and (budget := runs[0].result())["target_steps"]:
            spent = f"{budget['target_episodes']} episodes, {budget['target_steps']} steps"
            console.print(f"target budget: {spent}", highlight=False)
        for start in runs[0].starts()[-1:]:
            for key, value in start.items():
                console.print(f"{key}: {value}", highlight=False, markup=False)
    judged = [run for run in runs if run.episodes.exists()]
    if judged:
        print_returns(judged)


def _progress(run: Run) -> list[str]:
    curve = read_curve(run)
    recent = f"{curve['return'].iloc[-1]:.0f}" if len(curve) else "-"
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


def print_pose(report: Path) -> None:
    """An estimator's goals beside what was reached."""
    goals = read_json(report / "metrics.json")["goals"]
    table = _table(["goal", "wanted", *goals[0]["reached"]])
    for goal in goals:
        reached = [f"{value}{'' if goal['met'][camera] else ' missed'}" for camera, value in goal["reached"].items()]
        table.add_row(goal["text"], goal["wanted"], *reached)
    Console().print(table)


def print_identified(found: Identified) -> None:
    """What identification found, and what it took."""
    table = _table(["parameter", "mean", "standard deviation"], f"{found.method}: fitted to {found.report['target']}")
    for name, values in found.report["parameters"].items():
        table.add_row(name, f"{values['mean']:.4g}", f"{values['std']:.2g}")
    console = Console()
    console.print(table)
    for key, value in found.report.items():
        if key not in ("parameters", "target"):
            console.print(f"{key}: {value}", highlight=False, markup=False)
    console.print(f"target budget: {found.episodes} episodes, {found.steps} steps", highlight=False)


def _returns_title(episodes: pd.DataFrame) -> str:
    horizons = " and ".join(str(h) for h in sorted(set(episodes["horizon"])))
    return f"return per episode of {horizons} steps: IQM over seeds (95 % interval)"


def _print(data: report_tables.Table, title: str) -> None:
    """A report's table, narrow enough for eighty columns: small print below its value, "·" as a line break."""
    table = _table(data["columns"], title)
    table.columns[0].no_wrap = True
    for row in data["rows"]:
        table.add_row(*(cell.replace(" · ", "\n") if isinstance(cell, str) else "\n".join(cell) for cell in row))
    Console().print(table)


def _table(columns: Sequence[str], title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table
