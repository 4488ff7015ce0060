"""The loop of a search. Its trials' processes are played by shells that do in no time what a training does."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from experiments import search
from experiments.executors import Executor, ExecutorConfig
from experiments.objectives import OBJECTIVES
from experiments.plain import parse_config
from experiments.search import Attempt, run_search
from experiments.search_space import SearchSpace
from experiments.search_study import claim, open_study, reason_of, standing
from experiments.search_worker import SCORES, STOPPED

GAMMA, BATCH = "agent.hyperparameters.gamma", "agent.hyperparameters.batch_size"
SPACE = parse_config(
    SearchSpace,
    {
        "name": "s",
        "title": "t",
        "description": "d",
        "base": {"steps": 2000, "num_envs": 4, "agent": {"hyperparameters": {"n_steps": 16, "n_epochs": 1}}},
        "parameters": {GAMMA: {"range": [0.9, 0.99]}, BATCH: {"choices": [32, 64]}},
        "trials": 3,
        "objective": "stable",
    },
    "a file",
)
Script = Callable[[Attempt], str]


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    return open_study(SPACE, f"sqlite:///{tmp_path / 'study.db'}")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """Makes every trial's process a shell with a script, which may differ from attempt to attempt."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda _: sleep(0.02))

    def play(script: Script) -> None:
        def start(space: SearchSpace, attempt: Attempt, executor: Executor) -> subprocess.Popen[bytes]:
            with attempt.log.open("ab") as log:
                return subprocess.Popen(["sh", "-c", script(attempt)], stdout=log, stderr=log, process_group=0)

        monkeypatch.setattr(search, "_start", start)

    return play


def trained(attempt: Attempt, score: float) -> str:
    """Leaves what a training leaves; returns the script of a process that has nothing left to do."""
    for run in attempt.runs:
        found = {name: score + place for place, name in enumerate(OBJECTIVES)}
        (run.directory / SCORES).write_text(json.dumps(found))
        done = {"steps": 2000, "wall_s": 7.5, "diverged_episodes": 0}
        (run.directory / "done.json").write_text(json.dumps(done))
    return "exit 0"


def nobody(_: Sequence[Attempt]) -> None:
    """Watches nothing."""


def test_a_complete_trial_has_the_objective_as_its_value_and_all_others_beside(
    study: optuna.Study, played: Callable[[Script], None], tmp_path: Path
) -> None:
    together = tmp_path / "together"
    wait = f"for i in $(seq 600); do [ -e {together} ] && break; sleep 0.05; done; "
    played(lambda attempt: wait + trained(attempt, 10.0 * attempt.trial.number))

    def watch(attempts: Sequence[Attempt]) -> None:
        if len(attempts) == 2:
            together.touch()

    run_search(SPACE, study, tmp_path / "r", 2, watch)
    assert together.exists()
    assert [trial.value for trial in study.trials] == [2.0, 12.0, 22.0]  # the third of the four objectives
    attributes = study.trials[1].user_attrs
    assert {name: attributes[name] for name in OBJECTIVES} == {"mean": 10, "iqm": 11, "stable": 12, "motion": 13}
    assert attributes["wall_s"] == 7.5
    for number, trial in enumerate(study.trials):
        run = tmp_path / "r" / f"trial-000{number}" / "hopper-source-state-none-ppo" / "seed-1000"
        text = (run / "config.yaml").read_text()
        assert f"gamma: {trial.params[GAMMA]!r}" in text
        assert f"batch_size: {trial.params[BATCH]}" in text
    run_search(SPACE, study, tmp_path / "r", 2, nobody)  # nothing is left
    assert len(study.trials) == 3


def test_scores_of_several_seeds_are_averaged(played: Callable[[Script], None], tmp_path: Path) -> None:
    space = replace(SPACE, seeds=2, trials=1)
    study = open_study(space, f"sqlite:///{tmp_path / 'study.db'}")

    def script(attempt: Attempt) -> str:
        trained(attempt, 0.0)
        (attempt.runs[1].directory / SCORES).write_text(json.dumps(dict.fromkeys(OBJECTIVES, 100.0)))
        assert [run.config.seed for run in attempt.runs] == [1000, 1001]
        return "exit 0"

    played(script)
    run_search(space, study, tmp_path / "r", 1, nobody)
    assert study.trials[0].value == 51.0  # of 2 and 100
    assert study.trials[0].user_attrs["wall_s"] == 15.0


def test_a_hopeless_trial_is_stopped_by_its_learning_curve(played: Callable[[Script], None], tmp_path: Path) -> None:
    space = replace(SPACE, trials=7)
    study = open_study(space, f"sqlite:///{tmp_path / 'study.db'}")

    def script(attempt: Attempt) -> str:
        last = attempt.trial.number == 6
        rows = [{"step": step, "rollout/ep_rew_mean": 1.0 if last else 100.0} for step in range(64, 2049, 64)]
        attempt.runs[0].metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
        # Its curve is read before it has ended.
        return "sleep 100" if last else "sleep 0.2; " + later(attempt)

    def later(attempt: Attempt) -> str:
        trained(attempt, 5.0)
        done = attempt.runs[0].directory / "done.json"
        done.rename(done.with_suffix(".later"))
        return f"mv {done.with_suffix('.later')} {done}"

    played(script)
    run_search(space, study, tmp_path / "r", 1, nobody)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 6 + [TrialState.PRUNED]
    curve = study.trials[0].intermediate_values
    assert list(curve) == list(range(100, 2001, 100))  # a twentieth of the longest training each
    assert set(curve.values()) == {100.0}
    assert list(study.trials[6].intermediate_values)[-1] == 400  # the first comparison after a fifth of it
    assert study.trials[6].value == 1.0


def test_a_killed_process_is_begun_again_where_it_was_and_an_error_is_not(
    study: optuna.Study, played: Callable[[Script], None], tmp_path: Path
) -> None:
    folders: list[str] = []

    def script(attempt: Attempt) -> str:
        folders.append(attempt.log.parent.name)
        if len(folders) == 1:
            return "kill -9 $$"
        if len(folders) == 2:
            return "echo error: no more of this; exit 1"
        if len(folders) == 3:
            return f"exit {STOPPED}"
        return trained(attempt, 1.0)

    played(script)
    run_search(SPACE, study, tmp_path / "r", 1, nobody)
    assert folders == ["trial-0000", "trial-0000", "trial-0002", "trial-0002", "trial-0004"]
    first, second, third = standing(study)
    assert (first.number, first.state) == (1, TrialState.FAIL)
    assert reason_of(first).startswith("(exit status 1): error: no more of this [log: ")
    assert second.state == third.state == TrialState.COMPLETE


def test_values_that_are_impossible_together_fail_their_trial_alone(
    played: Callable[[Script], None], tmp_path: Path
) -> None:
    """A minibatch of PPO must hold more than one sample: one step of one simulation is impossible together only."""
    parameters = {
        "num_envs": {"choices": [4, 1]},
        "agent.hyperparameters.n_steps": {"choices": [4, 1]},
    }
    data = {"name": "s", "title": "t", "description": "d", "parameters": parameters, "trials": 12, "sampler": "random"}
    base = {"steps": 64, "agent": {"hyperparameters": {"batch_size": 4, "n_epochs": 1}}}
    space = parse_config(SearchSpace, {**data, "base": base}, "a file")
    space.check()
    study = open_study(space, f"sqlite:///{tmp_path / 'study.db'}")
    played(lambda attempt: trained(attempt, 1.0))
    run_search(space, study, tmp_path / "r", 1, nobody)
    impossible = {"num_envs": 1, "agent.hyperparameters.n_steps": 1}
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed
    assert [trial.params for trial in failed] == [impossible] * len(failed)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials if trial.params != impossible)
    assert "ppo refuses its hyperparameters" in reason_of(failed[0])


def test_an_interrupted_search_queues_its_trials_again(
    study: optuna.Study, played: Callable[[Script], None], tmp_path: Path
) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    trap = f"trap 'touch {ended}; exit {STOPPED}' TERM; touch {started}"
    played(lambda attempt: f"{trap}; while :; do sleep 0.05; done")

    def interrupt(attempts: Sequence[Attempt]) -> None:
        """Once the shell listens: a signal that is faster than its trap would kill it without a word."""
        if started.exists():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        run_search(SPACE, study, tmp_path / "r", 1, interrupt)
    assert ended.exists()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    assert study.trials[1].params == study.trials[0].params
    played(lambda attempt: trained(attempt, 1.0))
    run_search(SPACE, study, tmp_path / "r", 1, nobody)
    assert [trial.number for trial in standing(study)] == [1, 2, 3]
    assert all(trial.state == TrialState.COMPLETE for trial in standing(study))


def test_a_search_waits_for_the_trials_of_others(
    study: optuna.Study, played: Callable[[Script], None], tmp_path: Path
) -> None:
    other = open_study(SPACE, f"sqlite:///{tmp_path / 'study.db'}")
    theirs = claim(other, SPACE)
    assert theirs is not None
    played(lambda attempt: trained(attempt, 1.0))
    seen: list[Any] = []

    def watch(attempts: Sequence[Attempt]) -> None:
        seen.append([trial.number for trial in study.trials if trial.state == TrialState.RUNNING])
        if seen[-3:] == [[0]] * 3:
            other.tell(theirs, 9.0)

    run_search(SPACE, study, tmp_path / "r", 1, watch)
    assert study.best_value == 9.0
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": -1}, r"workers is -1; it must be 0 \(one a core\) or more"),
        ({"trials": -1}, r"trials is -1; it must be 0 \(the file's number\) or more"),
    ],
)
def test_impossible_numbers_write_nothing(changes: dict[str, int], message: str, tmp_path: Path) -> None:
    options = {"trials": 0, "workers": 0} | changes
    with pytest.raises(ValueError, match=message):
        search.search(SPACE, options["trials"], "", tmp_path / "r", tmp_path / "s", options["workers"])
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_cannot_be_leaves_no_database(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--address is for a cluster"):
        search.search(SPACE, 0, "", tmp_path / "r", tmp_path / "s", 1, ExecutorConfig(address="auto"))
    assert list(tmp_path.iterdir()) == []


def test_the_directory_of_a_study_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "results" / "s").mkdir(parents=True)
    (tmp_path / "results" / "s" / "study.yaml").touch()
    with pytest.raises(ValueError, match="holds a study; accepted: a search of another name"):
        search.search(SPACE, 1, "", tmp_path / "runs", tmp_path / "results", 1)
    assert not (tmp_path / "runs").exists()
