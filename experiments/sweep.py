"""A sweep: trained policies judged in every cell of a grid of shifted physics, thousands of cells in one simulation.

A run keeps its own part, so that a finished one is not repeated, and so that a sweep of many runs can be cut anywhere::

    runs/<study>/<cell>/<seed>/sweeps/<grid>.csv   a row per cell
    results/sweeps/<grid>/                         of all runs: see experiments.sweep_report
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from experiments.config import MAX_ENVS
from experiments.evaluate import LEAST, Row, load_trained, play_domain, play_once, sees_state
from experiments.executors import HERE, ExecutorConfig, open_executor
from experiments.files import read_json, write_json, write_text
from experiments.provenance import provenance
from experiments.run import RESULTS, Run
from experiments.sweep_grid import CellShifts, Grid
from experiments.sweep_report import write_sweep_report
from experiments.sweep_tasks import Watch, judge_runs
from experiments.tables import CELL, SWEEP, read_table
from experiments.trained import trained_on

MOST_SIMULATIONS = 4096
"""In one batch: more are no faster, and what ends early leaves fewer."""
EPISODES = 10
"""Of each cell, unless told otherwise."""


def run_sweep(
    runs: Sequence[Run],
    grid: Grid,
    episodes: int = EPISODES,
    num_threads: int = 0,
    output: Path | None = None,
    watch: Watch | None = None,
    where: ExecutorConfig = HERE,
) -> Path:
    """Judge ``runs`` in every cell of ``grid``, where they have not been, and write tables, figures and report.

    Args:
        runs: of the grid's figure; those that differ in their training seed alone are one method.
        grid: what is shifted.
        episodes: whole episodes in each cell; all cells share their starts.
        num_threads: threads for physics, 0 for all cores. They never change results.
        output: the directory to write; ``results/sweeps/<grid>`` unless given.
        watch: told of the progress.
        where: what judges the runs: this process, one after the other, or a cluster, a CPU for each.

    Returns:
        The report.

    Raises:
        ValueError: an impossible count, runs of another figure or of two horizons, a run without a checkpoint, or an
            output that holds something else, or there is no such cluster. The tables of finished runs are kept.
        RuntimeError: a run could not be judged on the cluster, or that went away.
    """
    if not 1 <= episodes <= MAX_ENVS:
        raise ValueError(f"episodes is {episodes}; it must be from 1 to {MAX_ENVS}")
    _check(runs, grid)
    directory = output or RESULTS / "sweeps" / grid.slug
    if directory.exists() and any(directory.iterdir()) and not (directory / "sweep.yaml").exists():
        raise ValueError(f"{directory}: holds something else than a sweep; accepted: an empty or a new directory")
    began = time.monotonic()
    waiting = [run for run in runs if _known(run, grid, episodes) is None]
    if where != HERE and waiting:
        roots = os.path.commonpath([run.directory.resolve().parents[2] for run in waiting])
        with open_executor(where, Path(roots)) as executor:
            judge_runs(waiting, grid, episodes, executor, watch)
    tables = [sweep_run(run, grid, episodes, num_threads, watch) for run in runs]
    sweep = {
        "figure": grid.figure,
        "base": grid.base,
        "horizon": runs[0].config.horizon,
        "axes": [axis.written for axis in grid.axes],
        "episodes": episodes,
        "methods": _methods(runs, grid),
    }
    facts = {"wall_s": round(time.monotonic() - began, 1), "judged": len(waiting), "runs": len(runs)}
    if waiting or not (directory / "provenance.json").exists():
        write_json(directory / "provenance.json", {**provenance(), **facts})
    write_text(directory / "sweep.csv", pd.concat(tables).to_csv(index=False, lineterminator="\n"))
    write_text(directory / "sweep.yaml", yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True))
    return write_sweep_report(directory)


def sweep_run(
    run: Run, grid: Grid, episodes: int = EPISODES, num_threads: int = 0, watch: Watch | None = None
) -> pd.DataFrame:
    """One row for each cell of ``grid``: what the run earns there, read from its directory if it is there already.

    A cell's episodes equal those of :func:`experiments.evaluate.evaluate` in the cell's domain, bit for bit on a CPU:
    the same starts, the same rounding.

    Raises:
        ValueError: no checkpoint, a damaged one, or a damaged table.
    """
    known = _known(run, grid, episodes)
    if known is not None:
        if watch is not None:
            watch(run, len(known), len(known), False)
        return known
    policy = policy_digest(run)
    played = [play_domain(run, grid.base, episodes, num_threads), *play_grid(run, grid, episodes, num_threads, watch)]
    rows = [{**run.cell, "policy": policy, **_row(grid, cell, found)} for cell, found in enumerate(played)]
    table = pd.DataFrame(rows, columns=list(SWEEP))
    write_text(_file(run, grid), table.to_csv(index=False, lineterminator="\n"))
    return table


def play_grid(run: Run, grid: Grid, episodes: int, num_threads: int = 0, watch: Watch | None = None) -> list[list[Row]]:
    """The episodes of each cell of ``grid`` but the base, as :func:`experiments.evaluate.play_once` returns them."""
    cells = 1 + len(grid.operands)
    together = max(1, MOST_SIMULATIONS // episodes) if sees_state(run) else 1
    played: list[list[Row]] = []
    for first in range(1, cells, together):
        part = range(first, min(first + together, cells))
        if sees_state(run):
            played += _play_cells(run, grid, part, episodes, num_threads)
        else:  # what pictures and estimators draw depends on which simulation it is
            played += [play_domain(run, grid.domain(cell), episodes, num_threads) for cell in part]
        if watch is not None:
            watch(run, 1 + len(played), cells, True)
    return played


def _play_cells(run: Run, grid: Grid, cells: range, episodes: int, num_threads: int) -> list[list[Row]]:
    """The episodes of each of ``cells``, all in one batch."""
    count = len(cells) * episodes
    shifts = CellShifts(grid, grid.operands[cells.start - 1 : cells.stop - 1], episodes)
    policy = load_trained(run, grid.base, max(count, LEAST), num_threads, cells=shifts)
    with closing(policy.env):
        policy.simulation.repeat_starts(episodes)
        rows = play_once(policy, count)
    return [rows[i : i + episodes] for i in range(0, count, episodes)]


def _row(grid: Grid, cell: int, episodes: Sequence[Row]) -> Row:
    operands = grid.origin if cell == 0 else tuple(grid.operands[cell - 1])
    returns = np.array([row["return"] for row in episodes])
    return {
        "base": grid.base,
        "cell": cell,
        "x": operands[0],
        "y": operands[1] if len(operands) == 2 else math.nan,
        "domain": grid.domain(cell),
        "episodes": len(returns),
        "return": float(returns.mean()),
        "std": float(returns.std()),
        "worst": float(returns.min()),
        "length": float(np.mean([row["length"] for row in episodes])),
        "diverged": sum(row["diverged"] for row in episodes),
    }


def policy_digest(run: Run) -> str:
    """What tells the policy of the run's last checkpoint from others: the start of its file's SHA-256."""
    manifest = read_json(run.latest_checkpoint() / "manifest.json")
    return str(manifest.get("sha256", {}).get("policy.safetensors", ""))[:12]


def _file(run: Run, grid: Grid) -> Path:
    return run.directory / "sweeps" / f"{grid.slug}.csv"


def _known(run: Run, grid: Grid, episodes: int) -> pd.DataFrame | None:
    """The run's table of this grid, with this policy and as many episodes; None where there is no such table."""
    file = _file(run, grid)
    if not file.exists():
        return None
    table = read_table(file, SWEEP)
    same = (table["policy"] == policy_digest(run)).all() and (table["episodes"] == episodes).all()
    whole = table["domain"].tolist() == [grid.domain(cell) for cell in range(1 + len(grid.operands))]
    return table if same and whole else None


def _check(runs: Sequence[Run], grid: Grid) -> None:
    seen: dict[tuple[object, ...], Run] = {}
    for run in runs:
        run.latest_checkpoint()
        if run.config.figure != grid.figure:
            raise ValueError(f"{run.directory}: a policy of {run.config.figure}; accepted: of {grid.figure}")
        if run.config.horizon != runs[0].config.horizon:
            raise ValueError(
                f"{run.directory}: episodes of {run.config.horizon} steps, others of {runs[0].config.horizon}; "
                "accepted: runs of one horizon"
            )
        key = (*method_key(run.cell), run.config.seed)
        if key in seen:
            raise ValueError(f"{run.directory}: the same cell and seed as {seen[key].directory}; accepted: one of them")
        seen[key] = run


def method_key(cell: Mapping[str, Any]) -> tuple[object, ...]:
    """What runs of one method share."""
    return tuple(cell[column] for column in CELL)


def _methods(runs: Sequence[Run], grid: Grid) -> list[dict[str, Any]]:
    """Each method and what it was trained on: of each axis the smallest and the largest operand."""
    methods: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        methods.setdefault(method_key(run.cell), []).append(run)
    return [
        {**{column: same[0].cell[column] for column in CELL}, "trained": trained_on(same, grid)}
        for same in methods.values()
    ]
