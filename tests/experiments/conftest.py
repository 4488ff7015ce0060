"""Runs so small that a test can afford to train them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.config import RunConfig
from experiments.evaluate import evaluate
from experiments.plain import parse_config
from experiments.run import Run
from experiments.train import train

PPO: dict[str, Any] = {"n_steps": 16, "batch_size": 32, "n_epochs": 2}
SAC: dict[str, Any] = {"learning_starts": 100, "buffer_size": 2000, "batch_size": 32, "gradient_steps": 1}
HYPERPARAMETERS = {
    "ppo": PPO,
    "a2c": {"n_steps": 16},
    "trpo": {"n_steps": 16, "batch_size": 32, "n_critic_updates": 2},
    "reinforce": {"n_steps": 16, "batch_size": 32, "n_critic_updates": 2},
    "recurrent_ppo": {**PPO, "policy_kwargs": {"lstm_hidden_size": 8, "net_arch": [8]}},
    "dagger": {"train_freq": 8, "gradient_steps": 4, "batch_size": 32, "buffer_size": 2000},
    "rma": {"train_freq": 8, "gradient_steps": 4, "batch_size": 32, "buffer_size": 2000},
    "sac": SAC,
    "tqc": SAC,
    "cem": {"episode_steps": 8, "policy_kwargs": {"net_arch": [8]}},
    "td3": SAC,
    "crossq": SAC,
    "ars": {"n_delta": 2, "n_top": 1},
}

Tiny = Callable[..., RunConfig]


def tiny_config(name: str = "ppo", /, **changes: Any) -> RunConfig:
    """512 steps in 4 simulations with episodes of 50 steps; a rollout of PPO is 64 steps."""
    settings: dict[str, Any] = {
        "study": "tiny",
        "agent": {"name": name, "hyperparameters": HYPERPARAMETERS[name]},
        "steps": 512,
        "num_envs": 4,
        "horizon": 50,
        "checkpoint_every": 128,
    }
    return parse_config(RunConfig, settings | changes, "tiny")


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """Builds a tiny configuration; keyword arguments change its keys."""
    return tiny_config


@pytest.fixture(scope="session")
def ppo_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished PPO run, judged in source and target over 3 episodes. Shared: copy it before changing it."""
    run = train(tiny_config(), tmp_path_factory.mktemp("ppo"), num_threads=1)
    evaluate(run, ["source", "target"], episodes=3, num_threads=1)
    return run


@pytest.fixture(scope="session")
def sac_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished SAC run. Shared: copy it before changing it."""
    return train(tiny_config("sac", steps=160), tmp_path_factory.mktemp("sac"), num_threads=1)


@pytest.fixture
def own_run(ppo_run: Run, tmp_path: Path) -> Run:
    """A copy of the finished PPO run that the test may damage."""
    directory = tmp_path / "runs" / ppo_run.config.path
    shutil.copytree(ppo_run.directory, directory)
    return Run(ppo_run.config, directory)
