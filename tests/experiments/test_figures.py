"""Every figure from training under randomisation to being judged, and its options in names and tables."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

import envs
from experiments.config import RunConfig
from experiments.evaluate import evaluate
from experiments.plain import parse_config, to_plain
from experiments.play import record_video
from experiments.run import Run, find_runs, open_run
from experiments.statistics import read_episodes
from experiments.study import run_study
from experiments.study_config import StudyConfig
from experiments.train import train
from tests.experiments.conftest import PPO, tiny_config

STUDY: dict[str, Any] = {
    "name": "menagerie",
    "title": "Two figures",
    "description": "With horizons of their own.",
    "base": {"steps": 256, "num_envs": 4, "agent": {"name": "ppo", "hyperparameters": PPO}},
    "cells": [{"horizon": 20}, {"figure": "inverted_pendulum", "horizon": 10}],
    "target": "target",
    "seeds": 1,
    "episodes": 2,
    "goals": [
        {
            "text": "balances",
            "figure": "inverted_pendulum",
            "randomization": "none",
            "train_domain": "source",
            "eval_domain": "source",
            "at_least": 10,
        }
    ],
}
WITH_OPTIONS = "ant[contact_forces=all, forward_reward_weight=2]"


def trained(figure: str, root: Path, steps: int = 256) -> Run:
    config = tiny_config(figure=figure, steps=steps, horizon=20, randomization={"method": "uniform"})
    return train(config, root, num_threads=1)


@pytest.mark.parametrize("figure", [*envs.FIGURES, WITH_OPTIONS])
def test_a_figure_is_trained_and_judged(figure: str, tmp_path: Path) -> None:
    run = trained(figure, tmp_path)
    assert run.result() == {**run.result(), "steps": 256, "diverged_episodes": 0}
    assert np.isfinite([row["rollout/ep_rew_mean"] for row in run.rows() if "rollout/ep_rew_mean" in row]).all()
    evaluate(run, ["source", "target"], episodes=2, num_threads=1)
    rows = read_episodes(run.episodes)
    assert set(rows["figure"]) == {figure}
    assert list(rows["eval_domain"]) == ["source", "source", "target", "target"]
    assert not rows["diverged"].any()


def test_the_same_figure_written_otherwise_is_the_same_run(tmp_path: Path) -> None:
    run = trained(WITH_OPTIONS, tmp_path)
    name = "ant,contact_forces=all,forward_reward_weight=2-source-state-uniform-ppo"
    assert run.config.path.parent.name == name
    assert [found.parent.name for found in tmp_path.glob(f"tiny/{name}/seed-*")] == [name]
    again = trained("ant[forward_reward_weight=2.0,contact_forces=all,healthy_reward=1]", tmp_path)
    assert again.directory == run.directory
    assert len(run.starts()) == 1
    assert [found.config.figure for found in find_runs([tmp_path])] == [WITH_OPTIONS]
    assert open_run(run.directory).config == run.config


def test_an_interrupted_ant_continues_with_where_its_torso_was(tmp_path: Path) -> None:
    run = trained("ant", tmp_path)
    first, last = sorted(run.checkpoints.iterdir())
    assert (int(first.name), int(last.name)) == (128, 256)
    whole = (last / "policy.safetensors").read_bytes()
    shutil.rmtree(last)
    (run.directory / "done.json").unlink()
    trained("ant", tmp_path)
    assert len(run.starts()) == 2
    assert (last / "policy.safetensors").read_bytes() == whole


def test_a_configuration_keeps_the_canonical_figure() -> None:
    config = parse_config(RunConfig, {"figure": "hopper[minimum_speed=1.0, healthy_reward=1]"}, "test")
    assert config.figure == "hopper[minimum_speed=1]"
    assert parse_config(RunConfig, to_plain(config), "test") == config
    with pytest.raises(ValueError, match=r"^test: figure 'hopper\[speed=1\]': unknown option 'speed' \(accepted: con"):
        parse_config(RunConfig, {"figure": "hopper[speed=1]"}, "test")


@pytest.mark.parametrize("figure", [name for name in envs.FIGURES if name != "hopper"])
def test_a_figure_without_an_estimator_is_refused_in_one_line(figure: str, tmp_path: Path) -> None:
    config = tiny_config(figure=figure, pipeline="pose")
    message = (
        rf"^no pose estimator of {figure} ships with simgap; accepted: pose.estimator with a directory that simgap "
        "fit-pose made$"
    )
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_video_shows_the_figure_that_moves(tmp_path: Path) -> None:
    run = trained("inverted_pendulum", tmp_path)
    video = record_video(run, "target", tmp_path / "pendulum.mp4")
    reader = cv2.VideoCapture(str(video))
    frames = []
    while (frame := reader.read()[1]) is not None:
        frames.append(frame.astype(int))
    assert len(frames) > 3
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    assert (np.abs(frames[-1][100:] - frames[0][100:]).max(axis=2) > 40).mean() > 1e-3


def test_a_study_of_two_figures_reports_each_with_its_own_horizon(tmp_path: Path) -> None:
    study = parse_config(StudyConfig, STUDY, "study")
    for config in study.runs():
        evaluate(train(config, tmp_path / "runs", num_threads=1), study.domains, episodes=2, num_threads=1)
    report, failures = run_study(study, tmp_path / "runs", tmp_path / "results", finished_only=True)
    assert failures == []
    folder = report.parent
    for name in ("runs", "curves", "summary", "gaps"):
        assert set(pd.read_csv(folder / f"{name}.csv")["figure"]) == {"hopper", "inverted_pendulum"}, name
    figures = ("hopper", "inverted_pendulum")
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert drawn == {f"{kind}-{figure}" for kind in ("returns", "gap", "learning") for figure in figures}
    assert len(list((folder / "videos").glob("*.mp4"))) == 2
    text = report.read_text()
    assert "10 (inverted_pendulum) or 20 (hopper) steps" in text
    assert "balances" in text
    # The same again takes over what is published there.
    again, failures = run_study(study, tmp_path / "runs", tmp_path / "results", finished_only=True, published=True)
    assert (again, failures) == (report, [])
    assert len(pd.read_csv(folder / "runs.csv")) == 2
