"""Agents learn what has a known answer; the normaliser computes what it says; bad requests are refused."""

import copy
import re
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

import envs
from agents import AgentConfig, FrameReplayBuffer, Normalizer, make_agent, normalize
from experiments.checkpoints import pack, unpack


class HalfOfIt(gymnasium.Env[Any, Any]):
    """Episodes of one step whose best action is half of the observation."""

    observation_space: Any = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
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
        ("a2c", {"n_steps": 16, "learning_rate": 1e-2, "policy_kwargs": {"net_arch": [16]}}, 8192),
        ("trpo", {"n_steps": 32, "batch_size": 64, "n_critic_updates": 2, "policy_kwargs": {"net_arch": [16]}}, 4096),
        (
            "reinforce",
            {
                "n_steps": 16,
                "batch_size": 64,
                "n_critic_updates": 2,
                "learning_rate": 0.03,
                "std": "linear(0.5, 0.1)",
                "policy_kwargs": {"net_arch": [16]},
            },
            4096,
        ),
        (
            "ars",
            {"learning_rate": 0.05, "delta_std": 0.1, "n_eval_episodes": 4, "policy_kwargs": {"net_arch": []}},
            4096,
        ),
        ("td3", {**_REPLAY, "action_noise": 0.2, "policy_kwargs": {"net_arch": [32]}}, 2048),
        ("crossq", {**_REPLAY, "policy_delay": 1, "policy_kwargs": {"net_arch": [32]}}, 2048),
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


class Picture(HalfOfIt):
    observation_space: Any = gymnasium.spaces.Box(0, 255, (3, 36, 36), np.uint8)


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [("n_steps", 3, 1), ("replay_buffer_class", "mine", None), ("replay_buffer_kwargs", {"stack": 2}, None)],
)
def test_what_a_buffer_of_frames_would_ignore_is_refused(key: str, value: Any, accepted: Any) -> None:
    env = DummyVecEnv([Picture])
    small = {"buffer_size": 10}
    message = f"hyperparameter {key} of sac is {value!r}; on images, whose replay buffer keeps frames, it must be "
    with pytest.raises(ValueError, match=f"^{re.escape(message)}{accepted}$"):
        make_agent(AgentConfig("sac", {**small, key: value}), env, seed=0)
    agent: Any = make_agent(AgentConfig("sac", {**small, key: accepted}), env, seed=0)
    assert isinstance(agent.replay_buffer, FrameReplayBuffer)


def test_only_on_policy_agents_are_normalised() -> None:
    env = envs.make_vec("hopper", 2, num_threads=1)
    for name in ("sac", "tqc", "td3", "crossq"):
        assert normalize(AgentConfig(name), env, training=True) is env
    for name in ("ppo", "recurrent_ppo", "a2c", "trpo", "reinforce"):
        training = normalize(AgentConfig(name, {"gamma": 0.9}), env, training=True)
        evaluation = normalize(AgentConfig(name), env, training=False)
        assert isinstance(training, Normalizer)
        assert isinstance(evaluation, Normalizer)
        assert (training.training, training.norm_obs, training.norm_reward, training.gamma) == (True, True, True, 0.9)
        assert (evaluation.training, evaluation.norm_obs, evaluation.norm_reward) == (False, True, False)


def test_random_search_is_normalised_but_for_its_rewards() -> None:
    training = normalize(AgentConfig("ars"), envs.make_vec("hopper", 2, num_threads=1), training=True)
    assert isinstance(training, Normalizer)
    assert (training.norm_obs, training.norm_reward) == (True, False)


@pytest.mark.parametrize("name", ["td3", "sac", "crossq"])
def test_the_noise_on_actions_has_the_deviation_that_is_asked_for(name: str) -> None:
    """In half ranges of the actuators, of which the hopper's are 1."""
    env = envs.make_vec("hopper", 500, num_threads=1)
    hyperparameters = {"action_noise": 0.1, "learning_starts": 0, "buffer_size": 500}
    agent: Any = make_agent(AgentConfig(name, hyperparameters), env, seed=0)
    agent._setup_learn(500)
    noise = agent.action_noise()
    assert noise.shape == (500, 3)
    assert noise.std(axis=0) == pytest.approx(np.full(3, 0.1), rel=0.1)
    assert abs(noise.mean()) < 0.01
    quiet: Any = make_agent(AgentConfig(name, {**hyperparameters, "action_noise": 0.0}), env, seed=0)
    assert quiet.action_noise is None


def test_td3_explores_by_default() -> None:
    assert AgentConfig("td3").resolved().hyperparameters["action_noise"] == 0.1


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


IMAGE = gymnasium.spaces.Box(0, 255, (3, 4, 5), np.uint8)
POSE = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
STATE = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)


class Noise(gymnasium.Env[Any, Any]):
    """Episodes of three steps of random observations and rewards."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.observation_space = space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.observation_space.sample(), self.np_random.normal(), self.steps == 3, False, {}


class Kept(VecEnvWrapper):
    """Remembers the last observation as the environment returned it."""

    def reset(self) -> Any:
        self.seen: Any = self.venv.reset()
        return self.seen

    def step_wait(self) -> Any:
        self.seen, *others = self.venv.step_wait()
        return self.seen, *others


def noisy(space: gymnasium.Space[Any], **options: Any) -> tuple[Normalizer, Kept]:
    env = Kept(DummyVecEnv([lambda: Noise(copy.deepcopy(space)) for _ in range(4)]))
    env.seed(0)
    return Normalizer(env, clip_obs=1e6, **options), env


def test_of_a_dict_all_but_the_images_is_normalised() -> None:
    normalizer, env = noisy(gymnasium.spaces.Dict({"pixels": IMAGE, "pose": POSE, "state": STATE}))
    spaces = normalizer.observation_space.spaces  # type: ignore[attr-defined]
    assert spaces["pixels"] == IMAGE
    assert {name: spaces[name].dtype for name in ("pose", "state")} == {"pose": np.float32, "state": np.float32}
    raw: list[Any] = []
    found: list[Any] = [normalizer.reset()]
    for _ in range(5):
        raw.append(env.seen)
        found.append(normalizer.step(np.zeros(4))[0])
        assert found[-1]["pixels"] is env.seen["pixels"]  # not even a copy
    raw.append(env.seen)
    assert found[-1]["pixels"].dtype == np.uint8
    moments: Any = normalizer.moments
    assert sorted(moments) == ["pose", "state"]
    for name in moments:
        seen = np.concatenate([each[name] for each in raw])
        np.testing.assert_allclose(moments[name].mean, seen.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(moments[name].var, seen.var(axis=0), atol=1e-3)
        expected = (raw[-1][name] - moments[name].mean) / np.sqrt(moments[name].var + 1e-8)
        np.testing.assert_allclose(found[-1][name], expected, atol=1e-5)
        assert found[-1][name].dtype == np.float32
    infos = [normalizer.step(np.zeros(4))[3] for _ in range(3)]
    last = next(each[0]["terminal_observation"] for each in infos if "terminal_observation" in each[0])
    assert (last["pixels"].dtype, last["state"].dtype) == (np.uint8, np.float32)


def test_of_images_the_reward_alone_is_normalised() -> None:
    normalizer, env = noisy(IMAGE)
    assert normalizer.observation_space == IMAGE
    assert normalizer.reset() is env.seen
    sums, discounted = [], np.zeros(4)
    for _ in range(20):
        found, scaled, dones, _ = normalizer.step(np.zeros(4))
        assert found is env.seen
        rewards = normalizer.get_original_reward()
        discounted = discounted * 0.99 + rewards
        sums.append(discounted.copy())
        discounted[dones] = 0.0
    np.testing.assert_allclose(scaled, rewards / np.std(sums), rtol=1e-3)
    assert normalizer.moments == normalizer.state_dict()["observation"] == {}


@pytest.mark.parametrize(
    "space", [IMAGE, gymnasium.spaces.Dict({"pixels": IMAGE, "state": STATE})], ids=["image", "dict"]
)
def test_the_normalisers_state_of_images_and_dicts_makes_another_one_equal(space: gymnasium.Space[Any]) -> None:
    (first, _), (second, _) = noisy(space), noisy(space)
    for _ in range(2):
        first.reset()
    second.reset()
    state = unpack(*_packed(first.state_dict()))
    assert list(state["observation"]) == (["state"] if isinstance(space, gymnasium.spaces.Dict) else [])
    second.load_state_dict(state)
    np.testing.assert_equal(second.state_dict(), first.state_dict())


def _packed(tree: Any) -> tuple[Any, dict[str, Any]]:
    arrays: dict[str, Any] = {}
    return pack(tree, arrays), arrays


def test_a_normaliser_of_other_entries_is_refused() -> None:
    both, _ = noisy(gymnasium.spaces.Dict({"pose": POSE, "state": STATE}))
    one, _ = noisy(gymnasium.spaces.Dict({"pixels": IMAGE, "state": STATE}))
    images, _ = noisy(IMAGE)
    with pytest.raises(ValueError, match=r"^normaliser of pose, state does not fit observations of state$"):
        one.load_state_dict(both.state_dict())
    with pytest.raises(ValueError, match=r"^normaliser of state does not fit observations of images$"):
        images.load_state_dict(one.state_dict())
