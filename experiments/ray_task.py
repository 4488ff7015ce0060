"""What happens on a node of the cluster: fetch, run the process, push what it wrote."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from envs.cores import core_numbers
from experiments import leash
from experiments.executors import one_core
from experiments.files import locked
from experiments.store import Store

PUSH_EVERY = 30.0
"""Seconds between two copies of what has no checkpoints, and of the metrics between them."""
LOCK_PATIENCE = 120.0
"""Seconds to wait for the process that this one replaces: file servers take up to 90 to forget a dead client's lock."""


class Killed(Exception):
    """A signal ended the process, so it may be tried again."""

    def __init__(self, status: int) -> None:
        """``status`` is negative, as of ``subprocess``."""
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        """One line."""
        return f"killed by signal {-self.status}"


@dataclass(frozen=True)
class Plan:
    """A process for a node. With a store, paths are relative to a scratch folder; otherwise every node sees them."""

    words: tuple[str | Path, ...]
    log: Path
    directory: Path
    given: bytes
    own_core: bool
    store: str = ""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """Keys of the store to fetch, and where they go."""
    output: str = ""
    """Key that the directory is pushed to."""
    place: str = field(default_factory=os.getcwd)
    """Working directory where the file system is shared: paths in configurations may be relative."""


def work(plan: Plan) -> int:
    """Run the process; returns its exit status. An interrupt, by which Ray cancels a task, lets it save first.

    Raises:
        Killed: a signal ended it.
        ValueError: the store fails.
    """
    with _interrupts() as interrupted:
        if plan.store:
            return _work_by_store(plan, interrupted)
        _wait_for_locks(plan, interrupted)
        return _run(plan, Path(plan.place), interrupted)


def _work_by_store(plan: Plan, interrupted: list[int]) -> int:
    """Run the process in a scratch folder that comes from the store and goes there."""
    store = Store(plan.store)
    with tempfile.TemporaryDirectory(prefix="simgap-") as scratch:
        root = Path(scratch)
        own = plan.inputs.keys() - {plan.output}
        for key, folder in plan.inputs.items():
            store.fetch(key, root / folder)
        # What other tasks share is theirs to change.
        shared = {name for key in own if plan.inputs[key] == plan.directory for name in store.names(key)}
        pushed = _marks(root / plan.directory)
        last = time.monotonic()

        def push() -> None:
            store.push(plan.output, root / plan.directory, lambda name: name not in shared)

        def look() -> None:
            nonlocal pushed, last
            marks = _marks(root / plan.directory)
            if marks != pushed or time.monotonic() - last > PUSH_EVERY:
                with contextlib.suppress(ValueError, OSError):  # the next push may succeed; the last one must
                    push()
                pushed, last = marks, time.monotonic()

        try:
            return _run(plan, root, interrupted, look)
        finally:
            push()


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The interrupts that come. As exceptions they would come between a process's start and its being known, too."""
    come: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        come.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield come
    finally:
        signal.signal(signal.SIGINT, before)


def _run(plan: Plan, place: Path, interrupted: list[int], look: Callable[[], None] = lambda: None) -> int:
    """Run the process in ``place``, calling ``look`` a few times a second."""
    if interrupted:
        return -signal.SIGTERM
    log_file = place / plan.log
    log_file.parent.mkdir(parents=True, exist_ok=True)
    command = leash.command(signal.SIGKILL, plan.words)
    with log_file.open("ab") as log, tempfile.TemporaryFile() as given, _core(plan.own_core) as core:
        given.write(plan.given)
        given.seek(0)
        process = subprocess.Popen(command, stdin=given, stdout=log, stderr=log, env=one_core(), cwd=place)
        if core is not None:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, {core})
        asked = False
        try:
            while process.poll() is None:
                if interrupted and not asked:
                    process.terminate()
                    asked = True
                time.sleep(0.2)
                look()
        finally:
            process.kill()  # in vain, unless looking failed
            process.wait()
    if process.returncode < 0 and not interrupted:
        raise Killed(process.returncode)
    return process.returncode


def _marks(directory: Path) -> set[str]:
    """The checkpoints that are there."""
    # Unlike rglob, this does not mind folders that vanish meanwhile.
    found = ((place, name) for place, folders, _ in os.walk(directory) for name in folders)
    return {f"{place}/{name}" for place, name in found if name.isdigit() and Path(place).name == "checkpoints"}


def _wait_for_locks(plan: Plan, interrupted: list[int]) -> None:
    """Let the process end that another node, or this one, may still have there."""
    until = time.monotonic() + LOCK_PATIENCE
    locks = [] if plan.own_core else list(plan.directory.rglob(".lock"))  # tasks of one dataset share its maker's lock
    while locks and not interrupted and time.monotonic() < until:
        try:
            with locked(locks[0], wait=False):
                locks.pop(0)
        except BlockingIOError:
            time.sleep(0.5)


@contextlib.contextmanager
def _core(wanted: bool) -> Iterator[int | None]:
    """A core of this machine that no other task has; None if none is left, or ``wanted`` is false."""
    with contextlib.ExitStack() as held:
        for core in core_numbers() if wanted else ():
            with contextlib.suppress(BlockingIOError):
                held.enter_context(locked(Path(tempfile.gettempdir()) / f"simgap-core-{core}.lock", wait=False))
                yield core
                return
        yield None
