"""Processes that end with whoever started them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE = 120.0
"""Seconds; a busy machine takes its time."""


def wait_until_it_is(child: Path, word: bytes) -> None:
    """Until the process has become ``python -m word``."""
    started = time.monotonic()
    while word not in (words := (child / "cmdline").read_bytes()).split(b"\0") or b"experiments.leash" in words:
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.01)


def wait_until_gone(child: Path) -> None:
    started = time.monotonic()
    while child.exists() and "(zombie)" not in (child / "status").read_text():
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_on_a_leash_ends_with_its_parent(number: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import subprocess, time; from experiments import leash; "
        f"child = subprocess.Popen(leash.command({int(number)}, ['http.server', '0']),"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Path(f"/proc/{int(parent.stdout.readline())}")
    wait_until_it_is(child, b"http.server")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until_gone(child)


def test_a_leash_whose_parent_is_gone_starts_nothing() -> None:
    words = [sys.executable, "-m", "experiments.leash", "1", "9", "this"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error: the parent ended first\n")


def test_a_task_of_this_machine_may_save_when_its_command_is_killed(tmp_path: Path) -> None:
    (tmp_path / "saving.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n    pathlib.Path('saved').touch()\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, save)\nprint('ready', flush=True)\ntime.sleep(600)\n"
    )
    code = (
        "import pathlib, time; from experiments.executors import LocalExecutor, Task; "
        "started = LocalExecutor().start(Task(('saving',), pathlib.Path('log.txt'), pathlib.Path())); time.sleep(600)"
    )
    command = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    started, log = time.monotonic(), tmp_path / "log.txt"
    while not log.exists() or "ready" not in log.read_text():
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.01)
    command.kill()
    command.wait()
    while not (tmp_path / "saved").exists():
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.01)
