import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest
import yaml

from agents.specs import AGENTS
from experiments import study_runs
from experiments.evaluate import evaluate
from experiments.executors import ExecutorConfig
from experiments.files import read_json, write_text
from experiments.plain import parse_config, to_yaml
from experiments.published import published_rows
from experiments.run import Run, find_runs
from experiments.statistics import read_episodes
from experiments.study import run_study
from experiments.study_config import StudyConfig

SUMMARY = (
    "study,figure,horizon,pipeline,randomization,agent,steps,train_domain,eval_domain,n_seeds,episodes,"
    "iqm,iqm_low,iqm_high,mean,std,worst_seed,cvar10"
)
STUDY: dict[str, Any] = {
    "name": "little",
    "title": "A little study",
    "description": "Two cells, two seeds.",
    "base": {
        "steps": 256,
        "num_envs": 4,
        "horizon": 50,
        "agent": {"name": "ppo", "hyperparameters": {"n_steps": 16, "batch_size": 32, "n_epochs": 2}},
    },
    "cells": [{}, {"randomization": {"method": "uniform"}, "agent": {"hyperparameters": {"n_epochs": 1}}}],
    "target": "target",
    "seeds": 2,
    "episodes": 3,
}


ROW = {"text": "r", "cell": {"pipeline": "pose", "randomization": "none"}, "published": {"source": 1.0}}


def make(**changes: Any) -> StudyConfig:
    return parse_config(StudyConfig, STUDY | changes, "study")


class Roots:
    """Where a study's runs and results are."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.results = folder / "runs", folder / "results"
        self.directory = self.results / "little"

    def run(self, study: StudyConfig, workers: int = 2, **options: Any) -> tuple[Path, list[str]]:
        return run_study(study, self.runs, self.results, workers, **options)

    def copy(self, folder: Path) -> "Roots":
        for name in ("runs", "results"):
            shutil.copytree(getattr(self, name), folder / name)
        return Roots(folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Roots:
    """The little study, done; copy it before changing it."""
    roots = Roots(tmp_path_factory.mktemp("study"))
    report, failures = roots.run(make())
    assert failures == []
    assert report == roots.directory / "report.html"
    return roots


def start_nothing(*_: Any) -> subprocess.Popen[bytes]:
    raise AssertionError("a process was started")


def test_a_study_leaves_what_the_design_says(done: Roots) -> None:
    folder = done.directory
    assert [run.done for run in find_runs([done.runs])] == [True] * 4
    assert parse_config(StudyConfig, yaml.safe_load((folder / "study.yaml").read_text()), "f") == make()
    episodes = read_episodes(folder / "episodes.csv")
    assert len(episodes) == 2 * 2 * 2 * 3  # cells, seeds, domains, episodes
    assert (folder / "summary.csv").read_text().splitlines()[0] == SUMMARY
    summary = pd.read_csv(folder / "summary.csv", keep_default_na=False)
    keys = ["randomization", "train_domain", "eval_domain", "n_seeds", "episodes", "horizon", "steps"]
    assert sorted(summary[keys].itertuples(index=False, name=None)) == [
        (method, "source", domain, 2, 6, 50, 256) for method in ("none", "uniform") for domain in ("source", "target")
    ]
    groups = episodes.groupby(["randomization", "eval_domain", "seed"])["return"].mean()
    for _, row in summary.iterrows():
        seeds = groups[row["randomization"], row["eval_domain"]]
        assert float(row["mean"]) == pytest.approx(seeds.mean())
        assert float(row["worst_seed"]) == pytest.approx(seeds.min())
    page = (folder / "report.html").read_text()
    assert "A little study" in page
    assert page.count("data:video/mp4;base64,") == 2
    assert (folder / "README.md").read_text().startswith("# ")
    assert {"returns.png", "gap.png"} <= set(os.listdir(folder / "figures"))
    provenance = read_json(folder / "provenance.json")
    assert provenance["command"] == "simgap study little"
    assert provenance["wall_s"] > 0


def test_rows_are_those_of_the_runs(done: Roots) -> None:
    with (done.directory / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    runs = {(run.config.randomization.label, run.config.seed): run for run in find_runs([done.runs])}
    assert len(rows) == 4
    for row in rows:
        run = runs[row["randomization"], int(row["seed"])]
        assert row["cell"] == run.directory.parent.name
        assert int(row["steps"]) == run.result()["steps"] == 256
        assert float(row["wall_s"]) == pytest.approx(run.result()["wall_s"], abs=0.06)
        assert row["diverged"] == "0"
    merged = pd.concat([read_episodes(run.episodes) for run in runs.values()])
    collected = read_episodes(done.directory / "episodes.csv")
    assert sorted(collected["return"]) == pytest.approx(sorted(merged["return"]), abs=1e-4)


def test_what_a_run_was_judged_through_otherwise_is_left_out(done: Roots, tmp_path: Path) -> None:
    roots = done.copy(tmp_path)
    run = find_runs([roots.runs])[0]
    evaluate(run, ["source", "target", "nominal"], episodes=2, num_threads=1, sights=["error-model"])
    roots.run(make())
    assert len(read_episodes(run.episodes)) == 6 + 6
    before, after = (read_episodes(each.directory / "episodes.csv") for each in (done, roots))
    pd.testing.assert_frame_equal(before, after)


def test_a_cells_sights_are_judged_shown_and_taken_apart(tmp_path: Path) -> None:
    """As the study that compares pipelines does, in small."""
    roots = Roots(tmp_path)
    sights = ["state", "error-model", "estimator"]
    cells = [{"sights": sights}, {"pipeline": "pose", "sights": ["estimator", "state"]}]
    comparisons = [{"name": "pair", "title": "t", "caption": "c", "rows": [ROW]}]
    study = make(base=STUDY["base"] | {"horizon": 15}, cells=cells, seeds=1, comparisons=comparisons)
    report, failures = roots.run(study)
    assert failures == []
    episodes = read_episodes(roots.directory / "episodes.csv")
    counts = episodes.groupby("pipeline").size().to_dict()
    assert counts == {
        "state": 6,
        "state@error-model": 6,
        "state@estimator": 6,
        "pose": 6,
        "pose@state": 6,
    }  # domains, episodes
    assert list(pd.read_csv(roots.directory / "parts.csv")["pipeline"]) == ["state", "pose"]
    assert {"pair.png", "parts.png", "calibration.png"} <= set(os.listdir(roots.directory / "figures"))
    assert sorted(os.listdir(roots.directory / "videos")) == [
        "hopper-source-pose-none-ppo-in-target.mp4",
        "hopper-source-state-none-ppo-in-target.mp4",
        "hopper-source-state-none-ppo-through-estimator-in-target.mp4",
    ]
    assert "The gap taken apart" in report.read_text()


def test_each_cell_has_a_video_of_its_first_seed_in_the_target(done: Roots) -> None:
    videos = sorted((done.directory / "videos").iterdir())
    assert [video.name for video in videos] == [
        f"hopper-source-state-{method}-ppo-in-target.mp4" for method in ("none", "uniform")
    ]
    for path in videos:
        video = cv2.VideoCapture(str(path))
        assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= 2
        video.release()


def test_the_cell_changes_the_base_key_by_key(done: Roots) -> None:
    runs = {run.config.randomization.label: run.config.agent.hyperparameters for run in find_runs([done.runs])}
    assert (runs["none"]["n_epochs"], runs["uniform"]["n_epochs"]) == (2, 1)
    assert runs["uniform"]["n_steps"] == 16


def contents(folder: Path) -> dict[Path, bytes]:
    """Of every file, but for the clock, which goes on."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "wall_clock.json"}


def test_a_second_call_trains_nothing(done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = done.copy(tmp_path)
    before = contents(roots.runs)
    wall = read_json(roots.directory / "provenance.json")["wall_s"]
    summary = (roots.directory / "summary.csv").read_bytes()
    (roots.directory / "report.html").unlink()
    old, new = sorted((roots.directory / "videos").iterdir())[:2]
    os.utime(old, (1, 1))  # of a run that was trained again since
    stamp = new.stat().st_mtime_ns
    monkeypatch.setattr(study_runs, "_start", start_nothing)
    report, failures = roots.run(make())
    assert failures == []
    assert report.exists()
    assert (roots.directory / "summary.csv").read_bytes() == summary
    assert contents(roots.runs) == before
    assert old.stat().st_mtime > 1
    assert new.stat().st_mtime_ns == stamp
    assert read_json(roots.directory / "provenance.json")["wall_s"] >= wall
    written = (roots.runs / "little" / "wall_clock.json").read_bytes()
    roots.run(make(), finished_only=True)
    assert (roots.runs / "little" / "wall_clock.json").read_bytes() == written  # beside a study that runs


def test_the_time_before_an_interruption_counts(done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots, clock = done.copy(tmp_path), tmp_path / "runs" / "little" / "wall_clock.json"

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.study.run_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        roots.run(make())
    assert read_json(clock)["wall_s"] > 0
    clock.write_text('{"started": "2026-01-01T00:00:00+0000", "wall_s": 1e6}')
    monkeypatch.undo()
    roots.run(make())
    found = read_json(roots.directory / "provenance.json")
    assert found["started"] == "2026-01-01T00:00:00+0000"
    assert 1e6 < found["wall_s"] < 1.1e6
    assert read_json(clock)["wall_s"] >= found["wall_s"]


def test_a_failed_run_is_named_and_the_others_finish(done: Roots, tmp_path: Path) -> None:
    """Its checkpoint is damaged, and so are its metrics: neither may stop the study."""
    roots = done.copy(tmp_path)
    broken = next(run for run in find_runs([roots.runs]) if run.name.endswith("uniform-ppo/seed-001"))
    (broken.directory / "done.json").unlink()
    broken.metrics.write_text("garbage\n")
    damaged = broken.latest_checkpoint() / "training.json"
    damaged.write_text("{}")
    report, (failure,) = roots.run(make())
    log = broken.directory / "log.txt"
    assert failure == (
        f"{broken.name} failed (exit status 1): error: {damaged}: truncated or changed since it was written "
        f"(SHA-256 differs) [log: {log}]"
    )
    assert "truncated or changed" in log.read_text()
    assert report.exists()
    summary = pd.read_csv(roots.directory / "summary.csv")
    assert summary.groupby("randomization")["n_seeds"].unique().map(list).to_dict() == {"none": [2], "uniform": [1]}


def test_damaged_episodes_are_the_failure_of_that_run(
    done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = done.copy(tmp_path)
    run = find_runs([roots.runs])[0]
    run.episodes.write_text("nonsense\n")
    started: list[str] = []

    def start(run: Run, *_: Any) -> subprocess.Popen[bytes]:
        started.append(run.name)
        return subprocess.Popen([sys.executable, "-I", "-S", "-c", "raise SystemExit(3)"])

    monkeypatch.setattr(study_runs, "_start", start)
    _, (failure,) = roots.run(make())
    assert started == [run.name]
    assert failure.startswith(f"{run.name} failed (exit status 3)")


def test_another_configuration_in_the_same_directory_is_refused(
    done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = done.copy(tmp_path)
    monkeypatch.setattr(study_runs, "_start", start_nothing)
    before = (roots.directory / "study.yaml").read_bytes()
    other = make(base={**STUDY["base"], "steps": 512})
    with pytest.raises(ValueError, match="holds a run with steps = 256, not 512"):
        roots.run(other)
    assert (roots.directory / "study.yaml").read_bytes() == before


def test_more_seeds_start_only_the_missing_runs(done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = done.copy(tmp_path)
    monkeypatch.setattr(study_runs, "_start", start_nothing)
    with pytest.raises(AssertionError, match="a process was started"):
        roots.run(replace(make(), seeds=3))
    assert len(find_runs([roots.runs])) == 6


def test_what_has_finished_is_reported_while_the_rest_is_missing(done: Roots, tmp_path: Path) -> None:
    roots = done.copy(tmp_path)
    shutil.rmtree(roots.results)
    report, failures = roots.run(replace(make(), seeds=3), finished_only=True)
    assert failures == []
    assert len(find_runs([roots.runs])) == 4
    assert read_json(roots.directory / "provenance.json")["missing"] == [
        "hopper-source-state-none-ppo/seed-002",
        "hopper-source-state-uniform-ppo/seed-002",
    ]
    text = "2 runs missing (1 of hopper-source-state-none-ppo, 1 of hopper-source-state-uniform-ppo)."
    assert f"The study is not complete: {text}" in report.read_text()
    with pytest.raises(ValueError, match="study little: no run finished yet"):
        Roots(tmp_path / "empty").run(make(), finished_only=True)
    assert not (tmp_path / "empty" / "results").exists()


def test_what_was_published_elsewhere_is_not_trained_again(done: Roots, tmp_path: Path) -> None:
    """Only the third seed is: the tables hold it beside what another machine's tables said, byte for byte."""
    roots = done.copy(tmp_path)
    shutil.rmtree(roots.runs)
    video = next((roots.directory / "videos").iterdir())
    before = {name: (roots.directory / name).read_text() for name in ("episodes.csv", "curves.csv", "runs.csv")}
    wall = read_json(roots.directory / "provenance.json")["wall_s"]
    stamp = video.stat().st_mtime_ns
    roots.run(replace(make(), seeds=3), published=True)
    assert [run.config.seed for run in find_runs([roots.runs])] == [2, 2]
    for name, text in before.items():
        now = (roots.directory / name).read_text()
        assert now.startswith(text)
        assert len(pd.read_csv(roots.directory / name)["seed"].unique()) == 3
    found = read_json(roots.directory / "provenance.json")
    assert found["missing"] == []
    assert found["wall_s"] > wall
    assert video.stat().st_mtime_ns == stamp


def test_runs_are_the_same_with_their_defaults_written_out_and_others_where_these_have_changed(
    done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = done.copy(tmp_path)
    study = make(base={key: value for key, value in STUDY["base"].items() if key != "steps"})
    write_text(roots.directory / "study.yaml", to_yaml(study))
    spec = AGENTS["ppo"]
    monkeypatch.setitem(AGENTS, "ppo", replace(spec, steps=256))
    assert len(published_rows(study, roots.results)) == 4
    changed = {**spec.hyperparameters, "gamma": 0.5}
    monkeypatch.setitem(AGENTS, "ppo", replace(spec, steps=256, hyperparameters=changed))
    assert published_rows(study, roots.results) == {}


def test_a_published_teacher_is_trained_again_for_its_students(
    done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = done.copy(tmp_path)
    shutil.rmtree(roots.runs)
    teacher = "hopper-source-state-none-ppo"
    agent = STUDY["base"]["agent"]
    fewer = {**agent, "hyperparameters": {**agent["hyperparameters"], "n_epochs": 1}}
    student = {"pipeline": "pose", "pose": {"critic": "state"}, "teacher": teacher, "agent": {"name": "dagger"}}
    study = make(
        base={key: value for key, value in STUDY["base"].items() if key != "agent"},
        cells=[{"agent": agent}, {**STUDY["cells"][1], "agent": fewer}, {**student, "seeds": 1}],
    )
    monkeypatch.setattr(study_runs, "_start", start_nothing)
    with pytest.raises(AssertionError, match="a process was started"):
        roots.run(study, published=True)
    assert sorted(run.name for run in find_runs([roots.runs])) == [
        "hopper-source-pose-none-dagger/seed-000",
        f"{teacher}/seed-000",
    ]


def test_what_another_study_published_is_taken_over(
    done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first episodes count, and its video; the report says whose they are, also when it is made again."""
    roots = done.copy(tmp_path)
    shutil.rmtree(roots.runs)
    monkeypatch.setattr(study_runs, "_start", start_nothing)
    other = make(name="other", episodes=2)
    directory = roots.results / "other"
    for _ in range(2):
        roots.run(other, published=True)
        theirs, ours = (read_episodes(folder / "episodes.csv") for folder in (roots.directory, directory))
        assert set(ours.pop("study")) == {"other"}
        expected = theirs[theirs["episode"] < 2].drop(columns="study")
        pd.testing.assert_frame_equal(ours.reset_index(drop=True), expected.reset_index(drop=True))
        videos = {video.name: video.read_bytes() for video in (roots.directory / "videos").iterdir()}
        assert {video.name: video.read_bytes() for video in (directory / "videos").iterdir()} == videos
        assert [len(places) for places in read_json(directory / "provenance.json")["taken_over"].values()] == [4]
        assert "4 runs taken over from study little, which trains the same;" in (directory / "README.md").read_text()
    assert read_json(directory / "provenance.json")["wall_s"] < read_json(roots.directory / "provenance.json")["wall_s"]


@pytest.mark.parametrize("changes", [{"episodes": 4}, {"target": "nominal"}, {"base": {**STUDY["base"], "steps": 512}}])
def test_what_was_published_otherwise_does_not_count(
    done: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    roots = done.copy(tmp_path)
    shutil.rmtree(roots.runs)
    monkeypatch.setattr(study_runs, "_start", start_nothing)
    with pytest.raises(AssertionError, match="a process was started"):
        roots.run(make(**changes), published=True)


def test_when_nothing_finishes_the_first_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        study_runs,
        "_start",
        lambda *_: subprocess.Popen([sys.executable, "-I", "-S", "-c", "import os; os.kill(os.getpid(), 9)"]),
    )
    with pytest.raises(ValueError, match=r"study little: no run finished; .*seed-000 failed \(killed by signal 9\)"):
        Roots(tmp_path).run(make(seeds=1))
    assert not (tmp_path / "results").exists()


def test_negative_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers is -1; it must be 0"):
        Roots(tmp_path).run(make(), workers=-1)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_cannot_be_leaves_no_directories(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--address is for a cluster"):
        Roots(tmp_path).run(make(), where=ExecutorConfig(address="auto"))
    assert list(tmp_path.iterdir()) == []
