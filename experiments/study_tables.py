"""What a study's tables say of each run: read from its directory, or from tables that were written before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.curricula import read_curriculum
from experiments.evaluate import seen_as
from experiments.files import read_yaml, write_text
from experiments.metrics import read_curve
from experiments.plain import parse_config
from experiments.run import RUNS, Run
from experiments.statistics import read_episodes
from experiments.study_config import StudyConfig
from experiments.tables import CURRICULA, CURVES, EPISODES, read_table
from experiments.tables import RUNS as RUN_COLUMNS

_CELL = ["figure", "pipeline", "randomization", "agent", "train_domain"]


@dataclass(frozen=True)
class Rows:
    """The rows of one run."""

    episodes: pd.DataFrame
    curve: pd.DataFrame
    run: pd.DataFrame
    """One row."""
    curriculum: pd.DataFrame
    """Empty where the randomisation did not move."""


def rows_of(run: Run, study: StudyConfig) -> Rows:
    """The rows of a finished run; it may have been judged elsewhere and otherwise than the study asks for too."""
    cell = {key: run.cell[key] for key in (*_CELL, "seed")}
    curve = read_curve(run)
    # A hundred points a run draw the same curve as a thousand.
    curve = curve.iloc[:: max(1, len(curve) // 100)].assign(**cell)
    curriculum = read_curriculum(run)
    steps = curriculum["step"].unique()
    curriculum = curriculum[curriculum["step"].isin(steps[:: max(1, len(steps) // 100)])].assign(**cell)
    result = run.result()
    facts = {
        "cell": run.directory.parent.name,
        **cell,
        "steps": result["steps"],
        "wall_s": round(result["wall_s"], 1),
        "steps_per_s": round(result["steps"] / result["wall_s"]),
        "diverged": result["diverged_episodes"],
        "target_episodes": result["target_episodes"],
        "target_steps": result["target_steps"],
    }
    return Rows(_asked(read_episodes(run.episodes), run, study), curve, pd.DataFrame([facts]), curriculum)


def published_rows(study: StudyConfig, directory: Path) -> dict[Path, Rows]:
    """The rows of those of the study's runs that ``directory`` reports with the same configuration and judgement.

    Returns:
        By the run's path; empty where there is no such directory.

    Raises:
        ValueError: the directory's files are damaged.
    """
    file = directory / "study.yaml"
    if not file.is_file():
        return {}
    before = parse_config(StudyConfig, read_yaml(file), str(file))
    known = {config.path: config for config in before.runs()}
    episodes = read_episodes(directory / "episodes.csv")
    curves, runs = read_table(directory / "curves.csv", CURVES), read_table(directory / "runs.csv", RUN_COLUMNS)
    moved = pd.DataFrame(columns=list(CURRICULA))
    if (directory / "curricula.csv").is_file():
        moved = read_table(directory / "curricula.csv", CURRICULA)
    found = {}
    for config in study.runs():
        if known.get(config.path) != config:
            continue
        run = Run(config, RUNS / config.path)
        judged = _asked(_of(episodes, run, [key for key in run.cell if key != "pipeline"]), run, study)
        row = runs[(runs["cell"] == run.directory.parent.name) & (runs["seed"] == config.seed)]
        asked = len(study.domains) * len(study.sights_of(config)) * study.episodes
        if len(row) == 1 and len(judged) == asked:
            own = [*_CELL, "seed"]
            found[config.path] = Rows(judged, _of(curves, run, own), row, _of(moved, run, own))
    return found


def write_tables(rows: Sequence[Rows], directory: Path) -> None:
    """Write ``episodes.csv``, ``curves.csv`` and ``runs.csv``; where a randomisation moved, ``curricula.csv``."""
    tables: Mapping[str, tuple[list[pd.DataFrame], Any, str]] = {
        "episodes": ([each.episodes for each in rows], EPISODES, "%.4f"),
        "curves": ([each.curve for each in rows], CURVES, "%.2f"),
        "runs": ([each.run for each in rows], RUN_COLUMNS, "%.10g"),
        "curricula": ([each.curriculum for each in rows if len(each.curriculum)], CURRICULA, "%.6g"),
    }
    for name, (parts, columns, form) in tables.items():
        if not parts:
            (directory / f"{name}.csv").unlink(missing_ok=True)
            continue
        table = pd.concat(parts)[list(columns)]
        write_text(directory / f"{name}.csv", table.to_csv(index=False, float_format=form))


def _asked(episodes: pd.DataFrame, run: Run, study: StudyConfig) -> pd.DataFrame:
    """The run's episodes in the study's domains, seen as it says."""
    seen = {seen_as(run, sight) for sight in study.sights_of(run.config)}
    return episodes[episodes["eval_domain"].isin(study.domains) & episodes["pipeline"].isin(seen)]


def _of(table: pd.DataFrame, run: Run, columns: Sequence[str]) -> pd.DataFrame:
    """The rows of a study's table that are the run's."""
    return table[(table[list(columns)] == pd.Series({key: run.cell[key] for key in columns})).all(axis=1)]
