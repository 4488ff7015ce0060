import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments.cli import COMMANDS, main
from experiments.config import RunConfig
from experiments.run import Run, create_run, find_runs
from experiments.statistics import read_episodes
from experiments.train import Interrupted

TINY = ["--steps", "64", "--num-envs", "4", "--horizon", "50", "--threads", "1"]
TINY_PPO = ["--agent.hyperparameters", "n_steps=16", "batch_size=32", "n_epochs=1"]
WITH_DEFAULTS = {"train", "evaluate", "study", "play", "bench"}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder, on a wide terminal without a display."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``simgap train`` would have trained: nothing is."""
    calls: list[dict[str, Any]] = []

    def train(config: RunConfig, runs: Path, threads: int, report: object) -> Run:
        calls.append({"config": config, "runs": runs, "threads": threads})
        return Run(config, runs / config.path)

    monkeypatch.setattr("experiments.train.train", train)
    monkeypatch.setattr("experiments.info.print_runs", lambda runs: None)
    return calls


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("simgap: error: ")
    return line


def test_all_commands_of_the_design_that_this_version_has() -> None:
    assert list(COMMANDS) == ["train", "evaluate", "study", "report", "play", "info", "export", "bench"]


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


def test_help_of_train_has_units_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in (
        "Environment steps (of 8 ms for the hopper) after which an episode ends. (default: 500)",
        "One of: ppo, recurrent_ppo, sac, tqc. (default: ppo)",
        "(default: source)",
        "cpu or cuda. (default: cpu)",
    ):
        assert words in out


UNIFORM = ["train", "--randomization", "uniform", "--randomization.draws"]
HYPER = ["train", "--agent.hyperparameters"]
REFUSED: list[tuple[list[str], str]] = [
    (["trian"], "Unrecognized options: trian Available subcommands: train, evaluate, study"),
    ([], "Expected one of {train, evaluate, study"),
    (["train", "--figure", "unicorn"], "unknown figure 'unicorn'; accepted: hopper"),
    (["train", "--domain", "mars"], "accepted: first a name of nominal, source, target"),
    (["train", "--domain", "source, torso_mas+1"], "did you mean 'torso_mass'?"),
    (["train", "--pipeline", "smell"], "unknown pipeline 'smell'; accepted: state"),
    (["train", "--agent", "dqn"], "unknown agent 'dqn'; accepted: ppo, recurrent_ppo, sac, tqc"),
    (["train", "--agent=dqn"], "unknown agent 'dqn'; accepted: ppo, recurrent_ppo, sac, tqc"),
    (["train", "--randomization", "magic"], "unknown randomisation 'magic'; accepted: none, uniform"),
    (["train", "--frobnicate", "1"], "Unrecognized options: --frobnicate, 1 (see simgap train --help)"),
    (["train", "--steps", "-1"], "steps is -1; it must be from 0"),
    (["train", "--steps", "many"], "Error parsing --steps: invalid literal for int() with base 10: 'many'"),
    (["train", "--horizon", "0"], "horizon is 0; it must be from 1"),
    (["train", "--num-envs", "-3"], "num_envs is -3; it must be from 0"),
    (["train", "--checkpoint-every", "0"], "checkpoint_every is 0; it must be from 1"),
    (["train", "--threads", "-2"], "threads is -2; it must be 0"),
    (["train", "--seed", "-1"], "seed is -1; it must be from 0"),
    (["train", "--study", "../x"], "study '../x' must be letters, digits"),
    (["train", "--device", "tpu"], "unknown device 'tpu'; accepted: cpu, cuda"),
    ([*UNIFORM, "foot_mass*uniform(nan,1)"], "every argument must be finite"),
    ([*UNIFORM, "foot_mass*uniform(1,inf)"], "every argument must be finite"),
    ([*UNIFORM, "foot_mass+uniform(-9,1)"], "foot_mass = -3.911 is not physical"),
    (["train", "--randomization.width", "nan"], "width is nan; it must be at least 0 and below 1"),
    ([*HYPER, "learning_rat=1"], "did you mean 'learning_rate'?"),
    ([*HYPER, "n_steps"], "'n_steps' is not key=value"),
    ([*HYPER, "batch_size=1"], "ppo refuses its hyperparameters"),
    ([*HYPER, "n_epochs=0"], "n_epochs is 0"),
    ([*HYPER, "learning_rate=inf"], "learning_rate"),
    (["train", "--config"], "--config"),
    (["train", "--config", "absent.yaml"], "absent.yaml: cannot be read (No such file or directory)"),
    (["train", "--config=absent.yaml"], "absent.yaml: cannot be read (No such file or directory)"),
    (["train", "--config", "unknown.yaml"], "unknown.yaml: stepz: unknown key (accepted: study, figure, domain"),
    (["train", "--config", "broken.yaml"], "broken.yaml: not valid YAML"),
    (["evaluate"], "no run is given; accepted: run directories, or folders of them"),
    (["info"], "no run is given"),
    (["evaluate", "nowhere"], "no run found in nowhere; a run directory has a config.yaml"),
    (["evaluate", "RUN", "--episodes", "0"], "episodes is 0; it must be from 1"),
    (["evaluate", "RUN", "--episodes", "-5"], "episodes is -5; it must be from 1"),
    (["evaluate", "RUN", "--domains", "mars"], "cannot read 'mars'"),
    (["evaluate", "RUN", "--threads", "-1"], "threads is -1; it must be 0"),
    (["play"], "Missing from simgap play: PATH Run directory."),
    (["play", "nowhere"], "nowhere: not a run directory (it has no config.yaml)"),
    (["play", "RUN", "--video", "v.gif"], "v.gif: accepted: a file name that ends in .mp4"),
    (["play", "RUN", "--domain", "mars"], "cannot read 'mars'"),
    (["play", "RUN", "--seed", "-1"], "seed is -1; it must be 0 or more"),
    (["export", "RUN", "policy.pt"], "policy.pt: accepted: a file name that ends in .zip"),
    (["export", "nowhere", "policy.zip"], "nowhere: not a run directory"),
    (["info", "nowhere"], "no run found in nowhere"),
    (["info", "nowhere", "either"], "no run found in nowhere, either"),
    (["report", "nowhere"], "nowhere/study.yaml: not a readable YAML file"),
    (["study", "unheard-of"], "unknown study 'unheard-of'; accepted: demo"),
    (["study", "absent.yaml"], "unknown study 'absent.yaml'"),
    (["study", "broken.yaml"], "broken.yaml: not valid YAML"),
    (["study", "demo", "--workers", "-1"], "workers is -1; it must be 0"),
    (["bench", "--steps", "few"], "--steps"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_bad_input_is_one_line_and_changes_nothing(
    words: list[str], message: str, place: Path, own_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "unknown.yaml").write_text("stepz: 3\n")
    (place / "broken.yaml").write_text("steps: [3\n")
    before = contents(place)
    with pytest.raises(SystemExit) as stop:
        main([str(own_run.directory) if word == "RUN" else word for word in words])
    assert stop.value.code == 2
    assert message in complaint(capsys)
    assert contents(place) == before


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", ["60", "200"])
def test_errors_read_the_same_on_every_terminal(
    encoding: str, width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parser draws its boxes as the standard output can show them."""
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(SystemExit) as stop:
        main(["train", "--agent", "dqn"])
    assert stop.value.code == 2
    assert complaint(capsys) == (
        "simgap: error: agent: unknown agent 'dqn'; accepted: ppo, recurrent_ppo, sac, tqc (see simgap train --help)"
    )


def test_another_configuration_is_refused(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(own_run.directory)
    with pytest.raises(SystemExit) as stop:
        main(["train", "--study", "tiny", "--num-envs", "4"])
    assert stop.value.code == 2
    assert "holds a run with horizon = 50, not 500 and " in complaint(capsys)
    assert contents(own_run.directory) == before


def test_training_then_everything_that_follows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", *TINY, *TINY_PPO])
    out = capsys.readouterr().out
    run = place / "runs" / "default" / "hopper-source-state-none-ppo" / "seed-000"
    assert out.splitlines()[-1] == f"run: {run.relative_to(place)}"
    trained = contents(run)
    main(["train", *TINY, *TINY_PPO])
    assert contents(run) == trained

    main(["evaluate", "runs", "--episodes", "2"])
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "return per episode of 50 steps" in captured.out
    assert read_episodes(run / "episodes.csv").groupby("eval_domain").size().to_dict() == {"source": 2, "target": 2}

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


def test_an_untrained_run_cannot_be_judged_or_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = create_run(RunConfig(), place)
    for words in (["evaluate", str(run.directory)], ["play", str(run.directory)]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert "no checkpoint yet; train it first with simgap train" in error


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
    draws = ["--randomization=uniform", "--randomization.draws", "foot_mass*uniform(0.5,1)", "gravity=normal(9,0)"]
    main(["train", *form, *draws])
    config = asked[0]["config"]
    assert config.agent.name == "sac"
    assert config.randomization.draws == ("foot_mass*uniform(0.5,1)", "gravity=normal(9,0)")


def test_a_full_disk_is_one_line_and_keeps_the_old_file(
    own_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(own_run.directory)

    def full(path: Path, text: str, **_: Any) -> int:
        path.write_bytes(text[:10].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(own_run.directory), "--episodes", "2"])
    assert stop.value.code == 1
    line = complaint(capsys)
    assert "No space left on device" in line
    assert str(own_run.episodes) in line
    assert contents(own_run.directory) == before


def test_a_full_disk_while_training_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        if "policy" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit) as stop:
        main(["train", *TINY, *TINY_PPO])
    assert stop.value.code == 1
    line = complaint(capsys)
    assert "No space left on device" in line
    assert "checkpoints/000000000064" in line
    (run,) = find_runs([place])
    assert list(run.checkpoints.iterdir()) == []
    assert not run.done


def test_no_opengl_is_one_line(
    own_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ImportError("Cannot initialize\na EGL device display")

    monkeypatch.setattr("mujoco.Renderer", fail)
    before = contents(own_run.directory)
    with pytest.raises(SystemExit) as stop:
        main(["play", str(own_run.directory)])
    assert stop.value.code == 1
    assert "cannot render: no OpenGL context through MUJOCO_GL=" in complaint(capsys)
    assert contents(own_run.directory) == before


def test_a_display_that_cannot_be_opened_is_one_line(
    own_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr("glfw.init", lambda: False)
    with pytest.raises(SystemExit) as stop:
        main(["play", str(own_run.directory)])
    assert stop.value.code == 1
    assert complaint(capsys).endswith("no display: :77 cannot be opened; use --video FILE.mp4")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Interrupted("stopped at 64 of 128 steps and saved"), "simgap: stopped at 64 of 128 steps and saved"),
        (KeyboardInterrupt(), "simgap: interrupted; the same command continues"),
    ],
)
def test_an_interruption_exits_with_130(
    error: BaseException, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr("experiments.train.train", stop)
    with pytest.raises(SystemExit) as caught:
        main(["train"])
    assert caught.value.code == 130
    assert capsys.readouterr().err == f"{line}\n"


def test_a_study_with_a_failed_run_writes_its_report_and_exits_with_1(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = place / "results" / "demo" / "report.html"
    monkeypatch.setattr("experiments.study.run_study", lambda *_: (report, ["a/seed-001 failed", "b/seed-000 failed"]))
    monkeypatch.setattr("experiments.info.print_study", lambda directory: print(f"table of {directory.name}"))
    with pytest.raises(SystemExit) as stop:
        main(["study", "demo"])
    assert stop.value.code == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == ["table of demo", f"report: {report}"]
    assert captured.err.splitlines() == ["simgap: error: a/seed-001 failed; b/seed-000 failed"]


def test_play_is_a_window_where_there_is_a_display(
    own_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    seen: list[Any] = []

    def play_live(run: Run, domain: str, seed: int) -> float:
        seen.append((run.directory, domain, seed))
        return float(np.float64(123.4))

    monkeypatch.setattr("experiments.play.play_live", play_live)
    main(["play", str(own_run.directory), "--seed", "5"])
    assert seen == [(own_run.directory, "source", 5)]
    assert capsys.readouterr().out == "return 123 (50 steps)\n"
