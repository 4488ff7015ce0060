"""Training and judging a study's runs, several at a time."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.executors import LOG, RETRIES, Executor, LocalExecutor, Process, Task, last_words, stoppable
from experiments.run import Run
from experiments.teacher import teacher_directory
from experiments.wandb_output import Wandb


@dataclass(frozen=True)
class Failure:
    """A run whose process ended with an error."""

    run: Run
    status: int
    """Exit status; negative: killed by that signal."""

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.run.directory / LOG

    def line(self) -> str:
        """One line naming the run, its end, the last thing it said and where the rest is."""
        return f"{self.run.name} failed {last_words(self.status, self.log)}"


def run_all(
    runs: Sequence[Run],
    domains: Sequence[str],
    sights_of: Callable[[Run], Sequence[str]],
    episodes: int,
    workers: int,
    watch: Callable[[Sequence[Run], Sequence[Run]], None],
    executor: Executor | None = None,
    wandb: Wandb = "off",
) -> list[Failure]:
    """Train and evaluate ``runs``, ``workers`` at a time, one core each, by ``executor`` (None: on this machine).

    A run waits for its teacher, if that is one of ``runs``. ``sights_of`` says what each is judged through. A run that
    fails does not stop the others. ``watch`` is called about twice a second with the runs in progress and the runs that
    have ended. On Ctrl-C, SIGTERM or SIGHUP the processes are asked to save and stop.

    Returns:
        The failures, in the order of ``runs``.
    """
    waiting = list(runs)
    executor = executor or LocalExecutor()
    active: dict[Process, Run] = {}
    ended: list[Run] = []
    failures: list[Failure] = []
    with stoppable(active):
        while waiting or active:
            while len(active) < workers and (run := _next(waiting, active.values())):
                waiting.remove(run)
                active[_start(run, domains, sights_of(run), episodes, executor, wandb)] = run
            if not active and waiting:
                names = ", ".join(run.name for run in waiting)
                raise ValueError(f"runs that wait for each other as teachers: {names}; accepted: others that end first")
            for process in [process for process in active if process.poll() is not None]:
                run = active.pop(process)
                ended.append(run)
                if process.returncode:
                    failures.append(Failure(run, process.returncode))
            watch(list(active.values()), ended)
            time.sleep(0.5)
    return sorted(failures, key=lambda failure: list(runs).index(failure.run))


def _next(waiting: Sequence[Run], active: Iterable[Run]) -> Run | None:
    """The first run whose teacher need not be waited for."""
    unfinished = {run.directory.resolve() for run in (*waiting, *active)}
    for run in waiting:
        teacher = teacher_directory(run)
        if teacher is None or teacher.resolve() not in unfinished:
            return run
    return None


def _start(
    run: Run, domains: Sequence[str], sights: Sequence[str], episodes: int, executor: Executor, wandb: Wandb
) -> Process:
    words: tuple[str | Path, ...] = (
        "experiments.worker",
        f"--wandb={wandb}",
        run.directory,
        str(episodes),
        ",".join(sights),
        *domains,
    )
    teacher = teacher_directory(run)
    needs = (teacher,) if teacher else ()
    return executor.start(Task(words, run.directory / LOG, run.directory, needs, retries=RETRIES))
