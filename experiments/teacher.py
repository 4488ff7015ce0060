"""The policy that teaches a student who sees less, and the runs that others wait for.

It sees the state, and the physical parameters too (pipeline privileged) if its student sees history.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents import Teacher
from experiments.checkpoints import load_section
from experiments.config import RunConfig
from experiments.evaluate import load_folded
from experiments.run import Run, check_memoryless, open_run


@dataclass(frozen=True)
class Taught:
    """What a student gets from its teacher."""

    act: Teacher
    policy: dict[str, Any]
    """The teacher's networks, which the student starts from as far as they fit, or which rma builds on."""
    normalizer: dict[str, Any] | None
    """The running statistics of what the teacher saw."""


def teacher_directory(run: Run) -> Path | None:
    """Where the run's teacher, or the one whose policy logs its target, is or will be; None if it has none.

    A name without a slash is a cell of the same study, of which it is the run with the same seed.
    """
    name = run.config.teacher or run.config.identify.policy
    if not name:
        return None
    folder = run.directory.parents[1] / name if "/" not in name else Path(name)
    same_seed = folder / run.directory.name
    return folder if (folder / "config.yaml").is_file() else same_seed


def load_teacher(run: Run) -> Taught:
    """The teacher of a run.

    Raises:
        ValueError: it is not there, not trained to its end, remembers what it saw, or is a policy of another figure, of
            no state, or of other physical parameters than the student's.
    """
    directory = teacher_directory(run)
    assert directory is not None  # the configuration of an agent that is taught names one
    teacher = open_run(directory)
    if not teacher.done:
        raise ValueError(f"{directory}: the teacher has not finished training; accepted: a run that has")
    theirs, ours = teacher.config.task, run.config.task
    alike = (theirs.name, theirs.observation_size) == (ours.name, ours.observation_size)  # rewards may differ
    sees = "privileged" if run.config.pipeline == "history" else "state"
    if teacher.config.pipeline != sees or not alike:
        raise ValueError(
            f"{directory}: a policy of {teacher.config.figure} on {teacher.config.pipeline}; "
            f"accepted as a teacher: one of {run.config.figure} on {sees}"
        )
    if teacher.config.shown != run.config.shown:
        raise ValueError(
            f"{directory}: a policy that is shown {', '.join(teacher.config.shown)}; "
            f"accepted as a teacher: one that is shown {', '.join(run.config.shown)}"
        )
    check_memoryless(teacher)  # it is asked about single states, in no order
    if run.config.agent.name == "rma":
        _check_base(directory, teacher.config, run.config)
    saved = load_section(teacher.latest_checkpoint(), "policy")
    agent = load_folded(teacher)

    def act(states: Any) -> Any:
        return agent.predict(states, deterministic=True)[0]

    # What sees history is no longer what saw parameters: there only rma has layers in common with its teacher.
    fits = sees == "state" or run.config.agent.name == "rma"
    return Taught(act, saved["policy"] if fits else {}, saved["normalizer"])


def _check_base(directory: Path, teacher: RunConfig, student: RunConfig) -> None:
    """Raise ``ValueError`` unless rma's student can be built on its teacher's policy."""
    for key, theirs, ours in (
        ("agent", teacher.agent.name, "ppo"),
        ("privileged.latent", teacher.privileged.latent, student.privileged.latent),
        *(
            (f"policy_kwargs.{name}", _network(teacher, name), _network(student, name))
            for name in ("net_arch", "activation_fn")
        ),
    ):
        if theirs != ours:
            raise ValueError(f"{directory}: {key} is {theirs!r}; accepted as a teacher of this student: {ours!r}")


def _network(config: RunConfig, option: str) -> Any:
    return config.agent.hyperparameters.get("policy_kwargs", {}).get(option)
