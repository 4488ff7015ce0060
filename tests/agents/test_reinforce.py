"""REINFORCE against closed forms: returns that are summed by hand, and the gradient of a linear Gaussian policy."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import AgentConfig, make_agent
from agents.reinforce import REINFORCE

Array = np.ndarray[Any, Any]


class Counting(gymnasium.Env[Any, Any]):
    """Rewards of 1, 2, 3, …; every episode ends after ``length`` steps, by its end or by its time limit."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-10, 10, (1,), np.float32)

    def __init__(self, length: int, limit: bool) -> None:
        self.length, self.limit = length, limit

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        over = self.steps == self.length
        seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return seen, float(self.steps), over and not self.limit, over and self.limit, {}


def rolled_out(baseline: str, limit: bool = False, **options: Any) -> Any:
    """An agent with a linear policy after one rollout of 5 steps of two simulations, before any update."""
    env = DummyVecEnv([lambda: Counting(3, limit), lambda: Counting(9, limit)])
    env.seed(0)
    agent = REINFORCE(
        "MlpPolicy",
        env,
        n_steps=5,
        gamma=0.5,
        baseline=baseline,
        seed=0,
        device="cpu",
        learning_rate=1.0,
        max_grad_norm=1e9,
        policy_kwargs={"net_arch": [], "optimizer_class": torch.optim.SGD},
        **options,
    )
    agent.set_logger(Logger(None, []))
    _, callback = agent._setup_learn(10)
    assert agent.env is not None
    agent.collect_rollouts(agent.env, callback, agent.rollout_buffer, 5)
    return agent


# Rewards 1 2 3 | 1 2 cut, and 1 2 3 4 5 cut, each with half of what follows.
RETURNS = np.array([[2.75, 3.5, 3.0, 2.0, 2.0], [3.5625, 5.125, 6.25, 6.5, 5.0]]).T


@pytest.mark.parametrize("limit", [False, True])
@pytest.mark.parametrize("baseline", ["none", "whiten", "learned"])
def test_returns_are_discounted_sums_to_the_end_of_the_episode_or_of_the_rollout(baseline: str, limit: bool) -> None:
    """A new value network says 0, so that a learned baseline adds nothing behind a cut yet."""
    agent = rolled_out(baseline, limit)
    np.testing.assert_allclose(agent.rollout_buffer.returns, RETURNS, rtol=1e-6)
    np.testing.assert_allclose(agent.rollout_buffer.advantages, RETURNS, rtol=1e-6)


@pytest.mark.parametrize("limit", [False, True])
def test_a_learned_baseline_stands_for_what_follows_a_cut(limit: bool) -> None:
    """Here it says 8 everywhere: half of it is added behind a cut, nothing behind an end, and it is taken off."""
    agent = rolled_out("learned", limit)
    with torch.no_grad():
        agent.policy.value_net.bias.fill_(8.0)
    assert agent.env is not None
    agent.env.seed(0)
    _, callback = agent._setup_learn(10)
    agent.collect_rollouts(agent.env, callback, agent.rollout_buffer, 5)
    first = [1 + 0.5 * 2 + 0.25 * (3 + 4 * limit), 2 + 0.5 * (3 + 4 * limit), 3 + 4 * limit, 1 + 0.5 * 6, 2 + 4]
    behind = 4 * 0.5 ** np.arange(4, -1, -1)
    expected = np.stack([np.array(first), RETURNS[:, 1] + behind], axis=1)
    np.testing.assert_allclose(agent.rollout_buffer.returns, expected, rtol=1e-6)
    np.testing.assert_allclose(agent.rollout_buffer.advantages, expected - 8, rtol=1e-6)


def closed_form(agent: Any, weights: Array) -> tuple[Array, Array, Array]:
    """Ascent direction of a linear policy's matrix, bias and log-deviation: means of ``weight * d log p``."""
    buffer, policy = agent.rollout_buffer, agent.policy
    x, a = buffer.observations.reshape(-1, 2), buffer.actions.reshape(-1, 1)
    matrix, bias = policy.action_net.weight.detach().numpy(), policy.action_net.bias.detach().numpy()
    std = policy.log_std.detach().exp().numpy()
    z = (a - x @ matrix.T - bias) / std
    w = weights.reshape(-1, 1)
    return (w * z / std).T @ x / len(x), (w * z / std).mean(axis=0), (w * (z**2 - 1)).mean(axis=0)


@pytest.mark.parametrize("baseline", ["none", "whiten", "learned"])
def test_an_update_is_the_closed_form_of_the_gradient(baseline: str) -> None:
    agent = rolled_out(baseline, n_critic_updates=1)
    weights = RETURNS if baseline != "whiten" else (RETURNS - RETURNS.mean()) / RETURNS.std(ddof=1)
    expected = closed_form(agent, weights)
    parameters = (agent.policy.action_net.weight, agent.policy.action_net.bias, agent.policy.log_std)
    before = [parameter.detach().clone() for parameter in parameters]
    agent.train()
    for old, new, step in zip(before, parameters, expected, strict=True):
        np.testing.assert_allclose((new - old).detach(), step, rtol=1e-4, atol=1e-5)
        assert np.abs(step).max() > 1e-3


def test_the_baseline_is_fitted_to_the_returns_and_the_policy_is_not_touched_by_it() -> None:
    """One step of SGD from 0 along the gradient of the squared error, over the whole rollout in one batch."""
    agent = rolled_out("learned", n_critic_updates=1, batch_size=10)
    x = agent.rollout_buffer.observations.reshape(-1, 2)
    agent.train()
    r = RETURNS.reshape(-1, 1)
    np.testing.assert_allclose(agent.policy.value_net.weight.detach(), 2 * (r * x).mean(axis=0)[None], rtol=1e-4)
    np.testing.assert_allclose(agent.policy.value_net.bias.detach(), [2 * r.mean()], rtol=1e-5)


@pytest.mark.parametrize("baseline", ["none", "whiten"])
def test_without_a_learned_baseline_the_value_network_stays_at_zero(baseline: str) -> None:
    agent = rolled_out(baseline)
    for _ in range(3):
        agent.train()
    assert not agent.policy.value_net.weight.any()
    assert not agent.policy.value_net.bias.any()


class Bandit(gymnasium.Env[Any, Any]):
    """Episodes of one step; 0.5 is the best action."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), -float((action[0] - 0.5) ** 2), True, False, {}


@pytest.mark.parametrize("baseline", ["none", "whiten", "learned"])
def test_it_learns_a_bandit(baseline: str) -> None:
    hyperparameters = {"baseline": baseline, "n_steps": 16, "learning_rate": 0.06, "std": "linear(0.5, 0.1)"}
    config = AgentConfig("reinforce", {**hyperparameters, "n_critic_updates": 1, "policy_kwargs": {"net_arch": []}})
    agent = make_agent(config, DummyVecEnv([Bandit for _ in range(8)]), seed=0)
    question = np.ones((1, 1), np.float32)
    assert abs(agent.predict(question, deterministic=True)[0].item() - 0.5) > 0.2
    agent.learn(4096)
    assert agent.predict(question, deterministic=True)[0].item() == pytest.approx(0.5, abs=0.1)


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown baseline 'mean'; accepted: none, whiten, learned$"):
        REINFORCE("MlpPolicy", DummyVecEnv([Bandit]), baseline="mean")
