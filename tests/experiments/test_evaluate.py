import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stable_baselines3.common.vec_env import VecEnv

from agents import load_policy, make_agent, normalize
from envs import BatchedEnv
from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import MAX_ENVS, RunConfig
from experiments.evaluate import evaluate, load_trained, missing_domains, play_domain
from experiments.files import locked
from experiments.harvest import act
from experiments.overlays import Painter
from experiments.play import record_video
from experiments.run import Run
from experiments.statistics import read_episodes
from experiments.tables import EPISODES
from experiments.train import train

Tiny = Callable[..., RunConfig]


def test_one_row_for_each_simulation(ppo_run: Run) -> None:
    table = read_episodes(ppo_run.episodes)
    assert list(table.columns) == list(EPISODES)
    assert table["eval_domain"].tolist() == ["source"] * 3 + ["target"] * 3
    assert table["episode"].tolist() == [0, 1, 2] * 2
    cell = {
        "study": "tiny",
        "figure": "hopper",
        "horizon": 50,
        "pipeline": "state",
        "randomization": "none",
        "agent": "ppo",
        "steps": 512,
        "train_domain": "source",
        "seed": 0,
    }
    for name, value in cell.items():
        assert set(table[name]) == {value}
    assert table["length"].between(1, 50).all()
    assert table["terminated"][table["length"] < 50].all()
    assert not table["diverged"].any()


def test_judging_again_gives_the_same_rows(own_run: Run, ppo_run: Run) -> None:
    evaluate(own_run, ["source", "target"], episodes=3, num_threads=2)
    assert own_run.episodes.read_bytes() == ppo_run.episodes.read_bytes()


def test_more_episodes_only_add_to_those_there(own_run: Run) -> None:
    # Networks round differently for another number of observations at a time, were there not always 16 or more.
    three = [row["return"] for row in evaluate(own_run, ["source"], episodes=3, num_threads=1)]
    five = [row["return"] for row in evaluate(own_run, ["source"], episodes=5, num_threads=1)]
    assert five[:3] == three
    assert len(set(five)) == 5


def test_new_rows_replace_those_of_the_same_domain(own_run: Run) -> None:
    before = read_episodes(own_run.episodes)
    evaluate(own_run, ["target", "nominal"], episodes=2, num_threads=1)
    after = read_episodes(own_run.episodes)
    assert after.groupby("eval_domain", sort=False).size().to_dict() == {"source": 3, "target": 2, "nominal": 2}
    pd.testing.assert_frame_equal(after[:3], before[:3])
    assert after["return"][3:5].tolist() == pytest.approx(before["return"][3:5].tolist(), rel=1e-4)


def test_a_domain_given_twice_is_judged_once(own_run: Run) -> None:
    rows = evaluate(own_run, ["source", "source"], episodes=2, num_threads=1)
    assert len(rows) == 2
    assert missing_domains(own_run, ["source", "target", "nominal"], 2) == ["target", "nominal"]
    assert missing_domains(own_run, ["source", "target"], 3) == ["source"]


def test_two_that_judge_one_run_at_a_time_lose_no_rows(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits with its rows until the first has written its own."""
    first = own_run.episodes.read_text(encoding="utf-8")
    own_run.episodes.unlink()
    comes = threading.Event()

    def announced(path: Path, wait: bool) -> Any:
        comes.set()
        return locked(path, wait)

    monkeypatch.setattr("experiments.evaluate.locked", announced)
    second = threading.Thread(target=evaluate, args=(own_run, ["gravity=5"], 2, 1))
    with locked(own_run.directory / ".episodes.lock", wait=True):
        second.start()
        assert comes.wait(120)
        assert not own_run.episodes.exists()
        own_run.episodes.write_text(first, encoding="utf-8")
    second.join()
    counts = read_episodes(own_run.episodes).groupby("eval_domain").size().to_dict()
    assert counts["gravity=5"] == 2
    assert {"source", "target"} <= set(counts)


def test_returns_equal_a_roll_out_by_hand(ppo_run: Run) -> None:
    """Every piece built by hand: environment, normaliser, networks; deterministic actions until each has ended."""
    config = ppo_run.config
    section = load_section(ppo_run.latest_checkpoint(), "policy")
    env: VecEnv = config.make_env(3, 1, "target")
    agent = make_agent(config.agent, config.make_env(4, 1), seed=99)
    load_policy(agent, section)
    moments = section["normalizer"]["observation"]
    observations = np.asarray(env.reset())
    returns, lengths, running = np.zeros(3), np.zeros(3, int), np.ones(3, bool)
    while running.any():
        scaled = (observations - moments["mean"]) / np.sqrt(moments["var"] + 1e-8)
        actions, _ = agent.predict(scaled.astype(np.float32), deterministic=True)
        step = env.step(actions)
        observations = np.asarray(step[0])
        returns += step[1] * running
        lengths += running
        running &= ~step[2]
    rows = read_episodes(ppo_run.episodes).query("eval_domain == 'target'")
    assert rows["length"].tolist() == lengths.tolist()
    assert rows["return"].to_numpy() == pytest.approx(returns, rel=1e-6)


def test_the_normaliser_is_the_trained_one_and_stays_as_it_is(ppo_run: Run) -> None:
    policy = load_trained(ppo_run, "source", 2, 1)
    saved = load_section(ppo_run.latest_checkpoint(), "policy")["normalizer"]["observation"]
    assert saved["count"] > 512
    policy.env.reset()
    for _ in range(5):
        policy.env.step(np.zeros((2, 3), np.float32))
    mean = policy.env.observation_moments.mean  # type: ignore[attr-defined]  # PPO's environment has a normaliser
    assert mean.tolist() == saved["mean"].tolist()
    fresh = normalize(ppo_run.config.agent, ppo_run.config.make_env(2, 1), training=True)
    fresh.reset()
    assert fresh.obs_rms.mean.tolist() != saved["mean"].tolist()  # type: ignore[attr-defined]


def test_starts_are_the_same_in_every_domain_and_new_to_training(ppo_run: Run, tiny: Tiny) -> None:
    config = ppo_run.config
    starts = {domain: np.asarray(config.make_env(4, 1, domain).reset()) for domain in ("source", "target", "gravity=5")}
    assert (starts["source"] == starts["target"]).all()
    assert (starts["source"] == starts["gravity=5"]).all()
    training = np.asarray(config.make_env(4, 1).reset())
    others = [np.asarray(tiny(seed=seed).make_env(4, 1, "source").reset()) for seed in (1, 2)]
    rows = np.concatenate([starts["source"], training, *others])
    assert len(np.unique(rows, axis=0)) == 16


def test_an_unfinished_run_is_judged_by_its_last_checkpoint(own_run: Run, ppo_run: Run) -> None:
    (own_run.directory / "done.json").unlink()
    rows = evaluate(own_run, ["source"], episodes=3, num_threads=1)
    expected = read_episodes(ppo_run.episodes).query("eval_domain == 'source'")["return"].tolist()
    assert [row["return"] for row in rows] == expected


def test_what_an_unfinished_policy_earned_is_forgotten_when_training_ends(tiny: Tiny, tmp_path: Path) -> None:
    """With the defaults of evaluate, a study would otherwise count it as judged."""
    whole = train(tiny(), tmp_path / "whole", num_threads=1)
    run = train(tiny(), tmp_path / "cut", num_threads=1)
    (run.directory / "done.json").unlink()
    for checkpoint in list_checkpoints(run.checkpoints)[1:]:
        shutil.rmtree(checkpoint)
    early = evaluate(run, ["source"], episodes=3, num_threads=1)
    train(tiny(), tmp_path / "cut", num_threads=1)
    assert missing_domains(run, ["source"], 3) == ["source"]
    late = evaluate(run, ["source"], episodes=3, num_threads=1)
    assert late == evaluate(whole, ["source"], episodes=3, num_threads=1)
    assert late != early


def test_a_policy_whose_training_ends_while_it_is_judged_is_not_counted(
    own_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = (own_run.directory / "done.json").read_bytes()
    (own_run.directory / "done.json").unlink()
    before = own_run.episodes.read_bytes()

    def play(*_: Any) -> list[dict[str, Any]]:
        (own_run.directory / "done.json").write_bytes(result)
        return []

    monkeypatch.setattr("experiments.evaluate.play_domain", play)
    with pytest.raises(ValueError, match="its training ended while an earlier policy was judged; judge it again"):
        evaluate(own_run, ["source"], 3, 1)
    assert own_run.episodes.read_bytes() == before


@pytest.mark.parametrize(
    ("domains", "episodes", "message"),
    [
        (["source"], 0, "episodes is 0; it must be from 1 to 100000"),
        (["source"], -3, "episodes is -3"),
        (["source"], MAX_ENVS + 1, "episodes is 100001"),
        ([], 2, "no domain to judge in"),
        (["source", "mars"], 2, "cannot read 'mars' .accepted: first a name of nominal, source, target"),
        (["torso_mass=0"], 2, "torso_mass = 0 is not physical"),
    ],
)
def test_bad_requests_change_nothing(own_run: Run, domains: list[str], episodes: int, message: str) -> None:
    before = own_run.episodes.read_bytes()
    with pytest.raises(ValueError, match=message):
        evaluate(own_run, domains, episodes, 1)
    assert own_run.episodes.read_bytes() == before


@pytest.mark.parametrize("damage", ["half", "text", "empty"])
def test_damaged_episodes_are_named_and_kept(own_run: Run, damage: str) -> None:
    whole = own_run.episodes.read_bytes()
    broken = {"half": whole[: len(whole) - 20], "text": whole.replace(b"hopper,50", b"hopper,fifty", 1), "empty": b""}
    own_run.episodes.write_bytes(broken[damage])
    with pytest.raises(ValueError, match=r"episodes\.csv: line \d") as caught:
        evaluate(own_run, ["source"], 2, 1)
    assert "\n" not in str(caught.value)
    assert own_run.episodes.read_bytes() == broken[damage]


def test_off_policy_agents_are_judged_too(sac_run: Run) -> None:
    rows = evaluate(sac_run, ["source"], episodes=2, num_threads=1)
    assert [row["agent"] for row in rows] == ["sac", "sac"]
    assert all(np.isfinite(row["return"]) and 1 <= row["length"] <= 50 for row in rows)


def test_an_error_closes_the_environment(ppo_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers, and the memory that they share, would outlive it."""
    closed: list[object] = []

    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(BatchedEnv, "step_async", fail)
    monkeypatch.setattr(BatchedEnv, "close", lambda env: closed.append("environment"))
    monkeypatch.setattr(Painter, "close", lambda painter: closed.append("painter"))
    calls: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: play_domain(ppo_run, "source", 2, 1), ["environment"]),
        (lambda: act(ppo_run, "source", 2, 3, seed=0), ["environment"]),
        (lambda: record_video(ppo_run, "source", tmp_path / "v.mp4"), ["painter", "environment"]),
    ]
    for call, wanted in calls:
        closed.clear()
        with pytest.raises(RuntimeError, match="no memory"):
            call()
        assert closed == wanted
