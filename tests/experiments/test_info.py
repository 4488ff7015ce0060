import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments.config import RunConfig
from experiments.info import differing_keys, print_returns, print_runs, print_study
from experiments.run import Run, create_run
from experiments.statistics import read_episodes

Tiny = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def lines_with(text: str, word: str) -> list[list[str]]:
    return [cells(line) for line in text.splitlines() if word in line]


def test_everything_about_one_run(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = {"steps": 51_200, "wall_s": 25.6, "diverged_episodes": 0}
    (own_run.directory / "done.json").write_text(json.dumps(result))
    print_runs([own_run])
    out = capsys.readouterr().out
    config = yaml.safe_load(out.split("\n\n")[0])
    assert config["agent"]["hyperparameters"]["n_steps"] == 16
    assert config["horizon"] == 50
    recent = own_run.rows()[-1]["rollout/ep_rew_mean"]
    row, *_ = lines_with(out, "seed-000")
    assert row == [
        "tiny/hopper-source-state-none-ppo/seed-000",
        "done",
        "51,200",
        "26 s",
        "2,000",
        f"{recent:.0f}",
        "50 steps",
    ]
    assert "python: 3." in out
    assert "num_threads: 1" in out
    mean = read_episodes(own_run.episodes).groupby("eval_domain")["return"].mean()
    judged = [line for line in lines_with(out, "source") if line[0] == "source"]
    assert [line[1] for line in judged] == ["source", "target"]
    for line in judged:
        assert line[3] == f"{mean[line[1]]:.0f}"
        assert line[-1] == "3"
    assert "return per episode of 50 steps" in out


def test_a_table_of_several_runs(own_run: Run, tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    root = own_run.directory.parents[2]
    unstarted = create_run(tiny(seed=1), root)
    unfinished = create_run(tiny(seed=2), root)
    shutil.copytree(own_run.checkpoints / "000000000384", unfinished.checkpoints / "000000000384")
    shutil.copy(own_run.metrics, unfinished.metrics)
    print_runs([own_run, unstarted, unfinished])
    out = capsys.readouterr().out
    rows = lines_with(out, "seed-00")
    assert [row[0][-8:] for row in rows] == ["seed-000", "seed-001", "seed-002"]
    assert rows[0][1:3] == ["done", "512"]
    assert rows[1][1:] == ["unfinished", "0 of 512", "-", "-", "-", "50 steps"]
    assert rows[2][1:5] == ["unfinished", "384 of 512", "-", "-"]
    assert "figure: hopper" not in out


def test_a_run_that_never_started_has_no_provenance(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_runs([create_run(tiny(), tmp_path)])
    out = capsys.readouterr().out
    assert "0 of 512" in out
    assert "python:" not in out


def test_where_one_run_is_and_what_it_keeps(own_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (own_run.directory / "log.txt").write_text("trained\n")
    (own_run.directory / "large").write_bytes(bytes(3_000_000))
    print_runs([own_run])
    out = capsys.readouterr().out
    files = [path for path in own_run.directory.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    assert 3 < size < 10
    assert f"directory: {own_run.directory} ({size:.1f} MB in {len(files)} files)" in out
    assert "checkpoints: 384 and 512 steps" in out
    assert f"log: {own_run.directory / 'log.txt'}" in out
    assert "starts: 1" in out
    assert re.search(r"versions: simgap [\d.]+, mujoco [\d.]+", out)
    assert "commit: " in out
    assert "machine: Linux" in out
    assert "teacher" not in out.split("directory: ")[1]


def test_a_student_names_its_teacher_and_its_estimator(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = create_run(tiny(), tmp_path)
    sights = {"critic": "state"}
    student = create_run(tiny("dagger", pipeline="pose", pose=sights, teacher=teacher.directory.parent.name), tmp_path)
    print_runs([student])
    out = capsys.readouterr().out
    assert f"teacher: {teacher.directory} (not trained to its end)" in out
    assert re.search(r"estimator: \S*results/pretrained/pose/hopper\n", out)
    (teacher.directory / "done.json").write_text("{}")
    print_runs([student])
    assert f"teacher: {teacher.directory}\n" in capsys.readouterr().out
    elsewhere = replace(student.config, pose=replace(student.config.pose, estimator="gone"))
    print_runs([Run(elsewhere, student.directory)])
    assert "estimator: gone: no estimator is there" in capsys.readouterr().out


def test_several_runs_show_the_keys_in_which_they_differ(
    own_run: Run, tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    root = own_run.directory.parents[2]
    hyperparameters = {**tiny().agent.hyperparameters, "gamma": 0.9}
    other = create_run(tiny(study="second", seed=3, agent={"name": "ppo", "hyperparameters": hyperparameters}), root)
    third = create_run(tiny("sac", domain="target"), root)
    assert differing_keys([own_run, other]) == ["agent.hyperparameters.gamma"]
    assert {"domain", "agent.name", "agent.hyperparameters.n_steps"} <= set(differing_keys([own_run, other, third]))
    print_runs([own_run, other])
    out = capsys.readouterr().out
    (heading,) = lines_with(out, "training return")
    assert heading[-1].endswith("gamma")
    assert [row[-1] for row in lines_with(out, "seed-00")] == ["-", "0.9"]


@pytest.mark.parametrize(
    ("name", "content"), [("metrics.jsonl", "garbage\n"), ("done.json", "{}"), ("episodes.csv", "a,b\n")]
)
def test_damaged_files_are_named(own_run: Run, name: str, content: str) -> None:
    (own_run.directory / name).write_text(content)
    with pytest.raises(ValueError, match=name) as caught:
        print_runs([own_run])
    assert "\n" not in str(caught.value)


def test_figures_are_told_apart_with_their_options_and_horizons(
    own_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    episodes = read_episodes(own_run.episodes)
    figure = "hopper[minimum_speed=1]"
    both = pd.concat([episodes, episodes.assign(figure=figure, horizon=60)])
    both.to_csv(own_run.episodes, index=False)
    print_returns([own_run])
    out = capsys.readouterr().out
    assert f"return per episode of 50 (hopper) or 60 ({figure}) steps" in out
    assert len(lines_with(out, figure)) == 1 + 2  # the title, and a row in each domain


def test_a_terminal_of_eighty_columns_shows_whole_words_in_every_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes Rich take the output for a terminal
    print_study(Path(__file__).parents[2] / "results" / "torino-state")
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80
    assert {"randomisation", "share", "CVaR10", "seeds", "baseline", "oracle"} <= set(out.split())
    assert sum(cells(line)[-1:] == ["10"] for line in out.splitlines()) == 4
