"""A run that begins where another one is: what it takes over, how it counts, and what it refuses."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import Exploration, normalize
from agents.cem import CEM
from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.run import Run, create_run
from experiments.start import begin, start_config
from experiments.train import train
from experiments.upkeep import Interrupted

Tiny = Callable[..., RunConfig]


def policy_of(checkpoint: Path) -> dict[str, Any]:
    policy: dict[str, Any] = load_section(checkpoint, "policy")["policy"]
    return policy


def further(tiny: Tiny, start: Path, agent: str = "ppo", /, **changes: Any) -> RunConfig:
    return tiny(agent, **{"study": "more", "start": str(start), "steps": 768, **changes})


def test_it_counts_on_and_leaves_its_start_alone(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in ppo_run.directory.rglob("*") if path.is_file()}
    run = train(further(tiny, ppo_run.directory), tmp_path, num_threads=1)
    assert {path: path.read_bytes() for path in ppo_run.directory.rglob("*") if path.is_file()} == before
    assert run.config.start == str(ppo_run.latest_checkpoint())  # the very one, if the run should go on
    assert [row["step"] for row in run.rows()] == [576, 640, 704, 768]
    assert [int(path.name) for path in list_checkpoints(run.checkpoints)] == [640, 768]
    assert run.result()["steps"] == 768
    state = load_section(run.latest_checkpoint(), "training")
    there = load_section(ppo_run.latest_checkpoint(), "training")
    assert run.result()["wall_s"] > there["elapsed"]  # of all training that is in the agent
    updates = [each["agent"]["attributes"]["_n_updates"] for each in (there, state)]
    assert updates == [8 * 2, 12 * 2]
    counts = [each["normalizer"]["observation"]["count"] for each in (there, state)]
    assert counts[1] - counts[0] == 256 + 4  # and the four first observations of new episodes
    adam = [each["agent"]["parameters"]["policy.optimizer"]["state"][0]["step"] for each in (there, state)]
    assert adam == [32, 48]  # two minibatches, twice, for each of 8 and of 12 rollouts


def test_it_begins_with_what_its_start_had_learned(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """A step so small that nothing moves shows what was there before it."""
    config = further(tiny, ppo_run.directory, steps=513)
    slow = {**config.agent.hyperparameters, "learning_rate": 1e-12}
    run = train(further(tiny, ppo_run.directory, steps=513, agent={"name": "ppo", "hyperparameters": slow}), tmp_path)
    found, there = policy_of(run.latest_checkpoint()), policy_of(ppo_run.latest_checkpoint())
    for name, value in there.items():
        np.testing.assert_allclose(found[name], value, atol=1e-9, err_msg=name)


def test_any_of_its_checkpoints_or_a_folder_of_seeds_can_be_the_start(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    earlier, later = list_checkpoints(ppo_run.checkpoints)
    for number, (start, found) in enumerate(
        [
            (earlier, earlier),
            (later, later),
            (ppo_run.checkpoints, later),
            (ppo_run.directory, later),
            (ppo_run.directory.parent, later),
        ]
    ):
        run = create_run(further(tiny, start), tmp_path / str(number))
        assert run.config.start == str(found)
        assert start_config(start) == ppo_run.config
    run = train(further(tiny, earlier, steps=512), tmp_path, num_threads=1)
    assert [row["step"] for row in run.rows()] == [448, 512]


def test_other_physics_other_seeds_and_other_numbers_of_simulations_are_welcome(
    ppo_run: Run, tiny: Tiny, tmp_path: Path
) -> None:
    changes = {"domain": "target", "seed": 3, "num_envs": 8, "horizon": 25, "randomization": {"method": "uniform"}}
    run = train(further(tiny, ppo_run.directory, **changes), tmp_path, num_threads=1)
    assert [row["step"] for row in run.rows()] == [640, 768]
    assert load_section(run.latest_checkpoint(), "training")["simulation"]["episode"].shape == (8,)


def test_a_schedule_stands_where_it_would_in_a_run_of_all_these_steps(tiny: Tiny, tmp_path: Path) -> None:
    agent = {"name": "a2c", "hyperparameters": {"n_steps": 16, "learning_rate": "linear(1e-3, 0)", "std": 0.9}}
    first = train(tiny("a2c", steps=256, agent=agent), tmp_path, num_threads=1)
    agent = {**agent, "hyperparameters": {**agent["hyperparameters"], "std": "linear(1.0, 0.2)"}}  # type: ignore[dict-item]
    run = train(further(tiny, first.directory, "a2c", steps=512, agent=agent), tmp_path, num_threads=1)
    rows = run.rows()
    assert [row["step"] for row in rows] == [320, 384, 448, 512]
    # Half of 512 steps are over at the start; a row says what its update, behind the rollout before, was made with.
    assert [row["train/learning_rate"] for row in rows[1:]] == pytest.approx([3.75e-4, 2.5e-4, 1.25e-4])
    assert [row["train/std"] for row in rows[1:]] == pytest.approx([0.5, 0.4, 0.3])


def test_the_first_rollout_acts_with_the_deviation_of_its_schedule(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = {"name": "a2c", "hyperparameters": {"n_steps": 16, "std": "linear(1.0, 0.2)"}}
    first = train(tiny("a2c", steps=256, agent=agent), tmp_path, num_threads=1)
    assert np.exp(policy_of(first.latest_checkpoint())["log_std"]) == pytest.approx(np.full(3, 0.2))
    held: list[float] = []
    monkeypatch.setattr(Exploration, "hold_std", lambda self, remaining: held.append(remaining))
    train(further(tiny, first.directory, "a2c", steps=512, agent=agent), tmp_path, num_threads=1)
    # Two agents are made, one of them to see whether that is possible; then it begins half way.
    assert held == [1.0, 1.0, 0.5, 0.375, 0.25, 0.125, 0.0]


def test_a_deviation_can_be_learnt_then_scheduled_then_learnt_again(tiny: Tiny, tmp_path: Path) -> None:
    start, found = "", []
    for steps, std in ((128, {}), (256, {"std": 0.5}), (384, {})):
        given = {"n_steps": 16, "batch_size": 32, "n_epochs": 2, **std}
        config = tiny(study=f"to-{steps}", start=start, steps=steps, agent={"name": "ppo", "hyperparameters": given})
        run = train(config, tmp_path, num_threads=1)
        found.append(np.exp(policy_of(run.latest_checkpoint())["log_std"].numpy()))
        start = str(run.directory)
    assert np.abs(found[0] - 1).max() < 0.1
    assert found[1] == pytest.approx(np.full(3, 0.5))
    assert 0 < np.abs(found[2] - 0.5).max() < 0.1


@pytest.mark.parametrize("agent", ["sac", "td3", "ars", "cem", "recurrent_ppo"])
def test_other_kinds_of_agents_go_on_too(agent: str, tiny: Tiny, tmp_path: Path) -> None:
    first = train(tiny(agent, steps=160), tmp_path, num_threads=1)
    steps = int(first.latest_checkpoint().name)
    run = train(further(tiny, first.directory, agent, steps=steps + 80), tmp_path, num_threads=1)
    there, state = (load_section(each.latest_checkpoint(), "training")["agent"] for each in (first, run))
    assert run.result()["steps"] >= steps + 80
    if "replay" in there:
        old, new = there["replay"], state["replay"]
        assert (old["pos"], new["pos"]) == (40, 60)
        for name, array in old["arrays"].items():
            np.testing.assert_array_equal(new["arrays"][name][:40], array)
        assert state["attributes"]["_n_updates"] == there["attributes"]["_n_updates"] + 20


def test_a_population_goes_on_with_the_spread_that_its_start_had(tiny: Tiny, tmp_path: Path) -> None:
    """One elite has no variance of its own: a generation's is its noise alone, which tells it from the first."""
    given = {"episode_steps": 8, "policy_kwargs": {"net_arch": [8]}, "elite_fraction": 0.25, "extra_noise": 0.02}
    agent = {"name": "cem", "hyperparameters": {**given, "sigma": 1.0}}
    first = train(tiny("cem", steps=32, agent=agent), tmp_path, num_threads=1)
    config = further(tiny, first.directory, "cem", steps=64, agent=agent)
    fresh = config.make_agent(normalize(config.agent, config.make_env(4, 1), training=True))
    assert isinstance(fresh, CEM)
    assert fresh.variance.mean().item() == pytest.approx(1.0)
    env = fresh.get_env()
    assert env is not None
    begin(create_run(config, tmp_path).config, fresh, env)
    np.testing.assert_allclose(fresh.variance, 0.02**2, rtol=1e-5)


def test_it_resumes_like_any_run(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    config = further(tiny, ppo_run.directory)
    whole = train(config, tmp_path / "whole", num_threads=1)

    def stop(*_: Any) -> None:
        raise Interrupted("killed")

    with pytest.raises(Interrupted):  # before it has a checkpoint of its own
        train(config, tmp_path / "cut", num_threads=1, report=stop)
    run = create_run(config, tmp_path / "cut")
    assert list_checkpoints(run.checkpoints) == []
    train(config, tmp_path / "cut", num_threads=1)
    (run.directory / "done.json").unlink()
    shutil.rmtree(run.latest_checkpoint())
    train(config, tmp_path / "cut", num_threads=1)
    found, expected = (policy_of(each.latest_checkpoint()) for each in (run, whole))
    assert all((found[name] == expected[name]).all() for name in expected)
    assert [row["step"] for row in run.rows()] == [576, 640, 704, 768]


def test_the_same_command_does_nothing_when_it_is_done_even_without_its_start(
    ppo_run: Run, own_run: Run, tiny: Tiny, tmp_path: Path
) -> None:
    config = further(tiny, own_run.directory, steps=576)
    run = train(config, tmp_path, num_threads=1)
    shutil.rmtree(own_run.directory)
    assert train(config, tmp_path, num_threads=1) == run
    with pytest.raises(ValueError, match=r"holds a run with start = .*, not .*; accepted: the same configuration"):
        train(further(tiny, ppo_run.directory, steps=576), tmp_path, num_threads=1)


@pytest.mark.parametrize(
    ("agent", "changes", "message"),
    [
        ("ppo", {"steps": 512}, "steps is 512, but the start, CHECKPOINT, has learned from 512; accepted: more, since"),
        ("ppo", {"steps": 100}, "steps is 100, but the start, CHECKPOINT, has learned from 512; accepted: more, since"),
        ("a2c", {}, "agent.name is 'a2c', but 'ppo' in CHECKPOINT; accepted: the same, or no start"),
        ("ppo", {"pipeline": "pose"}, "pipeline is 'pose', but 'state' in CHECKPOINT; accepted: the same, or no start"),
    ],
)
def test_a_start_that_does_not_fit_is_refused_before_anything_is_written(
    agent: str, changes: dict[str, Any], message: str, ppo_run: Run, tiny: Tiny, tmp_path: Path
) -> None:
    text = re.escape(message).replace("CHECKPOINT", re.escape(str(ppo_run.latest_checkpoint())))
    with pytest.raises(ValueError, match=f"^{text}"):
        create_run(further(tiny, ppo_run.directory, agent, **changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_start_of_another_figure_is_refused(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^figure is 'walker2d', but 'hopper' in .*; accepted: the same, or no start$"
    ):
        create_run(further(tiny, ppo_run.directory, figure="walker2d"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_networks_of_another_shape_are_refused(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    wide = {**ppo_run.config.agent.hyperparameters, "policy_kwargs": {"net_arch": [8]}}
    with pytest.raises(ValueError, match=r"^agent\.hyperparameters\.policy_kwargs is .*'net_arch': \[8\].*, but \{"):
        create_run(further(tiny, ppo_run.directory, agent={"name": "ppo", "hyperparameters": wide}), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 8}, "num_envs is 8, but 4 in "),
        (
            {"agent": {"name": "sac", "hyperparameters": {"buffer_size": 5000}}},
            "agent.hyperparameters.buffer_size is 5000",
        ),
    ],
)
def test_a_replay_buffer_of_another_shape_is_refused(
    changes: dict[str, Any], message: str, sac_run: Run, tiny: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        create_run(further(tiny, sac_run.directory, "sac", **changes), tmp_path)


def test_a_start_that_is_not_there_is_refused(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^start nowhere: no checkpoint there; accepted: a run that has one$"):
        create_run(further(tiny, Path("nowhere")), tmp_path)
    gone = ppo_run.checkpoints / "000000000128"  # the oldest are removed
    with pytest.raises(ValueError, match=rf"^start {gone}: no .* accepted: 000000000384, 000000000512$"):
        create_run(further(tiny, gone), tmp_path)
    with pytest.raises(ValueError, match=r"^start nowhere: not a run directory, nor a checkpoint in one, nor a folder"):
        start_config(Path("nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_start_is_named(own_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    file = own_run.latest_checkpoint() / "training.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: truncated or changed"):
        train(further(tiny, own_run.directory), tmp_path / "other", num_threads=1)
