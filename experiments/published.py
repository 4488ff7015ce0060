"""Runs that need no training, since tables under ``results/`` hold what would come of them."""

import glob
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.config import RunConfig
from experiments.files import read_json, read_yaml, write_with
from experiments.plain import parse_config, to_plain
from experiments.run import RUNS, Run
from experiments.statistics import read_episodes
from experiments.study_config import StudyConfig
from experiments.study_tables import Rows, asked
from experiments.tables import CHOSEN, CURRICULA, CURVES, read_table
from experiments.tables import RUNS as RUN_COLUMNS


def published_rows(study: StudyConfig, results: Path) -> dict[Path, Rows]:
    """The rows of those of the study's runs that its own results hold, or else those of another study.

    Such a run has the same configuration, but for the study's name, and was judged in the same way, perhaps over more
    episodes, of which the first count. One with a teacher is not taken over from another study.

    Returns:
        By the run's path; empty where nothing is published.

    Raises:
        ValueError: files below ``results`` are damaged.
    """
    others = sorted(file.parent for file in results.glob("*/study.yaml") if file.parent.name != study.name)
    found: dict[Path, Rows] = {}
    for directory in (results / study.name, *others):
        if (directory / "study.yaml").is_file():
            found = {**_rows_in(directory, study), **found}
    return found


def _rows_in(directory: Path, study: StudyConfig) -> dict[Path, Rows]:
    """What one study's tables hold of the runs."""
    file = directory / "study.yaml"
    before = parse_config(StudyConfig, read_yaml(file), str(file))
    there = {Path(*config.path.parts[1:]): config for config in before.runs()}
    episodes = read_episodes(directory / "episodes.csv")
    curves, runs = read_table(directory / "curves.csv", CURVES), read_table(directory / "runs.csv", RUN_COLUMNS)
    moved = pd.DataFrame(columns=list(CURRICULA))
    if (directory / "curricula.csv").is_file():
        moved = read_table(directory / "curricula.csv", CURRICULA)
    origins = _origins(directory)
    found = {}
    meant = read_json(directory / "provenance.json").get("resolved", {})
    for config in study.runs():
        place = Path(*config.path.parts[1:])
        known = there.get(place)
        # Defaults may have changed since; tables of before that was written down are taken at their word.
        drifted = place.parent.name in meant and meant[place.parent.name] != digest(config)
        if known is None or not _same(known, config) or drifted:
            continue
        run = Run(config.resolved(), RUNS / config.path)
        own = _of(episodes, run, [key for key in run.cell if key not in ("study", "pipeline")])
        judged = asked(own, run, study)
        row = runs[(runs["cell"] == run.directory.parent.name) & (runs["seed"] == config.seed)]
        if len(row) == 1 and len(judged) == len(study.domains) * len(study.sights_of(config)) * study.episodes:
            columns = [*CHOSEN, "seed"]
            tables = _of(curves, run, columns), row, _of(moved, run, columns)
            origin = origins.get(place.as_posix(), before.name)
            found[config.path] = Rows(judged.assign(study=study.name), *tables, study=origin)
    return found


def _same(known: RunConfig, wanted: RunConfig) -> bool:
    """Whether a run of ``known`` is one of ``wanted``; in another study names of cells may mean other runs."""
    if known.study != wanted.study and (known.teacher or known.identify.policy or known.start):
        return False
    return replace(known, study=wanted.study) == wanted


def digest(config: RunConfig) -> str:
    """Of what a run's configuration leaves to defaults that may change: the agent's, and how long it is trained."""
    whole = config.resolved()
    settled = {"agent": to_plain(whole.agent), "steps": whole.steps, "num_envs": whole.num_envs}
    return hashlib.sha256(json.dumps(settled, sort_keys=True).encode()).hexdigest()[:16]


def _origins(directory: Path) -> dict[str, str]:
    """Which study trained those runs of this one that it had taken over itself, by cell and seed."""
    taken: dict[str, list[str]] = read_json(directory / "provenance.json").get("taken_over", {})
    return {place: study for study, places in taken.items() for place in places}


def taken_over(rows: Mapping[Path, Rows], study: StudyConfig) -> dict[str, list[str]]:
    """By other studies' names, the cells and seeds whose rows are theirs."""
    found: dict[str, list[str]] = {}
    for path, each in rows.items():
        if each.study != study.name:
            found.setdefault(each.study, []).append(Path(*path.parts[1:]).as_posix())
    return found


def take_videos(rows: Mapping[Path, Rows], study: StudyConfig, directory: Path) -> None:
    """Copy the videos of runs that are other studies' from these to ``directory``, where there are none yet."""
    for path, each in rows.items():
        if each.study == study.name or path.name != "seed-000":
            continue
        theirs = directory.parent / each.study / "videos"
        for video in sorted(theirs.glob(f"{glob.escape(path.parent.name)}*-in-{glob.escape(study.target)}.mp4")):
            copy = directory / "videos" / video.name
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                write_with(copy, partial(shutil.copyfile, video))


def _of(table: pd.DataFrame, run: Run, columns: list[str]) -> pd.DataFrame:
    """The rows of a study's table that are the run's."""
    wanted: Any = pd.Series({key: run.cell[key] for key in columns})
    return table[(table[columns] == wanted).all(axis=1)]
