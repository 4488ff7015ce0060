"""Random search on batched simulations: candidates act as each would alone, and scores lead where they should."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import sb3_contrib
import torch
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

import envs
from agents import AgentConfig, make_agent
from agents.population import Population

LINEAR: dict[str, Any] = {"net_arch": [], "squash_output": False}


class Countdown(gymnasium.Env[Any, Any]):
    """Rewards the first action, and lasts as many steps as its number says."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.ones(1, np.float32), float(action[0]), self.steps == self.length, False, {}


def search(env: VecEnv, **hyperparameters: Any) -> Any:
    agent: Any = make_agent(AgentConfig("ars", hyperparameters), env, seed=0)
    agent.set_logger(Logger(None, []))
    return agent


def silent(agent: Any) -> BaseCallback:
    callback = ConvertCallback(lambda *_: True)
    callback.init_callback(agent)
    return callback


@pytest.mark.parametrize(
    "policy_kwargs", [LINEAR, {"net_arch": [5, 4]}, {"net_arch": [5], "with_bias": False, "activation_fn": "tanh"}]
)
def test_every_candidate_acts_as_it_would_alone(policy_kwargs: dict[str, Any]) -> None:
    agent = search(envs.make_vec("hopper", 6, num_threads=1), policy_kwargs=policy_kwargs)
    rng = np.random.default_rng(0)
    weights = torch.as_tensor(rng.normal(size=(6, agent.n_params)), dtype=torch.float32)
    observations = rng.normal(size=(6, 11))
    found = Population(agent.policy, weights).act(observations[:, None])[:, 0]
    for own, observation, action in zip(weights, observations, found, strict=True):
        agent.policy.load_from_vector(own)
        expected, _ = agent.policy.predict(observation, deterministic=True)
        np.testing.assert_allclose(action, expected, atol=1e-6)
    assert np.ptp(found) > 0.5


@pytest.mark.parametrize("num_envs", [1, 3, 4, 7])
def test_scores_are_sums_of_returns_for_any_number_of_simulations(num_envs: int) -> None:
    env = DummyVecEnv([partial(Countdown, i + 2) for i in range(num_envs)])
    agent = search(env, n_delta=2, n_top=2, n_eval_episodes=2, alive_bonus_offset=-0.5, policy_kwargs=LINEAR)
    agent._setup_learn(100)
    values = [-0.9, -0.1, 0.3, 0.8]
    candidates = torch.tensor([[value, 0.0] for value in values])
    found = agent.evaluate_candidates(candidates, silent(agent), None)
    # Episodes are dealt to simulations 0, 1, … in the order of candidates, twice over.
    lengths = [i % num_envs + 2 for i in range(8)]
    expected = [sum((value - 0.5) * lengths[i + turn] for turn in (0, 4)) for i, value in enumerate(values)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert agent.num_timesteps == sum(lengths)  # simulations that wait for others do not count
    assert [episode["l"] for episode in agent.ep_info_buffer] == lengths
    returns = [values[i % 4] * lengths[i] for i in range(8)]
    assert [episode["r"] for episode in agent.ep_info_buffer] == pytest.approx(returns)


def test_an_update_is_the_papers() -> None:
    """Weights move by lr / (b * deviation) * sum of (r+ - r-) * delta over the best b directions."""
    env = DummyVecEnv([lambda: Countdown(1) for _ in range(6)])
    agent = search(env, n_delta=3, n_top=2, learning_rate=0.1, delta_std=0.2, policy_kwargs=LINEAR)
    _, callback = agent._setup_learn(100, silent(agent))
    torch.manual_seed(5)
    deltas = torch.normal(0.0, 1.0, (3, 2)).numpy()
    torch.manual_seed(5)
    agent._do_one_update(callback, None)
    plus, minus = (np.clip(sign * 0.2 * deltas.sum(axis=1), -1, 1) for sign in (1, -1))
    best = np.argsort(-np.maximum(plus, minus))[:2]
    deviation = np.concatenate([plus[best], minus[best]]).std(ddof=1)
    expected = 0.1 / (2 * deviation) * ((plus - minus)[best] @ deltas[best])
    np.testing.assert_allclose(agent.weights, expected, rtol=1e-4)
    np.testing.assert_array_equal(agent.policy.parameters_to_vector(), agent.weights)


def test_it_finds_the_best_constant_action() -> None:
    agent = search(DummyVecEnv([lambda: Countdown(1) for _ in range(16)]), learning_rate=0.1, policy_kwargs=LINEAR)
    question = np.ones((1, 1), np.float32)
    assert agent.predict(question)[0].item() == 0.0
    agent.learn(16 * 30)
    assert agent.predict(question)[0].item() > 0.9


def test_schedules_follow_all_of_training_not_this_start_alone() -> None:
    env = DummyVecEnv([lambda: Countdown(1) for _ in range(16)])
    agent = search(env, delta_std="linear(0.2, 0.1)", policy_kwargs=LINEAR)
    agent.learn(160)
    agent.learn(160, reset_num_timesteps=False)  # the last generation begins at 304 of 320 steps
    assert agent.logger.name_to_value == {}
    assert agent._current_progress_remaining == pytest.approx(16 / 320)


def test_the_export_opens_in_sb3_contrib(tmp_path: Any) -> None:
    agent = search(envs.make_vec("hopper", 4, horizon=20, num_threads=1), n_delta=2, n_top=2)
    agent.learn(200)
    agent.save(tmp_path / "a.zip", exclude=["env", "_vec_normalize_env"])
    observations = np.random.default_rng(0).normal(size=(5, 11)).astype(np.float32)
    loaded = sb3_contrib.ARS.load(tmp_path / "a.zip")
    np.testing.assert_array_equal(loaded.predict(observations)[0], agent.predict(observations)[0])
