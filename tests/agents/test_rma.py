"""A student that infers the latent of a drift it is never told, on top of a policy that was told."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import RMA, AgentConfig, LatentOptions, Normalizer, build_on, make_agent
from agents.latent import Adaptation

MEAN, DEVIATION = np.array([0.3, -0.2]), np.array([1.5, 0.6])
"""Of what the teacher saw: position and drift."""
SMALL = {
    "buffer_size": 5000,
    "train_freq": 8,
    "gradient_steps": 32,
    "batch_size": 128,
    "learning_rate": "linear(3e-3, 1e-4)",
}


class Drift(gymnasium.Env[Any, Any]):
    """x' = x / 2 + u + drift: with two pairs of history the drift is x1 - x0 / 2 - u0."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = spaces.Dict(
        {"history": spaces.Box(-np.inf, np.inf, (1 + 2 * 2,)), "state": spaces.Box(-np.inf, np.inf, (1 + 1,))}
    )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.drift, self.x = self.np_random.uniform(-1, 1, 2)
        self.pairs, self.steps = np.zeros((2, 2)), 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.pairs = np.array([self.pairs[1], [self.x, action[0]]])
        self.x = self.x / 2 + action[0] + self.drift
        self.steps += 1
        return self._seen(), 0.0, False, self.steps == 10, {}

    def _seen(self) -> dict[str, Any]:
        history = np.concatenate([[self.x], self.pairs.ravel()])
        return {"history": history.astype(np.float32), "state": np.array([self.x, self.drift], np.float32)}


class Told(gymnasium.Env[Any, Any]):
    """What its teacher saw."""

    action_space, observation_space = Drift.action_space, Drift.observation_space["state"]


def teacher_of(latent: int = 2, **options: Any) -> Any:
    return make_agent(AgentConfig("ppo", options), DummyVecEnv([Told]), seed=1, latent=LatentOptions(1, latent))


def student_of(teacher: Any) -> tuple[RMA, Normalizer]:
    env = Normalizer(DummyVecEnv([Drift] * 8), norm_reward=False)
    env.seed(0)
    agent = make_agent(AgentConfig("rma", SMALL), env, seed=0, latent=LatentOptions(1, 2))
    assert isinstance(agent, RMA)
    agent.teacher = lambda states: np.zeros((len(states), 1), np.float32)
    moments = {"mean": MEAN, "var": DEVIATION**2, "count": 1000.0}
    build_on(agent, env, teacher.policy.state_dict(), moments)
    return agent, env


def latents(agent: RMA, env: Normalizer) -> tuple[Any, Any]:
    """Inferred and true ones ``(n, 2)`` where two pairs are known."""
    observations: Any = env.reset()
    found, wanted = [], []
    network = agent.policy.features_extractor
    assert isinstance(network, Adaptation)
    for step in range(100):
        actions, _ = agent.predict(observations, deterministic=True)
        tensors = {name: torch.as_tensor(entry) for name, entry in observations.items()}
        with torch.no_grad():
            if step % 10 >= 2:
                found.append(network.inferred(tensors).numpy())
                wanted.append(network.encoded(tensors).numpy())
        observations = env.step(actions)[0]
    return np.concatenate(found), np.concatenate(wanted)


def test_the_latent_of_a_linear_system_is_learned_and_nothing_else_moves() -> None:
    teacher = teacher_of()
    agent, env = student_of(teacher)
    found, wanted = latents(agent, env)
    assert np.square(found - wanted).mean() > 0.5 * wanted.var(axis=0).mean()
    agent.learn(4000)
    found, wanted = latents(agent, env)
    assert np.square(found - wanted).mean() < 0.03 * wanted.var(axis=0).mean()
    after, before = agent.policy.state_dict(), teacher.policy.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name for name in after if name not in before} == {n for n in after if ".adaptation." in n}
    np.testing.assert_array_equal(env.obs_rms["state"].mean, MEAN)


def test_told_the_latent_the_student_acts_as_its_teacher() -> None:
    """Also through the normaliser: the pairs are seen in the units of what is observed now."""
    teacher = teacher_of()
    agent, env = student_of(teacher)
    network = agent.policy.features_extractor
    assert isinstance(network, Adaptation)
    network.inferred = network.encoded  # type: ignore[method-assign]
    raw: Any = {"history": np.random.default_rng(0).normal(size=(50, 5)), "state": np.zeros((50, 2))}
    raw["state"] = np.random.default_rng(1).normal(size=(50, 2))
    raw["history"][:, 0] = raw["state"][:, 0]
    seen: Any = env.normalize_obs(raw)
    scale = np.array([DEVIATION[0], DEVIATION[0], 1.0, DEVIATION[0], 1.0])
    shift = np.array([MEAN[0], MEAN[0], 0.0, MEAN[0], 0.0])
    np.testing.assert_allclose(seen["history"], (raw["history"] - shift) / scale, rtol=1e-5, atol=1e-6)
    found, _ = agent.predict(seen, deterministic=True)
    wanted, _ = teacher.predict(((raw["state"] - MEAN) / DEVIATION).astype(np.float32), deterministic=True)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.ptp(wanted) > 1e-3


def test_the_student_needs_its_history_alone_to_act() -> None:
    agent, env = student_of(teacher_of())
    seen: Any = env.reset()
    expected, _ = agent.predict(seen, deterministic=True)
    np.testing.assert_array_equal(agent.predict({"history": seen["history"]}, deterministic=True)[0], expected)
    other = {**seen, "state": seen["state"] + 100}
    np.testing.assert_array_equal(agent.predict(other, deterministic=True)[0], expected)


@pytest.mark.parametrize("other", [{"latent": 3}, {"policy_kwargs": {"net_arch": [8]}}])
def test_a_teacher_of_another_shape_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^the teacher's networks have other layers than the student's; accepted: "):
        student_of(teacher_of(**other))


def test_the_encoder_sees_the_parameters_alone_and_the_policy_the_rest() -> None:
    teacher = teacher_of()
    observations = torch.tensor([[1.0, 2.0], [1.0, 3.0], [5.0, 2.0]])
    with torch.no_grad():
        features = teacher.policy.features_extractor(observations)
    assert features.shape == (3, 1 + 2)
    torch.testing.assert_close(features[:, 0], observations[:, 0])
    torch.testing.assert_close(features[0, 1:], features[2, 1:])
    assert (features[0, 1:] != features[1, 1:]).all()


def test_agents_without_such_an_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^sac has no encoder of parameters; accepted: --privileged.latent 0, or ag"):
        make_agent(AgentConfig("sac"), DummyVecEnv([Told]), seed=0, latent=LatentOptions(1, 2))
