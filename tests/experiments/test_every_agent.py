"""What holds for every agent there is: it trains on the hopper, resumes, is judged, and its files hold no code.

That its export acts the same is tested beside the export.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import AGENTS
from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.evaluate import evaluate
from experiments.run import Run
from experiments.train import train
from tests.experiments.test_train import final_state, go_back, same, timeless

ON_POLICY = ("ppo", "recurrent_ppo", "a2c", "trpo", "reinforce")


@pytest.mark.parametrize("agent", AGENTS)
def test_it_trains_resumes_bit_identically_and_is_judged(
    agent: str, ppo_run: Run, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"steps": 400, "checkpoint_every": 150}
    if agent == "rma":
        drawn = {"randomization": {"method": "uniform"}}
        teacher = train(tiny(pipeline="privileged", steps=64, **drawn), tmp_path, num_threads=1)
        changes |= {"pipeline": "history", "history": {"critic": "parameters"}, **drawn}
        changes |= {"teacher": str(teacher.directory)}
    if agent == "dagger":
        changes |= {"teacher": str(ppo_run.directory), "pipeline": "pose", "pose": {"critic": "state"}}
    config = tiny(agent, **changes)
    run = train(config, tmp_path, num_threads=1)
    assert run.result()["steps"] >= 400
    expected, logged = final_state(run), timeless(run)
    first, last = list_checkpoints(run.checkpoints)
    assert 150 <= int(first.name) < int(last.name)

    go_back(run, int(first.name))
    assert same(final_state(train(config, tmp_path, num_threads=1)), expected)
    assert timeless(run) == logged

    rows = evaluate(run, ["source"], episodes=2, num_threads=1)
    assert all(np.isfinite(row["return"]) and 1 <= row["length"] <= 50 for row in rows)
    files = {path.suffix for path in run.checkpoints.rglob("*") if path.is_file()}
    assert files == {".json", ".safetensors"}


@pytest.mark.parametrize("agent", ON_POLICY)
def test_on_policy_agents_log_their_deviation_and_entropy(
    agent: str, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tiny(agent, steps=256)
    given = {**config.agent.hyperparameters, "std": "linear(1.0, 0.2)"}
    config = tiny(agent, steps=256, agent={"name": agent, "hyperparameters": given})
    run = train(config, tmp_path, num_threads=1)
    rows = run.rows()
    assert [row["train/std"] for row in rows[1:]] == pytest.approx([0.8, 0.6, 0.4])
    entropy = 3 * (0.5 * np.log(2 * np.pi * np.e) + np.log([0.8, 0.6, 0.4]))
    assert [row["train/entropy"] for row in rows[1:]] == pytest.approx(entropy, rel=1e-5)
    saved = load_section(run.latest_checkpoint(), "policy")["policy"]["log_std"]
    assert np.exp(saved) == pytest.approx(np.full(3, 0.2))  # where the schedule ends


def test_a_search_draws_its_curve(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    run = train(tiny("ars", steps=400), tmp_path, num_threads=1)
    rows = run.rows()
    assert len(rows) >= 3
    assert rows[-1]["step"] == run.result()["steps"]
    assert all(np.isfinite(row["rollout/ep_rew_mean"]) and row["rollout/return_std"] >= 0 for row in rows)
    assert (run.directory / "learning_curve.png").exists()


def test_a_schedule_that_starts_nowhere_leaves_no_run_behind(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    given = {"name": "a2c", "hyperparameters": {"n_steps": 16, "use_sde": True, "std": 0.5}}
    with pytest.raises(ValueError, match=r"^std and std_floor are for Gaussian policies"):
        train(tiny("a2c", agent=given), tmp_path, num_threads=1)
    assert list(tmp_path.iterdir()) == []
