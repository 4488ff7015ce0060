"""Other models of ANYmal C: they get the same actions, and what is none is refused in one line."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

import envs
from envs.anymal_c import ASSETS, JOINTS, SCALES, STANDING, AnymalC
from envs.render import Renderer
from envs.task import load_model

XML = (ASSETS / "anymal_c.xml").read_text(encoding="utf-8")


def foreign(tmp_path: Path, *edits: tuple[str, str]) -> str:
    """A file of another's robot: ours, turned round, without a camera, with other drives and with ``edits``."""
    xml = XML
    camera = xml[xml.index("      <camera") :].split("\n")[0]
    for old, new in (
        (camera, ""),
        ('<body name="base" pos="0 0 0.63">', '<body name="trunk" pos="0 0 1" quat="0 0 0 1">'),
        ('body1="base"', 'body1="trunk"'),
        ('kp="100" ctrlrange="-9.42478 9.42478" forcerange="-80 80"', 'kp="150" kv="2" forcerange="-60 60"'),
        *edits,
    ):
        assert old in xml
        xml = xml.replace(old, new)
    path = tmp_path / "robot.xml"
    path.write_text(xml, encoding="utf-8")
    return str(path)


def test_another_model_keeps_its_drives_and_gets_the_same_actions(tmp_path: Path) -> None:
    task = AnymalC(model=foreign(tmp_path))
    model, data = load_model(task), mujoco.MjData(load_model(task))
    data.qpos[7:] = 0.1
    data.qvel[6:] = 0.3
    data.ctrl[:] = 0.25
    mujoco.mj_forward(model, data)
    target = np.array(STANDING) + 0.25 * np.array(SCALES)
    np.testing.assert_allclose(data.actuator_force, np.clip(150 * (target - 0.1) - 2 * 0.3, -60, 60), atol=1e-5)
    env: Any = envs.BatchedEnv(task, 2, horizon=200, num_threads=1)
    env.reset()
    for _ in range(199):
        env.step(np.zeros((2, 12), np.float32))
        assert env.states()[:, 2].min() > 0.5
    np.testing.assert_array_equal(env.action_space.high, np.ones(12))
    renderer = Renderer(env.model, "track", 64)
    frame = renderer.frame(env.model, env.batch.get_data(0))
    renderer.close()
    assert ((frame[..., 0] > 90) & (frame[..., 1] < 0.5 * frame[..., 0])).mean() > 0.02


FEET = '<geom type="sphere" size="0.03" material="foot" priority="{}" friction="0.6" condim="6" solimp="0.5 0.9 0.01"/>'


@pytest.mark.parametrize(("priority", "expected"), [(0, 0.8), (1, 0.8), (3, 0.6)])
def test_the_friction_of_another_models_ground_holds_for_its_feet(
    tmp_path: Path, priority: int, expected: float
) -> None:
    """Also where the file's feet come before its ground, as MuJoCo Menagerie's do; then it begins with theirs."""
    path = foreign(tmp_path, ('<geom type="sphere" size="0.03" material="foot"/>', FEET.format(priority)))
    for domain, friction in (("nominal", expected), ("floor_friction=0.1", 0.1), ("LF_FOOT_friction=2", expected)):
        env = envs.SingleEnv(AnymalC(model=path), domain)
        env.reset(seed=0)
        for _ in range(40):
            env.step(np.zeros(12, np.float32))
        contacts = env.data.contact
        assert env.data.ncon >= 4
        assert {contact.friction[0] for contact in contacts} == {friction}
        assert {contact.dim for contact in contacts} == {6 if priority == 3 else 3}
        assert {contact.solimp[0] for contact in contacts} == {0.5 if priority == 3 else 0.9}


ORDER = f"hinges {', '.join(JOINTS)}$"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (('<freejoint name="root"/>', ""), "its first joint must be a free one"),
        (('"LF_HFE"', '"left_hip"'), f"its other joints are LF_HAA, left_hip, LF_KFE, .*; accepted: {ORDER}"),
        (('<joint name="RH_KFE"/>', '<joint name="RH_KFE" type="slide"/>'), f"its other joints are .*: {ORDER}"),
        (('<joint name="LH_HFE"/>', ""), r".*cannot be compiled: .*LH_HFE"),
        (
            ('    <position name="RF_HAA" joint="RF_HAA"/>\n', ""),
            "its 11 actuators must drive one joint each, in the order of the joints: LF_HAA, .*, RH_KFE$",
        ),
        (
            ('name="RF_HAA" joint="RF_HAA"', 'name="RF_HAA" joint="RH_HAA"'),
            "its 12 actuators must drive one joint each",
        ),
        (
            ('<position name="LH_KFE" joint="LH_KFE"/>', '<motor name="LH_KFE" joint="LH_KFE"/>'),
            r"the actuator of LH_KFE must follow a position \(<position kp=…>, gear 1, no time constant\)$",
        ),
        (('joint="LF_HFE"/>', 'joint="LF_HFE" gear="2"/>'), "the actuator of LF_HFE must follow a position"),
        (('joint="LF_KFE"/>', 'joint="LF_KFE" timeconst="0.1"/>'), "the actuator of LF_KFE must follow a position"),
        (('timestep="0.002"', 'timestep="0.004"'), r"its time step is 0\.004 s; accepted: 0\.002$"),
        (("</mujoco>", ""), ".*cannot be compiled: .*"),
        (
            ("<compiler", '<extension><plugin plugin="stranger.code"/></extension><compiler'),
            ".*cannot be compiled: .*stranger.code",
        ),
    ],
)
def test_a_model_of_something_else_is_refused_in_one_line(tmp_path: Path, edit: tuple[str, str], message: str) -> None:
    path = foreign(tmp_path, edit)
    with pytest.raises(ValueError, match=f"^model '.*robot.xml':? ?{message}") as caught:
        load_model(AnymalC(model=path))
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_and_one_too_many_grounds_are_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"^figure anymal_c: no MJCF file at nowhere\.xml$"):
        load_model(AnymalC(model="nowhere.xml"))
    with pytest.raises(ValueError, match=r"^ground is 'step', but model 'a.xml' brings its own; give one of the two$"):
        AnymalC(ground="step", model="a.xml")
