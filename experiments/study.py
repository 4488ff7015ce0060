"""A study: a grid of runs, their evaluation, statistics, pictures and report, in one directory under ``results/``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.evaluate import missing_domains
from experiments.executors import HERE, Executor, ExecutorConfig, open_executor
from experiments.files import read_json, write_json, write_text
from experiments.plain import to_yaml
from experiments.play import record_video
from experiments.provenance import provenance, trained_where
from experiments.published import digest, published_rows, take_videos, taken_over
from experiments.report import write_report
from experiments.run import RESULTS, RUNS, Run, create_run
from experiments.sights import MODEL, TRUE
from experiments.study_config import StudyConfig
from experiments.study_progress import StudyProgress
from experiments.study_runs import Failure, run_all
from experiments.study_tables import Rows, rows_of, write_tables
from experiments.teacher import teacher_directory
from experiments.wall_clock import WallClock
from experiments.wandb_output import Wandb


def run_study(
    study: StudyConfig,
    runs_root: Path = RUNS,
    results_root: Path = RESULTS,
    workers: int = 0,
    finished_only: bool = False,
    published: bool = False,
    where: ExecutorConfig = HERE,
    wandb: Wandb = "off",
) -> tuple[Path, list[str]]:
    """Do what is missing of the study, then write its directory.

    Args:
        study: the grid.
        runs_root: where runs live; finished ones are not repeated.
        results_root: where the study's directory goes.
        workers: processes at a time, 0 for one a core of this machine or of the cluster.
        finished_only: start nothing; the report covers what has finished.
        published: runs that a directory of results holds already, the study's or another's, count as finished.
        where: what runs the processes.
        wandb: whether runs log to Weights & Biases: off, offline or online.

    Returns:
        The report and one line for each run that failed; the report covers the others.

    Raises:
        ValueError: no run finished, an existing directory holds another configuration, or there is no such cluster.
        RuntimeError: the cluster went away; finished runs are kept.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; it must be 0 (one a core) or more")
    directory = results_root / study.name
    known = _without_teachers(published_rows(study, results_root), study, runs_root) if published else {}
    own = any(rows.study == study.name for rows in known.values())
    clock = WallClock(runs_root / study.name / "wall_clock.json", directory if own else None, counts=not finished_only)
    with clock.running():
        configs = [config for config in study.runs() if config.path not in known]
        runs: list[Run] = []
        failures: list[Failure] = []
        if finished_only:
            started = [create_run(config, runs_root) for config in configs if (runs_root / config.path).is_dir()]
            runs = [run for run in started if _complete(run, study)]
        elif configs:
            with open_executor(where, runs_root, workers) as executor:  # first: one that is not there leaves nothing
                runs = [create_run(config, runs_root) for config in configs]
                failures = _run(study, runs, executor, workers, clock, wandb)
        failed = {failure.run.directory for failure in failures}
        finished = [run for run in runs if run.directory not in failed]
        if not finished and not known:
            raise ValueError(f"study {study.name}: no run finished{f'; {failures[0].line()}' if failures else ' yet'}")
        collect(study, finished, known, directory, clock.spent())
        return write_report(directory), [failure.line() for failure in failures]


def _run(
    study: StudyConfig, runs: Sequence[Run], executor: Executor, workers: int, clock: WallClock, wandb: Wandb
) -> list[Failure]:
    """Train and judge those of ``runs`` that are not complete, and tell how far they are."""
    complete = [run for run in runs if _complete(run, study)]
    with StudyProgress(study.name, runs) as progress:

        def watch(active: Sequence[Run], ended: Sequence[Run]) -> None:
            clock.keep()
            progress.update(active, [*complete, *ended])

        return run_all(
            [run for run in runs if run not in complete],
            study.domains,
            lambda run: study.sights_of(run.config),
            study.episodes,
            workers or executor.slots(),
            watch,
            executor,
            wandb,
        )


def _machines(runs: Sequence[Run], published: Path | None) -> list[str]:
    """Where runs were trained, and from which commits; first what is ``published`` there of those that were before."""
    before = read_json(published / "provenance.json").get("trained_on", []) if published else []
    return list(dict.fromkeys([*before, *(trained_where(start) for run in runs for start in run.starts())]))


def _without_teachers(known: Mapping[Path, Rows], study: StudyConfig, runs_root: Path) -> dict[Path, Rows]:
    """Without the teachers of runs that are not ``known``: these need the policy itself."""
    missing = [Run(config, runs_root / config.path) for config in study.runs() if config.path not in known]
    teachers = [directory for run in missing if (directory := teacher_directory(run))]
    return {path: rows for path, rows in known.items() if runs_root / path not in teachers}


def _complete(run: Run, study: StudyConfig) -> bool:
    """Whether nothing is left to do; what is damaged is for the run's own process to report."""
    try:
        missing = (missing_domains(run, study.domains, study.episodes, sight) for sight in study.sights_of(run.config))
        return run.done and not any(missing)
    except ValueError:
        return False


def collect(
    study: StudyConfig,
    runs: Sequence[Run],
    published: Mapping[Path, Rows],
    directory: Path,
    spent: Mapping[str, Any],
) -> None:
    """Gather what runs produced into the study's directory: tables, provenance and one video a cell.

    A video has the first seed's first episode, and the next ones where that ends in a fall. The rows of runs that were
    ``published`` there before are kept, as are their videos; those of another study are taken over. ``spent`` says when
    the study ``started`` and its wall-clock ``wall_s``, s.
    """
    here = provenance()  # first: tables that git tracks would make the source look changed
    before = directory if any(each.study == study.name for each in published.values()) else None
    rows = {**published, **{run.config.path: rows_of(run, study) for run in runs}}
    planned = study.runs()
    write_text(directory / "study.yaml", to_yaml(study))
    write_tables([rows[config.path] for config in planned if config.path in rows], directory)
    command = f"simgap study {study.name}"
    missing = [Path(*config.path.parts[1:]).as_posix() for config in planned if config.path not in rows]
    about = {
        "missing": missing,
        "taken_over": taken_over(rows, study),
        "trained_on": _machines(runs, before),
        "resolved": {config.path.parent.name: digest(config) for config in planned},
    }
    write_json(directory / "provenance.json", {**here, **spent, "command": command, **about})
    take_videos(published, study, directory)
    for run in runs:
        # The first seed, not the best one.
        for sight in study.sights_of(run.config) if run.config.seed == 0 else ():
            own = sight == run.config.sees.sights[0]
            if not own and sight in (TRUE, MODEL):
                continue  # nothing is seen there that the others do not show
            seen = "" if own else f"-through-{sight}"
            video = directory / "videos" / f"{run.directory.parent.name}{seen}-in-{study.target}.mp4"
            if not video.exists() or video.stat().st_mtime < (run.directory / "done.json").stat().st_mtime:
                record_video(run, study.target, video, sight=sight, fill=True)
