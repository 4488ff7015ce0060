"""Making a dataset: Blender processes that render the samples that are missing, and replacements for those that die."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from envs.cores import core_numbers
from experiments.dataset import (
    CONFIG,
    LOCK,
    PARTS,
    PROGRESS,
    STATES,
    begin_dataset,
    check_dataset,
    finish_dataset,
    read_records,
)
from experiments.executors import HERE, Executor, ExecutorConfig, Process, Task, last_words, open_executor, stoppable
from experiments.files import append_json_line, locked
from synth_data.sample import SynthConfig

CHUNK = 2000
"""Samples at most that one process renders before a fresh one takes over, so that its memory cannot grow."""
ATTEMPTS = 3
"""Processes that may die in a row without finishing one sample."""
LOG_EVERY = 10.0
"""Seconds between two rows of ``progress.jsonl``."""

Watch = Callable[[int, int, float], None]
"""Called a few times a second with images done, images in all, and images per second."""


@dataclass
class _Worker:
    """A Blender process and the samples it has to render."""

    process: Process
    indices: list[int]
    part: Path
    log: Path
    core: int
    done: int = 0
    _read: int = field(default=0, repr=False)

    def count(self) -> int:
        """Samples finished since the last call."""
        if not self.part.exists():
            return 0
        with self.part.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        self._read += len(lines)
        self.done += lines.count(b"\n")
        return lines.count(b"\n")

    def memory(self) -> float:
        """Resident memory in GB; 0 once it has ended, or elsewhere."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0.0
        sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
        return sum(sizes) * 1024 / 1e9


def generate(
    config: SynthConfig,
    directory: Path,
    workers: int = 0,
    watch: Watch | None = None,
    where: ExecutorConfig = HERE,
) -> None:
    """Render what is missing of the dataset, then write its labels, card and checksums.

    Args:
        config: what to draw.
        directory: of the dataset; the same call continues one that was interrupted.
        workers: Blender processes, 0 for one per core of this machine or of the cluster. They never change a file.
        watch: called with the progress.
        where: what runs the processes.

    Raises:
        ValueError: the configuration, what is in the directory, or there is no such cluster.
        RuntimeError: Blender is not installed, or its processes keep dying; one line says what the last one said. Or
            the cluster went away; images that have arrived are kept.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; it must be 0 (one per core) or more")
    check_dataset(config, directory)
    try:
        with open_executor(where, directory.parent, workers) as executor:  # first: one that is not there leaves nothing
            directory.mkdir(parents=True, exist_ok=True)
            with locked(directory / LOCK, wait=False):
                begin_dataset(config, directory)
                records = read_records(directory)
                while missing := sorted(set(range(config.count)) - set(records)):
                    _render(directory, missing, workers or executor.slots(), config.count, watch, executor)
                    records = read_records(directory)
                finish_dataset(config, directory, records)
    except BlockingIOError:
        raise ValueError(f"{directory}: another process is making this dataset") from None


def _render(
    directory: Path, missing: list[int], workers: int, total: int, watch: Watch | None, executor: Executor
) -> None:
    """One pass over ``missing``."""
    rounds = math.ceil(len(missing) / (workers * CHUNK))
    size = math.ceil(len(missing) / (workers * rounds))  # the same for all, so that they end together
    waiting = [missing[i : i + size] for i in range(0, len(missing), size)]
    done, fruitless = total - len(missing), 0
    started, logged, before, largest = time.monotonic(), 0.0, done, 0.0
    active: dict[Process, _Worker] = {}
    with stoppable(active):
        while waiting or active:
            while waiting and len(active) < workers:
                busy = [worker.core for worker in active.values()]
                worker = _start(directory, waiting.pop(0), min(core_numbers(), key=busy.count), executor)
                active[worker.process] = worker
            time.sleep(0.2)
            ended = [process for process in active if process.poll() is not None]
            done += sum(worker.count() for worker in active.values())
            elapsed = time.monotonic() - started
            largest = max(largest, *(worker.memory() for worker in active.values()))
            if elapsed - logged > LOG_EVERY or not (waiting or set(active) - set(ended)):
                row = {"seconds": round(elapsed, 1), "images": done, "largest_worker_gb": round(largest, 3)}
                append_json_line(directory / PROGRESS, row)
                logged, largest = elapsed, 0.0
            if watch is not None:
                watch(done, total, (done - before) / elapsed)
            for process in ended:
                worker = active.pop(process)
                if process.returncode:
                    fruitless = 0 if worker.done else fruitless + 1
                    if fruitless == ATTEMPTS:
                        raise RuntimeError(f"rendering failed {last_words(process.returncode, worker.log)}")
                    if rest := worker.indices[worker.done :]:
                        waiting.insert(0, rest)
                worker.log.unlink(missing_ok=True)


def _start(directory: Path, indices: list[int], core: int, executor: Executor) -> _Worker:
    parts = directory / PARTS
    name = f"{indices[0]:06d}-{time.time_ns()}"
    part, log = parts / f"{name}.jsonl", parts / f"{name}.log"
    # Blender starts a thread on each core that it sees, and they get in each other's way: a quarter of the speed.
    task = Task(
        ("experiments.synth_worker", directory, part),
        log,
        directory,
        given=json.dumps(indices).encode(),
        core=core,
        part=name,
        reads=(CONFIG, STATES),
    )
    return _Worker(executor.start(task), indices, part, log, core)
