"""Gymnasium's own Hopper-v5 against ours, bit for bit; and the batched environment against the single one."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest

import envs
from envs.hopper import Hopper

TERMS = ("reward_forward", "reward_survive", "reward_ctrl")
# A hopper that is never told that it fell reaches the horizon under random actions, and the velocities' clipping.
TIRELESS = Hopper(healthy_state=1e9, healthy_z=-1e9, healthy_angle=1e9)
GYMNASIUM_TIRELESS: dict[str, Any] = {
    "healthy_state_range": (-1e9, 1e9),
    "healthy_z_range": (-1e9, 1e9),
    "healthy_angle_range": (-1e9, 1e9),
}


def random_actions(steps: int, num_envs: int) -> npt.NDArray[np.float32]:
    """Beyond the motors' range of ±1, where the simulator clips but the reward does not."""
    return np.random.default_rng(1).uniform(-1.3, 1.3, (steps, num_envs, 3)).astype(np.float32)


def count_ends(ours: Any, theirs: list[gymnasium.Env[Any, Any]], steps: int, seed: int) -> tuple[int, int]:
    """Play both side by side, demand equality everywhere, return how many episodes ended by fall and by time."""
    falls = timeouts = 0
    expected = [env.reset(seed=seed + i)[0] for i, env in enumerate(theirs)]
    np.testing.assert_array_equal(ours.reset(), expected)
    for actions in random_actions(steps, len(theirs)):
        observations, rewards, dones, infos = ours.step(actions)
        for i, env in enumerate(theirs):
            expected, reward, terminated, truncated, info = env.step(actions[i])
            assert rewards[i] == reward
            for term in TERMS:
                assert ours.terms[term][i] == info[term]
            assert dones[i] == (terminated or truncated)
            if dones[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], expected)
                assert infos[i]["TimeLimit.truncated"] == (truncated and not terminated)
                falls, timeouts = falls + terminated, timeouts + truncated
                expected = env.reset()[0]
            np.testing.assert_array_equal(observations[i], expected)
    return falls, timeouts


def test_batched_equals_gymnasium() -> None:
    ours = envs.make_vec("hopper", 4, seed=11)
    theirs = [gymnasium.make("Hopper-v5") for _ in range(4)]
    falls, timeouts = count_ends(ours, theirs, 1000, seed=11)
    assert falls > 100
    assert timeouts == 0


@pytest.mark.parametrize(("horizon", "num_envs"), [(500, 2), (1000, 1)])
def test_batched_equals_gymnasium_at_the_horizon(horizon: int, num_envs: int) -> None:
    ours = envs.BatchedEnv(TIRELESS, num_envs, horizon=horizon, seed=3)
    theirs = [gymnasium.make("Hopper-v5", max_episode_steps=horizon, **GYMNASIUM_TIRELESS) for _ in range(num_envs)]
    assert count_ends(ours, theirs, 2 * horizon + 10, seed=3) == (0, 2 * num_envs)


@pytest.mark.parametrize("tireless", [False, True])
def test_single_equals_gymnasium(tireless: bool) -> None:
    ours = envs.SingleEnv(TIRELESS if tireless else Hopper(), horizon=500)
    options = GYMNASIUM_TIRELESS if tireless else {}
    theirs = gymnasium.make("Hopper-v5", max_episode_steps=500, **options)
    np.testing.assert_array_equal(ours.reset(seed=8)[0], theirs.reset(seed=8)[0])
    ends = 0
    for action in random_actions(1010, 1)[:, 0]:
        observation, reward, terminated, truncated, info = ours.step(action)
        expected = theirs.step(action)
        np.testing.assert_array_equal(observation, expected[0])
        assert (reward, terminated, truncated) == expected[1:4]
        assert {term: info[term] for term in TERMS} == {term: expected[4][term] for term in TERMS}
        if terminated or truncated:
            ends += 1
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
    assert ends == 2 if tireless else ends > 20


def test_a_task_of_other_rewards_still_equals_gymnasium() -> None:
    ours = envs.BatchedEnv(Hopper(forward_reward_weight=0.3, control_cost_weight=0.07, healthy_reward=2.5), 1, seed=5)
    theirs = gymnasium.make("Hopper-v5", forward_reward_weight=0.3, ctrl_cost_weight=0.07, healthy_reward=2.5)
    assert count_ends(ours, [theirs], 300, seed=5)[0] > 5


@pytest.mark.parametrize("mass_only", [False, True])
@pytest.mark.parametrize(
    "domain",
    [
        "target",
        "source, torso_mass*1.3, foot_friction*0.4, gravity=3.7, thigh_joint_gear*0.8, leg_joint_damping+1",
    ],
)
def test_each_row_of_the_batch_equals_the_single_environment(domain: str, mass_only: bool) -> None:
    batched: Any = envs.make_vec("hopper", 2, domain, horizon=40, seed=21, mass_only=mass_only)
    singles = [envs.make("hopper", domain=domain, horizon=40, mass_only=mass_only) for _ in range(2)]
    np.testing.assert_array_equal(batched.reset(), [env.reset(seed=21 + i)[0] for i, env in enumerate(singles)])
    for actions in random_actions(300, 2):
        observations, rewards, dones, infos = batched.step(actions)
        for i, env in enumerate(singles):
            observation, reward, terminated, truncated, info = env.step(actions[i])
            assert (rewards[i], dones[i]) == (reward, terminated or truncated)
            assert {term: batched.terms[term][i] for term in TERMS} == {term: info[term] for term in TERMS}
            if dones[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], observation)
                assert infos[i]["TimeLimit.truncated"] == truncated
                observation = env.reset()[0]
            np.testing.assert_array_equal(observations[i], observation)


def test_a_shifted_domain_moves_otherwise() -> None:
    actions = random_actions(10, 1)
    paths = []
    for domain in ("nominal", "source", "target"):
        env: Any = envs.make_vec("hopper", 1, domain)
        env.reset()
        paths.append(np.stack([env.step(action)[0] for action in actions]))
    assert not np.allclose(paths[0], paths[1])
    assert not np.allclose(paths[1], paths[2])
