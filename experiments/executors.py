"""Running the runs of a study: each in a process of its own, several at a time."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.run import Run
from experiments.teacher import teacher_directory

LOG = "log.txt"


@dataclass(frozen=True)
class Failure:
    """A run whose process ended with an error."""

    run: Run
    status: int
    """Exit status; negative: killed by that signal."""

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.run.directory / LOG

    def line(self) -> str:
        """One line naming the run, its end, the last thing it said and where the rest is."""
        return f"{self.run.name} failed {last_words(self.status, self.log)}"


def run_local(
    runs: Sequence[Run],
    domains: Sequence[str],
    sights_of: Callable[[Run], Sequence[str]],
    episodes: int,
    workers: int,
    watch: Callable[[Sequence[Run], Sequence[Run]], None],
) -> list[Failure]:
    """Train and evaluate ``runs``, ``workers`` at a time, one core each.

    A run waits for its teacher, if that is one of ``runs``. ``sights_of`` says what each is judged through. A run that
    fails does not stop the others. ``watch`` is called about twice a second with the runs in progress and the runs that
    have ended. On Ctrl-C, SIGTERM or SIGHUP the processes are asked to save and stop.

    Returns:
        The failures, in the order of ``runs``.
    """
    waiting = list(runs)
    active: dict[subprocess.Popen[bytes], Run] = {}
    ended: list[Run] = []
    failures: list[Failure] = []
    with stoppable(active):
        while waiting or active:
            while len(active) < workers and (run := _next(waiting, active.values())):
                waiting.remove(run)
                active[_start(run, domains, sights_of(run), episodes)] = run
            for process in [process for process in active if process.poll() is not None]:
                run = active.pop(process)
                ended.append(run)
                if process.returncode:
                    failures.append(Failure(run, process.returncode))
            watch(list(active.values()), ended)
            time.sleep(0.5)
    return sorted(failures, key=lambda failure: list(runs).index(failure.run))


@contextlib.contextmanager
def stoppable(active: Mapping[subprocess.Popen[bytes], object]) -> Iterator[None]:
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


def _next(waiting: Sequence[Run], active: Iterable[Run]) -> Run | None:
    """The first run whose teacher need not be waited for."""
    unfinished = {run.directory.resolve() for run in (*waiting, *active)}
    for run in waiting:
        teacher = teacher_directory(run)
        if teacher is None or teacher.resolve() not in unfinished:
            return run
    return None


def _start(run: Run, domains: Sequence[str], sights: Sequence[str], episodes: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "experiments.worker",
        str(run.directory),
        str(episodes),
        ",".join(sights),
        *domains,
    ]
    with (run.directory / LOG).open("ab") as log:
        # In a group of its own: a Ctrl-C must reach it once, through us; the second one would stop it unsaved.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=one_core(), process_group=0
        )
