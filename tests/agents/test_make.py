"""Agents learn what has a known answer; the normaliser computes what it says; bad requests are refused."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

import envs
from agents import AgentConfig, Normalizer, make_agent, normalize


class HalfOfIt(gymnasium.Env[Any, Any]):
    """Episodes of one step whose best action is half of the observation."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation, -float(np.square(action - self.observation / 2).sum()), True, False, {}


_ROLLOUTS = {"n_steps": 32, "batch_size": 64, "n_epochs": 8}
_REPLAY = {"learning_starts": 200, "batch_size": 64, "buffer_size": 10_000, "learning_rate": 1e-2}


@pytest.mark.parametrize(
    ("name", "hyperparameters", "steps"),
    [
        ("ppo", {**_ROLLOUTS, "learning_rate": 5e-3, "policy_kwargs": {"net_arch": [16]}}, 1024),
        (
            "recurrent_ppo",
            {**_ROLLOUTS, "learning_rate": 1e-2, "policy_kwargs": {"lstm_hidden_size": 8, "net_arch": [8]}},
            1024,
        ),
        ("sac", {**_REPLAY, "policy_kwargs": {"net_arch": [32]}}, 2048),
        ("tqc", {**_REPLAY, "policy_kwargs": {"net_arch": [32]}}, 2048),
    ],
)
def test_an_agent_finds_the_known_best_action(name: str, hyperparameters: dict[str, Any], steps: int) -> None:
    env = DummyVecEnv([HalfOfIt for _ in range(8)])
    env.seed(0)
    agent = make_agent(AgentConfig(name, hyperparameters), env, seed=0)
    questions = np.linspace(-0.9, 0.9, 19, dtype=np.float32)[:, None]
    before = np.abs(agent.predict(questions, deterministic=True)[0] - questions / 2).max()
    agent.learn(steps)
    after = np.abs(agent.predict(questions, deterministic=True)[0] - questions / 2).max()
    assert before > 0.3
    assert after < 0.15


def test_the_seed_decides_the_networks() -> None:
    env = envs.make_vec("hopper", 2, num_threads=1)
    weights = [
        torch.cat([value.flatten() for value in make_agent(AgentConfig("ppo"), env, seed).policy.state_dict().values()])
        for seed in (1, 2, 1)
    ]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    env = envs.make_vec("hopper", 2, num_threads=1)
    with pytest.raises(ValueError, match=r"^device 'cuda:0': PyTorch finds no CUDA here; accepted: cpu$"):
        make_agent(AgentConfig("ppo"), env, seed=0, device="cuda:0")


@pytest.mark.parametrize(
    ("name", "hyperparameters", "message"),
    [
        ("ppo", {"batch_size": 1}, r"`batch_size` must be greater than 1"),
        ("ppo", {"policy_kwargs": {"net_arc": [8]}}, r"unexpected keyword argument 'net_arc'"),
        ("sac", {"policy_kwargs": {"n_critic": 2}}, r"unexpected keyword argument 'n_critic'"),
    ],
)
def test_what_only_sb3_can_judge_is_refused_in_its_words(
    name: str, hyperparameters: dict[str, Any], message: str
) -> None:
    env = envs.make_vec("hopper", 2, num_threads=1)
    with pytest.raises(ValueError, match=rf"^{name} refuses its hyperparameters: .*{message}") as caught:
        make_agent(AgentConfig(name, hyperparameters), env, seed=0)
    assert "\n" not in str(caught.value)


def test_only_on_policy_agents_are_normalised() -> None:
    env = envs.make_vec("hopper", 2, num_threads=1)
    for name in ("sac", "tqc"):
        assert normalize(AgentConfig(name), env, training=True) is env
    for name in ("ppo", "recurrent_ppo"):
        training = normalize(AgentConfig(name, {"gamma": 0.9}), env, training=True)
        evaluation = normalize(AgentConfig(name), env, training=False)
        assert isinstance(training, Normalizer)
        assert isinstance(evaluation, Normalizer)
        assert (training.training, training.norm_obs, training.norm_reward, training.gamma) == (True, True, True, 0.9)
        assert (evaluation.training, evaluation.norm_obs, evaluation.norm_reward) == (False, True, False)


def test_the_normaliser_shifts_and_scales_by_what_it_saw() -> None:
    plain: Any = envs.make_vec("hopper", 3, horizon=8, seed=2, num_threads=1)
    normalizer: Any = Normalizer(envs.make_vec("hopper", 3, horizon=8, seed=2, num_threads=1), clip_obs=1e6, gamma=0.9)
    raw, found = [plain.reset()], [normalizer.reset()]
    discounted, sums = np.zeros(3), []
    for actions in np.random.default_rng(0).uniform(-1, 1, (40, 3, 3)).astype(np.float32):
        observations, rewards, dones, _ = plain.step(actions)
        normalized, scaled = normalizer.step(actions)[:2]
        raw.append(observations)
        found.append(normalized)
        discounted = discounted * 0.9 + rewards
        sums.append(discounted.copy())
        np.testing.assert_allclose(
            scaled, np.clip(rewards / np.sqrt(np.var(sums) + 1e-8), -10, 10), rtol=1e-2 if len(sums) > 20 else np.inf
        )
        discounted[dones] = 0.0
    seen = np.concatenate(raw)
    # SB3 starts its moments at mean 0, variance 1 with a weight of 1e-4 of an observation.
    np.testing.assert_allclose(normalizer.observation_moments.mean, seen.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(normalizer.observation_moments.var, seen.var(axis=0), rtol=1e-4, atol=1e-4)
    expected = (raw[-1] - normalizer.observation_moments.mean) / np.sqrt(normalizer.observation_moments.var + 1e-8)
    np.testing.assert_allclose(found[-1], expected, rtol=1e-5, atol=1e-6)
    assert found[-1].dtype == normalizer.observation_space.dtype == np.float32


def test_a_normalisers_state_makes_another_one_equal() -> None:
    def make() -> Any:
        return Normalizer(envs.make_vec("hopper", 3, horizon=8, seed=2, num_threads=1), gamma=0.9)

    actions = np.random.default_rng(0).uniform(-1, 1, (30, 3, 3)).astype(np.float32)
    first, second, without_returns = make(), make(), make()
    for each in (first, second, without_returns):
        each.reset()
    for action in actions[:15]:
        first.step(action)
        for other in (second, without_returns):
            other.venv.step(action)  # the same place in the simulation, nothing learnt by the normaliser
    state = first.state_dict()
    second.load_state_dict(state)
    without_returns.load_state_dict(state, returns=False)
    np.testing.assert_equal(second.state_dict(), state)
    np.testing.assert_equal(without_returns.state_dict(), {**state, "returns": np.zeros(3)})
    for action in actions[15:]:
        np.testing.assert_equal(second.step(action)[:3], first.step(action)[:3])
    assert state["observation"]["count"] == pytest.approx(16 * 3, abs=1e-3)  # its arrays are copies


def test_a_normaliser_of_another_observation_is_refused() -> None:
    normalizer = Normalizer(envs.make_vec("hopper", 2, num_threads=1))
    state = normalizer.state_dict()
    state["observation"] = {"mean": np.zeros(4), "var": np.ones(4), "count": 1.0}
    with pytest.raises(ValueError, match=r"^normaliser of shape \(4,\) does not fit observations of shape \(11,\)$"):
        normalizer.load_state_dict(state)
