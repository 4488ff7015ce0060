import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm

from agents import AGENTS
from experiments.config import RunConfig
from experiments.evaluate import load_trained
from experiments.export import export
from experiments.privileged import TAUGHT
from experiments.run import Run
from experiments.train import train


@pytest.mark.parametrize("agent", [name for name in AGENTS if name not in TAUGHT])  # which act on no state
def test_the_zip_acts_like_the_run_on_raw_observations(
    agent: str, ppo_run: Run, sac_run: Run, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    ready = {"ppo": ppo_run, "sac": sac_run}
    run = ready.get(agent) or train(tiny(agent, steps=128), tmp_path / "runs", num_threads=1)
    path = export(run, tmp_path / "out" / "policy.zip")
    assert os.listdir(path.parent) == ["policy.zip"]
    loaded: BaseAlgorithm = AGENTS[agent].algorithm().load(path, device="cpu")
    policy = load_trained(run, "target", num_envs=4, num_threads=1)
    raw = run.config.make_env(4, 1, "target")
    seen, observations = np.asarray(raw.reset()), policy.env.reset()
    memory: Any = None
    loaded_memory: Any = None
    starts = np.ones(4, bool)
    for _ in range(30):
        actions, memory = policy.agent.predict(observations, memory, starts, deterministic=True)  # type: ignore[arg-type]
        again, loaded_memory = loaded.predict(seen, loaded_memory, starts, deterministic=True)
        assert again == pytest.approx(actions, abs=1e-5)
        seen = np.asarray(raw.step(actions)[0])
        observations, _, starts, _ = policy.env.step(actions)
    assert np.ptp(actions, axis=0).max() > 1e-4  # the policy does look at its observation


def test_schedules_of_ours_are_not_in_the_zip(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    """They are objects of classes here, which a reader with SB3 alone could not build."""
    given = {
        "a2c": {"n_steps": 16, "std": "linear(0.6, 0.1, 0.5)", "ent_coef": "linear(0.01, 0, 0.5)"},
        "cem": {"episode_steps": "linear(4, 8, 0.5)", "extra_noise": "linear(0.1, 0, 0.5)"},
    }
    zips = {}
    for name, hyperparameters in given.items():
        config = tiny(agent={"name": name, "hyperparameters": hyperparameters}, steps=128)
        zips[name] = export(train(config, tmp_path / "runs", num_threads=1), tmp_path / f"{name}.zip")
        with zipfile.ZipFile(zips[name]) as file:
            stored = json.loads(file.read("data"))
        assert not {"std_schedule", "ent_schedule", "length_schedule", "noise_schedule"} & set(stored)
        assert "HeldSchedule" not in json.dumps(stored)
    sb3_contrib.ARS.load(zips["cem"], device="cpu")
    loaded = stable_baselines3.A2C.load(zips["a2c"], device="cpu")
    np.testing.assert_allclose(loaded.policy.log_std.detach().exp(), 0.1, rtol=1e-6)


def test_the_normaliser_matters(ppo_run: Run) -> None:
    """Otherwise the test above would show nothing: without it the networks act differently."""
    policy = load_trained(ppo_run, "source", 4, 1)
    raw = np.asarray(ppo_run.config.make_env(4, 1, "source").reset())
    with_it, _ = policy.agent.predict(policy.env.reset(), deterministic=True)  # type: ignore[arg-type]
    without, _ = policy.agent.predict(raw, deterministic=True)
    assert np.abs(with_it - without).max() > 1e-3


def test_bad_requests_write_nothing(ppo_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"accepted: a file name that ends in \.zip"):
        export(ppo_run, tmp_path / "policy.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_old_zip(ppo_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export(ppo_run, tmp_path / "policy.zip")
    before = path.read_bytes()

    def full(self: BaseAlgorithm, target: Path, **_: Any) -> None:
        target.write_bytes(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BaseAlgorithm, "save", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*policy\.zip'"):
        export(ppo_run, path)
    assert path.read_bytes() == before
    assert zipfile.is_zipfile(path)
    assert os.listdir(tmp_path) == ["policy.zip"]
