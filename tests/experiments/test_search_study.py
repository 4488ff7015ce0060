"""Trials in a database: several processes are several handles on it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from experiments import search_study
from experiments.plain import parse_config
from experiments.search_methods import PRUNERS, SAMPLERS
from experiments.search_space import SearchSpace
from experiments.search_study import claim, fail, first_number, open_study, reason_of, requeue, revive, standing

GAMMA = "agent.hyperparameters.gamma"
SPACE = parse_config(
    SearchSpace,
    {
        "name": "s",
        "title": "t",
        "description": "d",
        "base": {"steps": 1000},
        "parameters": {GAMMA: {"range": [0.9, 0.99]}, "steps": {"choices": [500, 1000]}},
        "trials": 4,
        "sampler": "random",
    },
    "a file",
)
Open = Callable[..., optuna.Study]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def handle(space: SearchSpace = SPACE) -> optuna.Study:
        return open_study(space, f"sqlite:///{tmp_path / 'study.db'}")

    return handle


def draw(study: optuna.Study, space: SearchSpace) -> list[dict[str, float]]:
    """Run all trials that are left; the score is gamma."""
    drawn = []
    while trial := claim(study, space):
        drawn.append(trial.params)
        study.tell(trial, trial.params[GAMMA])
    return drawn


def test_the_total_is_honoured_and_can_be_raised(opened: Open) -> None:
    study = opened()
    assert len(draw(study, SPACE)) == 4
    assert claim(study, SPACE) is None
    more = replace(SPACE, trials=6, description="more")
    assert len(draw(opened(more), more)) == 2
    assert [trial.state for trial in standing(study)] == [TrialState.COMPLETE] * 6


def test_two_processes_share_the_trials_and_draw_differently(opened: Open) -> None:
    first, second = opened(), opened()
    trials = [claim(study, SPACE) for study in (first, second, first, second)]
    assert [trial.number for trial in trials if trial] == [0, 1, 2, 3]
    assert claim(first, SPACE) is None
    assert claim(second, SPACE) is None
    assert len({trial.params[GAMMA] for trial in trials if trial}) == 4


def test_who_takes_a_trial_too_many_gives_it_back(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another process takes the last one between looking and asking."""
    study, other = opened(), opened()
    for _ in range(3):
        claim(study, SPACE)
    ask = study.ask
    taken = []

    def ask_late() -> optuna.Trial:
        taken.append(claim(other, SPACE))
        return ask()

    monkeypatch.setattr(study, "ask", ask_late)
    assert claim(study, SPACE) is None
    assert [trial.number for trial in taken if trial] == [3]
    assert [trial.number for trial in standing(study)] == [0, 1, 2, 3]
    assert [trial.state for trial in study.trials][-1] == TrialState.FAIL


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_draws_depend_on_the_seed_and_the_trials_before_alone(sampler: str, tmp_path: Path) -> None:
    """A search that goes on in another process draws what an uninterrupted one does."""
    count = 12 if sampler in ("tpe", "gp") else 3  # the first ten are random
    space = replace(SPACE, sampler=sampler, trials=count)
    whole = draw(open_study(space, f"sqlite:///{tmp_path / 'a.db'}"), space)
    for part in (replace(space, trials=count - 1), space):
        parts = open_study(part, f"sqlite:///{tmp_path / 'b.db'}")
        draw(parts, part)
    assert [trial.params for trial in parts.trials] == whole
    assert len({params[GAMMA] for params in whole}) >= count - 2
    other = replace(space, seed=1, trials=1)
    assert draw(open_study(other, f"sqlite:///{tmp_path / 'c.db'}"), other) != whole[:1]


def test_a_trial_that_is_queued_again_keeps_its_values_and_its_folder(opened: Open) -> None:
    study = opened()
    trial, _ = claim(study, SPACE), claim(study, SPACE)
    assert trial is not None
    trial.report(3.0, 100)
    assert requeue(study, trial.number, died=False)
    assert not requeue(study, trial.number, died=False)  # it has ended
    again = claim(opened(), SPACE)
    assert again is not None
    assert (again.number, first_number(again)) == (2, 0)
    assert again.params == trial.params
    assert study.trials[2].intermediate_values == {100: 3.0}
    assert [each.number for each in standing(study)] == [1, 2]


def test_a_silent_trial_is_found_by_others_and_not_for_ever(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    study, other = opened(), opened()
    trial = claim(study, SPACE)
    assert trial is not None
    assert revive(other) == []
    monkeypatch.setattr(search_study, "PATIENCE", -1.0)
    for death in range(search_study.MAX_DEATHS):
        assert revive(other) == [trial.number], death
        trial = claim(other, SPACE)
        assert trial is not None
        assert first_number(trial) == 0
    assert revive(other) == []  # whatever it does, it kills its process
    (dead,) = standing(study)
    assert dead.state == TrialState.FAIL
    assert reason_of(dead) == "its process died 4 times"
    study.tell(trial, 1.0, skip_if_finished=True)  # should the process live after all
    assert standing(study)[0].state == TrialState.FAIL


def test_a_failed_trial_says_why_and_counts(opened: Open) -> None:
    study = opened()
    trial = claim(study, SPACE)
    assert trial is not None
    fail(study, trial, "batch_size does not fit")
    assert reason_of(standing(study)[0]) == "batch_size does not fit"
    assert len(draw(study, SPACE)) == 3


def test_another_search_of_the_same_name_is_refused(opened: Open, tmp_path: Path) -> None:
    opened()
    for change, words in (({"seed": 3}, "seed = 0, not 3"), ({"objective": "iqm"}, "objective = 'mean', not 'iqm'")):
        with pytest.raises(ValueError, match=rf"search s there has {words}; accepted: the same search, or a new name"):
            opened(replace(SPACE, **change))
    optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="other").set_user_attr("a", 1)
    with pytest.raises(ValueError, match="holds a study other that simgap did not make; accepted: a new name"):
        opened(replace(SPACE, name="other"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("somewhere", "storage 'somewhere': Could not parse"),
        ("mysql://me:secret@host/db", r"storage mysql://me:\*\*\*@host/db: "),
        ("floppy://a", "storage floppy://a: "),
        ("sqlite:////nowhere/at/all.db", "unable to open database file; accepted: sqlite:///FILE"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_its_password(
    url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(ValueError, match=message) as caught:
        open_study(SPACE, url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "accepted: sqlite:///FILE" in str(caught.value)


@pytest.mark.parametrize("pruner", PRUNERS)
def test_pruners_end_what_is_far_below_the_others(pruner: str, opened: Open) -> None:
    space = replace(SPACE, pruner=pruner, trials=9)
    study = opened(space)
    kept = []
    for number in range(9):
        trial = claim(study, space)
        assert trial is not None
        for step in (300, 600, 1000):
            trial.report(0.0 if number == 8 else 100.0 + number, step)
        kept.append(not trial.should_prune())
        study.tell(trial, 1.0)
    assert kept[-1] == (pruner == "none")
    assert kept[:5].count(True) >= (1 if pruner in ("halving", "hyperband") else 5)
