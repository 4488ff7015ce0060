import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from experiments import study_runs
from experiments.config import RunConfig
from experiments.run import Run, create_run
from experiments.study_runs import run_all


def python(code: str) -> Callable[..., subprocess.Popen[bytes]]:
    """Starts a process with ``code`` in place of a run's, which finds its seed in ``seed``."""

    def start(run: Run, *_: Any) -> subprocess.Popen[bytes]:
        with (run.directory / "log.txt").open("ab") as log:
            words = [sys.executable, "-I", "-S", "-c", f"seed = {run.config.seed}; {code}"]
            return subprocess.Popen(words, stdout=log, stderr=log)

    return start


def own_sight(run: Run) -> Sequence[str]:
    return run.config.sees.sights[:1]


@pytest.fixture
def runs(tmp_path: Path, tiny: Callable[..., RunConfig]) -> list[Run]:
    return [create_run(tiny(seed=seed), tmp_path) for seed in range(5)]


def test_every_failure_is_read(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        study_runs, "_start", python("import sys; print('hello', flush=True); sys.exit(seed % 2 and f'boom {seed}')")
    )
    watched: list[tuple[int, int]] = []

    def watch(active: Sequence[Run], ended: Sequence[Run]) -> None:
        watched.append((len(active), len(ended)))

    failures = run_all(runs, ["source"], own_sight, 1, 3, watch)
    assert [failure.run.config.seed for failure in failures] == [1, 3]
    for failure in failures:
        seed = failure.run.config.seed
        assert failure.line() == f"{failure.run.name} failed (exit status 1): boom {seed} [log: {failure.log}]"
    assert watched[-1] == (0, 5)
    assert max(active for active, _ in watched) <= 3
    assert failures[0].log.read_text().splitlines()[0] == "hello"


def test_a_student_waits_for_its_teacher(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for one that fails: the student's own process then says what is missing."""
    teachers = [create_run(tiny(seed=seed), tmp_path) for seed in (1, 2)]
    taught = {"pipeline": "pose", "pose": {"critic": "state"}, "teacher": teachers[0].directory.parent.name}
    students = [create_run(tiny("dagger", seed=seed, **taught), tmp_path) for seed in (1, 2, 3)]
    order: list[Run] = []

    def start(run: Run, *_: Any) -> subprocess.Popen[bytes]:
        order.append(run)
        return python("raise SystemExit(seed == 2)")(run)

    monkeypatch.setattr(study_runs, "_start", start)
    together: list[set[Path]] = []
    failures = run_all(
        [*students, *teachers],
        [],
        own_sight,
        1,
        5,
        lambda active, _: together.append({run.directory for run in active}),
    )
    assert len(failures) == 2
    assert {run.directory for run in order} == {run.directory for run in (*students, *teachers)}
    for seed in (0, 1):
        assert order.index(teachers[seed]) < order.index(students[seed])
        assert not any({teachers[seed].directory, students[seed].directory} <= active for active in together)


def test_a_failure_without_a_word(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_runs, "_start", python("raise SystemExit(4)"))
    (failure,) = run_all(runs[:1], [], own_sight, 1, 1, lambda active, ended: None)
    assert failure.line().endswith(f"failed (exit status 4): no output [log: {failure.log}]")
    failure.log.unlink()
    assert "no output" in failure.line()


def test_an_interruption_ends_every_process(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[subprocess.Popen[bytes]] = []
    sleeper = python("import time; time.sleep(600)")

    def start(*arguments: Any) -> subprocess.Popen[bytes]:
        processes.append(sleeper(*arguments))
        return processes[-1]

    def interrupt(active: Sequence[Run], ended: Sequence[Run]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study_runs, "_start", start)
    with pytest.raises(KeyboardInterrupt):
        run_all(runs, [], own_sight, 1, 2, interrupt)
    assert [process.poll() for process in processes] == [-15, -15]


def test_runs_that_wait_for_each_other_are_refused(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    taught = {"pipeline": "pose", "pose": {"critic": "state"}}
    run = create_run(tiny("dagger", teacher="hopper-source-pose-none-dagger", **taught), tmp_path)
    assert run.directory.parent.name == run.config.teacher
    with pytest.raises(ValueError, match=f"runs that wait for each other as teachers: {run.name}; accepted: others"):
        run_all([run], [], own_sight, 1, 1, lambda active, ended: None)
