"""A policy with the normaliser folded in acts and values on raw observations as before on normalised ones."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

import envs
from agents import AgentConfig, Normalizer, fold_normalizer, make_agent

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "ppo": ("ppo", {}),
    "ppo, three layers": ("ppo", {"policy_kwargs": {"net_arch": {"pi": [8, 8, 8], "vf": [16]}}}),
    "recurrent_ppo": ("recurrent_ppo", {"policy_kwargs": {"lstm_hidden_size": 8, "n_lstm_layers": 2}}),
    "recurrent_ppo, shared": (
        "recurrent_ppo",
        {"policy_kwargs": {"lstm_hidden_size": 8, "shared_lstm": True, "enable_critic_lstm": False}},
    ),
    "recurrent_ppo, critic without LSTM": (
        "recurrent_ppo",
        {"policy_kwargs": {"lstm_hidden_size": 8, "enable_critic_lstm": False}},
    ),
    "a2c": ("a2c", {}),
    "trpo": ("trpo", {"n_steps": 64, "batch_size": 128}),
    "reinforce, scheduled": ("reinforce", {"std": 0.5}),
    "td3": ("td3", {"buffer_size": 100, "policy_kwargs": {"net_arch": [16, 16]}}),
    "ars": ("ars", {}),
    "ars, hidden layers": ("ars", {"policy_kwargs": {"net_arch": [16, 16]}}),
    "sac": ("sac", {"buffer_size": 100, "policy_kwargs": {"net_arch": [16, 16]}}),
    "cem": ("cem", {}),
    "tqc": ("tqc", {"buffer_size": 100, "policy_kwargs": {"net_arch": [16, 16]}}),
}


def build(name: str, hyperparameters: dict[str, Any]) -> tuple[Any, Normalizer, npt.NDArray[np.float64]]:
    """An agent of random weights, a normaliser of random moments, and raw observations that fit them."""
    rng = np.random.default_rng(0)
    normalizer = Normalizer(envs.make_vec("hopper", 2, num_threads=1), clip_obs=1e6)
    moments = normalizer.observation_moments
    moments.mean, moments.var = rng.normal(size=11), rng.uniform(0.05, 5, 11)
    agent = make_agent(AgentConfig(name, hyperparameters), normalizer, seed=0)
    with torch.no_grad():
        for parameter in agent.policy.parameters():  # also tells a critic from its target
            parameter.normal_(0, 0.2)
    return agent, normalizer, moments.mean + np.sqrt(moments.var) * rng.normal(size=(50, 11))


def outputs(agent: Any, observations: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Deterministic actions, and what every value network says."""
    found = [agent.predict(observations, deterministic=True)[0]]
    inputs = torch.as_tensor(observations, dtype=torch.float32)
    policy = agent.policy
    with torch.no_grad():
        if hasattr(policy, "critic_target"):
            actions = torch.linspace(-1, 1, 150).reshape(50, 3)
            for critic in (policy.critic, policy.critic_target):
                values = critic(inputs, actions)
                found.extend(value.numpy() for value in (values if isinstance(values, tuple) else (values,)))
        elif not hasattr(policy, "predict_values"):
            pass  # ARS has no critic
        elif hasattr(policy, "lstm_actor"):
            shape = (policy.lstm_actor.num_layers, 50, policy.lstm_actor.hidden_size)
            states = (torch.zeros(shape), torch.zeros(shape))
            found.append(policy.predict_values(inputs, states, torch.zeros(50)).numpy())
        elif hasattr(policy, "predict_values"):
            found.append(policy.predict_values(inputs).numpy())
    return found


@pytest.mark.parametrize(("name", "hyperparameters"), CASES.values(), ids=CASES)
def test_folding_changes_neither_actions_nor_values(name: str, hyperparameters: dict[str, Any]) -> None:
    agent, normalizer, raw = build(name, hyperparameters)
    normalized = normalizer.normalize_obs(raw)
    assert isinstance(normalized, np.ndarray)
    expected = outputs(agent, normalized)
    unfolded = outputs(agent, raw)
    fold_normalizer(agent, normalizer)
    for found, value, other in zip(outputs(agent, raw), expected, unfolded, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-5)
        assert not np.allclose(other, value, atol=1e-2)  # without folding there is a difference to see
    assert len(np.unique(expected[0])) > 75  # of 150: the actions are not all clipped


def test_without_normalised_observations_nothing_changes() -> None:
    agent, normalizer, raw = build("ppo", {})
    normalizer.norm_obs = False
    before = outputs(agent, raw)
    fold_normalizer(agent, normalizer)
    np.testing.assert_equal(outputs(agent, raw), before)


@pytest.mark.parametrize(
    ("name", "network", "options"),
    [("ppo", "mlp_extractor.policy_net", {}), ("sac", "actor.latent_pi", {"buffer_size": 100})],
)
def test_a_network_without_layers_is_refused_and_untouched(name: str, network: str, options: dict[str, Any]) -> None:
    agent, normalizer, raw = build(name, {**options, "policy_kwargs": {"net_arch": []}})
    before = outputs(agent, raw)
    with pytest.raises(
        ValueError,
        match=rf"^{network} has no layer to fold the normaliser into; accepted: 1 or more in net_arch, with a bias$",
    ):
        fold_normalizer(agent, normalizer)
    np.testing.assert_equal(outputs(agent, raw), before)


def test_a_search_without_bias_is_refused() -> None:
    """Its first layer has nothing to take the mean up with."""
    agent, normalizer, _ = build("ars", {"policy_kwargs": {"net_arch": [], "with_bias": False}})
    message = r"^action_net has no layer to fold the normaliser into; accepted: 1 or more in net_arch, with a bias$"
    with pytest.raises(ValueError, match=message):
        fold_normalizer(agent, normalizer)


class Unused(gymnasium.Env[Any, Any]):
    """An image and a vector, of which nothing is ever shown."""

    observation_space = gymnasium.spaces.Dict(
        {
            "pixels": gymnasium.spaces.Box(0, 255, (3, 36, 36), np.uint8),
            "state": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
        }
    )
    action_space = gymnasium.spaces.Discrete(2)


def test_what_is_normalised_beside_images_is_refused_and_untouched() -> None:
    normalizer = Normalizer(DummyVecEnv([Unused]))
    agent = make_agent(AgentConfig("ppo"), normalizer, seed=0)
    before = {name: value.clone() for name, value in agent.policy.state_dict().items()}
    message = r"^the observation is not a vector alone; accepted: a pipeline that shows one, such as state$"
    with pytest.raises(ValueError, match=message):
        fold_normalizer(agent, normalizer)
    assert all(torch.equal(value, before[name]) for name, value in agent.policy.state_dict().items())
