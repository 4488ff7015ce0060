"""How far training is: a live bar on a terminal, a line now and then elsewhere."""

import contextlib
import statistics
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from experiments.run import Run

TRAINING = 0.8
"""Share of a run's time that its training takes, roughly; the rest is its evaluation."""
LINE_EVERY = 15.0
"""Seconds between lines where there is no terminal."""
BAR_EVERY = 2.0
"""Seconds between two looks at the runs of a study where there is one: reading their metrics takes time from them."""


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class _Display:
    """A bar for each task on a terminal; otherwise the notes as lines."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._bar = _bar(self.console) if self.console.is_terminal else None
        self._last_line = self._last_look = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def _due(self) -> bool:
        """Whether something would be shown now; then the next time counts from here."""
        now = time.monotonic()
        if self._bar is None:
            return now - self._last_line > LINE_EVERY
        due = now - self._last_look > BAR_EVERY
        self._last_look = now if due else self._last_look
        return due

    def _line(self, text: str) -> None:
        if time.monotonic() - self._last_line > LINE_EVERY:
            self._last_line = time.monotonic()
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)


class TrainProgress(_Display):
    """The progress of one run; its :meth:`update` is what ``train`` reports to."""

    def __init__(self, name: str, horizon: int) -> None:
        super().__init__()
        self.name, self.horizon = name, horizon
        self._task: TaskID | None = None

    def update(self, done: int, total: int, speed: float, mean_return: float) -> None:
        """Show ``done`` of ``total`` steps at ``speed`` steps/s with the recent mean training return."""
        note = f"{done:,}/{total:,} steps  {speed:,.0f}/s  return {mean_return:.0f} ({self.horizon} steps)"
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task(self.name, total=total, note="")
            self._bar.update(self._task, completed=done, note=note)
        else:
            left = _clock((total - done) / max(speed, 1e-9))
            self._line(f"{self.name}: {100 * done / total:.0f} %  {note}  {left} left")


class StudyProgress(_Display):
    """The progress of all runs of a study."""

    def __init__(self, name: str, runs: Sequence[Run]) -> None:
        super().__init__()
        self.name, self.runs = name, runs
        self._at_start: dict[str, float] | None = None
        self._steps_at_start = sum(self._steps(run) for run in runs)
        self._started = time.monotonic()
        self._tasks: dict[str, TaskID] = {}

    def update(self, active: Sequence[Run], ended: Sequence[Run]) -> None:
        """Show the runs in progress, and how far the study is; the first call says what was there before."""
        if self._at_start is not None and active and not self._due():
            return
        over = {run.directory for run in ended}
        steps = {run.name: self._steps(run) for run in self.runs}
        shares = {
            run.name: 1.0 if run.directory in over else TRAINING * steps[run.name] / run.config.steps
            for run in self.runs
        }
        self._at_start = self._at_start or shares
        seconds = self._seconds()
        total = sum(seconds.values())
        done, before = (sum(seconds[name] * share for name, share in each.items()) for each in (shares, self._at_start))
        note = f"{len(ended)}/{len(self.runs)} runs"
        if self._bar:
            self._show(f"study {self.name}", done, total, note)
            names = {run.name for run in active}
            for gone in [name for name in self._tasks if name not in names and "/" in name]:
                self._bar.remove_task(self._tasks.pop(gone))
            for run in active:
                self._show(run.name, steps[run.name], run.config.steps, _return_note(run))
        else:
            elapsed = max(time.monotonic() - self._started, 1e-9)
            speed = (sum(steps.values()) - self._steps_at_start) / elapsed
            left = _clock((total - done) * elapsed / (done - before)) if done > before else "?"
            running = ", ".join(f"{run.name} {_return_note(run)}" for run in active)
            self._line(
                f"study {self.name}: {100 * done / total:.0f} %  {note}  {speed:,.0f} steps/s  {left} left  [{running}]"
            )

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

    def _show(self, name: str, done: float, total: float, note: str) -> None:
        assert self._bar is not None
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total, note=note)
        self._bar.update(self._tasks[name], completed=done, note=note)

    @staticmethod
    def _steps(run: Run) -> int:
        """Steps of a run so far, as its metrics tell."""
        if run.done:
            return run.config.steps
        rows = _rows(run)
        return min(rows[-1]["step"], run.config.steps) if rows else 0


def _rows(run: Run) -> list[dict[str, Any]]:
    """The run's metrics; none if damaged, which is for the run itself to report."""
    try:
        return run.rows()
    except ValueError:
        return []


def _return_note(run: Run) -> str:
    rows = [row for row in _rows(run)[-3:] if "rollout/ep_rew_mean" in row]
    return f"return {rows[-1]['rollout/ep_rew_mean']:.0f} ({run.config.training_horizon} steps)" if rows else "starting"


class SearchProgress(_Display):
    """The progress of a search."""

    def __init__(self, name: str, total: int, score: str) -> None:
        super().__init__()
        self.name, self.total, self.score = name, total, score
        self._started, self._before = time.monotonic(), -1
        self._task: TaskID | None = None

    def update(self, ended: int, best: float, running: Sequence[Run]) -> None:
        """Show how many trials have ended, the best score (NaN before there is one), and the runs in progress here."""
        note = f"{ended}/{self.total} trials  best {self.score} {best:.0f}"
        if self._before < 0:
            self._before = ended
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task(f"search {self.name}", total=self.total, note="")
            self._bar.update(self._task, completed=ended, note=note)
        else:
            elapsed, done = time.monotonic() - self._started, ended - self._before
            left = _clock((self.total - ended) * elapsed / done) if done > 0 else "?"
            trials = ", ".join(f"{run.config.study} {_return_note(run)}" for run in running)
            self._line(f"search {self.name}: {note}  {left} left  [{trials or 'waiting for other processes'}]")


class SynthProgress(_Display):
    """The progress of a dataset."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._task: TaskID | None = None

    def update(self, done: int, total: int, speed: float) -> None:
        """Show ``done`` of ``total`` images at ``speed`` images/s."""
        note = f"{done:,}/{total:,} images  {speed:.1f}/s"
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task(self.name, total=total, note="")
            self._bar.update(self._task, completed=done, note=note)
        else:
            left = _clock((total - done) / speed) if speed > 0 else "?"
            self._line(f"{self.name}: {100 * done / total:.0f} %  {note}  {left} left")


class FitProgress(_Display):
    """The progress of work in stages: fits, and evaluation run by run."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._stage, self._task, self._started, self._first = "", TaskID(0), 0.0, 0

    def update(self, stage: str, done: int, total: int, note: str) -> None:
        """Show ``done`` of ``total`` parts of a stage."""
        new = stage != self._stage
        if new:
            self._stage, self._started, self._first = stage, time.monotonic(), done
        if self._bar:
            if new:
                self._task = self._bar.add_task(stage, total=total, note="")
            self._bar.update(self._task, completed=done, total=total, note=note)
        else:
            if new:
                self._last_line = -LINE_EVERY  # each stage shows at once
            speed = (done - self._first) / max(time.monotonic() - self._started, 1e-9)
            left = _clock((total - done) / speed) if speed > 0 else "?"
            self._line(f"{self.name}: {stage} {100 * done / total:.0f} %  {note}  {left} left")


class SweepProgress(_Display):
    """The progress of a sweep over the cells of all its runs."""

    def __init__(self, runs: int) -> None:
        super().__init__()
        self.runs = runs
        self._cells: dict[str, int] = {}
        self._task: TaskID | None = None
        self._started, self._played = time.monotonic(), 0

    def update(self, run: Run, done: int, cells: int, played: bool = True) -> None:
        """Show ``done`` of the ``cells`` of a run; those not ``played`` had been judged before."""
        name = str(run.directory)
        self._played += done - self._cells.get(name, 0) if played else 0
        self._cells[name] = done
        total, over = cells * self.runs, sum(self._cells.values())
        note = f"{len(self._cells)}/{self.runs} runs  {run.name}"
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task("sweep", total=total, note="")
            self._bar.update(self._task, completed=over, note=note)
        else:
            elapsed = time.monotonic() - self._started
            left = _clock((total - over) * elapsed / self._played) if self._played else "?"
            self._line(f"sweep: {100 * over / total:.0f} %  {note}  {left} left")
