"""PPO whose encoder is fitted to the state: what teaches which part, and that it continues where it stopped."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from agents import AgentConfig, ImageOptions, agent_state, load_agent_state, load_random_state, make_agent
from agents.supervised import StateHead, SupervisedPolicy, encode_rollout, fit_encoder
from tests.agents.test_asymmetric import SIDE, Dial, observation


class Told(Dial):
    """A bar left or right, and the actions of the last step, which here are none."""

    observation_space = spaces.Dict(
        {**Dial.observation_space.spaces, "actions": spaces.Box(-np.inf, np.inf, (1,), np.float32)}
    )

    def posed(self, found: Any) -> Any:
        return {**found, "actions": np.zeros(1, np.float32)}

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        found, info = super().reset(**options)
        return self.posed(found), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        found, *others = super().step(action)
        return self.posed(found), *others


def build(seed: int = 0, **more: Any) -> Any:
    env = DummyVecEnv([Told for _ in range(8)])
    env.seed(seed)
    config = AgentConfig("ppo", {"n_steps": 16, "batch_size": 64, "n_epochs": 4, "learning_rate": 1e-3, **more})
    agent = make_agent(config, env, seed, images=ImageOptions("impala", supervised=True))
    agent.set_logger(Logger(None, []))
    return agent


def questions() -> dict[str, torch.Tensor]:
    found = [{**observation(right, 0), "actions": np.zeros(1, np.float32)} for right in (0, 1)]
    return {name: torch.as_tensor(np.stack([each[name] for each in found])) for name in found[0]}


def test_the_encoder_learns_the_state_and_the_actor_to_use_it() -> None:
    agent = build()
    agent.learn(4096)
    with torch.no_grad():
        left, right = agent.policy.estimate(questions())[:, 0].tolist()  # which side is all that can be seen
        action = agent.policy.get_distribution(questions()).distribution.mean.flatten().tolist()
    assert abs(left) < 0.1
    assert abs(right - 1) < 0.1
    assert action[0] < -0.3
    assert action[1] > 0.3


def rollout(agent: Any) -> DictRolloutBuffer:
    _, callback = agent._setup_learn(agent.n_steps * agent.n_envs)
    agent.collect_rollouts(agent.env, callback, agent.rollout_buffer, agent.n_steps)
    buffer: DictRolloutBuffer = agent.rollout_buffer
    return buffer


def test_a_rollout_is_encoded_in_its_own_order() -> None:
    agent = build()
    buffer = rollout(agent)
    expected = np.zeros((16, 8, 2), np.float32)
    with torch.no_grad():
        for step in range(16):
            now = {name: torch.as_tensor(array[step]) for name, array in buffer.observations.items()}
            expected[step] = agent.policy.estimate(now).numpy()
    frames = buffer.observations["pixels"].copy()
    observations = encode_rollout(agent.policy, buffer)
    np.testing.assert_allclose(buffer.observations["pixels"], expected, atol=1e-5)
    np.testing.assert_array_equal(observations["pixels"][16 * 3 + 5], frames[5, 3])  # environment by environment


def test_the_reward_never_reaches_the_encoder_and_regression_nothing_else() -> None:
    agent = build()
    buffer = rollout(agent)
    before = copy.deepcopy(agent.policy.state_dict())
    observations = encode_rollout(agent.policy, buffer)
    super(type(agent), agent).train()
    learned = agent.policy.state_dict()
    assert {name for name in before if not torch.equal(before[name], learned[name])} == {
        name for name in before if not name.startswith(("features_extractor", "pi_features_extractor"))
    }
    between = copy.deepcopy(learned)
    losses = [fit_encoder(agent.policy, observations) for _ in range(3)]
    assert losses[2] < losses[0]
    fitted = agent.policy.state_dict()
    for name in fitted:
        assert torch.equal(between[name], fitted[name]) != name.startswith(("features_extractor", "pi_features")), name


def test_actions_count() -> None:
    policy = build().policy
    assert isinstance(policy, SupervisedPolicy)
    assert isinstance(policy.pi_features_extractor, StateHead)
    asked = questions()
    with torch.no_grad():
        told = policy.estimate({**asked, "actions": asked["actions"] + 1})
        assert not torch.equal(policy.estimate(asked), told)


@pytest.mark.parametrize("after", [128, 256])
def test_training_continues_bit_identically(after: int) -> None:
    whole = build()
    whole.learn(512)
    first = build()
    first.learn(after)
    state = copy.deepcopy(agent_state(first))
    # Environments of one step: the next observation is in the state, what follows comes from their generators.
    generators = [copy.deepcopy(env.np_random) for env in first.env.envs]
    second = build(seed=5)
    load_agent_state(second, state)
    for env, sides, generator in zip(second.env.envs, first.env.envs, generators, strict=True):
        env.right, env.bonus, env.np_random = sides.right, sides.bonus, generator
    load_random_state(second, state)
    second.learn(512 - after, reset_num_timesteps=False)
    for name, tensor in whole.policy.state_dict().items():
        assert torch.equal(tensor, second.policy.state_dict()[name]), name


def test_only_ppo_is_supervised() -> None:
    env = DummyVecEnv([Told])
    with pytest.raises(ValueError, match=r"^sac fits no encoder to the state; accepted: ppo$"):
        make_agent(AgentConfig("sac", {"buffer_size": 8}), env, 0, images=ImageOptions("impala", supervised=True))


def test_networks_are_as_wide_as_on_the_state() -> None:
    policy = build().policy
    assert [layer.weight.shape for layer in policy.mlp_extractor.policy_net if isinstance(layer, nn.Linear)] == [
        (64, 2),
        (64, 64),
    ]
    assert policy.observation_space["pixels"].shape == (3, SIDE, SIDE)
