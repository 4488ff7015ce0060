import json
from pathlib import Path

import pytest

from experiments.wall_clock import KEEP_EVERY, WallClock


def test_a_killed_study_loses_little_of_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("experiments.wall_clock.time.monotonic", lambda: now)
    file = tmp_path / "wall_clock.json"
    clock = WallClock(file, None, counts=True)
    now += KEEP_EVERY - 1
    clock.keep()
    assert not file.exists()
    now += 2
    clock.keep()
    assert json.loads(file.read_text())["wall_s"] == KEEP_EVERY + 1
    # Killed here; the next one goes on from there, and its beginning is the first one's.
    later = WallClock(file, None, counts=True)
    now += 10
    assert later.spent() == {**clock.spent(), "wall_s": KEEP_EVERY + 11}
    only_tells = WallClock(file, None, counts=False)
    now += 100
    with only_tells.running():
        assert only_tells.spent()["wall_s"] == KEEP_EVERY + 1
    assert json.loads(file.read_text())["wall_s"] == KEEP_EVERY + 1
