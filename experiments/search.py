"""A search: trials of a space, several at a time, judged by an objective and shared through a database."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import Trial, TrialState

from experiments.executors import (
    HERE,
    LOG,
    Executor,
    ExecutorConfig,
    LocalExecutor,
    Process,
    Task,
    last_words,
    open_executor,
    stoppable,
)
from experiments.files import read_json
from experiments.metrics import read_curve
from experiments.run import Run, create_run
from experiments.search_methods import CHECKS
from experiments.search_report import collect, write_search_report
from experiments.search_space import FIRST_SEED, SearchSpace
from experiments.search_study import (
    BEAT,
    beat,
    claim,
    fail,
    first_number,
    open_study,
    reason_of,
    requeue,
    revive,
    shown,
    standing,
)
from experiments.search_worker import SCORES, STOPPED
from experiments.study_progress import SearchProgress

Watch = Callable[[Sequence["Attempt"]], None]
"""Called about twice a second with the trials that this process has running."""


@dataclass
class Attempt:
    """A trial that runs here."""

    trial: Trial
    runs: list[Run]
    """One for each seed."""
    reported: int
    """Environment steps of the last training return that others were compared with."""
    beaten: float = field(default_factory=time.monotonic)
    pruned: bool = False

    @property
    def log(self) -> Path:
        """What its process prints."""
        return self.runs[0].directory.parents[1] / LOG


def search(
    space: SearchSpace,
    trials: int,
    storage: str,
    runs: Path,
    results: Path,
    workers: int,
    where: ExecutorConfig = HERE,
) -> tuple[Path, list[str]]:
    """Do what is left of the search, then write its report.

    Args:
        space: the search.
        trials: in all, 0 for the space's own number.
        storage: URL of the database, empty for an SQLite file beside the trials.
        runs: where ``<search>/trial-0007`` go.
        results: where ``<search>`` with the report goes.
        workers: trials at a time, 0 for one a core of this machine or of the cluster.
        where: what runs the processes.

    Returns:
        The report, and one line for each trial that failed.

    Raises:
        ValueError: an impossible number, a database or a cluster that cannot be used, or no trial was completed.
        RuntimeError: the cluster went away; what has finished is kept.
    """
    for name, value, zero in (("workers", workers, "one a core"), ("trials", trials, "the file's number")):
        if value < 0:
            raise ValueError(f"{name} is {value}; it must be 0 ({zero}) or more")
    space = replace(space, trials=trials) if trials else space
    if (results / space.name / "study.yaml").exists():
        raise ValueError(f"{results / space.name}: holds a study; accepted: a search of another name")
    root = runs / space.name
    url = storage or f"sqlite:///{(root / 'study.db').as_posix()}"
    with open_executor(where, runs, workers) as executor:  # first: one that is not there leaves nothing
        if not storage:
            root.mkdir(parents=True, exist_ok=True)
        study = open_study(space, url)
        print(f"watch it: optuna-dashboard {shown(url)}", flush=True)
        with SearchProgress(space.name, space.trials, space.objective) as progress:

            def watch(attempts: Sequence[Attempt]) -> None:
                ended = [trial for trial in standing(study)[: space.trials] if trial.state.is_finished()]
                done = (trial.value for trial in ended if trial.state == TrialState.COMPLETE)
                best = max((value for value in done if value is not None), default=float("nan"))
                progress.update(len(ended), best, [attempt.runs[0] for attempt in attempts])

            run_search(space, study, root, workers or executor.slots(), watch, executor)
    collect(space, study, url, results / space.name)
    failed = [trial for trial in standing(study)[: space.trials] if trial.state == TrialState.FAIL]
    return write_search_report(results / space.name), [f"trial {trial.number}: {reason_of(trial)}" for trial in failed]


def run_search(
    space: SearchSpace,
    study: optuna.Study,
    root: Path,
    workers: int,
    watch: Watch,
    executor: Executor | None = None,
) -> None:
    """Do what is left of the search, ``workers`` trials at a time, and wait for the other processes that work on it.

    A trial is ``root/trial-0007``: its log and a run directory for each seed. What goes wrong in one is noted there and
    stops no other. On Ctrl-C, SIGTERM or SIGHUP the trials are asked to save, and queued again; those of a process that
    was killed are found by their silence.
    """
    every = -(-space.longest // CHECKS)
    executor = executor or LocalExecutor()
    active: dict[Process, Attempt] = {}
    try:
        with stoppable(active):
            while True:
                revive(study)
                while len(active) < workers and (trial := claim(study, space)):
                    try:
                        attempt = _prepare(space, trial, root)
                    except ValueError as error:
                        fail(study, trial, str(error))
                        continue
                    active[_start(space, attempt, executor)] = attempt
                for process in list(active):
                    if (status := process.poll()) is not None:
                        _finish(space, study, active.pop(process), status)
                for process, attempt in active.items():
                    _follow(attempt, process, every)
                ended = [trial for trial in standing(study)[: space.trials] if trial.state.is_finished()]
                if not active and len(ended) == space.trials:
                    break
                watch(list(active.values()))
                time.sleep(0.5)
    except BaseException:
        for attempt in active.values():
            requeue(study, attempt.trial.number, died=False)
        raise
    watch([])


def _prepare(space: SearchSpace, trial: Trial, root: Path) -> Attempt:
    """The trial's run directories.

    Raises:
        ValueError: its values are impossible together.
    """
    values = {key: parameter.value(trial.params[key]) for key, parameter in space.parameters.items()}
    name = f"trial-{first_number(trial):04d}"
    runs = [create_run(space.config(values, name, FIRST_SEED + i), root) for i in range(space.seeds)]
    seen = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    return Attempt(trial, runs, max(seen, default=0))


def _start(space: SearchSpace, attempt: Attempt, executor: Executor) -> Process:
    directories = [run.directory for run in attempt.runs]
    with attempt.log.open("a", encoding="utf-8") as log:
        log.write(f"trial {attempt.trial.number}: {attempt.trial.params}\n")
    words: tuple[str | Path, ...] = ("experiments.search_worker", space.judged_in, str(space.episodes), *directories)
    return executor.start(Task(words, attempt.log, attempt.log.parent))


def _follow(attempt: Attempt, process: Process, every: int) -> None:
    """Say that the trial lives, and end it if its training returns are hopeless beside the others'."""
    if time.monotonic() - attempt.beaten > BEAT:
        beat(attempt.trial)
        attempt.beaten = time.monotonic()
    run = attempt.runs[0]
    if attempt.pruned or run.done:
        return
    for step, value in read_curve(run).itertuples(index=False):
        if step >= attempt.reported + every:
            attempt.reported = step // every * every
            attempt.trial.report(value, attempt.reported)
            if attempt.trial.should_prune():
                attempt.pruned = True
                process.terminate()
                return


def _finish(space: SearchSpace, study: optuna.Study, attempt: Attempt, status: int) -> None:
    """Tell the database how the trial ended."""
    trial = attempt.trial
    if attempt.pruned and status:
        study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    elif status < 0 or status == STOPPED:
        requeue(study, trial.number, died=True)
    elif status:
        fail(study, trial, last_words(status, attempt.log))
    else:
        found = [read_json(run.directory / SCORES) for run in attempt.runs]
        for name in found[0]:
            trial.set_user_attr(name, float(np.mean([scores[name] for scores in found])))
        trial.set_user_attr("wall_s", sum(run.result()["wall_s"] for run in attempt.runs))
        value = float(np.mean([scores[space.objective] for scores in found]))
        study.tell(trial, value, skip_if_finished=True)
