"""Options of a figure: what is accepted, what is refused, and the one text that a task has."""

import re
from pathlib import Path

import pytest

import envs
from envs.ant import Ant
from envs.hopper import Hopper
from envs.inverted_pendulum import InvertedPendulum
from envs.walker2d import Walker2d


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("hopper", Hopper()),
        (" hopper ", Hopper()),
        ("hopper[minimum_speed=0.5]", Hopper(minimum_speed=0.5)),
        ("hopper [ minimum_speed = -.5 , healthy_z=1e-1 ]", Hopper(minimum_speed=-0.5, healthy_z=0.1)),
        ("ant[contact_forces=all, forward_reward_weight=2]", Ant(contact_forces="all", forward_reward_weight=2.0)),
        ("inverted_pendulum[speed_penalty=0.1]", InvertedPendulum(speed_penalty=0.1)),
        ("walker2d[forward_reward_weight=-1,minimum_speed=-inf]", Walker2d(forward_reward_weight=-1.0)),
    ],
)
def test_a_figures_text_is_its_task(text: str, task: envs.Task) -> None:
    assert envs.task_of(text) == task


@pytest.mark.parametrize(
    ("text", "canonical", "file"),
    [
        ("hopper", "hopper", "hopper"),
        ("hopper[healthy_reward=1.0]", "hopper", "hopper"),
        (
            "ant[forward_reward_weight=2.0,contact_forces=all]",
            "ant[contact_forces=all, forward_reward_weight=2]",
            "ant,contact_forces=all,forward_reward_weight=2",
        ),
        ("hopper[control_cost_weight=1e-7]", "hopper[control_cost_weight=1e-07]", "hopper,control_cost_weight=1e-07"),
        ("hopper[minimum_speed=0.1]", "hopper[minimum_speed=0.1]", "hopper,minimum_speed=0.1"),
    ],
)
def test_the_canonical_text_is_sorted_and_without_defaults(text: str, canonical: str, file: str) -> None:
    task = envs.task_of(text)
    assert envs.figure_text(task) == canonical
    assert envs.figure_text(envs.task_of(canonical)) == canonical
    assert envs.task_of(canonical) == task
    assert envs.file_form(canonical) == file


def test_a_text_of_another_value_is_another_text() -> None:
    tasks = [Hopper(minimum_speed=value) for value in (0.1, 0.1 + 1e-15, 1.0, 10.0, 1e300, -2.0)]
    texts = [envs.figure_text(task) for task in tasks]
    assert len(set(texts)) == len(tasks)
    assert [envs.task_of(text) for text in texts] == tasks


def test_the_file_form_is_no_pattern(tmp_path: Path) -> None:
    name = envs.file_form(envs.figure_text(Ant(contact_forces="none", minimum_speed=0.5, healthy_z_low=-1.0)))
    assert re.fullmatch(r"[\w,=.-]+", name)
    (tmp_path / name / "seed-000").mkdir(parents=True)
    assert [path.parent.name for path in tmp_path.glob(f"{name}/seed-*")] == [name]


ACCEPTED = (
    "control_cost_weight, forward_reward_weight, healthy_angle, healthy_reward, healthy_state, healthy_z, "
    "minimum_speed, reset_noise"
)
REFUSED = {
    "hoper": f"unknown figure 'hoper'; accepted: {', '.join(envs.FIGURES)}",
    "hopper[speed=1]": f"figure 'hopper[speed=1]': unknown option 'speed' (accepted: {ACCEPTED})",
    "hopper[name=x]": f"figure 'hopper[name=x]': unknown option 'name' (accepted: {ACCEPTED})",
    "hopper[healthy_z=high]": "figure 'hopper[healthy_z=high]': healthy_z is 'high'; accepted: a number",
    "hopper[healthy_z=True]": "figure 'hopper[healthy_z=True]': healthy_z is 'True'; accepted: a number",
    "hopper[healthy_z=nan]": "figure 'hopper[healthy_z=nan]': healthy_z is nan; it must be finite",
    "hopper[minimum_speed=inf]": "figure 'hopper[minimum_speed=inf]': minimum_speed is inf; it must be finite",
    "hopper[reset_noise=-1]": "figure 'hopper[reset_noise=-1]': reset_noise is -1; it must be finite and 0 or more",
    "ant[contact_forces=some]": (
        "figure 'ant[contact_forces=some]': contact_forces is 'some'; accepted: bodies, all, none"
    ),
    "inverted_pendulum[speed_penalty=-1]": (
        "figure 'inverted_pendulum[speed_penalty=-1]': speed_penalty is -1; it must be finite and 0 or more"
    ),
    "hopper[]": "figure 'hopper[]': cannot read option ''; accepted: option=value",
    "hopper[healthy_z]": "figure 'hopper[healthy_z]': cannot read option 'healthy_z'; accepted: option=value",
    "hopper[healthy_z=]": "figure 'hopper[healthy_z=]': cannot read option 'healthy_z='; accepted: option=value",
    "hopper[healthy_z=1,]": "figure 'hopper[healthy_z=1,]': cannot read option ''; accepted: option=value",
    "hopper[healthy_z=1, healthy_z=2]": "figure 'hopper[healthy_z=1, healthy_z=2]': option healthy_z is given twice",
    "hopper[healthy_z=1": (
        "cannot read figure 'hopper[healthy_z=1'; accepted: a name, perhaps with options, as hopper[minimum_speed=0.5]"
    ),
    "": "cannot read figure ''; accepted: a name, perhaps with options, as hopper[minimum_speed=0.5]",
}


@pytest.mark.parametrize("text", REFUSED)
def test_bad_figures_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(REFUSED[text])}$"):
        envs.task_of(text)


def test_options_can_be_given_as_values() -> None:
    assert envs.task_of("ant", contact_forces="none", healthy_reward=2) == Ant("none", healthy_reward=2.0)
    with pytest.raises(ValueError, match=r"^figure 'ant': healthy_reward is True; accepted: a number$"):
        envs.task_of("ant", healthy_reward=True)
    with pytest.raises(ValueError, match=r"^figure 'ant': healthy_reward is None; accepted: a number$"):
        envs.task_of("ant", healthy_reward=None)


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_a_figure_without_options_is_its_name(figure: str) -> None:
    task = envs.task_of(figure)
    assert envs.figure_text(task) == figure == task.name


def test_the_batched_environment_takes_options() -> None:
    env = envs.make_vec("ant[contact_forces=none]", 2, num_threads=1)
    assert env.observation_space.shape == (27,)
