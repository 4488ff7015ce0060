"""A study: a grid of runs, their evaluation, statistics, pictures and report, in one directory under ``results/``."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from envs.cores import cores
from experiments.config import to_yaml
from experiments.evaluate import missing_domains, seen_as
from experiments.executors import run_local
from experiments.files import read_json, write_json, write_text
from experiments.metrics import read_curve
from experiments.play import record_video
from experiments.progress import StudyProgress
from experiments.report import write_report
from experiments.run import RESULTS, RUNS, Run, create_run, provenance
from experiments.sights import MODEL, TRUE
from experiments.statistics import read_episodes
from experiments.study_config import StudyConfig


def run_study(
    study: StudyConfig, runs_root: Path = RUNS, results_root: Path = RESULTS, workers: int = 0
) -> tuple[Path, list[str]]:
    """Do what is missing of the study, then write its directory.

    Args:
        study: the grid.
        runs_root: where runs live; finished ones are not repeated.
        results_root: where the study's directory goes.
        workers: processes at a time, 0 for one a core.

    Returns:
        The report and one line for each run that failed; the report covers the others.

    Raises:
        ValueError: no run finished, or an existing directory holds another configuration.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; it must be 0 (one a core) or more")
    with _wall_clock(runs_root / study.name / "wall_clock.json") as spent:
        runs = [create_run(config, runs_root) for config in study.runs()]
        complete = [run for run in runs if _complete(run, study)]
        missing = [run for run in runs if run not in complete]
        with StudyProgress(study.name, runs) as progress:
            failures = run_local(
                missing,
                study.domains,
                lambda run: study.sights_of(run.config),
                study.episodes,
                workers or cores(),
                lambda active, ended: progress.update(active, [*complete, *ended]),
            )
        failed = {failure.run.directory for failure in failures}
        finished = [run for run in runs if run.directory not in failed]
        if not finished:
            raise ValueError(f"study {study.name}: no run finished; {failures[0].line()}")
        directory = results_root / study.name
        collect(study, finished, directory, spent())
        return write_report(directory), [failure.line() for failure in failures]


@contextmanager
def _wall_clock(file: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """When a study began, and the seconds that its command has run; kept in ``file`` while it is interrupted."""
    start, now = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S%z")
    before = {"started": now, "wall_s": 0.0, **(read_json(file) if file.exists() else {})}

    def spent() -> dict[str, Any]:
        return {"started": before["started"], "wall_s": round(before["wall_s"] + time.monotonic() - start, 1)}

    try:
        yield spent
    finally:
        if file.parent.is_dir():  # not where the study was refused before its first run
            write_json(file, spent())


def _complete(run: Run, study: StudyConfig) -> bool:
    """Whether nothing is left to do; what is damaged is for the run's own process to report."""
    try:
        missing = (missing_domains(run, study.domains, study.episodes, sight) for sight in study.sights_of(run.config))
        return run.done and not any(missing)
    except ValueError:
        return False


def collect(study: StudyConfig, runs: Sequence[Run], directory: Path, spent: Mapping[str, Any]) -> None:
    """Gather what runs produced into the study's directory: tables, provenance and one video a cell.

    ``spent`` says when the study ``started`` and its wall-clock ``wall_s``, s.
    """
    write_text(directory / "study.yaml", to_yaml(study))
    episodes = pd.concat([_judged(run, study) for run in runs])
    write_text(directory / "episodes.csv", episodes.to_csv(index=False, float_format="%.4f"))
    curves, rows = [], []
    for run in runs:
        cell = {key: run.cell[key] for key in ("randomization", "train_domain", "pipeline", "agent", "seed")}
        curve = read_curve(run)
        # A hundred points a run draw the same curve as a thousand.
        curves.append(curve.iloc[:: max(1, len(curve) // 100)].assign(**cell))
        result = run.result()
        speed = round(result["steps"] / result["wall_s"])
        rows.append(
            {
                "cell": run.directory.parent.name,
                **cell,
                "steps": result["steps"],
                "wall_s": round(result["wall_s"], 1),
                "steps_per_s": speed,
                "diverged": result["diverged_episodes"],
            }
        )
    curve_table = pd.concat(curves)[[*cell, "step", "return"]]
    write_text(directory / "curves.csv", curve_table.to_csv(index=False, float_format="%.2f"))
    columns = ["cell", "pipeline", "randomization", "agent", "train_domain", "seed"]
    run_table = pd.DataFrame(rows)[[*columns, "steps", "wall_s", "steps_per_s", "diverged"]]
    write_text(directory / "runs.csv", run_table.to_csv(index=False))
    facts = {**provenance(), **spent, "command": f"simgap study {study.name}"}
    write_json(directory / "provenance.json", facts)
    for run in runs:
        # The first seed, not the best one.
        for sight in study.sights_of(run.config) if run.config.seed == 0 else ():
            own = sight == run.config.sees.sights[0]
            if not own and sight in (TRUE, MODEL):
                continue  # nothing is seen there that the others do not show
            seen = "" if own else f"-through-{sight}"
            video = directory / "videos" / f"{run.directory.parent.name}{seen}-in-{study.target}.mp4"
            if not video.exists():
                record_video(run, study.target, video, sight=sight)


def _judged(run: Run, study: StudyConfig) -> pd.DataFrame:
    """The run's episodes that the study asks for; it may have been judged elsewhere and otherwise too."""
    episodes = read_episodes(run.episodes)
    seen = {seen_as(run, sight) for sight in study.sights_of(run.config)}
    return episodes[episodes["eval_domain"].isin(study.domains) & episodes["pipeline"].isin(seen)]
