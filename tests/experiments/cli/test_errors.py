import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import AGENTS
from experiments.cli import main
from experiments.config import RunConfig
from experiments.run import Run, create_run, find_runs
from experiments.upkeep import Interrupted

Complaint = Callable[[], str]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


UNIFORM = ["train", "--randomization", "uniform", "--randomization.draws"]
HYPER = ["train", "--agent.hyperparameters"]
REFUSED: list[tuple[list[str], str]] = [
    (["trian"], "Unrecognized options: trian Available subcommands: train, evaluate, study"),
    ([], "Expected one of {train, evaluate, study"),
    (["train", "--figure", "unicorn"], "unknown figure 'unicorn'; accepted: hopper"),
    (["train", "--figure", "hopper[speed=1]"], "figure 'hopper[speed=1]': unknown option 'speed' (accepted: control_"),
    (["train", "--figure", "ant[contact_forces=1]"], "contact_forces is '1'; accepted: bodies, all, none"),
    (["train", "--figure", "walker2d", "--pipeline", "pose"], "no pose estimator of walker2d ships with simgap; acc"),
    (["train", "--domain", "mars"], "accepted: first a name of nominal, source, target"),
    (["train", "--domain", "source, torso_mas+1"], "did you mean 'torso_mass'?"),
    (["train", "--runs", "s3://bucket/runs"], "'s3://bucket/runs' is a URL; accepted: a path (an object store goes to"),
    (["evaluate", "s3://bucket/runs"], "'s3://bucket/runs' is a URL; accepted: a path"),
    (["train", "--pipeline", "smell"], "unknown pipeline 'smell'; accepted: state, pixels, pose"),
    (["train", "--pipeline", "pixels", "--pixels.camera", "front"], "pixels: unknown camera 'front'; accepted: track"),
    (
        ["train", "--pipeline", "pixels", "--pixels.encoder", "resnet"],
        "unknown encoder 'resnet'; accepted:",
    ),
    (["train", "--pipeline", "pixels", "--pixels.size", "20"], "images of 20 x 20 pixels are too small for Nature"),
    (["train", "--pipeline", "pixels", "--pixels.size", "9000"], "size is 9000; it must be from"),
    (["train", "--pipeline", "pixels", "--pixels.stack", "0"], "stack is 0; it must be from 1 to"),
    (["train", "--pipeline", "pixels", "--pixels.supervised", "--agent", "sac"], "sac fits no encoder to the state"),
    (["train", "--pipeline", "pixels", "--agent", "dagger"], "agent dagger learns from a teacher; accepted: --teacher"),
    (["train", "--pipeline", "pose", "--pose.camera", "front"], "pose: unknown camera 'front'; accepted: track, rail"),
    (["train", "--pipeline", "pose", "--pose.estimator", "nowhere"], "nowhere: no estimator is there; accepted:"),
    (
        ["train", "--pipeline", "pose", "--pose.estimator", "other"],
        "other: an estimator of walker2d; accepted: of",
    ),
    (
        ["evaluate", "RUN", "--sights", "touch"],
        "unknown sight 'touch' of state; accepted: state, error-model",
    ),
    (["play", "RUN", "--sight", "touch"], "unknown sight 'touch' of state; accepted: state, error-model"),
    (["study", "sights.yaml"], "sights.yaml: study s, cells[0]: unknown sight 'touch' of state; accepted: state,"),
    (["train", "--agent", "dqn"], "unknown agent 'dqn'; accepted: ppo, recurrent_ppo, a2c, trpo, reinforce, dagger, "),
    (["train", "--agent=dqn"], "unknown agent 'dqn'; accepted: ppo, recurrent_ppo, a2c, trpo, reinforce, dagger, "),
    (
        ["train", "--agent", "ars", "--pipeline", "pixels"],
        "ARS takes no images; accepted: the pipelines state and",
    ),
    (["train", "--agent", "ars", "--agent.hyperparameters", "n_top=9"], "n_top is 9; it must be at most n_delta, 8"),
    (
        ["train", "--agent", "td3", "--agent.hyperparameters", "action_noise=-1"],
        "action_noise is -1; it must be",
    ),
    (["train", "--agent", "sac", "--agent.hyperparameters", "std=0.5"], "unknown hyperparameter 'std' of sac"),
    ([*HYPER, "std=linear(1,0)"], "hyperparameter std is 0.0; it must be a number above 0"),
    ([*HYPER, "std=often"], "cannot read std 'often'; accepted: a number, or linear(start, end)"),
    (["train", "--agent", "reinforce", "--agent.hyperparameters", "baseline=mean"], "accepted: none, whiten, learned"),
    (
        ["train", "--start", "nowhere"],
        "start nowhere: not a run directory, nor a checkpoint in one, nor",
    ),
    (["train", "--start=nowhere"], "start nowhere: not a run directory, nor a checkpoint in one, nor a folder"),
    (["train", "--start", "RUN", "--study", "more"], ", has learned from 512; accepted: more, since they count"),
    (
        ["train", "--start", "RUN", "--study", "more", "--agent", "a2c"],
        "agent.name is 'a2c', but 'ppo' in ",
    ),
    (["train", "--start", "RUN"], "holds a run with start = '', not "),
    (["train", "--randomization", "magic"], "unknown randomisation 'magic'; accepted: none, uniform"),
    (
        ["train", "--randomization", "adr", "--randomization.adr.step", "2"],
        "adr.step is 2; it must be above 0",
    ),
    (["train", "--randomization", "epopt", "--agent", "tqc"], "agent tqc cannot learn from the worst episodes alone"),
    (["train", "--randomization.doraemon.kl", "0.2"], "doraemon.kl is set but method is 'none'"),
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
    ([*HYPER, "policy_kwargs={a: ["], "'policy_kwargs={a: [' is no YAML after the =; accepted: such as 3, true or"),
    ([*HYPER, "batch_size=1"], "ppo refuses its hyperparameters"),
    ([*HYPER, "n_epochs=0"], "n_epochs is 0"),
    ([*HYPER, "learning_rate=inf"], "learning_rate"),
    (["train", "--config"], "--config"),
    (["train", "--config", "absent.yaml"], "absent.yaml: cannot be read (No such file or directory)"),
    (["train", "--config=absent.yaml"], "absent.yaml: cannot be read (No such file or directory)"),
    (["train", "--config", "unknown.yaml"], "unknown.yaml: stepz: unknown key (accepted: study, figure, domain"),
    (["train", "--config", "broken.yaml"], "broken.yaml: not valid YAML"),
    (["fit-pose"], "--help"),
    (["fit-pose", "data", "out"], "data: not a dataset (it has no config.yaml)"),
    (["fit-pose", "data", "out", "--model", "resnet"], "unknown model 'resnet'; accepted: hrnet, scnet50, rtmpose-t"),
    (["fit-pose", "data", "out", "--input-size", "100"], "input_size is 100; it must be a multiple of 32"),
    (["fit-pose", "data", "out", "--epochs", "0"], "epochs is 0; it must be 1 or more"),
    (["fit-pose", "data", "out", "--rollouts.episodes", "3"], "error: rollouts: episodes is 3; it must be 4 or more"),
    (["fit-pose", "data", "out", "--learned.frames", "10"], "frames is 10; it must be"),
    (["fit-pose", "data", "out", "--config", "absent.yaml"], "absent.yaml: cannot be read"),
    (["bench", "--what", "pose", "--estimator", "e.onnx"], "accepted: both estimator and dataset, or neither"),
    (["evaluate"], "no run is given; accepted: run directories, or folders of them"),
    (["info"], "no run is given"),
    (["evaluate", "nowhere"], "no run found in nowhere; a run directory has a config.yaml"),
    (["evaluate", "RUN", "--episodes", "0"], "episodes is 0; it must be from 1"),
    (["evaluate", "RUN", "--episodes", "-5"], "episodes is -5; it must be from 1"),
    (["evaluate", "RUN", "--domains", "mars"], "cannot read 'mars'"),
    (["evaluate", "RUN", "--threads", "-1"], "threads is -1; it must be 0"),
    (["evaluate", "RUN", "--sweep", "torso_mass"], "sweep 'torso_mass' cannot be read; accepted: parameter and low:"),
    (["evaluate", "RUN", "--sweep", "torso_mas=0:1:3"], "did you mean 'torso_mass'?"),
    (["evaluate", "RUN", "--sweep", "torso_mass=-9:1:3"], "torso_mass = -6.466 is not physical"),
    (["evaluate", "RUN", "--sweep", "gravity=0:1:2", "gravity*1:2:2"], "gravity is shifted twice; accepted: each"),
    (["evaluate", "RUN", "--sweep", "gravity=0:1:2", "--episodes", "0"], "episodes is 0; it must be from 1"),
    (["evaluate", "RUN", "--sweep", "gravity=0:1:2", "--sights", "estimator"], "--sights is not for a sweep"),
    (["evaluate", "RUN", "--sweep", "gravity=0:1:2", "--domains", "mars"], "cannot read 'mars'"),
    (["evaluate", "RUN", "--sweep", "gravity=0:1:2", "--domains", "source", "nominal"], "found 2 in --domains"),
    (["evaluate", "RUN", "--sweep", "gravity=0:1:2", "--output", "."], ".: holds something else than a sweep"),
    (["evaluate", "RUN", "--output", "out"], "--output is for a sweep; accepted: with --sweep"),
    (["bench", "--what", "sweep", "--cells", "0"], "cells is 0; it must be 1 or more"),
    (["play"], "Missing from simgap play: PATH Run directory."),
    (["play", "nowhere"], "nowhere: not a run directory (it has no config.yaml)"),
    (["play", "RUN", "--video", "v.gif"], "v.gif: accepted: a file name that ends in .mp4"),
    (["play", "RUN", "--domain", "mars"], "cannot read 'mars'"),
    (["play", "RUN", "--seed", "-1"], "seed is -1; it must be 0 or more"),
    (["play", "RUN", "--loops", "0"], "loops is 0; it must be 1 or more: a video ends"),
    (["export", "RUN", "policy.pt"], "policy.pt: accepted: a file name that ends in .zip"),
    (["export", "nowhere", "policy.zip"], "nowhere: not a run directory"),
    (["log-target", "nowhere", "a.npz"], "nowhere: not a run directory (it has no config.yaml)"),
    (["log-target", "RUN", "a.txt"], "a.txt: accepted: a file name that ends in .npz"),
    (["log-target", "RUN", "a.npz", "--episodes", "0"], "episodes is 0; it must be from 1"),
    (["log-target", "RUN", "a.npz", "--domain", "mars"], "cannot read 'mars'"),
    (["identify", "dropo"], "no log of a target is given; accepted: one or more files of simgap log-target"),
    (["identify", "dropo", "a.npz"], "a.npz: not a log of a target"),
    (["identify", "dropo", "a.npz", "--threads", "-1"], "threads is -1; it must be 0 (all cores) or more"),
    (["identify", "magic", "a.npz"], "invalid choice"),
    (["train", "--identify.method", "magic"], "unknown identification 'magic'; accepted: none, dropo, sysid, bayrn"),
    (["train", "--identify.method", "dropo"], "policy is '' and the method dropo; accepted: a run on the source"),
    (
        ["train", "--domain", "source, actuator_delay=1.5"],
        "cannot read 'actuator_delay=1.5'; accepted: actuator_delay=",
    ),
    (["info", "nowhere"], "no run found in nowhere"),
    (["info", "nowhere", "either"], "no run found in nowhere, either"),
    (["report", "nowhere"], "nowhere/study.yaml: cannot be read (No such file or directory)"),
    (["study", "unheard-of"], "unknown study 'unheard-of'; accepted: demo"),
    (["study", "absent.yaml"], "unknown study 'absent.yaml'"),
    (["study", "broken.yaml"], "broken.yaml: not valid YAML"),
    (["study", "demo", "--workers", "-1"], "workers is -1; it must be 0"),
    (["search"], "Missing from simgap search: STR A search that ships with simgap"),
    (
        ["search", "unheard-of"],
        "unknown search 'unheard-of'; accepted: hopper-a2c, hopper-ppo, hopper-small, or the path",
    ),
    (["search", "broken.yaml"], "broken.yaml: not valid YAML"),
    (["search", "space.yaml"], "space.yaml: parameters.stepz = 1: stepz: unknown key (accepted: study, figure"),
    (["search", "hopper-small", "--workers", "-1"], "workers is -1; it must be 0 (one a core) or more"),
    (["search", "hopper-small", "--storage", "floppy"], "storage 'floppy': Could not parse SQLAlchemy URL"),
    (["gallery", "nowhere"], "nowhere: no video is there; accepted: a folder of studies"),
    (["gallery", "nowhere", "--page", "a.txt"], "a.txt: accepted: a file name that ends in .html"),
    (["bench", "--steps", "few"], "--steps"),
    (["bench", "--what", "cooking"], "--what"),
    (["synth"], "Missing from simgap synth: PATH Directory of the dataset."),
    (["synth", "d", "--figure", "unicorn"], "unknown figure 'unicorn'; accepted: hopper"),
    (["synth", "d", "--figure", "ant"], "no keypoints for figure 'ant'; accepted: hopper"),
    (["synth", "d", "--count", "0"], "count is 0; it must be from 1"),
    (["synth", "d", "--size", "-3"], "size is -3; it must be from 16"),
    (["synth", "d", "--size", "9000"], "size is 9000; it must be from 16 to 4096"),
    (["synth", "d", "--workers", "-1"], "workers is -1; it must be 0"),
    (["synth", "d", "--validation", "0.6", "--test", "0.5"], "accepted: shares that leave some for training"),
    (["synth", "d", "--config", "side.yaml"], "unknown camera 'side'; accepted: track"),
    (["synth", "d", "--photos", "nowhere"], "nowhere"),
    (["synth", "d", "--policies", "nowhere"], "no run found in nowhere"),
    (["synth", "d", "--config", "dance.yaml"], "unknown source 'dancing'; accepted: joints, visited, falls"),
    (["synth", "d", "--sensor.gamma", "2", "1"], "gamma is from 2.0 to 1.0; it must be ordered"),
    (["synth", "d", "--device", "tpu"], "device is 'tpu'; accepted: cpu, cuda, optix"),
    (["synth", "d", "--config", "unknown.yaml"], "unknown.yaml: stepz: unknown key (accepted: figure, count, size"),
    (["synth", "."], ".: not empty, and not a dataset; accepted: a new directory"),
    (["synth", "preview", "nowhere"], "nowhere: not a dataset (it has no config.yaml)"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_bad_input_is_one_line_and_changes_nothing(
    words: list[str], message: str, place: Path, own_run: Run, complaint: Complaint
) -> None:
    (place / "unknown.yaml").write_text("stepz: 3\n")
    (place / "broken.yaml").write_text("steps: [3\n")
    (place / "side.yaml").write_text("cameras: {side: 1}\n")
    (place / "dance.yaml").write_text("poses: {shares: {dancing: 1}}\n")
    study = {"name": "s", "title": "t", "description": "d", "base": {}, "cells": [{"sights": ["touch"]}]}
    (place / "sights.yaml").write_text(json.dumps(study))
    space = {"name": "s", "title": "t", "description": "d", "base": {}, "parameters": {"stepz": {"integers": [1, 2]}}}
    (place / "space.yaml").write_text(json.dumps(space))
    (place / "other").mkdir()
    (place / "other" / "provenance.json").write_text('{"figure": "walker2d"}')
    before = contents(place)
    with pytest.raises(SystemExit) as stop:
        main([str(own_run.directory) if word == "RUN" else word for word in words])
    assert stop.value.code == 2
    assert message in complaint()
    assert contents(place) == before


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", ["60", "200"])
def test_errors_read_the_same_on_every_terminal(
    encoding: str, width: str, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """The parser draws its boxes as the standard output can show them."""
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(SystemExit) as stop:
        main(["train", "--agent", "dqn"])
    assert stop.value.code == 2
    assert complaint() == (
        f"simgap: error: agent: unknown agent 'dqn'; accepted: {', '.join(AGENTS)} (see simgap train --help)"
    )


def test_another_configuration_is_refused(own_run: Run, complaint: Complaint) -> None:
    before = contents(own_run.directory)
    with pytest.raises(SystemExit) as stop:
        main(["train", "--study", "tiny", "--num-envs", "4"])
    assert stop.value.code == 2
    assert "holds a run with horizon = 50, not 500 and " in complaint()
    assert contents(own_run.directory) == before


def test_an_untrained_run_cannot_be_judged_or_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = create_run(RunConfig(), place)
    for words in (["evaluate", str(run.directory)], ["play", str(run.directory)]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert "no checkpoint yet; train it first with simgap train" in error


def test_a_full_disk_is_one_line_and_keeps_the_old_file(
    own_run: Run, complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(own_run.directory)

    def full(path: Path, text: str, **_: Any) -> int:
        path.write_bytes(text[:10].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(own_run.directory), "--episodes", "2"])
    assert stop.value.code == 1
    line = complaint()
    assert "No space left on device" in line
    assert str(own_run.episodes) in line
    assert contents(own_run.directory) == before


def test_a_full_disk_while_training_is_one_line(
    place: Path, tiny_options: list[str], complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        if "policy" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit) as stop:
        main(["train", *tiny_options])
    assert stop.value.code == 1
    line = complaint()
    assert "No space left on device" in line
    assert "checkpoints/000000000064" in line
    (run,) = find_runs([place])
    assert list(run.checkpoints.iterdir()) == []
    assert not run.done


def test_no_opengl_is_one_line(own_run: Run, complaint: Complaint, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ImportError("Cannot initialize\na EGL device display")

    monkeypatch.setattr("mujoco.Renderer", fail)
    before = contents(own_run.directory)
    with pytest.raises(SystemExit) as stop:
        main(["play", str(own_run.directory)])
    assert stop.value.code == 1
    assert "cannot render: no OpenGL context through MUJOCO_GL=" in complaint()
    assert contents(own_run.directory) == before


def test_a_display_that_cannot_be_opened_is_one_line(
    own_run: Run, complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr("glfw.init", lambda: False)
    with pytest.raises(SystemExit) as stop:
        main(["play", str(own_run.directory)])
    assert stop.value.code == 1
    assert complaint().endswith("no display: :77 cannot be opened; use --video FILE.mp4")


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
