"""ANYmal C: its body against published numbers, its actions and its reward against plain MuJoCo."""

from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
import pytest
from stable_baselines3 import PPO

import envs
from envs.anymal_c import JOINTS, LEGS, SCALES, STANDING, AnymalC
from envs.task import load_model
from randomization import Draw, FixedRandomizer
from randomization.distributions import Uniform

Floats = npt.NDArray[np.float64]

MODEL = load_model(AnymalC())
KP, TORQUE = 100.0, 80.0

# Masses in kg of anymal_c_simple_description, urdf/anymal.urdf, by the body that they are fixed to.
DRIVE, OUTPUT = 2.04, 0.001
PARTS = {
    "base": (
        *(6.222, 0.534, 1.15, 0.3262, 0.314, 5.53425, 0.065, 0.01, 0.545, 0.695),  # frame, shells, battery, lidar, …
        *(0.73, 0.73, *[0.16043] * 4, 0.287, 0.287),  # faces and cameras
        *[DRIVE] * 4,
    ),
    "HIP": (OUTPUT, 0.74, DRIVE),
    "THIGH": (OUTPUT, 1.03, DRIVE),
    "SHANK": (OUTPUT, 0.33742, 0.25),
}


def random_actions(steps: int, num_envs: int, seed: int = 1) -> npt.NDArray[np.float32]:
    """Beyond the range of ±1, where the simulator clips."""
    return np.random.default_rng(seed).uniform(-1.3, 1.3, (steps, num_envs, 12)).astype(np.float32)


def heights(env: Any, steps: int) -> Floats:
    """Of the bases after each step of doing nothing, ``(steps, num_envs)``."""
    env.reset()
    zero = np.zeros((env.num_envs, 12), np.float32)
    return np.array([(env.step(zero), env.states()[:, 2])[1] for _ in range(steps)])


def test_its_masses_are_the_published_ones() -> None:
    for body in range(1, MODEL.nbody):
        name = MODEL.body(body).name.split("_")[-1]
        assert MODEL.body_mass[body] == pytest.approx(sum(PARTS[name]), abs=1e-9)
    assert MODEL.nbody == 1 + 1 + 12
    assert MODEL.body_mass.sum() == pytest.approx(51.99285, abs=1e-9)


def test_its_legs_reach_as_far_as_the_published_ones() -> None:
    data = mujoco.MjData(MODEL)
    mujoco.mj_forward(MODEL, data)
    # HAA, HFE, KFE and foot along x, y and z; then MuJoCo Menagerie's centre of the foot's sphere.
    x, y, z = 0.2999 + 0.0599 + 0.08795, 0.104 + 0.08381 + 0.1003 + 0.01305, -0.285 - 0.33797 + 0.0225
    for leg, side, end in (("LF", 1, 1), ("RF", -1, 1), ("LH", 1, -1), ("RH", -1, -1)):
        foot = data.geom(f"{leg}_FOOT_geom").xpos - data.body("base").xpos
        np.testing.assert_allclose(foot, (end * x, side * y, z), atol=1e-9)


def test_its_joints_are_limited_and_driven_as_published() -> None:
    for joint, name in enumerate(JOINTS, start=1):
        expected = {"HAA": (-0.72, 0.49) if name[0] == "L" else (-0.49, 0.72)}.get(name[3:], (-9.42478, 9.42478))
        assert MODEL.joint(joint).name == name
        np.testing.assert_array_equal(MODEL.jnt_range[joint], expected)
    assert MODEL.jnt_limited[1:].all()
    np.testing.assert_array_equal(MODEL.actuator_forcerange, [(-TORQUE, TORQUE)] * 12)
    np.testing.assert_array_equal(MODEL.actuator_biasprm[:, 1], [-KP] * 12)
    assert (MODEL.nq, MODEL.nv, MODEL.opt.timestep * AnymalC().frame_skip) == (19, 18, 0.01)


def test_an_action_is_a_target_that_no_more_than_80_newton_metres_follow() -> None:
    rng, data = np.random.default_rng(0), mujoco.MjData(MODEL)
    limited = 0
    for action in random_actions(50, 1)[:, 0]:
        data.qpos[7:] = rng.uniform(-1.5, 1.5, 12)
        data.ctrl[:] = action
        mujoco.mj_forward(MODEL, data)
        target = np.array(STANDING) + np.array(SCALES) * np.clip(action, -1, 1)
        torque = np.clip(KP * (target - data.qpos[7:]), -TORQUE, TORQUE)
        np.testing.assert_allclose(data.actuator_force, torque, atol=1e-5)
        np.testing.assert_allclose(data.qfrc_actuator[6:], torque, atol=1e-5)
        limited += int((np.abs(torque) == TORQUE).sum())
    assert 100 < limited < 500


def test_the_action_space_is_normalised_and_all_of_its_targets_are_within_the_joints_limits() -> None:
    space = envs.make("anymal_c").action_space
    assert isinstance(space, gymnasium.spaces.Box)
    np.testing.assert_array_equal((space.low, space.high), (-np.ones(12), np.ones(12)))
    low, high = MODEL.jnt_range[1:].T
    assert (np.array(STANDING) - SCALES >= low).all()
    assert (np.array(STANDING) + SCALES <= high).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_joints_stay_within_their_limits(sign: int) -> None:
    model = load_model(AnymalC())
    model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    data.qpos[2] = 2.0
    abduction = np.arange(0, 12, 3)
    for _ in range(500):
        data.qfrc_applied[6 + abduction] = sign * 40.0  # on top of what its own drives do
        data.ctrl[:] = sign
        mujoco.mj_step(model, data)
    low, high = model.jnt_range[1:].T
    over = np.maximum(data.qpos[7:] - high, low - data.qpos[7:])
    assert over.max() < 0.05
    assert (over[abduction] > -0.2).all()  # they got there


@pytest.mark.parametrize("domain", ["source", "target"])
def test_it_stands_for_8_seconds_without_doing_anything(domain: str) -> None:
    env = envs.make_vec("anymal_c", 4, domain, horizon=800, num_threads=1)
    z = heights(env, 799)
    assert z.min() > 0.5
    np.testing.assert_allclose(z[-1], 0.574 if domain == "source" else 0.569, atol=0.006)
    assert np.abs(env.states()[:, :2]).max() < 0.05


def test_on_the_step_it_stands_15_centimetres_higher() -> None:
    def settled(task: AnymalC, x: float, up: float) -> float:
        env = envs.SingleEnv(task)
        env.reset(seed=0)
        env.data.qpos[0] += x
        env.data.qpos[2] += up
        for _ in range(300):
            env.step(np.zeros(12, np.float32))
        return float(env.data.qpos[2])

    flat, step = AnymalC(), AnymalC(ground="step")
    level = settled(flat, 3.0, 0.0)
    assert settled(step, 3.0, 0.15) == pytest.approx(level + 0.15, abs=1e-4)
    assert settled(step, 0.5, 0.0) == pytest.approx(level, abs=1e-4)
    assert settled(step, 6.5, 0.0) == pytest.approx(level, abs=1e-4)


def mirrored(values: Floats, signs: tuple[int, ...]) -> Floats:
    """Left for right: the base's entries with ``signs``, the legs swapped and their abduction turned round."""
    base, legs = values[: len(signs)], values[len(signs) :].reshape(4, 3)
    return np.concatenate((base * signs, (legs[[1, 0, 3, 2]] * (-1, 1, 1)).ravel()))


POSITIONS, VELOCITIES = (1, -1, 1, 1, -1, 1, -1), (1, -1, 1, -1, 1, -1)


def test_left_mirrors_right() -> None:
    start = envs.make("anymal_c")
    start.reset(seed=3)
    one, other = mujoco.MjData(MODEL), mujoco.MjData(MODEL)
    one.qpos[:], one.qvel[:] = start.data.qpos, start.data.qvel
    other.qpos[:], other.qvel[:] = mirrored(one.qpos, POSITIONS), mirrored(one.qvel, VELOCITIES)
    for action in random_actions(30, 1)[:, 0]:
        one.ctrl[:] = action
        other.ctrl[:] = mirrored(one.ctrl, ())
        mujoco.mj_step(MODEL, one, nstep=5)
        mujoco.mj_step(MODEL, other, nstep=5)
    assert one.ncon > 0
    np.testing.assert_allclose(other.qpos, mirrored(one.qpos, POSITIONS), atol=1e-6)
    np.testing.assert_allclose(other.qvel, mirrored(one.qvel, VELOCITIES), atol=1e-4)


@pytest.mark.parametrize("ground", ["flat", "step"])
def test_the_reward_is_that_of_a_plain_loop_over_the_physics_steps(ground: Any) -> None:
    env = envs.SingleEnv(AnymalC(ground=ground), "target", horizon=800)
    env.reset(seed=0)
    data, falls, errors = mujoco.MjData(env.model), 0, []
    for action in random_actions(800, 1)[:, 0]:
        mujoco.mj_copyData(data, env.model, env.data)
        data.ctrl[:] = action
        forward = height = 0.0
        for _ in range(5):
            mujoco.mj_step(env.model, data)
            forward += data.qvel[0]
            height += data.qpos[2] - 0.5
        _, reward, terminated, _, info = env.step(action)
        np.testing.assert_array_equal(env.data.qpos, data.qpos)
        assert terminated == (data.qpos[2] < 0.45)
        assert info["reward_forward"] == pytest.approx(forward, abs=1e-9)
        errors.append(reward - (forward + height - 100 * terminated))
        if terminated:
            falls += 1
            env.reset()
    assert falls > 3
    assert np.abs(errors).max() < 0.005
    assert np.abs(np.cumsum(errors)).max() < 0.05


def test_the_height_of_a_free_fall_is_exact() -> None:
    task, data = AnymalC(), mujoco.MjData(MODEL)
    data.qpos[2], data.qvel[2] = 5.0, 1.3
    before = {"qpos": data.qpos[None].copy(), "qvel": data.qvel[None].copy()}
    height = 0.0
    for _ in range(5):
        data.qvel[2] -= 9.81 * 0.002
        data.qpos[2] += data.qvel[2] * 0.002
        height += data.qpos[2] - 0.5
    after = {"qpos": data.qpos[None].copy(), "qvel": data.qvel[None].copy()}
    _, terms = task.reward(before, after, np.zeros((1, 12)), np.zeros(1, bool), 0.01)
    assert terms["reward_height"][0] == pytest.approx(height, abs=1e-12)


def test_a_reward_can_weigh_speed_actions_and_falls() -> None:
    before = {"qpos": np.zeros((2, 19)), "qvel": np.zeros((2, 18))}
    after = {"qpos": np.zeros((2, 19)), "qvel": np.zeros((2, 18))}
    after["qpos"][:, 0] = 0.02
    before["qpos"][:, 2] = after["qpos"][:, 2] = 0.6
    task = AnymalC(forward_reward_weight=0.5, control_cost_weight=0.25, fall_cost=7)
    reward, terms = task.reward(before, after, np.full((2, 12), 2, np.float32), np.array([False, True]), 0.01)
    np.testing.assert_allclose(terms["reward_forward"], [5 * 2 * 0.5] * 2)
    np.testing.assert_allclose(terms["reward_height"], [5 * 0.1] * 2)
    np.testing.assert_allclose(terms["reward_ctrl"], [-0.25 * 12 * 4] * 2)
    np.testing.assert_array_equal(terms["reward_fall"], [0, -7])
    np.testing.assert_allclose(reward, [5 + 0.5 - 12, 5 + 0.5 - 12 - 7])


def test_it_has_fallen_below_45_centimetres() -> None:
    qpos = np.zeros((3, 19))
    qpos[:, 2] = (0.4499, 0.45, 0.6)
    np.testing.assert_array_equal(AnymalC().terminated({"qpos": qpos}), [True, False, False])


def test_the_observation_is_the_state_with_or_without_its_place() -> None:
    seen: Any = envs.make_vec("anymal_c", 2, seed=4, num_threads=1)
    hidden: Any = envs.BatchedEnv(AnymalC(xy="hidden"), 2, seed=4, num_threads=1)
    np.testing.assert_array_equal(seen.reset(), seen.states())
    np.testing.assert_array_equal(hidden.reset(), seen.states()[:, 2:])
    for actions in random_actions(20, 2):
        observations = seen.step(actions)[0]
        np.testing.assert_array_equal(observations, seen.states())
        np.testing.assert_array_equal(hidden.step(actions)[0], observations[:, 2:])
    assert seen.observation_space.shape == (37,)
    assert hidden.observation_space.shape == (35,)


@pytest.mark.parametrize("task", [AnymalC(), AnymalC(ground="step", xy="hidden", control_cost_weight=0.1)])
def test_each_row_of_the_batch_equals_the_single_environment(task: AnymalC) -> None:
    batched: Any = envs.BatchedEnv(task, 2, "target, floor_friction*0.5", horizon=60, seed=21, num_threads=1)
    singles = [envs.SingleEnv(task, "target, floor_friction*0.5", horizon=60) for _ in range(2)]
    np.testing.assert_array_equal(batched.reset(), [env.reset(seed=21 + i)[0] for i, env in enumerate(singles)])
    falls = timeouts = 0
    for actions in random_actions(250, 2):
        observations, rewards, dones, infos = batched.step(actions)
        for i, env in enumerate(singles):
            observation, reward, terminated, truncated, info = env.step(actions[i])
            assert (rewards[i], dones[i]) == (reward, terminated or truncated)
            assert {term: batched.terms[term][i] for term in batched.terms} == {t: info[t] for t in batched.terms}
            if dones[i]:
                falls, timeouts = falls + terminated, timeouts + truncated
                np.testing.assert_array_equal(infos[i]["terminal_observation"], observation)
                observation = env.reset()[0]
            np.testing.assert_array_equal(observations[i], observation)
    assert falls > 0
    assert timeouts > 0


def test_the_number_of_threads_changes_nothing() -> None:
    paths = []
    for threads in (1, 2, 3):
        env: Any = envs.make_vec("anymal_c", 5, horizon=50, seed=2, num_threads=threads)
        steps = [env.reset()] + [np.column_stack(env.step(actions)[:2]) for actions in random_actions(80, 5)]
        paths.append(b"".join(step.tobytes() for step in steps))
    assert paths[0] == paths[1] == paths[2]


def test_the_target_carries_ten_kilograms_on_its_base() -> None:
    source, target = (envs.domain_model(AnymalC(), domain) for domain in ("source", "target"))
    np.testing.assert_array_equal(np.flatnonzero(source.body_mass != target.body_mass), [1])
    factor = target.body_mass[1] / source.body_mass[1]
    assert target.body_mass[1] == pytest.approx(36.23117, abs=1e-9)
    np.testing.assert_allclose(target.body_inertia[1], source.body_inertia[1] * factor, rtol=1e-12)
    np.testing.assert_array_equal(source.body_mass, MODEL.body_mass)


def test_what_is_randomised_by_default_is_drawn_for_each_simulation() -> None:
    draws = [Draw(name, "*", Uniform(0.7, 1.3)) for name in AnymalC().randomized]
    env: Any = envs.make_vec("anymal_c", 3, "target", num_threads=1, randomizer=FixedRandomizer(draws, seed=0))
    env.reset()
    masses = {f"{leg}_{link}_mass" for leg in LEGS for link in ("HIP", "THIGH", "SHANK")}
    assert set(env.parameters) == masses | {f"{joint}_stiffness" for joint in JOINTS} | {"floor_friction"}
    for i in range(3):
        model = env.batch.get_model(i)
        assert model.geom("floor").friction[0] == env.parameters["floor_friction"][i]
        assert model.body("RH_SHANK").mass[0] == env.parameters["RH_SHANK_mass"][i] != 0.58842
        assert model.body("base").mass[0] == pytest.approx(36.23117, abs=1e-9)


def test_the_friction_of_the_ground_holds_for_the_feet() -> None:
    for friction, frictions in ((0.02, {0.02}), (0.8, {0.8}), (1.4, {1.4})):
        env = envs.make("anymal_c", domain=f"floor_friction={friction}")
        env.reset(seed=0)
        for _ in range(40):
            env.step(np.zeros(12, np.float32))
        assert {env.data.contact[i].friction[0] for i in range(env.data.ncon)} == frictions


def test_its_drives_have_a_stiffness_and_a_strength_but_no_gear() -> None:
    parameters = envs.physical_parameters(MODEL)
    assert not [name for name in parameters if name.endswith("_gear")]
    for joint in JOINTS:
        nominal = {name: parameters[f"{joint}_{name}"].nominal for name in ("stiffness", "strength", "damping")}
        assert nominal == {"stiffness": KP, "strength": TORQUE, "damping": 1.0}
    with pytest.raises(ValueError, match=r"LF_KFE_strength = 0 is not physical: it must be finite and above 0$"):
        envs.domain_model(AnymalC(), "LF_KFE_strength=0")


def test_softer_and_weaker_drives_follow_the_same_targets() -> None:
    domain = "LF_KFE_stiffness*0.5, RH_HAA_strength=12, RF_HFE_stiffness+30, RF_HFE_strength*0.25"
    stiffness, strength = np.full(12, KP), np.full(12, TORQUE)
    stiffness[[2, 4]], strength[[9, 4]] = (50.0, 130.0), (12.0, 20.0)
    model = envs.domain_model(AnymalC(), domain)
    rng, data = np.random.default_rng(0), mujoco.MjData(model)
    for action in random_actions(20, 1)[:, 0]:
        data.qpos[7:] = rng.uniform(-0.5, 0.5, 12)
        data.ctrl[:] = action
        mujoco.mj_forward(model, data)
        target = np.array(STANDING) + np.array(SCALES) * np.clip(action, -1, 1)
        torque = np.clip(stiffness * (target - data.qpos[7:]), -strength, strength)
        np.testing.assert_allclose(data.actuator_force, torque, atol=1e-5)


def test_drives_drawn_at_run_time_equal_those_of_a_domain() -> None:
    draws = [Draw("LF_KFE_stiffness", "*", Uniform(0.5, 0.5)), Draw("RH_HAA_strength", "=", Uniform(12, 12))]
    drawn: Any = envs.make_vec("anymal_c", 2, num_threads=1, randomizer=FixedRandomizer(draws, seed=0))
    shifted: Any = envs.make_vec("anymal_c", 2, "LF_KFE_stiffness*0.5, RH_HAA_strength=12", num_threads=1)
    nominal: Any = envs.make_vec("anymal_c", 2, num_threads=1)
    np.testing.assert_array_equal(drawn.reset(), shifted.reset())
    nominal.reset()
    for actions in random_actions(30, 2):
        observations = drawn.step(actions)[0]
        np.testing.assert_array_equal(observations, shifted.step(actions)[0])
        assert (observations != nominal.step(actions)[0]).any()


def test_ppo_starts_and_its_returns_are_finite() -> None:
    env = envs.make_vec("anymal_c", 4, horizon=60, num_threads=1)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=2, seed=0, device="cpu")
    model.learn(512)
    assert len(model.ep_info_buffer or ()) >= 4
    assert np.isfinite([episode["r"] for episode in model.ep_info_buffer or ()]).all()
    assert all(bool(parameter.isfinite().all()) for parameter in model.policy.parameters())


@pytest.mark.parametrize("ground", ["flat", "step"])
@pytest.mark.parametrize("camera", ["track", "rail"])
def test_both_cameras_have_all_of_it_in_the_middle(ground: Any, camera: str) -> None:
    env = envs.SingleEnv(AnymalC(ground=ground), camera=camera, render_mode="rgb_array")
    env.reset(seed=0)
    env.data.qpos[0] = 1.0
    frame = env.render()
    env.close()
    assert frame is not None
    red = (frame[..., 0] > 90) & (frame[..., 1] < 0.5 * frame[..., 0])
    rows, columns = np.nonzero(red)
    assert red.mean() > 0.05
    assert (np.abs(np.percentile(columns, [5, 95]) - 240) > 100).all()  # the trunk, of 480 px
    assert abs(np.median(columns) - 240) < 40
    assert 200 < np.median(rows) < 300
