"""Tasks in processes of their own, several at a time: on this machine, or on a Ray cluster (``ray_executor.py``)."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from envs.cores import cores
from experiments import leash

LOG = "log.txt"
RETRIES = 5
"""How often a run that was killed on a cluster is begun again, from its last checkpoint: more may be its own doing."""


@dataclass(frozen=True)
class ExecutorConfig:
    """Where tasks run."""

    executor: Literal["local", "ray"] = "local"
    """What runs the processes: this machine, or a Ray cluster (one CPU a process)."""
    address: str = ""
    """HOST:PORT of a Ray cluster that this machine is part of, or auto; empty for RAY_ADDRESS, or else one that is
    started here and ends with the command."""
    store: str = ""
    """Object store by which a cluster's machines exchange files: an fsspec URL, e.g. s3://BUCKET/FOLDER; empty if they
    share this file system."""


HERE = ExecutorConfig()


@dataclass(frozen=True)
class Task:
    """A process to start."""

    words: tuple[str | Path, ...]
    """What stands after ``python -m``; directories are paths."""
    log: Path
    """Takes what it prints; in ``directory``."""
    directory: Path
    """What it reads and writes."""
    needs: tuple[Path, ...] = ()
    """Other directories that it reads."""
    given: bytes = b""
    """Its standard input."""
    core: int | None = None
    """Of this machine: keep it there. On a cluster it gets a core of its own instead. None for no such care."""
    part: str = ""
    """Several tasks write to ``directory``, each what others do not: a name for this one's part."""
    reads: tuple[str, ...] = ()
    """What the task of a part reads in ``directory``."""
    retries: int = 0
    """How often it is begun again if it is killed. Only on a cluster, where that is nothing unusual."""


class Process(Protocol):
    """What is needed of a process that runs somewhere; ``subprocess.Popen`` is one."""

    returncode: int | None

    @property
    def pid(self) -> int:
        """Its number on this machine; 0 if it runs elsewhere."""

    def poll(self) -> int | None:
        """Its exit status once it has ended, negative if a signal did that."""

    def terminate(self) -> None:
        """Ask it to save and stop."""

    def wait(self) -> int:
        """Wait for its end."""


class Executor(Protocol):
    """What runs tasks."""

    def slots(self) -> int:
        """How many tasks run at a time, unless told otherwise."""

    def start(self, task: Task) -> Process:
        """Begin a task."""


class LocalExecutor:
    """Processes on this machine."""

    def slots(self) -> int:
        """One for each core."""
        return cores()

    def start(self, task: Task) -> subprocess.Popen[bytes]:
        """Begin a task."""
        with task.log.open("ab") as log, tempfile.TemporaryFile() as given:
            given.write(task.given)
            given.seek(0)
            # In a group of its own: a Ctrl-C must reach it once, through us; the second one would stop it unsaved.
            process = subprocess.Popen(
                leash.command(signal.SIGTERM, task.words),  # without us it saves and stops
                stdin=given,
                stdout=log,
                stderr=log,
                env=one_core(),
                process_group=0,
            )
        if task.core is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended already, which is for the caller to see
                os.sched_setaffinity(process.pid, {task.core})
        return process


@contextlib.contextmanager
def open_executor(where: ExecutorConfig, root: Path, workers: int = 0) -> Iterator[Executor]:
    """What runs tasks on directories below ``root``, on ``workers`` CPUs if a cluster is started here (0: all).

    Raises:
        ValueError: Ray is not installed, there is no such cluster or store, or options for a cluster without one.
    """
    if where.executor == "local":
        if where.address or where.store:
            option = "address" if where.address else "store"
            raise ValueError(f"--{option} is for a cluster; accepted: with --executor ray")
        yield LocalExecutor()
        return
    from experiments.ray_executor import connect

    with connect(where, root, workers) as executor:
        yield executor


@contextlib.contextmanager
def stoppable(active: Mapping[Process, object]) -> Iterator[None]:
    """Whatever ends the work asks the processes ``active`` then to save and stop, and waits for them."""
    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for process in active:
            process.terminate()
        for process in active:
            process.wait()
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def last_words(status: int, log: Path) -> str:
    """How a process ended, the last line that it printed to ``log``, and where the rest is."""
    try:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        said = []
    ended = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    return f"({ended}): {said[-1] if said else 'no output'} [log: {log}]"


def one_core() -> dict[str, str]:
    """The environment of a process that shares the machine with others: more threads than cores make all slower."""
    return {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS"), "1")}
