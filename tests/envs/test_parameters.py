"""Physical parameters: which there are, and how mass becomes inertia."""

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.hopper import Hopper
from envs.parameters import body_inertia, find_parameter, operate, physical_parameters
from envs.task import load_model
from randomization import Draw, FixedRandomizer
from randomization.distributions import Uniform

Array = npt.NDArray[np.float64]
PARAMETERS = physical_parameters(load_model(Hopper()))


def compiled(bodies: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{bodies}</worldbody></mujoco>")


def capsules(sizes: Array, masses: Array) -> mujoco.MjModel:
    return compiled(
        "".join(
            f'<body><freejoint/><geom type="capsule" size="{float(r)!r} {float(h)!r}" mass="{float(m)!r}"/></body>'
            for (r, h), m in zip(sizes, masses, strict=True)
        )
    )


def test_the_parameters_of_the_hopper_and_their_nominal_values() -> None:
    found = {name: (parameter.quantity, round(parameter.nominal, 3)) for name, parameter in PARAMETERS.items()}
    assert found == {
        **{
            f"{body}_mass": ("mass", value)
            for body, value in {"torso": 3.665, "thigh": 4.058, "leg": 2.781, "foot": 5.316}.items()
        },
        **{f"{body}_inertia": ("inertia", 1.0) for body in ("torso", "thigh", "leg", "foot")},
        **{f"{geom}_friction": ("friction", 0.9) for geom in ("torso", "thigh", "leg")},
        "foot_friction": ("friction", 2.0),
        "floor_friction": ("friction", 1.0),
        **{f"{joint}_joint_damping": ("damping", 1.0) for joint in ("thigh", "leg", "foot")},
        **{f"{joint}_joint_gear": ("gear", 200.0) for joint in ("thigh", "leg", "foot")},
        "gravity": ("gravity", 9.81),
    }


def names(figure: str, quantity: str) -> list[str]:
    found = physical_parameters(load_model(envs.task_of(figure)))
    return [parameter.name for parameter in found.values() if parameter.quantity == quantity]


def test_what_touches_nothing_has_no_friction_and_a_passive_joint_has_damping() -> None:
    assert names("inverted_pendulum", "friction") == []
    assert names("inverted_pendulum", "damping") == ["slider_damping", "hinge_damping"]
    assert names("inverted_pendulum", "gear") == ["slider_gear"]
    assert names("inverted_pendulum", "mass") == ["cart_mass", "pole_mass"]


def test_joints_without_damping_and_motors_have_none() -> None:
    joints = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
    assert names("half_cheetah", "damping") == [f"{joint}_damping" for joint in joints]
    assert names("half_cheetah", "gear") == [f"{joint}_gear" for joint in joints]


def test_bodies_without_a_name_have_that_of_their_joint() -> None:
    legs = ("front_left_leg", "front_right_leg", "back_leg", "right_back_leg")
    bodies = [name for i, leg in enumerate(legs, start=1) for name in (leg, f"aux_{i}", f"ankle_{i}")]
    assert names("ant", "mass") == [f"{body}_mass" for body in ("torso", *bodies)]
    assert names("ant", "inertia") == [f"{body}_inertia" for body in ("torso", *bodies)]


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_a_figure_has_a_parameter_of_each_quantity_for_every_part(figure: str) -> None:
    model = load_model(envs.task_of(figure))
    found = physical_parameters(model)
    assert len([p for p in found.values() if p.quantity == "mass"]) == model.nbody - 1
    assert len([p for p in found.values() if p.quantity in ("gear", "stiffness")]) == model.nu
    assert found["gravity"].nominal == 9.81
    assert all(name and not name.startswith("_") for name in found)


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_what_a_figure_randomises_it_has_and_its_gap_is_not_in_it(figure: str) -> None:
    task = envs.task_of(figure)
    found = physical_parameters(load_model(task))
    assert task.randomized
    assert set(task.randomized) <= set(found)
    source, target = (dict(shift[::2] for shift in envs.parse_domain(d, task).shifts) for d in ("source", "target"))
    gap = {name for name in {**source, **target} if source.get(name) != target.get(name)}
    assert gap
    assert not gap & set(task.randomized)


def test_a_body_without_a_name_or_a_joint_has_its_number() -> None:
    model = compiled('<body><geom size="1" mass="2"/></body>')
    assert physical_parameters(model)["body_1_mass"].nominal == 2


def frictions(geoms: str) -> dict[str, float]:
    model = compiled(f'<geom type="plane" size="1 1 1" friction="0.5"/><body name="leg"><freejoint/>{geoms}</body>')
    return {p.name: p.nominal for p in physical_parameters(model).values() if p.quantity == "friction"}


def test_geoms_without_a_name_have_that_of_their_body_and_a_number_where_it_has_several() -> None:
    unseen = '<geom size="1" contype="0" conaffinity="0"/>'
    one, other = ('<geom size="1" friction="0.7"/>', '<geom size="1" friction="0.8"/>')
    named = '<geom name="foot_geom" size="1" friction="0.9"/>'
    assert frictions(unseen + one + named) == {"world_friction": 0.5, "leg_friction": 0.7, "foot_friction": 0.9}
    assert frictions(one + unseen + other) == {"world_friction": 0.5, "leg_1_friction": 0.7, "leg_2_friction": 0.8}


def test_two_parameters_of_one_name_are_refused() -> None:
    message = r"^the model has several of leg_friction; accepted: elements with names of their own$"
    with pytest.raises(ValueError, match=message):
        frictions('<geom size="1"/><geom name="leg" size="1"/>')


def test_a_drawn_inertia_multiplies_that_of_the_domain() -> None:
    draw = FixedRandomizer([Draw("leg_inertia", "=", Uniform(2, 2))], seed=0)
    env = envs.make_vec("hopper", 1, "leg_inertia=3", num_threads=1, randomizer=draw)
    env.reset()
    leg = env.model.body("leg").id
    nominal = load_model(Hopper()).body_inertia[leg]
    np.testing.assert_allclose(env.batch.get_model(0).body_inertia[leg], 6 * nominal, rtol=1e-12)


def test_the_mass_of_a_body_without_a_name_reaches_it() -> None:
    task = envs.task_of("ant")
    nominal, shifted = envs.domain_model(task, ""), envs.domain_model(task, "ankle_3_mass*2, ankle_3_inertia=3")
    changed = np.flatnonzero(shifted.body_mass != nominal.body_mass)
    assert changed.tolist() == [10]
    assert shifted.body_mass[10] == 2 * nominal.body_mass[10]
    # A capsule's inertia is proportional to its mass.
    np.testing.assert_allclose(shifted.body_inertia[10], 6 * nominal.body_inertia[10], rtol=1e-12)


def test_capsule_inertia_is_the_compilers_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.uniform((0.01, 0.001), (0.3, 1.0), (300, 2))
    nominal, masses = rng.uniform(0.1, 20, (2, 300))
    model, recompiled = capsules(sizes, nominal), capsules(sizes, masses)
    found = [body_inertia(model, body + 1, masses[body : body + 1])[0] for body in range(300)]
    np.testing.assert_array_equal(found, recompiled.body_inertia[1:])
    assert (recompiled.body_inertia[1:] != model.body_inertia[1:]).all()


def test_capsule_inertia_of_many_masses_at_once() -> None:
    model = load_model(Hopper())
    masses = np.array([0.5, model.body_mass[2], 9.0])
    found = body_inertia(model, 2, masses)
    np.testing.assert_array_equal(found[1], model.body_inertia[2])
    for row, mass in zip(found, masses, strict=True):
        np.testing.assert_array_equal(row, body_inertia(model, 2, np.array([mass]))[0])


BOX = '<geom type="box" size="0.1 0.2 0.3" mass="{0}"/>'
DUMBBELL = (
    '<geom type="capsule" size="0.05 0.2" mass="{0}"/><geom type="sphere" size="0.1" pos="0.1 0 0.3" mass="{1}"/>'
)
EXPLICIT = '<inertial pos="0 0 0.1" mass="{0}" diaginertia="{2} {3} {4}"/>'


@pytest.mark.parametrize("shape", [BOX, DUMBBELL, EXPLICIT], ids=["box", "two geoms", "explicit"])
def test_any_other_body_is_close_to_recompiling_it(shape: str) -> None:
    def body(factor: float) -> mujoco.MjModel:
        values = [repr(value * factor) for value in (2.0, 3.0, 0.3, 0.25, 0.2)]
        return compiled(f"<body><freejoint/>{shape.format(*values)}</body>")

    model, recompiled = body(1.0), body(1.7)
    np.testing.assert_allclose(
        body_inertia(model, 1, recompiled.body_mass[1:])[0], recompiled.body_inertia[1], rtol=1e-13
    )


def test_operations_act_on_the_nominal_value() -> None:
    operands = np.array([0.5, 2.0])
    np.testing.assert_array_equal(operate("=", 3.0, operands), [0.5, 2.0])
    np.testing.assert_array_equal(operate("+", 3.0, operands), [3.5, 5.0])
    np.testing.assert_array_equal(operate("*", 3.0, operands), [1.5, 6.0])
    with pytest.raises(ValueError, match=r"^unknown operation '/'; accepted: = \(set\), \+ \(add\), \* \(scale\)$"):
        operate("/", 3.0, operands)


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    assert find_parameter(PARAMETERS, "torso_mass") is PARAMETERS["torso_mass"]
    accepted = ", ".join(sorted(PARAMETERS))
    with pytest.raises(ValueError, match=r"^unknown physical parameter 'tigh_mass', did you mean 'thigh_mass'\?") as e:
        find_parameter(PARAMETERS, "tigh_mass")
    assert str(e.value).endswith(f"(accepted: {accepted})")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.1])
@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_no_parameter_may_be_negative_or_not_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name} = (nan|-?inf|-0.1) is not physical: it must be finite and "):
        PARAMETERS[name].check(value)


def test_zero_is_accepted_only_where_nothing_divides_by_it() -> None:
    accepted = set()
    for name, parameter in PARAMETERS.items():
        parameter.check(1e-3)
        try:
            parameter.check(0.0)
        except ValueError:
            continue
        accepted.add(name)
    assert accepted == {name for name in PARAMETERS if name.endswith(("_friction", "_damping", "gravity"))}
