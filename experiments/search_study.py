"""The trials of a search in their database, shared by every process that works on it."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from experiments.plain import differences, parse_config, to_plain
from experiments.search_methods import PRUNERS, SAMPLERS
from experiments.search_space import SearchSpace

BEAT = 10.0
"""Seconds between the signs of life of a trial."""
PATIENCE = 90.0
"""Seconds without one after which it is dead. The clocks of machines that share a search must agree better."""
ATTEMPTS = 3
"""To make the tables."""
MAX_DEATHS = 3
"""After so many a trial is not begun again: it may be what kills its process."""


def open_study(space: SearchSpace, url: str) -> optuna.Study:
    """The search's study in the database ``url`` of any kind that SQLAlchemy has a driver for, made if it is new.

    Raises:
        ValueError: the database cannot be opened, or holds another search of this name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for attempt in range(ATTEMPTS):
        try:
            study = _connect(space, url)
            break
        except (SQLAlchemyError, ImportError, RuntimeError, optuna.exceptions.OptunaError) as error:
            # Of processes that begin at once, all but one may find tables half made.
            if attempt + 1 < ATTEMPTS and isinstance(error, DBAPIError):
                time.sleep(attempt + 0.5)
                continue
            reason = " ".join(str(error).split()).split(" (Background on this error")[0]
            raise ValueError(
                f"storage {shown(url)}: {reason:.150}; accepted: sqlite:///FILE, or the URL of a database with its "
                "driver installed, such as postgresql://USER:PASSWORD@HOST/NAME"
            ) from None
    _check_same(study, space, url)
    return study


def _connect(space: SearchSpace, url: str) -> optuna.Study:
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}  # s until a lock counts as stuck
    study = optuna.create_study(
        storage=optuna.storages.RDBStorage(url, engine_kwargs=options),
        study_name=space.name,
        direction="maximize",
        pruner=PRUNERS[space.pruner](space.longest),
        load_if_exists=True,
    )
    if not study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr("space", to_plain(space))
    return study


def _check_same(study: optuna.Study, space: SearchSpace, url: str) -> None:
    """Raise ``ValueError`` unless the study is of this search; its number of trials and its text may change."""
    stored = study.user_attrs.get("space")
    if stored is None:
        raise ValueError(
            f"storage {shown(url)}: holds a study {space.name} that simgap did not make; accepted: a new name"
        )
    there = parse_config(SearchSpace, stored, f"storage {shown(url)}")
    same = replace(there, trials=space.trials, title=space.title, description=space.description)
    if differing := differences(same, space):
        raise ValueError(
            f"storage {shown(url)}: search {space.name} there has {differing}; accepted: the same search, or a new name"
        )


def shown(url: str) -> str:
    """The URL without its password."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return repr(url)


def claim(study: optuna.Study, space: SearchSpace) -> Trial | None:
    """The next trial, its values drawn; None when none is left to begin.

    A draw depends on the search's seed, the trial's number and the trials before it. Processes that ask at the same
    moment may take one trial too many: whoever got the higher number gives it back.
    """
    trials = standing(study)[: space.trials]
    if len(trials) == space.trials and all(trial.state != TrialState.WAITING for trial in trials):
        return None
    study.sampler = _sampler(space, len(study.get_trials(deepcopy=False)))
    trial = study.ask()
    if trial.number not in [each.number for each in standing(study)[: space.trials]]:
        trial.set_user_attr("surplus", True)
        study.tell(trial, state=TrialState.FAIL)
        return None
    beat(trial)
    study.sampler = _sampler(space, trial.number)
    for key, parameter in space.parameters.items():
        parameter.suggest(trial, key)
    return trial


def _sampler(space: SearchSpace, number: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence([space.seed, number]).generate_state(1)[0])
    return SAMPLERS[space.sampler](seed)


def standing(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count, oldest first: without those given back, and those that another one continues."""
    trials = study.get_trials(deepcopy=False)
    continued = {trial.user_attrs.get("continues") for trial in trials}
    return [trial for trial in trials if trial.number not in continued and not trial.user_attrs.get("surplus")]


def first_number(trial: Trial | FrozenTrial) -> int:
    """The number that the trial had when it was first begun; its folder is called after that."""
    return int(trial.user_attrs.get("first", trial.number))


def beat(trial: Trial) -> None:
    """Say that the trial's process lives."""
    trial.set_user_attr("alive", time.time())


def revive(study: optuna.Study) -> list[int]:
    """Queue the trials of dead processes again; returns their numbers."""
    revived = []
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        silent = time.time() - max(started, trial.user_attrs.get("alive", 0.0)) > PATIENCE
        if silent and requeue(study, trial.number, died=True):
            revived.append(trial.number)
    return revived


def requeue(study: optuna.Study, number: int, died: bool) -> bool:
    """End a running trial and queue it again, to go on from its run's last checkpoint.

    Returns:
        Whether it was: not if it ended meanwhile, or has ``died`` too often.
    """
    trial = study.get_trials(deepcopy=False)[number]
    deaths = trial.user_attrs.get("deaths", 0) + died
    try:
        study.tell(number, state=TrialState.FAIL)
    except (ValueError, optuna.exceptions.OptunaError):
        return False  # another process was faster
    if deaths > MAX_DEATHS:
        return False
    attributes: dict[str, Any] = {
        **trial.user_attrs,
        "first": first_number(trial),
        "continues": number,
        "deaths": deaths,
    }
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
            intermediate_values=trial.intermediate_values,
        )
    )
    return True


def fail(study: optuna.Study, trial: Trial, reason: str) -> None:
    """End a trial that cannot succeed; ``reason`` is one line."""
    trial.set_user_attr("error", reason)
    study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return str(trial.user_attrs.get("error") or f"its process died {trial.user_attrs.get('deaths', 0) + 1} times")
