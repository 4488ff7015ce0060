"""Rows of results, and the arithmetic between a clock and a row."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.provenance import provenance

IDLE_LOAD = 0.5  # average number of running processes over the last minute
_DIGITS = {"steps/s": 0, "images/s": 1, "×": 2, "%": 1, "GB": 2, "px": 3}


@dataclass(frozen=True)
class Row:
    """One line of a table: a measurement in each repeat, and the goal for their median."""

    name: str
    values: tuple[float, ...]
    """One for each repeat; none if it could not be measured."""
    unit: str
    goal: float | None = None
    at_most: bool = False
    """The goal is a limit to stay below instead of one to reach."""
    note: str = ""

    @property
    def value(self) -> float:
        """The median; NaN where nothing was measured."""
        return statistics.median(self.values) if self.values else float("nan")

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None without a goal or a measurement."""
        if self.goal is None or not self.values:
            return None
        return self.value < self.goal if self.at_most else self.value >= self.goal

    def cells(self) -> tuple[str, str, str, str]:
        """Name, median, range and verdict as text."""
        digits = _DIGITS[self.unit]
        value, span = self.note, ""
        if self.values:
            value = f"{self.value:,.{digits}f} {self.unit}"
            span = f"{min(self.values):,.{digits}f}–{max(self.values):,.{digits}f}" if len(self.values) > 1 else ""
        verdict = ""
        if self.goal is not None:
            word = {True: "met", False: "missed", None: "not measured"}[self.met]
            verdict = f"{'<' if self.at_most else '≥'} {self.goal:g} {self.unit}: {word}"
        return self.name, value, span, verdict


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], goal: float | None, unit: str = "×") -> Row:
    """Ours over theirs, repeat by repeat, so that a machine that slows down for a while slows both."""
    scale = 100.0 if unit == "%" else 1.0
    return Row(name, tuple(scale * a / b for a, b in zip(ours, theirs, strict=True)), unit, goal)


def table(title: str, rows: Sequence[Row]) -> Table:
    """The rows as a table."""
    result = Table(title=title, title_justify="left")
    for column in ("", "median", "min–max", "goal"):
        result.add_column(column, justify="right" if column.startswith("m") else "left")
    for row in rows:
        result.add_row(*row.cells())
    return result


def print_machine(console: Console) -> int:
    """Print where, when and with what is measured, and whether the machine is idle; returns its cores."""
    facts = provenance()
    cores: int = facts["cores"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    load = os.getloadavg()[0]
    console.print(f"{facts['cpu']}, {cores} cores, {facts['machine']}\nPython {facts['python']}, {versions}")
    console.print(f"{facts['started']}, commit {facts['commit'] or 'unknown'}, load before: {load:.1f}")
    if load > IDLE_LOAD:
        console.print("Other programs are running, so neither speeds nor ratios can be relied on.", style="bold")
    return cores


class Stopwatch:
    """Splits wall-clock time among named parts; time in a part called from another counts for the inner one."""

    def __init__(self, rest: str, clock: Callable[[], float] = time.perf_counter) -> None:
        """``rest`` names the time outside every part."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock = clock
        self._inside = [rest]
        self._since = clock()

    def part(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with its time counted for ``name``."""

        def timed(*args: Any, **options: Any) -> Any:
            self._switch()
            self._inside.append(name)
            try:
                return function(*args, **options)
            finally:
                self._switch()
                self._inside.pop()

        return timed

    def shares(self) -> list[Row]:
        """Percentage of each part, and of the rest, since the stopwatch was made; largest first."""
        self._switch()
        total = sum(self.seconds.values())
        parts = sorted(self.seconds.items(), key=lambda part: -part[1])
        return [Row(name, (100 * seconds / total,), "%") for name, seconds in parts]

    def _switch(self) -> None:
        now = self._clock()
        self.seconds[self._inside[-1]] += now - self._since
        self._since = now
