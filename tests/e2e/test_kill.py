"""Runs in processes of their own, killed at bad moments, must end as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from experiments import worker
from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.plain import parse_config
from experiments.run import Run, create_run

PATIENCE = 300.0
"""Seconds after which a process that does not get anywhere counts as hanging; a busy machine takes its time."""


def config(agent: str, hyperparameters: dict[str, Any], **changes: Any) -> RunConfig:
    data: dict[str, Any] = {
        "study": "kill",
        "agent": {"name": agent, "hyperparameters": hyperparameters},
        "randomization": {"method": "uniform"},
        "num_envs": 4,
        "horizon": 50,
    }
    return parse_config(RunConfig, data | changes, "test")


PPO = config(
    "ppo", {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "learning_rate": "linear(1e-3, 1e-4)"}, steps=4096,
    checkpoint_every=256,
)  # fmt: skip
SAC = config(
    "sac", {"learning_starts": 64, "buffer_size": 5000, "batch_size": 32, "gradient_steps": 1}, steps=1024,
    checkpoint_every=128,
)  # fmt: skip


def start(run: Run) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "experiments.worker", str(run.directory), "3", "state", "source", "target"]
    with (run.directory / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Return as soon as ``happened``, or the process has ended."""
    started = time.monotonic()
    while not happened() and process.poll() is None:
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.005)


def is_at(run: Run, starts: int, rows: int) -> bool:
    """Whether the run was started so often and has written so many rows of metrics."""
    return len(run.starts()) == starts and run.metrics.exists() and run.metrics.read_bytes().count(b"\n") >= rows


def uninterrupted(run_config: RunConfig, root: Path) -> Run:
    run = create_run(run_config, root)
    worker.main(run.directory, 3, ["state"], ["source", "target"])
    return run


def bits(tree: Any) -> Any:
    """The tree with arrays and tensors as something that ``==`` compares bit by bit."""
    if isinstance(tree, torch.Tensor | np.ndarray):
        array = np.asarray(tree)
        return str(array.dtype), array.shape, array.tobytes()
    if isinstance(tree, dict):
        return {key: bits(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [bits(value) for value in tree]
    return tree


def final_state(run: Run) -> dict[str, Any]:
    state: dict[str, Any] = load_section(run.latest_checkpoint(), "training")
    state.pop("elapsed")
    return state


def timeless(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in run.rows()]


def test_ppo_killed_several_times_ends_bit_identical(tmp_path: Path) -> None:
    rng = random.Random(20)
    run = create_run(PPO, tmp_path / "killed")
    # Rows of metrics, of 64, that the process may write before it is killed; once almost at once.
    moments = [1, rng.randrange(6, 28), rng.randrange(32, 54)]
    reached = []
    for rows in moments:
        starts = len(run.starts()) + 1
        process = start(run)
        wait_until(partial(is_at, run, starts, rows), process)
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        assert process.wait() == -signal.SIGKILL, (run.directory / "log.txt").read_text()
        assert not run.done
        reached.append(int(list_checkpoints(run.checkpoints)[-1].name) if list_checkpoints(run.checkpoints) else 0)
    assert start(run).wait(PATIENCE) == 0, (run.directory / "log.txt").read_text()
    assert run.done
    assert len(run.starts()) == len(moments) + 1
    assert reached == sorted(reached)
    assert len(set(reached)) >= 3  # it was killed at different stages, each later than the one before

    whole = uninterrupted(PPO, tmp_path / "whole")
    policy, expected = (load_section(r.latest_checkpoint(), "policy")["policy"] for r in (run, whole))
    assert list(policy) == list(expected)
    for name, tensor in policy.items():
        assert torch.equal(tensor, expected[name]), name
    assert bits(final_state(run)) == bits(final_state(whole))
    assert timeless(run) == timeless(whole)
    assert [row["step"] for row in run.rows()] == list(range(64, 4097, 64))
    assert run.episodes.read_bytes() == whole.episodes.read_bytes()
    assert run.result()["steps"] == whole.result()["steps"] == 4096
    assert run.result()["diverged_episodes"] == whole.result()["diverged_episodes"]
    left = [path.name for path in run.directory.rglob(".*")]
    assert {".lock", ".episodes.lock"} <= set(left)
    assert all(name.endswith((".tmp", ".json", ".jsonl", ".lock")) for name in left)
    assert [path.name for path in run.checkpoints.iterdir() if not path.name.isdigit()] == []


def test_sac_killed_once_goes_on_with_its_replay_buffer(tmp_path: Path) -> None:
    run = create_run(SAC, tmp_path / "killed")
    process = start(run)
    wait_until(lambda: any(int(path.name) >= 384 for path in list_checkpoints(run.checkpoints)), process)
    process.kill()
    assert process.wait() == -signal.SIGKILL, (run.directory / "log.txt").read_text()
    checkpoint = run.latest_checkpoint()
    saved = load_section(checkpoint, "training")["agent"]
    steps = saved["attributes"]["num_timesteps"]
    assert steps == int(checkpoint.name)
    assert 384 <= steps < 1024
    assert saved["replay"]["pos"] == steps // 4
    assert saved["attributes"]["_n_updates"] > 0

    assert start(run).wait(PATIENCE) == 0, (run.directory / "log.txt").read_text()
    assert run.result()["steps"] == 1024
    final = load_section(run.latest_checkpoint(), "training")["agent"]
    assert final["attributes"]["num_timesteps"] == 1024
    assert final["attributes"]["_n_updates"] > saved["attributes"]["_n_updates"]
    assert final["replay"]["pos"] == 1024 // 4
    for name, before in saved["replay"]["arrays"].items():
        assert (final["replay"]["arrays"][name][: len(before)] == before).all(), name

    # More than is promised for off-policy agents, but so it is: nothing at all is lost.
    whole = uninterrupted(SAC, tmp_path / "whole")
    assert bits(final_state(run)) == bits(final_state(whole))
    assert run.episodes.read_bytes() == whole.episodes.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_study_that_is_interrupted_saves_its_runs(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C goes to the whole process group of a terminal, SIGTERM to the command alone."""
    study: dict[str, Any] = {
        "name": "stopped",
        "title": "t",
        "description": "d",
        "base": {"steps": 100_000_000, "num_envs": 4, "agent": {"hyperparameters": {"n_steps": 16, "batch_size": 32}}},
        "cells": [{}, {"domain": "target"}],
        "seeds": 1,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    command = [
        sys.executable,
        "-c",
        # A job in the background, as continuous integration may be, is born ignoring SIGINT.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from experiments.cli import main; main()",
        "study",
        "study.yaml",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    cells = [
        tmp_path / "runs" / "stopped" / f"hopper-{name}-state-none-ppo" / "seed-000" for name in ("source", "target")
    ]
    wait_until(lambda: all((cell / "metrics.jsonl").exists() for cell in cells), process)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, error.decode()
    assert error.decode().splitlines()[-1] == "simgap: interrupted; the same command continues"
    for cell in cells:
        log = (cell / "log.txt").read_text()
        assert "steps and saved; the same command continues" in log.splitlines()[-1]
        (checkpoint,) = list_checkpoints(cell / "checkpoints")
        rows = [json.loads(line) for line in (cell / "metrics.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == int(checkpoint.name)
    assert not (tmp_path / "results").exists()
