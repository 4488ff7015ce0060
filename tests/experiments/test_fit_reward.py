"""The reward predictor from recording to report, in small, and what it refuses."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import experiments.fit_reward
from experiments.cli import main
from experiments.config import RunConfig
from experiments.files import locked, read_json
from experiments.fit_reward import fit_reward, read_reward_config
from experiments.individuals import play, sampled
from experiments.reward_config import RewardConfig
from experiments.reward_network import held_out, load_network, quality
from experiments.reward_report import findings, scatter_chart, write_reward_report
from experiments.run import Run, create_run
from experiments.train import train
from experiments.transitions import load_transitions, stream

Tiny = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def cem_run(tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Run:
    hyperparameters = {"sigma": 0.4, "policy_kwargs": {"net_arch": [8]}}
    agent = {"name": "cem", "hyperparameters": hyperparameters}
    return train(tiny(agent=agent, steps=256), tmp_path_factory.mktemp("cem"), num_threads=1)


@pytest.fixture(scope="module")
def config(cem_run: Run) -> RewardConfig:
    return RewardConfig(
        policies=(str(cem_run.directory),),
        population=12,
        points=3000,
        noise=(0.5,),
        episodes=2,
        observations=60,
        hidden=(32,),
        epochs=6,
        batch_size=64,
        learning_rate=5e-3,
    )


@pytest.fixture(scope="module")
def made(config: RewardConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reward") / "hopper"
    stages: list[str] = []
    fit_reward(config, directory, lambda stage, done, total, note: stages.append(stage))
    assert list(dict.fromkeys(stages)) == [
        *("recording", "fitting", "judging", "judging on other starts", "ranking on recorded observations")
    ]
    return directory


def test_everything_is_there_and_agrees(made: Path, config: RewardConfig) -> None:
    found, scores = read_json(made / "metrics.json"), pd.read_csv(made / "individuals.csv")
    assert (found["figure"], found["domain"], found["horizon"]) == ("hopper", "source", 50)
    assert len(scores) == 12
    recorded = [f"recorded: {name}" for name in ("all", "random", "good", "noisy 0.5")]
    assert list(scores) == ["individual", "true", "generated", "length", "other starts", *recorded]
    assert list(found["rankings"]) == list(scores)[2:]
    for name, values in found["rankings"].items():
        assert values["spearman"] == pytest.approx(stats.spearmanr(scores[name], scores["true"]).statistic, abs=1e-6)
        assert values["kendall"] == pytest.approx(stats.kendalltau(scores[name], scores["true"]).statistic, abs=1e-6)
    assert list(found["prediction"]) == ["random", "good", "noisy 0.5", "individuals"]
    assert sum(found["recorded"].values()) == found["points"]
    # Each kind has as many observations, so that all kinds' mean is the mean of theirs.
    np.testing.assert_allclose(scores[recorded[0]], scores[recorded[1:]].mean(axis=1), rtol=1e-4)


def test_the_scores_are_what_the_parts_say(made: Path, config: RewardConfig, cem_run: Run) -> None:
    scores, data = pd.read_csv(made / "individuals.csv"), load_transitions(made / "transitions.npz")
    network = load_network(made / "network.safetensors", config.hidden)
    individuals = sampled(cem_run, 12, stream(config.seed, 4, 0))
    assert scores["individual"].tolist() == list(individuals.names)
    simulation = cem_run.config.make_env(24, 1, "source")
    simulation.seed(stream(config.seed, 5))
    np.testing.assert_allclose(scores["true"], play(individuals, simulation).returns.mean(1), rtol=1e-4)
    simulation.seed(stream(config.seed, 6))
    again = play(individuals, simulation, network.predict)
    np.testing.assert_allclose(scores["generated"], again.predicted.mean(1), rtol=1e-4)
    np.testing.assert_allclose(scores["other starts"], again.returns.mean(1), rtol=1e-4)
    np.testing.assert_allclose(scores["length"], again.lengths.mean(1), rtol=1e-4)
    judged = held_out(data, config.seed) & (data.kinds == 1)
    expected = quality(data.rewards[judged], network.predict(data.observations[judged], data.actions[judged]))
    assert read_json(made / "metrics.json")["prediction"]["good"] == pytest.approx(expected)


def test_on_recorded_observations_each_is_asked_what_it_would_do(cem_run: Run) -> None:
    individuals = sampled(cem_run, 3, seed=1)
    states = np.random.default_rng(0).normal(size=(50_000, 11)).astype(np.float32)  # more than are predicted at a time

    class Sum:
        def predict(self, observations: Any, actions: Any) -> Any:
            return observations[:, 0] + actions.sum(1)

    network: Any = Sum()
    found = experiments.fit_reward._on_recorded(individuals, states, network)
    assert found.shape == (3, 50_000)
    for row in (0, 31_000, 49_999):
        actions = individuals.act(np.repeat(states[None, row : row + 1], 3, axis=0))[:, 0]
        np.testing.assert_allclose(found[:, row], states[row, 0] + actions.sum(1), atol=1e-5)


def test_twice_is_the_same_and_a_third_time_does_nothing(made: Path, config: RewardConfig, tmp_path: Path) -> None:
    fit_reward(config, tmp_path / "again")
    for name in ("metrics.json", "individuals.csv", "network.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    fit_reward(config, made, lambda *_: pytest.fail("it did something"))
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_what_was_interrupted_goes_on(
    made: Path, config: RewardConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiments.fit_reward, "fit_network", stop)
        with pytest.raises(KeyboardInterrupt):
            fit_reward(config, tmp_path / "new")
    assert not (tmp_path / "new" / "metrics.json").exists()
    monkeypatch.setattr(experiments.fit_reward, "record", stop)  # need not be done again
    fit_reward(config, tmp_path / "new")
    assert (tmp_path / "new" / "metrics.json").read_bytes() == (made / "metrics.json").read_bytes()


def test_the_report_has_both_tables_and_a_picture(made: Path) -> None:
    text = write_reward_report(made).read_text()
    found = read_json(made / "metrics.json")
    for name in ("random", "good", "noisy 0.5"):
        assert re.search(rf"^\| {name} \| 1,\d{{3}} \| {found['prediction'][name]['r2']:.3f} \|", text, re.M)
    assert f"| on recorded observations: all | {found['rankings']['recorded: all']['spearman']:.2f} (" in text
    assert f"itself, from other starts | {found['rankings']['generated']['spearman']:.2f} (" in text
    assert "episodes of\n50 steps each" in text
    assert "12 individuals" in text
    assert (made / "figures" / "ranking.png").stat().st_size > 1000


def agreement(value: float, low: float, high: float) -> dict[str, float]:
    return {"spearman": value, "spearman_low": low, "spearman_high": high}


def test_findings_follow_the_numbers() -> None:
    nan = float("nan")
    found: dict[str, Any] = {
        "prediction": {"random": {"r2": 0.9}, "good": {"r2": 0.97}, "individuals": {"r2": 0.5}},
        "between": {"recorded: all": 0.0123},
        "rankings": {
            "recorded: all": agreement(0.1, -0.2, 0.4),
            "generated": agreement(0.8, 0.6, 0.9),
            "length": agreement(nan, nan, nan),
            "other starts": agreement(0.85, 0.7, 0.9),
        },
    }
    predicted, recorded, generated, ceiling = findings(found)
    assert "R² 0.90 to 0.97" in predicted
    assert "0.50 on the individuals' own steps" in predicted
    assert "cannot be told from chance (ρ 0.10 (-0.20 to 0.40))" in recorded
    assert "1.2 % of the variance" in recorded
    assert "agrees with the true one (ρ 0.80 (0.60 to 0.90))" in generated
    assert "ρ undefined" in ceiling
    assert "0.85 (0.70 to 0.90)" in ceiling
    found["rankings"]["recorded: all"] = agreement(0.3, 0.1, 0.5)
    assert "agrees with the true one (ρ 0.30" in findings(found)[1]
    found["rankings"]["recorded: all"] = agreement(-0.3, -0.5, -0.1)
    assert "runs against the true one (ρ -0.30" in findings(found)[1]


def test_the_chart_shows_every_individual_twice() -> None:
    scores = pd.DataFrame({"true": [1.0, 2.0, 3.0], "recorded: all": [0.1, 0.3, 0.2], "generated": [1.5, 2.0, 4.0]})
    rankings = {"recorded: all": {"spearman": 0.5}, "generated": {"spearman": 1.0}}
    upper, lower = scatter_chart(scores, {"horizon": 50, "rankings": rankings}).axes
    assert np.asarray(upper.collections[0].get_offsets()).tolist() == [[1, 0.1], [2, 0.3], [3, 0.2]]
    assert np.asarray(lower.collections[0].get_offsets()).tolist() == [[1, 1.5], [2, 2], [3, 4]]
    assert upper.get_title(loc="left") == "recorded observations: ρ 0.50"
    assert lower.get_xlabel() == "true return (50-step episodes)"


def test_several_runs_are_ranked_by_their_last_checkpoints(
    config: RewardConfig, ppo_run: Run, sac_run: Run, cem_run: Run, tmp_path: Path
) -> None:
    runs = tuple(str(run.directory) for run in (ppo_run, sac_run, cem_run))
    fit_reward(replace(config, individuals=runs, population=2, points=600, epochs=1, noise=()), tmp_path / "several")
    scores = pd.read_csv(tmp_path / "several" / "individuals.csv")
    assert scores["individual"].tolist() == [ppo_run.name, sac_run.name, f"{cem_run.name}#0", f"{cem_run.name}#1"]
    assert list(scores)[-2:] == ["recorded: random", "recorded: good"]


def test_the_command_does_it_all(
    cem_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    sizes = ["--population", "4", "--points", "600", "--episodes", "1", "--observations", "20", "--epochs", "1"]
    words = ["fit-reward", str(tmp_path / "p"), "--policies", str(cem_run.directory), *sizes, "--noise", "0.2", "0.4"]
    main([*words, "--hidden", "8"])
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"report: {tmp_path / 'p' / 'README.md'}"
    assert "noisy 0.4" in out
    assert "on recorded observations: all" in out
    main([*words, "--hidden", "8"])  # and again, from what is there
    with pytest.raises(SystemExit) as stop:
        main([*words, "--hidden", "9"])
    assert stop.value.code == 2
    assert (
        "holds a predictor with hidden = [8], not [9]; accepted: the same, or a new directory"
        in capsys.readouterr().err
    )


def refusal(config: RewardConfig, directory: Path) -> str:
    with pytest.raises(ValueError, match="accepted: ") as caught:
        fit_reward(config, directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_it_cannot_work_with_is_refused_and_nothing_is_written(
    config: RewardConfig, ppo_run: Run, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    ppo = replace(config, policies=(str(ppo_run.directory),))
    many = replace(config, points=100, noise=tuple(0.01 * i for i in range(1, 100)))
    with pytest.raises(
        ValueError, match="points is 100; it must be 101 or more: a step of each of 1 runs in each of 101"
    ):
        fit_reward(many, new)
    assert refusal(replace(config, policies=()), new).startswith("no trained run is given; accepted: --policies")
    assert "1 to rank, and none of agent cem; accepted: --individuals with a run of agent cem" in refusal(ppo, new)
    untrained = create_run(tiny("cem"), tmp_path / "runs")
    with pytest.raises(ValueError, match="no checkpoint yet; train it first with simgap train"):
        fit_reward(replace(config, policies=(str(untrained.directory),)), new)
    assert "first a name of nominal, source, target" in refusal(replace(config, domain="mars"), new)
    other = Run(replace(ppo_run.config), ppo_run.directory)
    object.__setattr__(other.config, "figure", "walker2d")
    both = [Run(ppo_run.config, ppo_run.directory), other]
    with monkeypatch.context() as patch:
        patch.setattr(experiments.fit_reward, "find_runs", lambda paths: both)
        assert "seed-000: a policy of walker2d; accepted: of hopper, as the first" in refusal(config, new)
    assert not new.exists()


def test_a_directory_of_something_else_is_refused(made: Path, config: RewardConfig, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "not empty, and not made by simgap fit-reward" in refusal(config, tmp_path)
    assert "holds a predictor with points = 3000, not 4000" in refusal(replace(config, points=4000), made)


def killed_at(place: str, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do ``work``, which is killed where it calls ``place``."""

    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, kill)
        with pytest.raises(KeyboardInterrupt):
            work()


def test_a_kill_between_its_first_files_is_gone_on_from(
    config: RewardConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, there in (("provenance", False), ("_work", True)):
        killed_at(f"experiments.fit_reward.{part}", lambda: fit_reward(config, tmp_path / "new"), monkeypatch)
        assert read_reward_config(tmp_path / "new") == config
        assert (tmp_path / "new" / "provenance.json").exists() == there


def test_two_processes_do_not_work_in_one_directory(config: RewardConfig, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    busy = pytest.raises(ValueError, match=r"new: another process is working in it$")
    with locked(tmp_path / "new" / ".lock", wait=False), busy:
        fit_reward(config, tmp_path / "new")
    fit_reward(replace(config, points=600, epochs=1, population=3), tmp_path / "new")


def test_a_run_that_was_trained_further_is_refused(made: Path, config: RewardConfig, tmp_path: Path) -> None:
    facts = json.loads((made / "provenance.json").read_text())
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "config.yaml").write_bytes((made / "config.yaml").read_bytes())
    (copy / "provenance.json").write_text(json.dumps({**facts, "policies": ["tiny/x/000000000001"]}))
    assert "holds a predictor with other checkpoints of these runs" in refusal(config, copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": 10}, "points is 10; it must be 100 or more"),
        ({"population": 1}, "population is 1; it must be 2 or more"),
        ({"noise": (0.0,)}, "noise has 0.0; each must be above 0"),
        ({"noise": (0.1, 0.1)}, "noise has a level twice: (0.1, 0.1); accepted: each once"),
        ({"hidden": ()}, "hidden is (); accepted: one width or more, each 1 or more"),
        ({"learning_rate": 1.0}, "learning_rate is 1.0; it must be above 0 and below 1"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        RewardConfig(**changes)
