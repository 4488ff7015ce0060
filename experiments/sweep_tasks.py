"""The runs of a sweep as tasks of an executor: each is judged in a process of its own, and keeps its table."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.executors import Executor, Process, Task, last_words, stoppable
from experiments.run import Run
from experiments.sweep_grid import Grid

LOG = "sweep.txt"
RETRIES = 5
"""How often a run whose process was killed on a cluster is judged again."""

Watch = Callable[[Run, int, int, bool], None]
"""Called with a run, its finished cells, the cells of the grid, and whether they are played now."""


def judge_runs(runs: Sequence[Run], grid: Grid, episodes: int, executor: Executor, watch: Watch | None = None) -> None:
    """Let ``executor`` judge each of ``runs`` in all cells of ``grid``, as many at a time as it has slots.

    Raises:
        RuntimeError: some could not be judged; the tables of the others are kept.
    """
    waiting, failures = list(runs), []
    active: dict[Process, Run] = {}
    cells = 1 + len(grid.operands)
    with stoppable(active):
        while waiting or active:
            while waiting and len(active) < executor.slots():
                run = waiting.pop(0)
                axes = [axis.written for axis in grid.axes]
                words: tuple[str | Path, ...] = (
                    "experiments.sweep_worker",
                    run.directory,
                    str(episodes),
                    grid.base,
                    *axes,
                )
                task = Task(words, run.directory / LOG, run.directory, retries=RETRIES)
                active[executor.start(task)] = run
            for process in [process for process in active if process.poll() is not None]:
                run = active.pop(process)
                if process.returncode:
                    failures.append(f"{run.name} was not judged {last_words(process.returncode, run.directory / LOG)}")
                elif watch is not None:
                    watch(run, cells, cells, True)
            time.sleep(0.2)
    if failures:
        raise RuntimeError("; ".join(failures))
