"""Two processes of one search on one database, of which one is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from experiments.config import RunConfig
from experiments.objectives import OBJECTIVES
from experiments.plain import parse_config
from experiments.run import find_runs, open_run

PATIENCE = 300.0
"""Seconds after which a process that does not get anywhere counts as hanging."""
SPACE: dict[str, Any] = {
    "name": "shared",
    "title": "t",
    "description": "d",
    "base": {
        "horizon": 50,
        "num_envs": 4,
        "checkpoint_every": 256,
        "agent": {"hyperparameters": {"n_steps": 16, "batch_size": 32, "n_epochs": 1}},
    },
    "parameters": {
        "steps": {"integers": [1024, 2048], "step": 512},
        "agent.hyperparameters.gamma": {"range": [0.9, 0.99]},
    },
    "trials": 3,
    "episodes": 3,
    "objective": "iqm",
    "sampler": "random",
}
# The command with less patience for the dead.
COMMAND = (
    "from experiments import search_study as study; study.BEAT, study.PATIENCE = 1.0, 8.0; "
    "from experiments import search; search.BEAT = 1.0; "
    "from experiments.cli import main; main(['search', 'space.yaml', '--workers', '1'])"
)


def start(place: Path, name: str) -> subprocess.Popen[bytes]:
    with (place / f"{name}.txt").open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", COMMAND], cwd=place, stdout=log, stderr=log)


def test_the_trials_of_a_killed_process_are_finished_by_the_other(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    killed, other = start(tmp_path, "killed"), start(tmp_path, "other")
    root = tmp_path / "runs" / "shared"
    started = time.monotonic()
    while len(list(root.glob("trial-*/*/*/checkpoints/*"))) == 0 or len(list(root.glob("trial-*/log.txt"))) < 2:
        assert time.monotonic() - started < PATIENCE
        assert killed.poll() is other.poll() is None, (tmp_path / "other.txt").read_text()
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert other.wait(PATIENCE) == 0, (tmp_path / "other.txt").read_text()

    results = tmp_path / "results" / "shared"
    table = pd.read_csv(results / "trials.csv")
    assert table["state"].tolist() == ["complete"] * 3  # all of them, and none twice
    assert table["folder"].is_unique
    assert table["number"].max() >= 3  # the dead one's trial has a new number
    assert set(OBJECTIVES) <= set(table.columns)
    runs = find_runs([root])
    assert len(runs) == 3
    assert all(run.done and run.config.seed == 1000 for run in runs)
    for _, row in table.iterrows():
        run = open_run(next((root / row["folder"]).glob("*/seed-1000")))
        assert run.config.steps == row["steps"]
        assert run.config.agent.hyperparameters["gamma"] == row["agent.hyperparameters.gamma"]
        assert "seed-1000: mean " in (root / row["folder"] / "log.txt").read_text()
        episodes = pd.read_csv(run.episodes)
        assert len(episodes) == 3
        assert set(episodes["eval_domain"]) == {"source"}
        assert row["mean"] == pytest.approx(episodes["return"].mean())
    best = parse_config(RunConfig, yaml.safe_load((results / "best.yaml").read_text()), "best.yaml")
    assert best.steps == table.loc[table["score"].idxmax(), "steps"]
    assert (results / "report.html").stat().st_size > 10_000
    said = (tmp_path / "other.txt").read_text()
    assert "watch it: optuna-dashboard sqlite:///runs/shared/study.db" in said
    assert "report: results/shared/report.html" in said
