"""Processes that die, and clusters that are not there, without Blender."""

import json
from pathlib import Path

import pytest

from experiments.executors import ExecutorConfig, Task
from experiments.synth import _render, generate
from synth_data.sample import SynthConfig


class Dead:
    """A process that was killed."""

    returncode: int | None = -9
    pid = 0

    def poll(self) -> int | None:
        return self.returncode

    def terminate(self) -> None:
        pass

    def wait(self) -> int:
        return -9


class Deadly:
    """Kills each process once it has finished so many samples, or all that it has."""

    def __init__(self, finished: int) -> None:
        self.finished = finished
        self.asked: list[list[int]] = []

    def slots(self) -> int:
        return 1

    def start(self, task: Task) -> Dead:
        indices = json.loads(task.given)
        self.asked.append(indices)
        part = Path(task.words[2])
        part.parent.mkdir(exist_ok=True)
        part.write_text("{}\n" * min(self.finished, len(indices)))
        return Dead()


def test_what_a_dead_process_has_not_finished_goes_to_the_next(tmp_path: Path) -> None:
    executor = Deadly(finished=2)
    told: list[int] = []
    _render(tmp_path, [0, 1, 5, 6, 9], 1, 10, lambda done, total, speed: told.append(done), executor)
    assert executor.asked == [[0, 1, 5, 6, 9], [5, 6, 9], [9]]  # the last one dies after its last sample
    assert told == [7, 9, 10]


def test_a_cluster_that_cannot_be_leaves_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--address is for a cluster"):
        generate(SynthConfig(), tmp_path / "dataset", where=ExecutorConfig(address="auto"))
    assert list(tmp_path.iterdir()) == []
