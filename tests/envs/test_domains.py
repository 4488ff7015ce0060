"""Shifts of a model equal the same model compiled from an edited XML, and act as their notation says."""

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.hopper import Hopper
from envs.task import load_model
from randomization import Draw, FixedRandomizer
from randomization.distributions import Uniform

HOPPER = Hopper()
XML = HOPPER.xml.read_text(encoding="utf-8")
NOMINAL = load_model(HOPPER)
TIRELESS = Hopper(healthy_state=1e9, healthy_z=-1e9, healthy_angle=1e9)  # no episode ends before its horizon

Edits = tuple[tuple[str, str], ...]


def mass(body: str, value: float) -> tuple[str, str]:
    return f'name="{body}_geom"', f'name="{body}_geom" mass="{value}"'


def inertia(factor: float) -> Edits:
    """An explicit inertial frame for the torso, whose geom has none of its own."""
    moments = " ".join(repr(float(value)) for value in NOMINAL.body("torso").inertia * factor)
    inertial = f'<inertial pos="0 0 0" mass="{float(NOMINAL.body("torso").mass[0])!r}" diaginertia="{moments}"/>'
    body = '<body name="torso" pos="0 0 1.25">'
    return ('inertiafromgeom="true"', 'inertiafromgeom="auto"'), (body, body + inertial)


LIMBS = (mass("thigh", 3.927), mass("leg", 2.714), mass("foot", 5.089))
EDITED: dict[str, Edits] = {
    "source": (mass("torso", 2.534), *LIMBS),
    "target": (mass("torso", 3.534), *LIMBS),
    "torso_mass=2.534": (mass("torso", 2.534),),
    "foot_mass=6.1": (mass("foot", 6.1),),
    "torso_inertia=1.5": inertia(1.5),
    "foot_friction=1.3": (('friction="2.0"', 'friction="1.3"'),),
    "floor_friction=3": (('name="floor"', 'name="floor" friction="3"'),),
    "leg_joint_damping=2.5": (('name="leg_joint"', 'name="leg_joint" damping="2.5"'),),
    "thigh_joint_gear=150": (('gear="200.0" joint="thigh_joint"', 'gear="150" joint="thigh_joint"'),),
    "gravity=3.7": (("<option ", '<option gravity="0 0 -3.7" '),),
    "source, leg_joint_damping=0, foot_joint_gear=90, gravity=12": (
        mass("torso", 2.534),
        *LIMBS,
        ('name="leg_joint"', 'name="leg_joint" damping="0"'),
        ('gear="200.0" joint="foot_joint"', 'gear="90" joint="foot_joint"'),
        ("<option ", '<option gravity="0 0 -12" '),
    ),
}


def compiled(edits: Edits) -> mujoco.MjModel:
    """The hopper's XML, edited and compiled."""
    xml = XML
    for old, new in edits:
        assert xml.count(old) == 1
        xml = xml.replace(old, new)
    return mujoco.MjModel.from_xml_string(xml)


def numbers(model: mujoco.MjModel) -> dict[str, npt.NDArray[np.float64]]:
    """Every real-valued constant of the model, except ``stat``.

    MuJoCo computes ``stat`` at compilation only; of it, physics use the mean inertia alone, as the scale of the
    threshold at which the constraint solver stops.
    """
    fields = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
    fields["gravity"] = model.opt.gravity
    return {k: v for k, v in fields.items() if isinstance(v, np.ndarray) and v.dtype == np.float64}


def differing(model: mujoco.MjModel, other: mujoco.MjModel) -> set[str]:
    ours, theirs = numbers(model), numbers(other)
    assert len(ours) > 100
    return {name for name in ours if not np.array_equal(ours[name], theirs[name])}


def states(model: mujoco.MjModel, actions: npt.NDArray[np.float32], start: npt.NDArray[np.float64]) -> list[bytes]:
    """Position and velocity after every environment step, from plain MuJoCo."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = np.split(start, 2)
    mujoco.mj_forward(model, data)
    found = []
    for action in actions:
        data.ctrl[:] = action
        mujoco.mj_step(model, data, nstep=HOPPER.frame_skip)
        found.append(data.qpos.tobytes() + data.qvel.tobytes())
    return found


@pytest.mark.parametrize(("domain", "edits"), EDITED.items(), ids=EDITED)
def test_a_domain_equals_the_edited_xml(domain: str, edits: Edits) -> None:
    assert differing(compiled(edits), NOMINAL)
    assert differing(envs.domain_model(HOPPER, domain), compiled(edits)) == set()


@pytest.mark.parametrize(("domain", "edits"), EDITED.items(), ids=EDITED)
def test_values_set_at_run_time_equal_the_edited_xml_for_1000_steps(domain: str, edits: Edits) -> None:
    shifts = {name: value for name, _, value in envs.parse_domain(domain, HOPPER).shifts}
    draws = [Draw(name, "=", Uniform(value, value)) for name, value in shifts.items()]
    env = envs.BatchedEnv(TIRELESS, 2, horizon=2000, num_threads=1, randomizer=FixedRandomizer(draws, seed=0))
    env.reset()
    qpos, qvel = env.batch.bind("qpos"), env.batch.bind("qvel")
    start = np.concatenate((qpos[1], qvel[1]))
    actions = np.random.default_rng(3).uniform(-1, 1, (1000, 3)).astype(np.float32)
    ours = []
    for action in actions:
        env.step(np.stack((-action, action)))
        ours.append(qpos[1].tobytes() + qvel[1].tobytes())
    assert ours == states(compiled(edits), actions, start)
    assert ours != states(NOMINAL, actions, start)


def test_mass_only_differs_exactly_in_inertia() -> None:
    full, only = (envs.domain_model(HOPPER, "target", mass_only=mass_only) for mass_only in (False, True))
    derived = {"actuator_acc0", "body_invweight0", "dof_M0", "dof_invweight0"}  # by mj_setConst
    assert differing(full, only) == {"body_inertia", *derived}
    np.testing.assert_array_equal(only.body_mass, full.body_mass)
    np.testing.assert_array_equal(only.body_inertia, NOMINAL.body_inertia)
    assert (full.body_inertia[1:] != NOMINAL.body_inertia[1:]).all()


def test_mass_only_draws_leave_inertia_alone() -> None:
    draws = [Draw(f"{body}_mass", "*", Uniform(0.5, 1.5)) for body in ("torso", "thigh", "leg", "foot")]
    for mass_only in (True, False):
        env = envs.make_vec("hopper", 3, num_threads=1, mass_only=mass_only, randomizer=FixedRandomizer(draws, seed=0))
        env.reset()
        for i in range(3):
            model = env.batch.get_model(i)
            drawn = [env.parameters[f"{body}_mass"][i] for body in ("torso", "thigh", "leg", "foot")]
            np.testing.assert_array_equal(model.body_mass[1:], drawn)
            untouched = model.body_inertia[1:] == NOMINAL.body_inertia[1:]
            assert untouched.all() if mass_only else not untouched.any()


@pytest.mark.parametrize(
    ("domain", "masses"),
    [
        ("nominal", [3.665, 4.058, 2.781, 5.316]),
        ("", [3.665, 4.058, 2.781, 5.316]),
        ("source", [2.534, 3.927, 2.714, 5.089]),
        ("target", [3.534, 3.927, 2.714, 5.089]),
        ("source, torso_mass+1", [3.534, 3.927, 2.714, 5.089]),
    ],
)
def test_the_masses_of_the_named_domains(domain: str, masses: list[float]) -> None:
    np.testing.assert_array_equal(envs.domain_model(HOPPER, domain).body_mass[1:].round(3), masses)


TORSO = float(NOMINAL.body("torso").mass[0])


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ("torso_mass=3", 3.0),
        ("torso_mass+1", TORSO + 1),
        ("torso_mass + 1e-1", TORSO + 0.1),
        ("torso_mass-1", TORSO - 1),
        (" torso_mass*2 ,", TORSO * 2),
        ("nominal, torso_mass*2", TORSO * 2),
        ("torso_mass*2, torso_mass+1", TORSO * 2 + 1),
        ("torso_mass+1, torso_mass*2", (TORSO + 1) * 2),
        ("source,torso_mass*2", 2.534 * 2),
        ("target, torso_mass-1", 3.534 - 1),
    ],
)
def test_operations_act_on_the_named_domain_in_order(shifts: str, expected: float) -> None:
    model = envs.domain_model(HOPPER, shifts)
    assert model.body("torso").mass[0] == expected
    edited = compiled((mass("torso", expected),))
    np.testing.assert_array_equal(model.body("torso").inertia, edited.body("torso").inertia)


def test_mass_and_inertia_shifts_combine_in_any_order() -> None:
    expected = envs.domain_model(HOPPER, "torso_mass=5").body("torso").inertia * 1.5
    for text in ("torso_mass=5, torso_inertia*1.5", "torso_inertia*1.5, torso_mass=5"):
        np.testing.assert_array_equal(envs.domain_model(HOPPER, text).body("torso").inertia, expected)
    only = envs.domain_model(HOPPER, "torso_mass=5, torso_inertia*1.5", mass_only=True)
    np.testing.assert_array_equal(only.body("torso").inertia, NOMINAL.body("torso").inertia * 1.5)


def test_draws_act_on_the_domain_not_on_the_figure() -> None:
    draws = [Draw("torso_mass", "+", Uniform(1, 1)), Draw("gravity", "*", Uniform(0.5, 0.5))]
    env = envs.make_vec("hopper", 1, "source, gravity=8", num_threads=1, randomizer=FixedRandomizer(draws, seed=0))
    env.reset()
    assert env.parameters == {"torso_mass": [3.534], "gravity": [4.0]}
    assert differing(env.batch.get_model(0), envs.domain_model(HOPPER, "target, gravity=4")) == set()


@pytest.mark.parametrize(
    ("text", "name"), [("", "nominal"), (" , ", "nominal"), ("target", "target"), ("gravity=3.7", "gravity=3.7")]
)
def test_a_domain_keeps_its_text_as_its_name(text: str, name: str) -> None:
    assert envs.parse_domain(text, HOPPER).text == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mars",
            r"^domain 'mars': cannot read 'mars' \(accepted: first a name of nominal, source, target; then shifts",
        ),
        ("gravity=1, source", r"^domain 'gravity=1, source': cannot read 'source' \(accepted: first a name of nominal"),
        ("torso_mass", r"^domain 'torso_mass': cannot read 'torso_mass'"),
        ("torso_mass/2", r"^domain 'torso_mass/2': cannot read 'torso_mass/2'"),
        ("torso_mass=", r"^domain 'torso_mass=': cannot read 'torso_mass='"),
        ("torso_mass==2", r"^domain 'torso_mass==2': cannot read 'torso_mass==2'"),
        ("torso_mass=heavy", r"^domain 'torso_mass=heavy': 'heavy' in 'torso_mass=heavy' is not a number$"),
        ("torso_mass=nan", r"^domain 'torso_mass=nan': 'torso_mass=nan' is not finite$"),
        ("torso_mass+inf", r"^domain 'torso_mass\+inf': 'torso_mass\+inf' is not finite$"),
        (
            "torsomass=2",
            r"^domain 'torsomass=2' of hopper: unknown physical parameter 'torsomass', did you mean 'torso_mass'\? "
            r"\(accepted: floor_friction, foot_friction, .*, torso_mass\)$",
        ),
        ("zzz=2", r"^domain 'zzz=2' of hopper: unknown physical parameter 'zzz' \(accepted: floor_friction, "),
        (
            "torso_mass=0",
            r"^domain 'torso_mass=0' of hopper: torso_mass = 0 is not physical: it must be finite and above 0$",
        ),
        ("torso_mass-9", r"of hopper: torso_mass = -5.33481 is not physical: it must be finite and above 0$"),
        ("source, torso_mass*-1", r"of hopper: torso_mass = -2.534 is not physical"),
        ("torso_inertia=0", r"of hopper: torso_inertia = 0 is not physical: it must be finite and above 0$"),
        ("leg_joint_gear=0", r"of hopper: leg_joint_gear = 0 is not physical: it must be finite and above 0$"),
        ("foot_friction=-1", r"of hopper: foot_friction = -1 is not physical: it must be finite and 0 or more$"),
        (
            "leg_joint_damping=-1",
            r"of hopper: leg_joint_damping = -1 is not physical: it must be finite and 0 or more$",
        ),
        ("gravity=-9.81", r"of hopper: gravity = -9.81 is not physical: it must be finite and 0 or more$"),
    ],
)
def test_bad_domains_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        envs.domain_model(HOPPER, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["foot_friction=0", "leg_joint_damping=0", "gravity=0"])
def test_zero_is_physical_where_nothing_divides_by_it(text: str) -> None:
    name = text.split("=")[0]
    assert envs.physical_parameters(envs.domain_model(HOPPER, text))[name].nominal == 0.0
