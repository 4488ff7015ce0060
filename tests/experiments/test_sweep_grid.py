import numpy as np
import pytest

import envs
from envs.domains import domain_model
from experiments.sweep_grid import CellShifts, Grid, parse_axis


def grid(*axes: str, base: str = "source") -> Grid:
    return Grid("hopper", base, tuple(parse_axis(text) for text in axes))


def test_an_axis_is_read_with_each_operation() -> None:
    axis = parse_axis("torso_mass=-1.5:3:19")
    assert (axis.names, axis.operation) == (("torso_mass",), "+")
    assert axis.values[0] == -1.5
    assert axis.values[6] == 0.0
    assert axis.values[-1] == 3.0
    assert np.diff(axis.values) == pytest.approx(0.25)
    assert parse_axis("torso_mass+-1.5:3:19") == axis
    assert parse_axis(" torso_mass * 0.5:2:16").operation == "*"
    assert parse_axis("torso_mass==0.1:3:15").operation == "="
    assert parse_axis("foot_friction, floor_friction*0.3:2:15").names == ("foot_friction", "floor_friction")


@pytest.mark.parametrize("text", ["torso_mass=-1.5:3:19", "a_mass,b_mass*0.5:2:16", "gravity==3.7:9.81:3"])
def test_what_an_axis_writes_reads_back_as_itself(text: str) -> None:
    axis = parse_axis(text)
    assert parse_axis(axis.written) == axis


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torso_mass", "cannot be read; accepted: parameter and low:high:count, such as torso_mass=-1.5:3:19"),
        ("torso_mass=1:2", "cannot be read"),
        ("torso_mass/1:2:3", "cannot be read"),
        ("torso_mass=a:2:3", "low and high must be numbers"),
        ("torso_mass=2:1:3", "low must be below high, and both finite"),
        ("torso_mass=1:inf:3", "low must be below high, and both finite"),
        ("torso_mass=1:2:1", "count is 1; it must be a whole number from 2 to 1000"),
        ("torso_mass=1:2:2.5", "count is 2.5; it must be a whole number"),
        ("torso_mass=1:2:1001", "count is 1001"),
    ],
)
def test_an_axis_that_cannot_be_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^sweep '") as caught:
        parse_axis(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (["torso_mass=-3:3:5"], r"sweep torso_mass\+-3:3:5 of source: torso_mass = -0.466 is not physical"),
        (["torso_mas=1:2:3"], "of source: unknown physical parameter 'torso_mas', did you mean 'torso_mass'"),
        (["torso_mass=0:1:3", "torso_mass*1:2:3"], "torso_mass is shifted twice; accepted: each parameter once"),
        (["torso_mass=0:1:3"] * 3, "a sweep of 3 axes; accepted: one or two"),
        (["torso_mass=0:1:1000", "gravity=0:1:101"], "101,000 cells; it must be at most 100,000"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(axes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid(*axes)


def test_a_factor_on_inertia_is_not_swept_where_the_base_has_one() -> None:
    with pytest.raises(ValueError, match="shifts torso_inertia itself"):
        grid("torso_inertia*1:2:3", base="source, torso_inertia*2")


def test_cells_are_domains_with_the_last_axis_fastest() -> None:
    both = grid("torso_mass=-0.5:0.5:3", "foot_friction,floor_friction*0.5:1:2")
    assert [both.domain(cell) for cell in range(4)] == [
        "source",
        "source, torso_mass-0.5, foot_friction*0.5, floor_friction*0.5",
        "source, torso_mass-0.5, foot_friction*1, floor_friction*1",
        "source, torso_mass+0, foot_friction*0.5, floor_friction*0.5",
    ]
    assert both.operands.shape == (6, 2)
    assert both.origin == (0.0, 1.0)
    assert grid("torso_mass==1:3:3").origin == (2.534,)


def test_absolute_values_become_operands() -> None:
    assert parse_axis("torso_mass=0:1:2").label == "shift of torso_mass (kg)"
    source = grid("torso_mass=0:1:2", "thigh_mass*1:2:2")
    assert source.as_operands("torso_mass", source.axes[0], [2.534, 3.534]) == pytest.approx([0.0, 1.0])
    assert source.as_operands("thigh_mass", source.axes[1], [3.927 * 0.7]) == pytest.approx([0.7])


@pytest.mark.parametrize("axis", ["torso_mass=-1.5:3:7", "torso_mass*0.3:2:4", "torso_mass==0.1:3:4", "gravity=-3:3:5"])
def test_each_simulation_has_the_very_model_of_its_cell(axis: str) -> None:
    swept = grid(axis, "foot_friction,floor_friction*0.3:2:3")
    shifts = CellShifts(swept, swept.operands, episodes=2)
    env = envs.make_vec("hopper", 2 * len(swept.operands) + 1, "source", num_threads=1, randomizer=shifts)
    env.reset()
    for simulation in (0, 1, 7, env.num_envs - 1):
        cell = min(1 + simulation // 2, len(swept.operands))
        expected = domain_model(envs.task_of("hopper"), swept.domain(cell))
        found = env.batch.get_model(simulation)
        for field in (
            "body_mass",
            "body_inertia",
            "geom_friction",
            "body_invweight0",
            "dof_invweight0",
            "body_subtreemass",
        ):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=field)
        np.testing.assert_array_equal(found.opt.gravity, expected.opt.gravity)
    env.close()
