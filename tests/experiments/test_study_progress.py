"""How far a study is, when a step of one cell takes longer than a step of another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import progress
from experiments.config import RunConfig
from experiments.files import write_json
from experiments.run import Run, create_run
from experiments.study_progress import SearchProgress, StudyProgress


def test_time_left_counts_what_a_run_takes_in_each_cell(
    tmp_path: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = [create_run(tiny(seed=seed, steps=1000), tmp_path) for seed in range(2)]
    slow = [create_run(tiny(seed=seed, steps=100, domain="target"), tmp_path) for seed in range(3)]
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for run, seconds in ((fast[0], 10.0), (slow[0], 40.0)):
        write_json(run.directory / "done.json", {"steps": 1, "wall_s": seconds, "diverged_episodes": 0})
    (slow[1].directory / "done.json").write_text("damaged")  # it is over, and says itself what is wrong
    shown = StudyProgress("s", [*fast, *slow])
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    shown.update([], [])
    now[0] += 50
    shown.update([], [fast[0], slow[0]])
    # Two runs and a third without its evaluation: 82 of 140 seconds, of which 8 + 2 * 32 were there.
    assert "study s: 59 %  2/5 runs  0 steps/s  4:50 left" in capsys.readouterr().err


def test_a_study_that_has_just_begun(
    tmp_path: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run(tiny(), tmp_path)
    shown = StudyProgress("s", [run])
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    shown.update([run], [])
    assert "study s: 0 %  0/1 runs  0 steps/s  ? left  [" in capsys.readouterr().err


def test_a_run_that_goes_on_from_its_checkpoint_counts_what_it_does_again(
    tmp_path: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run(tiny(steps=1000), tmp_path)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)

    def at(step: int) -> str:
        (run.directory / "metrics.jsonl").write_text(f'{{"step": {step}}}\n')
        shown.update([run], [])
        now[0] += 20
        return capsys.readouterr().err.split("  [")[0]

    (run.directory / "metrics.jsonl").write_text('{"step": 700}\n')
    shown = StudyProgress("s", [run])
    assert at(700) == "study s: 56 %  0/1 runs  0 steps/s  ? left"
    assert at(400) == "study s: 32 %  0/1 runs  0 steps/s  ? left"
    assert at(600) == "study s: 48 %  0/1 runs  5 steps/s  2:10 left"  # 200 steps in 40 s, 0.16 of the run


def test_runs_are_not_read_more_often_than_shown(
    tmp_path: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run(tiny(), tmp_path)
    now: list[float] = [100.0]
    reads: list[Run] = []

    def steps(run: Run) -> int:
        reads.append(run)
        return 0

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(StudyProgress, "_steps", staticmethod(steps))
    shown = StudyProgress("s", [run])
    for _ in range(60):
        now[0] += 0.5
        shown.update([run], [])
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert len(reads) == 2  # at the first call, and for the line after 15 seconds


def test_trials_are_not_read_more_often_than_shown(
    tmp_path: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run(tiny(), tmp_path)
    now: list[float] = [100.0]
    reads: list[Run] = []

    def rows(run: Run) -> list[dict[str, float]]:
        reads.append(run)
        return []

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("experiments.study_progress._rows", rows)
    shown = SearchProgress("s", 20, "iqm")
    for _ in range(60):
        now[0] += 0.5
        shown.update(5, 1234.0, [run])
    assert [line.split("  [")[0] for line in capsys.readouterr().err.splitlines()] == [
        "search s: 25 %  5/20 trials  best iqm 1234  ? left"
    ]
    assert len(reads) == 2  # at the first call, and for the line after 15 seconds
