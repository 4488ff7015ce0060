from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import envs
from agents import AGENTS, AgentConfig
from experiments.cli import main
from experiments.commands import COMMANDS
from experiments.config import RunConfig
from experiments.run import Run, create_run
from experiments.statistics import read_episodes

WITH_DEFAULTS = {
    *("train", "evaluate", "study", "search", "gallery", "play", "log-target", "identify"),
    *("synth", "fit-pose", "fit-reward", "bench"),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``simgap train`` would have trained: nothing is."""
    calls: list[dict[str, Any]] = []

    def train(config: RunConfig, runs: Path, threads: int, report: object, wandb: str) -> Run:
        calls.append({"config": config, "runs": runs, "threads": threads, "wandb": wandb})
        return Run(config, runs / config.path)

    monkeypatch.setattr("experiments.train.train", train)
    monkeypatch.setattr("experiments.info.print_runs", lambda runs: None)
    return calls


def test_all_commands_of_the_design_that_this_version_has() -> None:
    simulation = ["train", "evaluate", "study", "search", "report", "gallery", "play", "info", "export"]
    simulation += ["log-target", "identify"]
    assert list(COMMANDS) == [*simulation, "synth", "synth-preview", "fit-pose", "fit-reward", "bench"]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_tells_everything_and_defaults(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"] if command else ["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: simgap {command}".strip())
    if command in WITH_DEFAULTS:
        assert "(default: " in out
    if not command:
        assert all(f" {name} " in out for name in COMMANDS)
    assert "(required)" not in out or command not in ("train", "bench")


def test_help_of_train_has_units_and_choices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # where there is more room, the options are in two columns
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in (
        "Environment steps after which an episode ends: of 8 ms for hopper and walker2d, 10 ms for anymal_c,",
        *envs.FIGURES,
        f"One of: {', '.join(AGENTS)}. (default: ppo)",
        "(default: source)",
        "cpu or cuda. (default: cpu)",
    ):
        assert words in out


def test_an_agent_learns_on_from_another_run(place: Path, asked: list[dict[str, Any]]) -> None:
    """What is not given is as in that run."""
    sac = RunConfig(agent=AgentConfig("sac", {"gamma": 0.9}), horizon=50, seed=2)
    start = create_run(sac, place / "runs").directory
    main(["train", f"--start={start}", "--steps", "400000", "--study", "more", "--agent.hyperparameters", "tau=0.1"])
    (call,) = asked
    config = call["config"]
    assert (config.start, config.steps, config.study) == (str(start), 400_000, "more")
    assert (config.agent.name, config.horizon, config.seed) == ("sac", 50, 2)
    hyperparameters = config.agent.hyperparameters
    assert (hyperparameters["gamma"], hyperparameters["tau"], hyperparameters["buffer_size"]) == (0.9, 0.1, 1_000_000)


def test_training_then_everything_that_follows(
    place: Path, tiny_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["train", *tiny_options])
    out = capsys.readouterr().out
    run = place / "runs" / "default" / "hopper-source-state-none-ppo" / "seed-000"
    assert out.splitlines()[-1] == f"run: {run.relative_to(place)}"
    trained = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    main(["train", *tiny_options])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == trained

    main(["evaluate", "runs", "--episodes", "2"])
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "return per episode of 50 steps" in captured.out
    assert read_episodes(run / "episodes.csv").groupby("eval_domain").size().to_dict() == {"source": 2, "target": 2}

    main(["evaluate", "runs", "--episodes", "2", "--sweep", "torso_mass=-1:1:3"])
    swept = Path("results/sweeps/hopper-source-torso_mass-add_-1_1_3")
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {swept / 'report.html'}"
    assert pd.read_csv(swept / "sweep.csv")["domain"].tolist()[0::3] == ["source", "source, torso_mass+1"]
    main(["report", str(swept)])
    assert capsys.readouterr().out == f"report: {swept / 'report.html'}\n"

    main(["info", "runs"])
    assert "hopper-source-state-none-ppo/seed-000" in capsys.readouterr().out

    main(["export", str(run), "policy.zip"])
    assert capsys.readouterr().out.strip() == "policy.zip"
    assert (place / "policy.zip").stat().st_size > 1000

    main(["play", str(run), "--domain", "source, torso_mass+1"])
    video = run / "source,torso_mass+1.mp4"
    assert capsys.readouterr().out.strip() == str(video)
    assert video.stat().st_size > 1000


def test_an_unfinished_run_is_judged_with_a_note(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (own_run.directory / "done.json").unlink()
    main(["evaluate", str(own_run.directory), "--domains", "source", "--episodes", "2"])
    err = capsys.readouterr().err
    assert err == f"note: {own_run.name} has not finished training; judging its last checkpoint\n"


@pytest.mark.parametrize("form", [["--config", "c.yaml"], ["--config=c.yaml"]])
def test_options_win_over_the_file_and_hyperparameters_come_from_both(
    form: list[str], place: Path, asked: list[dict[str, Any]]
) -> None:
    file = {
        "seed": 3,
        "horizon": 60,
        "randomization": {"method": "uniform", "width": 0.2},
        "agent": {"name": "ppo", "hyperparameters": {"n_steps": 16, "n_epochs": 2, "gamma": 0.9}},
    }
    (place / "c.yaml").write_text(yaml.safe_dump(file))
    main(["train", *form, "--seed", "4", "--agent.hyperparameters", "n_epochs=5", "learning_rate=1e-3", "--runs", "r"])
    (call,) = asked
    config = call["config"]
    assert (config.seed, config.horizon) == (4, 60)
    assert (config.randomization.method, config.randomization.width) == ("uniform", 0.2)
    assert config.agent.hyperparameters == {"n_steps": 16, "n_epochs": 5, "gamma": 0.9, "learning_rate": 1e-3}
    assert call["runs"] == Path("r")


def test_a_run_can_be_repeated_from_its_own_configuration(own_run: Run, asked: list[dict[str, Any]]) -> None:
    main(["train", "--config", str(own_run.directory / "config.yaml")])
    assert asked[0]["config"] == own_run.config


def test_values_of_hyperparameters_are_read_as_yaml(asked: list[dict[str, Any]]) -> None:
    words = ["learning_rate=linear(1e-3,1e-4)", "gamma=9e-1", "clip_range_vf=null", "normalize_advantage=false"]
    words += ["policy_kwargs={net_arch: [32, 32], activation_fn: relu}", "n_epochs=3"]
    main(["train", "--agent", "ppo", "--agent.hyperparameters", *words, "--mass-only", "--threads", "2"])
    config = asked[0]["config"]
    assert config.agent.hyperparameters == {
        "learning_rate": "linear(1e-3,1e-4)",
        "gamma": 0.9,
        "clip_range_vf": None,
        "normalize_advantage": False,
        "policy_kwargs": {"net_arch": [32, 32], "activation_fn": "relu"},
        "n_epochs": 3,
    }
    assert config.mass_only
    assert asked[0]["threads"] == 2


@pytest.mark.parametrize("form", [["--agent", "sac"], ["--agent=sac"], ["--agent.name", "sac"]])
def test_short_forms(form: list[str], asked: list[dict[str, Any]]) -> None:
    draws = ["--randomization=uniform", "--randomization.draws", "foot_mass*uniform(0.5,1)", "gravity=uniform(9,9)"]
    main(["train", *form, *draws])
    config = asked[0]["config"]
    assert config.agent.name == "sac"
    assert config.randomization.draws == ("foot_mass*uniform(0.5,1)", "gravity=uniform(9,9)")


def test_play_is_a_window_where_there_is_a_display(
    own_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    seen: list[Any] = []

    def play_live(run: Run, *options: Any) -> list[float]:
        seen.append((run.directory, *options))
        return [float(np.float64(123.4)), 99.0]

    monkeypatch.setattr("experiments.window.play_live", play_live)
    main(["play", str(own_run.directory), "--seed", "5", "--sight", "estimator", "--loops", "2", "--keep-going"])
    assert seen == [(own_run.directory, "source", 5, "estimator", 2, True)]
    assert capsys.readouterr().out == "seed 5: return 123 (50 steps)\nseed 6: return 99 (50 steps)\n"
