"""How long a study's command has run in all, through kills and on several days."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.files import read_json, write_json

KEEP_EVERY = 15.0
"""Seconds between two notes of the time: a killed study loses as much at most."""


class WallClock:
    """When a study began, and the seconds that its command has run; kept in a file."""

    def __init__(self, file: Path, published: Path | None, counts: bool) -> None:
        """Without ``file`` the clock of what is ``published`` there goes on; one that does not count only tells."""
        self._file, self._counts = file, counts
        self._start = self._kept = time.monotonic()
        self._before: dict[str, Any] = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "wall_s": 0.0}
        if file.exists():
            self._before |= read_json(file)
        elif published is not None:
            earlier = read_json(published / "provenance.json")
            self._before |= {key: earlier[key] for key in self._before if key in earlier}

    def spent(self) -> dict[str, Any]:
        """``started`` and ``wall_s``, s."""
        here = time.monotonic() - self._start if self._counts else 0.0
        return {**self._before, "wall_s": round(self._before["wall_s"] + here, 1)}

    def keep(self) -> None:
        """Note the time now and then."""
        if time.monotonic() - self._kept > KEEP_EVERY:
            self._write()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Note the time in the end, whatever ends the work."""
        try:
            yield
        finally:
            self._write()

    def _write(self) -> None:
        self._kept = time.monotonic()
        if self._counts and self._file.parent.is_dir():  # not where the study was refused before its first run
            write_json(self._file, self.spent())
