"""A student of the pose pipeline learns from a policy on the state."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.config import RunConfig
from experiments.evaluate import load_trained
from experiments.run import Run, create_run
from experiments.teacher import load_teacher, teacher_directory
from experiments.train import train

STUDENT: dict[str, Any] = {"pipeline": "pose", "pose": {"critic": "state"}, "steps": 512}


@pytest.fixture
def config(tiny: Callable[..., RunConfig], ppo_run: Run) -> RunConfig:
    return tiny("dagger", teacher=str(ppo_run.directory.parent), **STUDENT)


def test_the_teacher_acts_on_raw_states(config: RunConfig, ppo_run: Run, tmp_path: Path) -> None:
    run = create_run(config, tmp_path)
    assert teacher_directory(run) == ppo_run.directory
    taught = load_teacher(run)
    policy = load_trained(ppo_run, "source", 4, 1)
    observations: Any = policy.env.reset()
    wanted, _ = policy.agent.predict(observations, deterministic=True)
    np.testing.assert_allclose(taught.act(policy.simulation.task.observe(policy.simulation._state)), wanted, atol=1e-5)


def test_a_student_starts_where_its_teacher_is_and_learns(config: RunConfig, tmp_path: Path) -> None:
    """Two trainings of one seed end with the same bits."""
    run = train(config, tmp_path, num_threads=1)
    assert run.done
    student = load_trained(run, "source", 16, 1, "state")
    observations: Any = student.env.reset()
    found, _ = student.agent.predict(observations, deterministic=True)
    wanted = load_teacher(run).act(student.simulation.task.observe(student.simulation._state))
    assert 0 < np.abs(found - wanted).max() < 0.1
    again = train(config, tmp_path / "again", num_threads=1)
    states = [load_trained(one, "source", 2, 1, "state").agent.policy.state_dict() for one in (run, again)]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


def test_a_teacher_that_does_not_serve_is_refused(config: RunConfig, ppo_run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "teacher"
    shutil.copytree(ppo_run.directory, copy)
    run = Run(RunConfig(**{**config.__dict__, "teacher": str(copy)}), tmp_path / "s" / "c" / "seed-000")
    assert teacher_directory(run) == copy
    load_teacher(run)
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text.replace("figure: hopper", "figure: hopper[minimum_speed=0.5]"))
    load_teacher(run)  # it was taught otherwise, but observes the same
    (copy / "config.yaml").write_text(text.replace("figure: hopper", "figure: walker2d"))
    with pytest.raises(
        ValueError, match=r"a policy of walker2d on state; accepted as a teacher: one of hopper on state"
    ):
        load_teacher(run)
    (copy / "config.yaml").write_text(text.replace("name: ppo", "name: recurrent_ppo"))
    with pytest.raises(ValueError, match=r"recurrent_ppo remembers what it saw; accepted: agents without a memory$"):
        load_teacher(run)
    (copy / "config.yaml").write_text(text)
    (copy / "done.json").unlink()
    with pytest.raises(ValueError, match=r"teacher: the teacher has not finished training; accepted: a run that has$"):
        load_teacher(run)
    shutil.rmtree(copy)
    with pytest.raises(ValueError, match=r"seed-000: not a run directory"):
        load_teacher(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": ""}, "agent dagger learns from a teacher; accepted: --teacher with a run on the state"),
        ({"pose": {"critic": "pose"}}, "agent dagger needs the true state for its teacher beside what it sees itself"),
        ({"agent": {"name": "ppo"}}, "teacher 't' is for agents dagger and rma alone, not for ppo"),
    ],
)
def test_a_student_needs_a_teacher_and_its_state(
    tiny: Callable[..., RunConfig], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny("dagger", **{**STUDENT, "teacher": "t", **changes})
