"""Studies on a Ray cluster whose workers and nodes are killed must end with the numbers of one machine."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from experiments.checkpoints import list_checkpoints
from experiments.executors import ExecutorConfig
from experiments.files import read_json
from experiments.plain import parse_config
from experiments.run import Run, find_runs
from experiments.study import run_study
from experiments.study_config import StudyConfig

PATIENCE = 300.0
"""Seconds after which something that does not happen counts as hanging."""
STUDY: dict[str, Any] = {
    "name": "spread",
    "title": "t",
    "description": "d",
    "base": {
        "steps": 3072,
        "num_envs": 4,
        "horizon": 50,
        "checkpoint_every": 256,
        "agent": {"name": "ppo", "hyperparameters": {"n_steps": 16, "batch_size": 32, "n_epochs": 2}},
    },
    "cells": [{}, {"randomization": {"method": "uniform"}}],
    "target": "target",
    "seeds": 1,
    "episodes": 3,
}


@pytest.fixture(scope="module")
def study() -> StudyConfig:
    return parse_config(StudyConfig, STUDY, "study")


@pytest.fixture(scope="module")
def local(study: StudyConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study done on this machine alone: where its runs and results are."""
    root = tmp_path_factory.mktemp("local")
    _, failures = run_study(study, root / "runs", root / "results", workers=2)
    assert failures == []
    return root


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without a CPU and two nodes with one each, every one with processes of its own.

    The tests share it and stand in this order because the second takes a node away and the last one its head.
    """
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # Ray's own choice, 15, starves them beside other tests
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        signal.signal(signal.SIGTERM, before)  # the nodes are part of this process, and leave a handler to it
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def worker_of(run: Path) -> int:
    """The Ray worker whose child trains this run of a study, by its path below ``runs/``; 0 if there is none now.

    The study is part of it: a test beside this one may train the same cell.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            status = (process / "status").read_text()
        except OSError:
            continue
        if "experiments.worker" in words and any(str(run) in word for word in words):
            return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid")))
    return 0


def meanwhile(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def wait_for(happened: Callable[[], Any]) -> Any:
    started = time.monotonic()
    while not (found := happened()):
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.01)
    return found


def same_numbers(root: Path, local: Path) -> list[Run]:
    """The runs below ``root``, after comparing them and the study with those done locally."""
    table = Path("results") / "spread" / "episodes.csv"
    assert (root / table).read_bytes() == (local / table).read_bytes()
    runs = find_runs([root / "runs"])
    assert len(runs) == 2
    for run in runs:
        twin = local / "runs" / run.config.path
        assert run.episodes.read_bytes() == (twin / "episodes.csv").read_bytes()
        policy = [
            read_json(list_checkpoints(each)[-1] / "manifest.json") for each in (run.checkpoints, twin / "checkpoints")
        ]
        assert policy[0]["sha256"]["policy.safetensors"] == policy[1]["sha256"]["policy.safetensors"]
    return runs


def test_runs_travel_through_a_store(study: StudyConfig, local: Path, cluster: Cluster, tmp_path: Path) -> None:
    path = study.runs()[0].path
    store = tmp_path / "store"

    def kill() -> None:
        wait_for(
            lambda: any("checkpoints" in file.read_text() for file in store.glob(f"{path.parent}/*/manifest.json"))
        )
        os.kill(wait_for(lambda: worker_of(path)), signal.SIGKILL)

    killer = meanwhile(kill)
    where = ExecutorConfig("ray", cluster.address, f"file://{store}")
    _, failures = run_study(study, tmp_path / "runs", tmp_path / "results", where=where)
    killer.join()
    assert failures == []
    runs = same_numbers(tmp_path, local)
    assert max(len(run.starts()) for run in runs) == 2
    assert all((run.directory / "learning_curve.png").exists() for run in runs)


def test_a_killed_worker_and_a_killed_node_cost_no_number(
    study: StudyConfig, local: Path, cluster: Cluster, tmp_path: Path
) -> None:
    paths = [config.path for config in study.runs()]
    cells = [tmp_path / "runs" / path for path in paths]
    killed: list[int] = []

    def kill() -> None:
        wait_for(lambda: len(list_checkpoints(cells[0] / "checkpoints")) == 2)
        worker = wait_for(lambda: worker_of(paths[0]))
        os.kill(worker, signal.SIGKILL)
        killed.append(int(list_checkpoints(cells[0] / "checkpoints")[-1].name))
        wait_for(lambda: len(list_checkpoints(cells[1] / "checkpoints")) == 2)
        worker = wait_for(lambda: worker_of(paths[1]))
        status = Path(f"/proc/{worker}/status").read_text()
        raylet = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid")))
        (node,) = [node for node in cluster.worker_nodes if node.all_processes["raylet"][0].process.pid == raylet]
        cluster.remove_node(node, allow_graceful=False)
        killed.append(int(list_checkpoints(cells[1] / "checkpoints")[-1].name))

    killer = meanwhile(kill)
    where = ExecutorConfig("ray", cluster.address)
    _, failures = run_study(study, tmp_path / "runs", tmp_path / "results", where=where)
    killer.join()
    assert failures == []
    runs = same_numbers(tmp_path, local)
    assert len(killed) == 2
    assert all(0 < steps < 3072 for steps in killed)
    assert all(len(run.starts()) == 2 for run in runs)  # from its checkpoint, not from the beginning:
    for run in runs:
        assert len(run.rows()) == 48
        assert run.result()["steps"] == 3072


def test_a_cluster_that_goes_away_is_one_line_and_finished_work_is_kept(cluster: Cluster, tmp_path: Path) -> None:
    study = parse_config(
        StudyConfig, {**STUDY, "base": {**STUDY["base"], "steps": 10**7}}, "study"
    )  # outlives the test
    cells = [tmp_path / "runs" / config.path for config in study.runs()]

    def kill() -> None:
        wait_for(lambda: any(list_checkpoints(cell / "checkpoints") for cell in cells))
        assert cluster.head_node is not None
        cluster.head_node.all_processes["gcs_server"][0].process.kill()

    killer = meanwhile(kill)
    with pytest.raises(
        RuntimeError, match=r"^the Ray cluster at .* has gone away; what has finished is kept, and the same"
    ):
        run_study(study, tmp_path / "runs", tmp_path / "results", where=ExecutorConfig("ray", cluster.address))
    killer.join()
    assert any(list_checkpoints(cell / "checkpoints") for cell in cells)
