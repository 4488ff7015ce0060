"""Poses keep to limits, floor and shares; states from policies come back as they were."""

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import pytest

from envs.hopper import Hopper
from envs.task import load_model
from synth_data.poses import Array, Pose, PoseConfig, Poser

MODEL = load_model(Hopper())
JOINTS = PoseConfig({"joints": 1.0})
HINGES = slice(3, 6)  # qpos of thigh, leg and foot


def states(count: int, base: float = 0.0) -> Array:
    """Upright states that differ in everything that keeps them off the floor."""
    rng = np.random.default_rng(5)
    qpos = rng.uniform([base, 1.4, -0.1, -0.5, -0.5, -0.3], [base + 1, 1.6, 0.1, -0.2, -0.1, 0.3], (count, 6))
    return np.column_stack((qpos, rng.normal(size=(count, 6))))


def draw(config: PoseConfig, count: int, seed: int = 0, banks: dict[str, Array] | None = None) -> list[Pose]:
    poser, rng = Poser(MODEL, config, banks or {}), np.random.default_rng(seed)
    return [poser.sample(rng) for _ in range(count)]


def forwarded(qpos: Array) -> mujoco.MjData:
    data = mujoco.MjData(MODEL)
    data.qpos[:] = qpos
    mujoco.mj_forward(MODEL, data)
    return data


def lowest(qpos: Array) -> float:
    """The hopper's lowest point: the ends of its capsules, less their radii."""
    data, links = forwarded(qpos), slice(1, 5)
    tilt = np.abs(data.geom_xmat[links].reshape(-1, 3, 3)[:, 2, 2])
    return float((data.geom_xpos[links, 2] - tilt * MODEL.geom_size[links, 1] - MODEL.geom_size[links, 0]).min())


def gaps(qpos: Array) -> list[float]:
    """Distances between links that are not neighbours."""
    data = forwarded(qpos)
    pairs = [(1, 3), (1, 4), (2, 4)]
    return [mujoco.mj_geomDistance(MODEL, data, a, b, 10.0, None) for a, b in pairs]


def test_drawn_joint_angles_fill_their_limits() -> None:
    drawn = np.array([pose.qpos for pose in draw(JOINTS, 100)])
    low, high = MODEL.jnt_range[HINGES].T
    assert (low <= drawn[:, HINGES]).all()
    assert (drawn[:, HINGES] <= high).all()
    assert (np.ptp(drawn[:, HINGES], axis=0) > 0.9 * (high - low)).all()
    assert 0.5 < np.abs(drawn[:, 2]).max() <= JOINTS.pitch


def test_drawn_poses_stand_on_the_floor_or_hover_up_to_the_clearance() -> None:
    heights = np.array([lowest(pose.qpos) for pose in draw(JOINTS, 100)])
    standing = np.abs(heights) < 1e-9
    assert abs(standing.mean() - 0.5) < 4 * np.sqrt(0.25 / 100)
    assert heights.min() > -1e-9
    assert 0.5 < heights.max() <= JOINTS.clearance
    assert max(lowest(pose.qpos) for pose in draw(replace(JOINTS, clearance=0), 20)) < 1e-9


def test_no_link_is_deeper_in_another_than_allowed() -> None:
    strict, loose = (
        [min(gaps(pose.qpos)) for pose in draw(replace(JOINTS, penetration=depth), 100)] for depth in (0.0, 0.05)
    )
    assert min(strict) > -1e-6
    assert -0.05 - 1e-6 < min(loose) < -0.01


def test_speeds_have_the_configured_deviation() -> None:
    speeds = np.array([pose.qvel for pose in draw(JOINTS, 100)])
    assert abs(speeds.std() / JOINTS.speed - 1) < 4 / np.sqrt(2 * speeds.size)


def test_a_free_root_is_tilted_up_to_the_pitch_and_put_on_the_floor() -> None:
    xml = """<mujoco><worldbody><geom type="plane" size="1 1 1"/><body pos="0 0 3"><freejoint/>
    <geom type="box" size=".1 .2 .3" pos=".1 0 0"/></body></worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(xml)
    poser, rng = Poser(model, replace(JOINTS, clearance=0.0), {}), np.random.default_rng(0)
    angles = []
    for _ in range(50):
        qpos = poser.sample(rng).qpos
        angles.append(2 * np.arccos(min(1.0, abs(qpos[3]))))
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, qpos[3:7])
        corners = np.array([[x, y, z] for x in (0.0, 0.2) for y in (-0.2, 0.2) for z in (-0.3, 0.3)])
        assert abs((corners @ matrix.reshape(3, 3).T)[:, 2].min() + qpos[2]) < 1e-9
    assert 0.5 < max(angles) <= JOINTS.pitch + 1e-9


@pytest.mark.parametrize("source", ["visited", "falls"])
def test_without_jitter_states_come_back_as_they_were(source: str) -> None:
    bank = states(5)
    drawn = draw(PoseConfig({source: 1.0}, jitter=0.0), 60, banks={source: bank})
    rows = {np.concatenate((pose.qpos, pose.qvel)).tobytes() for pose in drawn}
    assert rows == {row.tobytes() for row in bank}


def test_jitter_moves_the_limited_joints_only() -> None:
    bank = states(1)
    drawn = draw(PoseConfig({"visited": 1.0}, jitter=0.02), 200, banks={"visited": bank})
    moved = np.array([pose.qpos for pose in drawn]) - bank[0, :6]
    assert not moved[:, :3].any()
    np.testing.assert_allclose(moved[:, HINGES].std(axis=0), 0.02, rtol=4 / np.sqrt(400))
    np.testing.assert_array_equal([pose.qvel for pose in drawn], np.broadcast_to(bank[0, 6:], (200, 6)))
    np.testing.assert_array_equal(bank, states(1))  # the bank itself stays


def test_jitter_stays_within_the_joints_limits() -> None:
    bank = states(1)
    bank[0, 3:5] = 0.0  # the upper limits of thigh and leg
    drawn = draw(PoseConfig({"visited": 1.0}), 50, banks={"visited": bank})
    assert max(pose.qpos[3:5].max() for pose in drawn) <= 0


def test_sources_are_drawn_by_their_shares_from_their_own_states() -> None:
    banks = {"visited": states(3), "falls": states(3, base=100.0)}
    drawn = draw(PoseConfig({"joints": 1, "visited": 2, "falls": 1}), 200, banks=banks)
    sources = [pose.source for pose in drawn]
    for source, share in (("joints", 0.25), ("visited", 0.5), ("falls", 0.25)):
        assert abs(sources.count(source) / 200 - share) < 4 * np.sqrt(share * (1 - share) / 200)
    assert all((pose.source == "falls") == (pose.qpos[0] >= 100) for pose in drawn)


def test_the_same_generator_draws_the_same_pose() -> None:
    for one, two in zip(draw(JOINTS, 3, seed=1), draw(JOINTS, 3, seed=1), strict=True):
        np.testing.assert_array_equal(np.concatenate((one.qpos, one.qvel)), np.concatenate((two.qpos, two.qvel)))
    assert (draw(JOINTS, 1, seed=1)[0].qpos != draw(JOINTS, 1, seed=2)[0].qpos).all()


def test_states_in_the_floor_are_never_drawn() -> None:
    bank = states(4)
    bank[1:, 1] -= 1.0
    config = PoseConfig({"visited": 1.0}, jitter=0.0)
    assert {pose.qpos.tobytes() for pose in draw(config, 20, banks={"visited": bank})} == {bank[0, :6].tobytes()}
    with pytest.raises(ValueError, match=r"^poses: 1,000 draws from 'visited' in a row touch the floor or themselves$"):
        draw(config, 1, banks={"visited": bank[1:]})


def test_a_share_without_states_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^poses: falls has a share of 0.2 and no states$"):
        Poser(MODEL, PoseConfig(), {"visited": states(1)})
    with pytest.raises(ValueError, match=r"^poses: visited has a share of 0.4 and no states$"):
        Poser(MODEL, PoseConfig(), {"visited": states(0), "falls": states(1)})
    Poser(MODEL, PoseConfig({"joints": 1, "visited": 0}), {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shares": {"dreams": 1}}, r"^shares: unknown source 'dreams'; accepted: joints, visited, falls$"),
        ({"shares": {"joints": -1, "falls": 2}}, r"^shares are {'joints': -1, 'falls': 2}; accepted: 0 or more each"),
        ({"shares": {"joints": 0}}, r"^shares are {'joints': 0}; accepted: 0 or more each, and not all 0$"),
        ({"shares": {"joints": float("nan")}}, r"^shares are {'joints': nan}; accepted"),
        ({"shares": {"joints": float("inf")}}, r"^shares are {'joints': inf}; accepted"),
        ({"pitch": 4.0}, r"^pitch is 4.0; it must be from 0 to 3.2$"),
        ({"speed": -1.0}, r"^speed is -1.0; it must be from 0 to 100$"),
        ({"clearance": float("nan")}, r"^clearance is nan; it must be from 0 to 10$"),
        ({"penetration": float("inf")}, r"^penetration is inf; it must be from 0 to 1$"),
    ],
)
def test_bad_configurations_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseConfig(**given)
