"""Tasks on a Ray cluster: one CPU each, as a process of the same modules that run locally.

The machines share this file system, or a store: then a task fetches its directory into a scratch folder, pushes it with
every new checkpoint and at its end, and the command fetches what has ended. A task whose worker or node dies is begun
again elsewhere and goes on from the last checkpoint. simgap must be installed on every node, in the same versions.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.executors import ExecutorConfig, Task
from experiments.files import digest
from experiments.ray_cluster import answers, cpus, join
from experiments.ray_task import Killed, Plan, work
from experiments.store import Store

CHECK_EVERY = 2.0
"""Seconds between two looks at whether the cluster is still there."""
GONE_AFTER = 10.0
"""Seconds without an answer after which it is not: Ray itself ends a process after 60."""
PEEK_EVERY = 15.0
"""Seconds between two looks at the metrics of a task whose directory is elsewhere."""
SAVING = 600.0
"""Seconds to wait for a task that was asked to save and stop."""
PROGRESS = ("log.txt", "metrics.jsonl", ".jsonl")
"""Ends of the names of files that progress is read from."""


class RayProcess:
    """A task on a cluster, as :class:`experiments.executors.Process`."""

    pid = 0

    def __init__(self, executor: "RayExecutor", task: Task, plan: Plan) -> None:
        """Submit the task."""
        self.returncode: int | None = None
        self._executor, self._task, self._plan = executor, task, plan
        self._peeked = time.monotonic()
        self._result = executor.submit(plan, task.retries)

    def poll(self) -> int | None:
        """Its exit status once it has ended.

        Raises:
            RuntimeError: the cluster is gone.
        """
        import ray

        if self.returncode is None:
            self._executor.check()
            if ray.wait([self._result], timeout=0)[0]:
                self._end()
            elif self._plan.output and time.monotonic() - self._peeked > PEEK_EVERY:
                self._peeked = time.monotonic()
                with contextlib.suppress(ValueError):  # the last fetch says what is wrong
                    self._fetch(lambda name: name.endswith(PROGRESS))
        return self.returncode

    def terminate(self) -> None:
        """Ask it to save and stop; of a cluster that is gone nobody can be asked."""
        import ray

        if self.returncode is None and not self._executor.gone:
            ray.cancel(self._result)

    def wait(self) -> int:
        """Wait for its end."""
        import ray

        if self.returncode is None and not self._executor.gone:
            with contextlib.suppress(RuntimeError):
                until = time.monotonic() + SAVING
                while time.monotonic() < until and not ray.wait([self._result], timeout=1)[0]:
                    self._executor.check()
                self._end()
        self.returncode = -15 if self.returncode is None else self.returncode
        return self.returncode

    def _end(self) -> None:
        """Read the result, and fetch what the task leaves."""
        import ray

        said = ""
        try:
            self.returncode = int(ray.get(self._result, timeout=60))
        except ray.exceptions.TaskCancelledError:
            self.returncode = -15
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            self.returncode = cause.status if isinstance(cause, Killed) else 1
            said = f"error: {' '.join(str(cause).split())}"
        except ray.exceptions.RayError as error:  # its worker or its node died, too often
            self.returncode = -9
            said = f"error: {' '.join(str(error).split()):.300}"
        if self._plan.output:
            try:
                self._fetch(lambda name: True)
            except ValueError as error:
                self.returncode, said = self.returncode or 1, f"error: {error}"
        if said:
            with self._task.log.open("a", encoding="utf-8") as log:
                log.write(said + "\n")

    def _fetch(self, wanted: Any) -> None:
        assert self._executor.store is not None
        self._executor.store.fetch(self._plan.output, self._task.directory, wanted)


@dataclass
class RayExecutor:
    """What runs tasks on the cluster that this process is connected to."""

    address: str
    root: Path
    """Directories below it go through the store."""
    store: Store | None
    gone: bool = False
    _checked: float = field(default_factory=time.monotonic)
    _answered: float = field(default_factory=time.monotonic)

    def slots(self) -> int:
        """One for each CPU that the cluster has now."""
        return cpus()

    def start(self, task: Task) -> RayProcess:
        """Begin a task.

        Raises:
            ValueError: it needs what is not below the root, or the store fails.
        """
        return RayProcess(self, task, self._plan(task) if self.store else _shared(task))

    def submit(self, plan: Plan, retries: int) -> Any:
        """Give the task to Ray."""
        import ray

        self.check()
        remote: Any = ray.remote(work)
        return remote.options(num_cpus=1, max_retries=retries, retry_exceptions=[Killed]).remote(plan)

    def check(self) -> None:
        """Notice a cluster that has gone away.

        Raises:
            RuntimeError: it has.
        """
        now = time.monotonic()
        if not self.gone and now - self._checked > CHECK_EVERY:
            if answers(self.address):
                self._answered = time.monotonic()
            self.gone = time.monotonic() - self._answered > GONE_AFTER
            self._checked = time.monotonic()
        if self.gone:
            raise RuntimeError(
                f"the Ray cluster at {self.address} has gone away; what has finished is kept, and "
                "the same command continues"
            )

    def _plan(self, task: Task) -> Plan:
        """The task with keys of the store in place of directories, which are brought there."""
        assert self.store is not None
        inputs = {}
        for directory in (task.directory, *task.needs):
            key = self._key(directory)
            inputs[key] = self._relative(directory)
            self._bring(key, directory, task.reads if directory == task.directory else ())
        words = tuple(self._relative(word) if isinstance(word, Path) else word for word in task.words)
        output = self._key(task.directory) + (f".{task.part}" if task.part else "")
        if task.part:
            inputs[output] = self._relative(task.directory)
        directory, log = self._relative(task.directory), self._relative(task.log)
        return Plan(words, log, directory, task.given, task.core is not None, self.store.url, inputs, output)

    def _bring(self, key: str, directory: Path, reads: tuple[str, ...]) -> None:
        """Make the store hold the directory, unless it holds more of it already."""
        assert self.store is not None
        there = self.store.names(key)
        if reads:
            self.store.push(key, directory, lambda name: name in reads)
            return
        config = directory / "config.yaml"
        if config.is_file() and config.name in there and there[config.name] != digest(config):
            raise ValueError(
                f"store {self.store.url}: {key} holds a run of another configuration; accepted: the same one, another "
                "--study, or a store without it"
            )
        if not there or _progress(directory) >= max(map(_step, there)):
            self.store.push(key, directory)

    def _relative(self, path: Path) -> Path:
        try:
            return path.resolve().relative_to(self.root.resolve())
        except ValueError:
            raise ValueError(
                f"{path}: not below {self.root}, so it does not go through the store; accepted: a directory there, or "
                "a file system that all machines share and no --store"
            ) from None

    def _key(self, directory: Path) -> str:
        return self._relative(directory).as_posix()


def _shared(task: Task) -> Plan:
    """The task as it is, for machines that see the same files."""
    words = tuple(word.resolve() if isinstance(word, Path) else word for word in task.words)
    return Plan(words, task.log.resolve(), task.directory.resolve(), task.given, task.core is not None)


def _step(name: str) -> int:
    """Steps of the checkpoint that a file belongs to; more than of any if it says that the run is done."""
    parts = Path(name).parts
    if parts[-1] == "done.json":
        return 10**13
    return int(parts[-2]) if len(parts) > 2 and parts[-3] == "checkpoints" and parts[-2].isdigit() else -1


def _progress(directory: Path) -> int:
    """How far a run's directory is."""
    names = (file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file())
    return max(map(_step, names), default=-1)


@contextlib.contextmanager
def connect(where: ExecutorConfig, root: Path, workers: int = 0) -> Iterator[RayExecutor]:
    """What runs tasks on directories below ``root`` on the cluster of ``where``, or on one of ``workers`` CPUs here.

    Raises:
        ValueError: the store, or no such cluster (see :func:`experiments.ray_cluster.join`).
    """
    store = Store(where.store) if where.store else None
    if store is not None and store.url.startswith("memory:"):
        raise ValueError(f"store {store.url}: only this process sees it; accepted: one that all machines reach")
    with join(where.address, workers) as address:
        yield RayExecutor(address, root, store)
