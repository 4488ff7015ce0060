"""A student's replay buffer holds what its teacher says of the very states in it."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents import AgentConfig, DAgger, Normalizer, make_agent

BOX = spaces.Box(-1, 1, (1,), np.float32)


class Elsewhere(gymnasium.Env[Any, Any]):
    """Every step leads to a new random state; episodes of five steps."""

    action_space, observation_space = BOX, spaces.Dict({"pose": BOX, "state": BOX})

    def _seen(self) -> dict[str, Any]:
        state = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return {"pose": state, "state": state}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._seen(), 0.0, False, self.steps == 5, {}


@pytest.mark.parametrize("normalized", [False, True])
def test_each_state_is_kept_with_the_teachers_action_in_it(normalized: bool) -> None:
    env: VecEnv = DummyVecEnv([Elsewhere] * 3)
    env.seed(0)
    env = Normalizer(env, norm_reward=False) if normalized else env
    given = {"train_freq": 4, "gradient_steps": 1, "buffer_size": 300, "batch_size": 8, "teacher_steps": 30}
    agent = make_agent(AgentConfig("dagger", given), env, seed=0)
    assert isinstance(agent, DAgger)
    agent.teacher = lambda states: states.astype(np.float32)
    agent.learn(60)
    buffer: Any = agent.replay_buffer
    assert buffer.pos == 20
    np.testing.assert_allclose(buffer.actions[:20], buffer.observations["state"][:20], atol=1e-6)
    assert np.ptp(buffer.actions[:20]) > 1
