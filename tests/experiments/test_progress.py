"""What the progress of work says where there is no terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import progress
from experiments.config import RunConfig
from experiments.progress import FitProgress, SweepProgress, TrainProgress
from experiments.run import Run


def test_a_sweeps_lines_count_what_is_played_now_for_the_time_left(
    tmp_path: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [Run(tiny(), tmp_path / name / "seed-000") for name in ("known", "new")]
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    shown = SweepProgress(4)
    now[0] += 10
    shown.update(runs[0], 20, 20, played=False)
    shown.update(runs[1], 5, 20)
    # Five cells took ten seconds; 55 are left.
    assert capsys.readouterr().err.splitlines() == [
        "sweep: 25 %  1/4 runs  known/seed-000  ? left",
        "sweep: 31 %  2/4 runs  new/seed-000  1:50 left",
    ]


def test_stages_of_a_fit_show_at_once_and_count_their_own_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    shown = FitProgress("data")
    for stage, done in (("fit", 2), ("judge", 0)):
        shown.update(stage, done, 10, "loss 1")
        now[0] += progress.LINE_EVERY + 1
    shown.update("judge", 4, 10, "loss 2")
    shown.update("judge", 5, 10, "loss 3")  # too soon
    assert capsys.readouterr().err.splitlines() == [
        "data: fit: 20 %  loss 1  ? left",
        "data: judge: 0 %  loss 1  ? left",
        "data: judge: 40 %  loss 2  0:24 left",
    ]


def test_the_line_of_a_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    TrainProgress("runs/x", 500).update(250_000, 1_000_000, 200.0, 1234.5)
    assert capsys.readouterr().err.splitlines() == [
        "runs/x: 25 %  250,000/1,000,000 steps  200/s  return 1234 (500 steps)  1:02:30 left"
    ]
