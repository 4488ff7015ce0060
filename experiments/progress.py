"""How far work is: live bars on a terminal, a line now and then elsewhere."""

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.run import Run

LINE_EVERY = 15.0
"""Seconds between lines where there is no terminal."""
BAR_EVERY = 2.0
"""Seconds between two looks at many runs where there is one: reading their metrics takes time from them."""


class Display:
    """A bar for each task on a terminal; otherwise lines."""

    def __init__(self) -> None:
        """Nothing is shown before the first update."""
        self.console = Console(stderr=True)
        self.bars: Progress | None = None
        if self.console.is_terminal:
            parts = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:3.0f} %"),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self.bars = Progress(*parts, console=self.console)
        self._tasks: dict[str, TaskID] = {}
        self._last_line = self._last_look = time.monotonic()

    def __enter__(self) -> Self:
        if self.bars:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars:
            self.bars.stop()

    def due(self) -> bool:
        """Whether something would be shown now; then the next time counts from here."""
        now = time.monotonic()
        if self.bars is None:
            return now - self._last_line > LINE_EVERY
        due = now - self._last_look > BAR_EVERY
        self._last_look = now if due else self._last_look
        return due

    def show(self, name: str, done: float, total: float, note: str, left: float | None = None, end: str = "") -> None:
        """Move the bar of task ``name``, or print its line now and then.

        Args:
            name: what is done.
            done: of ``total``.
            total: all of it.
            note: what else there is to say.
            left: seconds, for the line; None if nobody knows. A bar estimates its own.
            end: stands at the end of the line.
        """
        if self.bars is not None:
            if name not in self._tasks:
                self._tasks[name] = self.bars.add_task(name, total=total, note=note)
            self.bars.update(self._tasks[name], completed=done, total=total, note=note)
        elif time.monotonic() - self._last_line > LINE_EVERY:
            self._last_line = time.monotonic()
            text = f"{name}: {100 * done / total:.0f} %  {note}  {_clock(left)} left{end}"
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def keep(self, names: set[str]) -> None:
        """Take away the bars of all tasks but these."""
        for gone in self._tasks.keys() - names:
            assert self.bars is not None
            self.bars.remove_task(self._tasks.pop(gone))


def time_left(rest: float, done: float, seconds: float) -> float | None:
    """Seconds for the ``rest`` if ``done`` took ``seconds``; None if nothing was done."""
    return rest * seconds / done if done > 0 else None


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class TrainProgress(Display):
    """The progress of one run; its :meth:`update` is what ``train`` reports to."""

    def __init__(self, name: str, horizon: int) -> None:
        """``horizon``: steps of an episode."""
        super().__init__()
        self.name, self.horizon = name, horizon

    def update(self, done: int, total: int, speed: float, mean_return: float) -> None:
        """Show ``done`` of ``total`` steps at ``speed`` steps/s with the recent mean training return."""
        note = f"{done:,}/{total:,} steps  {speed:,.0f}/s  return {mean_return:.0f} ({self.horizon} steps)"
        self.show(self.name, done, total, note, time_left(total - done, speed, 1.0))


class SynthProgress(Display):
    """The progress of a dataset."""

    def __init__(self, name: str) -> None:
        """``name``: of the dataset."""
        super().__init__()
        self.name = name

    def update(self, done: int, total: int, speed: float) -> None:
        """Show ``done`` of ``total`` images at ``speed`` images/s."""
        note = f"{done:,}/{total:,} images  {speed:.1f}/s"
        self.show(self.name, done, total, note, time_left(total - done, speed, 1.0))


class FitProgress(Display):
    """The progress of work in stages: fits, and evaluation run by run."""

    def __init__(self, name: str) -> None:
        """``name``: of the work."""
        super().__init__()
        self.name = name
        self._stage, self._started, self._first = "", 0.0, 0

    def update(self, stage: str, done: int, total: int, note: str) -> None:
        """Show ``done`` of ``total`` parts of a stage."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._first = stage, now, done
            self._last_line = -LINE_EVERY  # each stage shows at once
        left = time_left(total - done, done - self._first, now - self._started)
        self.show(f"{self.name}: {stage}", done, total, note, left)


class SweepProgress(Display):
    """The progress of a sweep over the cells of all its runs."""

    def __init__(self, runs: int) -> None:
        """``runs``: how many."""
        super().__init__()
        self.runs = runs
        self._cells: dict[str, int] = {}
        self._started, self._played = time.monotonic(), 0

    def update(self, run: Run, done: int, cells: int, played: bool = True) -> None:
        """Show ``done`` of the ``cells`` of a run; those not ``played`` had been judged before."""
        name = str(run.directory)
        self._played += done - self._cells.get(name, 0) if played else 0
        self._cells[name] = done
        total, over = cells * self.runs, sum(self._cells.values())
        note = f"{len(self._cells)}/{self.runs} runs  {run.name}"
        self.show("sweep", over, total, note, time_left(total - over, self._played, time.monotonic() - self._started))
