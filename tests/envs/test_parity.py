"""Gymnasium's own v5 environments against ours, bit for bit; and the batched environment against the single one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.ant import Ant
from envs.half_cheetah import HalfCheetah
from envs.hopper import Hopper
from envs.inverted_pendulum import InvertedPendulum
from envs.task import gymnasium_asset
from envs.walker2d import Walker2d


@dataclass(frozen=True)
class Twin:
    """A figure of ours and how to make Gymnasium's twin."""

    gymnasium: str
    terms: tuple[str, ...]
    tireless: envs.Task
    """Never told that it fell, so that it reaches the horizon under random actions."""
    gymnasium_tireless: dict[str, Any]
    other: envs.Task
    """With other rewards."""
    gymnasium_other: dict[str, Any]
    shift: str


RUNNER = ("reward_forward", "reward_survive", "reward_ctrl")
TWINS = {
    "hopper": Twin(
        "Hopper-v5",
        RUNNER,
        Hopper(healthy_state=1e9, healthy_z=-1e9, healthy_angle=1e9),
        {
            "healthy_state_range": (-1e9, 1e9),
            "healthy_z_range": (-1e9, 1e9),
            "healthy_angle_range": (-1e9, 1e9),
        },
        Hopper(forward_reward_weight=0.3, control_cost_weight=0.07, healthy_reward=2.5),
        {"forward_reward_weight": 0.3, "ctrl_cost_weight": 0.07, "healthy_reward": 2.5},
        "source, torso_mass*1.3, foot_friction*0.4, gravity=3.7, thigh_joint_gear*0.8, leg_joint_damping+1",
    ),
    "inverted_pendulum": Twin(
        "InvertedPendulum-v5",
        ("reward_survive",),
        # Gymnasium's has no option for the angle: it reaches the horizon with a policy, below.
        InvertedPendulum(),
        {},
        InvertedPendulum(reset_noise=0.05),
        {"reset_noise_scale": 0.05},
        "source, pole_mass*1.3, gravity=3.7, slider_gear*0.8, hinge_damping+1",
    ),
    "walker2d": Twin(
        "Walker2d-v5",
        RUNNER,
        Walker2d(healthy_z_low=-1e9, healthy_z_high=1e9, healthy_angle=1e9),
        {"healthy_z_range": (-1e9, 1e9), "healthy_angle_range": (-1e9, 1e9)},
        Walker2d(forward_reward_weight=0.3, control_cost_weight=0.07, healthy_reward=2.5),
        {"forward_reward_weight": 0.3, "ctrl_cost_weight": 0.07, "healthy_reward": 2.5},
        "target, foot_friction*0.4, gravity=3.7, thigh_left_joint_gear*0.8, leg_joint_damping+1",
    ),
    "half_cheetah": Twin(
        "HalfCheetah-v5",
        ("reward_forward", "reward_ctrl"),
        HalfCheetah(),
        {},
        HalfCheetah(forward_reward_weight=0.3, control_cost_weight=0.07, reset_noise=0.3),
        {"forward_reward_weight": 0.3, "ctrl_cost_weight": 0.07, "reset_noise_scale": 0.3},
        "target, torso_mass*1.3, floor_friction*2, gravity=3.7, bfoot_damping+1",
    ),
    "ant": Twin(
        "Ant-v5",
        (*RUNNER, "reward_contact"),
        Ant(healthy_z_low=-1e9, healthy_z_high=1e9),
        {"healthy_z_range": (-1e9, 1e9)},
        Ant(forward_reward_weight=0.3, control_cost_weight=0.07, contact_cost_weight=0.2, healthy_reward=2.5),
        {
            "forward_reward_weight": 0.3,
            "ctrl_cost_weight": 0.07,
            "contact_cost_weight": 0.2,
            "healthy_reward": 2.5,
        },
        "target, torso_mass*1.3, ankle_2_mass*2, floor_friction*2, gravity=3.7, hip_2_damping+1",
    ),
}
FALLING = [name for name in TWINS if name != "half_cheetah"]
UPRIGHT = [name for name in TWINS if name != "inverted_pendulum"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gymnasium's way of compiling the half cheetah appends a warning to a file in the working directory."""
    monkeypatch.chdir(tmp_path)


def random_actions(steps: int, env: Any) -> npt.NDArray[np.float32]:
    """Beyond the motors' range, where the simulator clips but the reward does not."""
    high = 1.3 * env.action_space.high
    return np.random.default_rng(1).uniform(-high, high, (steps, env.num_envs, len(high))).astype(np.float32)


def count_ends(
    ours: Any, theirs: list[gymnasium.Env[Any, Any]], actions: npt.NDArray[Any], seed: int, terms: tuple[str, ...]
) -> tuple[int, int]:
    """Play both side by side, demand equality everywhere, return how many episodes ended by fall and by time."""
    falls = timeouts = 0
    expected = [env.reset(seed=seed + i)[0] for i, env in enumerate(theirs)]
    np.testing.assert_array_equal(ours.reset(), expected)
    for row in actions:
        observations, rewards, dones, infos = ours.step(row)
        for i, env in enumerate(theirs):
            expected, reward, terminated, truncated, info = env.step(row[i])
            assert rewards[i] == reward
            for term in terms:
                assert ours.terms[term][i] == info[term]
            assert dones[i] == (terminated or truncated)
            if dones[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], expected)
                assert infos[i]["TimeLimit.truncated"] == (truncated and not terminated)
                falls, timeouts = falls + terminated, timeouts + truncated
                expected = env.reset()[0]
            np.testing.assert_array_equal(observations[i], expected)
    return falls, timeouts


def test_every_figure_of_gymnasiums_is_compared_here() -> None:
    own = {name for name in envs.FIGURES if envs.task_of(name).xml == gymnasium_asset(envs.task_of(name).xml.name)}
    assert set(TWINS) == own


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("figure", FALLING)
def test_batched_equals_gymnasium(figure: str, dtype: Any) -> None:
    twin = TWINS[figure]
    ours = envs.make_vec(figure, 2, seed=11, num_threads=1)
    theirs = [gymnasium.make(twin.gymnasium) for _ in range(2)]
    falls, timeouts = count_ends(ours, theirs, random_actions(300, ours).astype(dtype), 11, twin.terms)
    assert falls > (2 if figure == "ant" else 15)
    assert timeouts == 0


@pytest.mark.parametrize(("horizon", "num_envs"), [(200, 2), (400, 1)])
@pytest.mark.parametrize("figure", UPRIGHT)
def test_batched_equals_gymnasium_at_the_horizon(figure: str, horizon: int, num_envs: int) -> None:
    twin = TWINS[figure]
    ours = envs.BatchedEnv(twin.tireless, num_envs, horizon=horizon, seed=3, num_threads=1)
    options = {"max_episode_steps": horizon, **twin.gymnasium_tireless}
    theirs = [gymnasium.make(twin.gymnasium, **options) for _ in range(num_envs)]
    actions = random_actions(2 * horizon + 10, ours)
    assert count_ends(ours, theirs, actions, 3, twin.terms) == (0, 2 * num_envs)


def test_a_balanced_pendulum_equals_gymnasium_at_the_horizon() -> None:
    ours: Any = envs.make_vec("inverted_pendulum", 1, horizon=250, seed=3, num_threads=1)
    theirs = gymnasium.make("InvertedPendulum-v5", max_episode_steps=250)
    np.testing.assert_array_equal(ours.reset()[0], theirs.reset(seed=3)[0])
    gains = np.array([0.6, 6.0, 1.0, 1.2])  # keep the cart near the middle and below the pole
    observation, timeouts = ours.task.observe(ours._state)[0], 0
    for _ in range(510):
        action = np.array([gains @ observation])
        observations, rewards, dones, infos = ours.step(action[None])
        expected, reward, terminated, truncated, _ = theirs.step(action)
        assert (rewards[0], dones[0], terminated) == (reward, truncated, False) == (1.0, dones[0], False)
        if truncated:
            timeouts += 1
            np.testing.assert_array_equal(infos[0]["terminal_observation"], expected)
            expected = theirs.reset()[0]
        np.testing.assert_array_equal(observations[0], expected)
        observation = expected
    assert timeouts == 2


@pytest.mark.parametrize(
    ("figure", "tireless"), [(name, tireless) for name in TWINS for tireless in (False, True) if name in UPRIGHT]
)
def test_single_equals_gymnasium(figure: str, tireless: bool) -> None:
    twin = TWINS[figure]
    ours = envs.SingleEnv(twin.tireless if tireless else envs.task_of(figure), horizon=200)
    options = twin.gymnasium_tireless if tireless else {}
    theirs = gymnasium.make(twin.gymnasium, max_episode_steps=200, **options)
    np.testing.assert_array_equal(ours.reset(seed=8)[0], theirs.reset(seed=8)[0])
    ends = 0
    for action in random_actions(410, envs.make_vec(figure, 1, num_threads=1))[:, 0]:
        observation, reward, terminated, truncated, info = ours.step(action)
        expected = theirs.step(action)
        np.testing.assert_array_equal(observation, expected[0])
        assert (reward, terminated, truncated) == expected[1:4]
        assert {term: info[term] for term in twin.terms} == {term: expected[4][term] for term in twin.terms}
        if terminated or truncated:
            ends += 1
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
    assert ends == 2 if tireless else ends >= 2


@pytest.mark.parametrize("figure", TWINS)
def test_a_task_of_other_rewards_still_equals_gymnasium(figure: str) -> None:
    twin = TWINS[figure]
    ours = envs.BatchedEnv(twin.other, 1, seed=5, num_threads=1)
    theirs = gymnasium.make(twin.gymnasium, **twin.gymnasium_other)
    falls, _ = count_ends(ours, [theirs], random_actions(300, ours), 5, twin.terms)
    assert falls > 5 if figure in FALLING else falls == 0


@pytest.mark.filterwarnings("ignore:.*Ant-v4 is out of date:DeprecationWarning")
def test_the_ant_of_older_versions_observes_the_world_too() -> None:
    ours: Any = envs.make_vec("ant[contact_forces=all]", 2, seed=4, num_threads=1)
    # What Gymnasium keeps of the observation of v2 and v3. It pays for the step in which the ant falls, v5 does not.
    theirs: Any = [gymnasium.make("Ant-v4", use_contact_forces=True) for _ in range(2)]
    start = ours.reset()
    assert start.shape == (2, 111)
    np.testing.assert_array_equal(start, [env.reset(seed=4 + i)[0] for i, env in enumerate(theirs)])
    falls, pressed = 0, 0.0
    for actions in random_actions(400, ours):
        observations, rewards, dones, infos = ours.step(actions)
        for i, env in enumerate(theirs):
            expected, reward, terminated, _, _ = env.step(actions[i])
            assert rewards[i] + float(terminated) == pytest.approx(reward, abs=1e-12)
            assert dones[i] == terminated
            pressed = max(pressed, float(np.abs(expected[33:]).max()))
            if terminated:
                falls += 1
                np.testing.assert_array_equal(infos[i]["terminal_observation"], expected)
                expected = env.reset()[0]
            np.testing.assert_array_equal(observations[i], expected)
            np.testing.assert_array_equal(expected[27:33], np.zeros(6))
    assert falls > 2
    assert pressed == 1.0


@pytest.mark.parametrize("weight", [0.0, 5e-4])
def test_an_ant_without_contact_forces_moves_alike(weight: float) -> None:
    blind: Any = envs.BatchedEnv(Ant(contact_forces="none", contact_cost_weight=weight), 2, seed=4, num_threads=1)
    theirs: Any = envs.make_vec("ant", 2, seed=4, num_threads=1)
    np.testing.assert_array_equal(blind.reset(), theirs.reset()[:, :27])
    for actions in random_actions(50, theirs):
        observations, rewards, _, _ = blind.step(actions)
        expected, paid, _, _ = theirs.step(actions)
        np.testing.assert_array_equal(observations, expected[:, :27])
        contact = theirs.terms["reward_contact"] if weight == 0 else 0.0
        np.testing.assert_allclose(rewards, paid - contact, rtol=1e-12)


@pytest.mark.parametrize("mass_only", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("figure", TWINS)
def test_each_row_of_the_batch_equals_the_single_environment(figure: str, shifted: bool, mass_only: bool) -> None:
    domain, terms = TWINS[figure].shift if shifted else "target", TWINS[figure].terms
    batched: Any = envs.make_vec(figure, 2, domain, horizon=40, seed=21, mass_only=mass_only)
    singles = [envs.make(figure, domain=domain, horizon=40, mass_only=mass_only) for _ in range(2)]
    np.testing.assert_array_equal(batched.reset(), [env.reset(seed=21 + i)[0] for i, env in enumerate(singles)])
    for actions in random_actions(130, batched):
        observations, rewards, dones, infos = batched.step(actions)
        for i, env in enumerate(singles):
            observation, reward, terminated, truncated, info = env.step(actions[i])
            assert (rewards[i], dones[i]) == (reward, terminated or truncated)
            assert {term: batched.terms[term][i] for term in terms} == {term: info[term] for term in terms}
            if dones[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], observation)
                assert infos[i]["TimeLimit.truncated"] == truncated
                observation = env.reset()[0]
            np.testing.assert_array_equal(observations[i], observation)


@pytest.mark.parametrize("figure", TWINS)
def test_a_shifted_domain_moves_otherwise(figure: str) -> None:
    paths = []
    for domain in ("source", "target"):
        env: Any = envs.make_vec(figure, 1, domain, num_threads=1)
        env.reset()
        paths.append(np.stack([env.step(action)[0] for action in random_actions(10, env)]))
    assert not np.allclose(paths[0], paths[1])


def test_the_hoppers_masses_are_not_the_nominal_ones() -> None:
    paths = []
    for domain in ("nominal", "source"):
        env: Any = envs.make_vec("hopper", 1, domain, num_threads=1)
        env.reset()
        paths.append(np.stack([env.step(action)[0] for action in random_actions(10, env)]))
    assert not np.allclose(paths[0], paths[1])
