"""How far the runs of a study and the trials of a search are."""

import contextlib
import statistics
import time
from collections.abc import Sequence
from typing import Any

from experiments.progress import Display, time_left
from experiments.run import Run

TRAINING = 0.8
"""Share of a run's time that its training takes, roughly; the rest is its evaluation."""


class StudyProgress(Display):
    """The progress of all runs of a study."""

    def __init__(self, name: str, runs: Sequence[Run]) -> None:
        """``runs``: all of them, those that are done too."""
        super().__init__()
        self.name, self.runs = f"study {name}", runs
        self._steps_before: dict[str, int] = {}
        self._shares_before: dict[str, float] = {}
        self._started = time.monotonic()

    def update(self, active: Sequence[Run], ended: Sequence[Run]) -> None:
        """Show the runs in progress, and how far the study is; the first call says what was there before.

        A run that goes on from a checkpoint falls behind what it had logged: what it does again counts as work.
        """
        if self._shares_before and active and not self.due():
            return
        over = {run.directory for run in ended}
        steps = {run.name: self._steps(run) for run in self.runs}
        shares = {
            run.name: 1.0 if run.directory in over else TRAINING * steps[run.name] / run.config.steps
            for run in self.runs
        }
        self._steps_before = {name: min(self._steps_before.get(name, found), found) for name, found in steps.items()}
        self._shares_before = {name: min(self._shares_before.get(name, share), share) for name, share in shares.items()}
        seconds = self._seconds()
        total = sum(seconds.values())
        done, before = (
            sum(seconds[name] * share for name, share in each.items()) for each in (shares, self._shares_before)
        )
        note = f"{len(ended)}/{len(self.runs)} runs"
        if self.bars:
            self.keep({self.name, *(run.name for run in active)})
            self.show(self.name, done, total, note)
            for run in active:
                self.show(run.name, steps[run.name], run.config.steps, _return_note(run))
        else:
            elapsed = max(time.monotonic() - self._started, 1e-9)
            note += f"  {(sum(steps.values()) - sum(self._steps_before.values())) / elapsed:,.0f} steps/s"
            running = ", ".join(f"{run.name} {_return_note(run)}" for run in active)
            self.show(self.name, done, total, note, time_left(total - done, done - before, elapsed), f"  [{running}]")

    def _seconds(self) -> dict[str, float]:
        """What each run takes: as finished runs of its cell, or else as those of a middling cell."""
        cells: dict[str, list[float]] = {}
        for run in self.runs:
            with contextlib.suppress(ValueError):  # not done yet, or damaged, which the run itself will report
                took = run.result()["wall_s"]
                cells.setdefault(run.directory.parent.name, []).append(took)
        known = {cell: statistics.median(found) for cell, found in cells.items()}
        middling = statistics.median(known.values()) if known else 1.0
        return {run.name: known.get(run.directory.parent.name, middling) for run in self.runs}

    @staticmethod
    def _steps(run: Run) -> int:
        """Steps of a run so far, as its metrics tell."""
        if run.done:
            return run.config.steps
        rows = _rows(run)
        return min(rows[-1]["step"], run.config.steps) if rows else 0


class SearchProgress(Display):
    """The progress of a search."""

    def __init__(self, name: str, total: int, score: str) -> None:
        """``total`` trials, judged by ``score``."""
        super().__init__()
        self.name, self.total, self.score = f"search {name}", total, score
        self._started, self._before = time.monotonic(), -1

    def update(self, ended: int, best: float, running: Sequence[Run]) -> None:
        """Show how many trials have ended, the best score (NaN before there is one), and the runs in progress here."""
        if self._before < 0:
            self._before = ended
        elif running and not self.due():
            return
        note = f"{ended}/{self.total} trials  best {self.score} {best:.0f}"
        left = time_left(self.total - ended, ended - self._before, time.monotonic() - self._started)
        trials = ", ".join(f"{run.config.study} {_return_note(run)}" for run in running)
        self.show(self.name, ended, self.total, note, left, f"  [{trials or 'waiting for other processes'}]")


def _rows(run: Run) -> list[dict[str, Any]]:
    """The run's metrics; none if damaged, which is for the run itself to report."""
    try:
        return run.rows()
    except ValueError:
        return []


def _return_note(run: Run) -> str:
    rows = [row for row in _rows(run)[-3:] if "rollout/ep_rew_mean" in row]
    return f"return {rows[-1]['rollout/ep_rew_mean']:.0f} ({run.config.training_horizon} steps)" if rows else "starting"
