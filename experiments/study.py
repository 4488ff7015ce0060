"""A study: a grid of runs, their evaluation, statistics, pictures and report, in one directory under ``results/``."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.config import NAME, NAME_WORDS, RunConfig, parse_config, to_yaml
from experiments.evaluate import missing_domains
from experiments.executors import run_local
from experiments.files import read_json, read_yaml, write_json, write_text
from experiments.metrics import read_curve
from experiments.play import record_video
from experiments.progress import StudyProgress
from experiments.report import write_report
from experiments.run import RESULTS, RUNS, Run, cores, create_run, provenance
from experiments.statistics import read_episodes

STUDIES = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class Goal:
    """A number that a study set out to reach: an IQM of one cell in one evaluation domain."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    text: str
    randomization: str
    train_domain: str
    eval_domain: str
    at_least: float


@dataclass(frozen=True)
class StudyConfig:
    """The grid: every cell is the base configuration with some keys changed, trained with every seed."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str
    title: str
    description: str
    base: dict[str, Any]
    """Keys of a run's configuration that all cells share."""
    cells: list[dict[str, Any]]
    """Keys that each cell changes, and ``seeds`` where a cell has fewer than the others."""
    source: str = "source"
    """Domain that policies are trained in."""
    target: str = "target"
    """Domain that they are judged in; the same as the source when there is no gap to measure."""
    seeds: int = 10
    """Training seeds 0, 1, 2 … of each cell."""
    episodes: int = 50
    """Evaluation episodes of each seed, domain and sight."""
    sights: dict[str, list[str]] = field(default_factory=dict)
    """What each pipeline's policies are judged through, by its name; its own sight where nothing is said."""
    goals: list[Goal] = field(default_factory=list)
    tuning: str = ""
    """How the settings were chosen, on what, and what else was tried; a line is a paragraph."""

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise ValueError(f"name {self.name!r} must be {NAME_WORDS}")
        for key in ("seeds", "episodes"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} is {getattr(self, key)}; it must be 1 or more")
        if not self.cells:
            raise ValueError("cells is empty; a study needs at least one cell (accepted: {} for the base itself)")
        configs = [config.path for config in self.runs()]
        for path in configs:
            if configs.count(path) > 1:
                raise ValueError(f"cells: two of them are the same run {path}; each must differ from the others")

    def runs(self) -> list[RunConfig]:
        """Every run of the grid, seed by seed, so that an interrupted study has whole seeds."""
        configs = []
        for seed in range(self.seeds):
            for index, cell in enumerate(self.cells):
                where = f"study {self.name}, cells[{index}]"
                seeds = cell.get("seeds", self.seeds)
                if not isinstance(seeds, int) or not 1 <= seeds <= self.seeds:
                    raise ValueError(f"{where}: seeds is {seeds!r}; it must be from 1 to the study's {self.seeds}")
                if seed < seeds:
                    keys = {key: value for key, value in cell.items() if key != "seeds"}
                    given = {**_merge(self.base, keys), "study": self.name, "seed": seed}
                    configs.append(parse_config(RunConfig, given, where))
        return configs

    @property
    def domains(self) -> list[str]:
        """Evaluation domains."""
        return list(dict.fromkeys((self.source, self.target)))


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, the changes over the base."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if both and below is not None else value
    return merged


def read_study(name: str) -> StudyConfig:
    """A study by the name of one that ships, or by the path of a YAML file.

    Raises:
        ValueError: there is no such study, or its file has a fault.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else STUDIES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in STUDIES.glob("*.yaml")))
        raise ValueError(f"unknown study {name!r}; accepted: {known}, or the path of a .yaml file")
    return parse_config(StudyConfig, read_yaml(path), str(path))


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
    started = time.monotonic()
    runs = [create_run(config, runs_root) for config in study.runs()]
    complete = [run for run in runs if _complete(run, study)]
    missing = [run for run in runs if run not in complete]
    with StudyProgress(study.name, runs) as progress:
        failures = run_local(
            missing,
            study.domains,
            study.sights,
            study.episodes,
            workers or cores(),
            lambda active, ended: progress.update(active, [*complete, *ended]),
        )
    failed = {failure.run.directory for failure in failures}
    finished = [run for run in runs if run.directory not in failed]
    if not finished:
        raise ValueError(f"study {study.name}: no run finished; {failures[0].line()}")
    directory = results_root / study.name
    collect(study, finished, directory, time.monotonic() - started)
    return write_report(directory), [failure.line() for failure in failures]


def _complete(run: Run, study: StudyConfig) -> bool:
    """Whether nothing is left to do; what is damaged is for the run's own process to report."""
    try:
        sights = study.sights.get(run.config.sees.name, run.config.sees.sights[:1])
        return run.done and not any(missing_domains(run, study.domains, study.episodes, sight) for sight in sights)
    except ValueError:
        return False


def collect(study: StudyConfig, runs: Sequence[Run], directory: Path, wall_s: float) -> None:
    """Gather what runs produced into the study's directory: tables, provenance and one video a cell."""
    write_text(directory / "study.yaml", to_yaml(study))
    episodes = pd.concat([read_episodes(run.episodes) for run in runs])
    episodes = episodes[episodes["eval_domain"].isin(study.domains)]
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
    write_json(directory / "provenance.json", _study_provenance(study, directory, wall_s))
    for run in runs:
        video = directory / "videos" / f"{run.directory.parent.name}-in-{study.target}.mp4"
        # The first seed, not the best one.
        if run.config.seed == 0 and not video.exists():
            record_video(run, study.target, video)


def _study_provenance(study: StudyConfig, directory: Path, wall_s: float) -> dict[str, Any]:
    """Machine and versions, with the wall-clock summed over the times that the command was repeated."""
    file = directory / "provenance.json"
    earlier = read_json(file).get("wall_s", 0.0) if file.exists() else 0.0
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time.time() - wall_s))
    facts = {**provenance(), "started": started}
    return {**facts, "command": f"simgap study {study.name}", "wall_s": round(earlier + wall_s, 1)}
