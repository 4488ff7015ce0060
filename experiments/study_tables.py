"""What a study's tables say of each run: read from its directory, or from tables that were written before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.curricula import read_curriculum
from experiments.evaluate import seen_as
from experiments.files import write_text
from experiments.metrics import read_curve
from experiments.run import Run
from experiments.statistics import read_episodes
from experiments.study_config import StudyConfig
from experiments.tables import CHOSEN, CURRICULA, CURVES, EPISODES
from experiments.tables import RUNS as RUN_COLUMNS


@dataclass(frozen=True)
class Rows:
    """The rows of one run."""

    episodes: pd.DataFrame
    curve: pd.DataFrame
    run: pd.DataFrame
    """One row."""
    curriculum: pd.DataFrame
    """Empty where the randomisation did not move."""
    study: str
    """That trained it: another one where the rows are taken over."""


def rows_of(run: Run, study: StudyConfig) -> Rows:
    """The rows of a finished run; it may have been judged elsewhere and otherwise than the study asks for too."""
    cell = {key: run.cell[key] for key in (*CHOSEN, "seed")}
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
    episodes = asked(read_episodes(run.episodes), run, study)
    return Rows(episodes, curve, pd.DataFrame([facts]), curriculum, study.name)


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


def asked(episodes: pd.DataFrame, run: Run, study: StudyConfig) -> pd.DataFrame:
    """The run's first episodes in the study's domains, seen as it says, as many as it wants."""
    seen = {seen_as(run, sight) for sight in study.sights_of(run.config)}
    wanted = episodes["eval_domain"].isin(study.domains) & episodes["pipeline"].isin(seen)
    return episodes[wanted & (episodes["episode"] < study.episodes)]
