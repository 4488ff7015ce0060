import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents import AGENTS
from experiments.config import RunConfig
from experiments.run import Run, create_run, find_runs, open_run, record_provenance

Tiny = Callable[..., RunConfig]


def test_a_run_is_made_opened_and_made_again(tiny: Tiny, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path)
    assert run.directory == tmp_path / "tiny" / "hopper-source-state-none-ppo" / "seed-000"
    assert run.name == "hopper-source-state-none-ppo/seed-000"
    assert run.config == tiny().resolved()
    written = (run.directory / "config.yaml").read_bytes()
    assert open_run(run.directory) == run
    assert create_run(tiny(), tmp_path) == run
    assert (run.directory / "config.yaml").read_bytes() == written
    assert not run.done
    assert (run.rows(), run.starts()) == ([], [])
    with pytest.raises(ValueError, match="no checkpoint yet; train it first with simgap train"):
        run.latest_checkpoint()


def test_another_configuration_in_the_same_directory_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path)
    with pytest.raises(ValueError, match=r"holds a run with horizon = 50, not 60; accepted: the same") as caught:
        create_run(tiny(horizon=60), tmp_path)
    assert str(run.directory) in str(caught.value)
    other = {"name": "ppo", "hyperparameters": {"n_steps": 16, "batch_size": 32, "n_epochs": 3, "gamma": 0.9}}
    with pytest.raises(ValueError, match=r"agent.hyperparameters.n_epochs = 2, not 3 and 1 more"):
        create_run(tiny(agent=other), tmp_path)
    assert open_run(run.directory).config.horizon == 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": {"name": "ppo", "hyperparameters": {"batch_size": 1}}}, "ppo refuses its hyperparameters"),
        ({"device": "cuda:77"}, "device 'cuda:77'|cuda"),
    ],
)
def test_what_the_algorithm_refuses_leaves_no_directory(
    tiny: Tiny, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises((ValueError, RuntimeError), match=message):
        create_run(tiny(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_default_that_comes_later_does_not_change_an_old_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(tiny(), tmp_path)
    later = replace(AGENTS["ppo"], hyperparameters={**AGENTS["ppo"].hyperparameters, "vf_coef": 0.25})
    monkeypatch.setitem(AGENTS, "ppo", later)
    again = create_run(open_run(run.directory).config, tmp_path)
    assert again == run
    assert "vf_coef" not in again.config.agent.hyperparameters
    with pytest.raises(ValueError, match=r"agent\.hyperparameters\.vf_coef = None, not 0\.25"):
        create_run(tiny(), tmp_path)


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a run directory"):
        open_run(tmp_path / "absent")
    (tmp_path / "config.yaml").write_text("figure: unicorn\n")
    with pytest.raises(ValueError, match=r"config\.yaml: unknown figure 'unicorn'; accepted: hopper"):
        open_run(tmp_path)


def test_runs_are_found_below_folders_once_and_in_order(tiny: Tiny, tmp_path: Path) -> None:
    made = [create_run(tiny(seed=seed), tmp_path) for seed in (2, 0, 1)]
    found = find_runs([tmp_path])
    assert [run.config.seed for run in found] == [0, 1, 2]
    assert find_runs([made[0].directory]) == [made[0]]
    assert [run.config.seed for run in find_runs([made[0].directory, tmp_path, made[0].directory])] == [2, 0, 1]
    with pytest.raises(ValueError, match=r"no run found in .*nowhere; a run directory has a config\.yaml"):
        find_runs([tmp_path / "nowhere"])
    theirs = made[0].directory / "wandb" / "run-1" / "files"
    theirs.mkdir(parents=True)
    (theirs / "config.yaml").write_text("_wandb: {}")
    assert find_runs([tmp_path]) == found


def test_only_one_process_trains_in_a_directory(tiny: Tiny, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path)
    with run.lock():
        with pytest.raises(ValueError, match="another process is training here"), run.lock():
            pass
        # flock binds to the open file: a process that cannot lock it is the real thing.
        code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        lock = str(run.directory / ".lock")
        other = subprocess.run([sys.executable, "-c", code, lock], capture_output=True, text=True, check=False)
        assert "BlockingIOError" in other.stderr
    with run.lock():
        pass


def test_every_start_is_remembered(tiny: Tiny, tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path)
    record_provenance(run, num_threads=1)
    record_provenance(run, num_threads=2)
    starts = run.starts()
    assert [start["num_threads"] for start in starts] == [1, 2]
    assert starts[0]["versions"]["torch"].startswith("2.")
    assert starts[0]["cores"] >= 1
    assert starts[0]["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("provenance.json", {}, "holds no list of starts"),
        ("provenance.json", {"starts": [1]}, "holds no list of starts"),
        ("done.json", {}, "steps is None; accepted: a number"),
        ("done.json", {"steps": 1, "wall_s": "2"}, "wall_s is '2'; accepted: a number"),
        ("done.json", [], "holds a list"),
    ],
)
def test_damaged_files_of_a_run_are_named(own_run: Run, name: str, content: object, message: str) -> None:
    (own_run.directory / name).write_text(json.dumps(content))
    read: Callable[[], object] = own_run.starts if name == "provenance.json" else own_run.result
    with pytest.raises(ValueError, match=message) as caught:
        read()
    assert str(own_run.directory / name) in str(caught.value)


@pytest.mark.parametrize("line", ['{"a": 1}', '{"step": 1.5}', '{"step": "1"}', '{"step": 1, "a": "x"}', "{}"])
def test_a_damaged_row_of_metrics_is_named(own_run: Run, line: str) -> None:
    rows = own_run.metrics.read_text().splitlines()
    own_run.metrics.write_text("\n".join([*rows[:2], line, *rows[3:], ""]))
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 3: damaged; accepted: numbers"):
        own_run.rows()
