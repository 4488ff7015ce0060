"""The cross-entropy method against closed forms, and that it ends where it should."""

import copy
import io
import json
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import ARS
from sb3_contrib.ars.policies import ARSPolicy
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import envs
from agents import AgentConfig, make_agent, normalize
from agents.cem import CEM, log_rank_weights, moved, sample
from agents.population import Population


class Rows(KVWriter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append({"step": step, **key_values})

    def close(self) -> None: ...


def build(env: VecEnv, **hyperparameters: Any) -> tuple[CEM, list[dict[str, Any]]]:
    agent = make_agent(AgentConfig("cem", hyperparameters), env, seed=0)
    assert isinstance(agent, CEM)
    rows = Rows()
    agent.set_logger(Logger(None, [rows]))
    return agent, rows.rows


@pytest.mark.parametrize("elites", [1, 2, 5, 16])
def test_weights_are_of_the_logarithm_of_the_rank(elites: int) -> None:
    weights = log_rank_weights(elites).double().numpy()
    ranks = np.arange(1, elites + 1)
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(weights) < 0).all()
    ratios = (np.log(elites + 0.5) - np.log(ranks)) / np.log(elites + 0.5)
    np.testing.assert_allclose(weights / weights[0], ratios, rtol=1e-5)


def test_two_elites_move_the_distribution_as_computed_by_hand() -> None:
    individuals = torch.tensor([[0.0, 7.0], [1.0, -2.0], [4.0, 2.0], [9.0, 9.0]])
    returns = np.array([-5.0, 10.0, 20.0, 9.0])
    first, second = np.log(2.5), np.log(2.5) - np.log(2)
    first, second = first / (first + second), second / (first + second)
    before = torch.tensor([-3.0, 1.0])
    mean, variance = moved(before, individuals, returns, elites=2, noise=0.3, smoothing=1.0)
    np.testing.assert_allclose(mean, [4 * first + 1 * second, 2 * first - 2 * second], rtol=1e-6)
    # Of two values a and b with shares p and q, the variance is p q (a − b)².
    np.testing.assert_allclose(variance, [first * second * 9 + 0.09, first * second * 16 + 0.09], rtol=1e-5)
    part, same = moved(before, individuals, returns, elites=2, noise=0.3, smoothing=0.25)
    torch.testing.assert_close(part, 0.75 * before + 0.25 * mean)
    torch.testing.assert_close(same, variance)


def test_of_equal_returns_the_earlier_counts_more_and_one_elite_leaves_only_noise() -> None:
    individuals = torch.tensor([[1.0], [2.0], [3.0]])
    mean, variance = moved(torch.zeros(1), individuals, np.array([5.0, 8.0, 8.0]), 1, noise=0.1, smoothing=1.0)
    assert mean.item() == 2.0
    assert variance.item() == pytest.approx(0.01)


def test_samples_have_the_distributions_mean_and_variance() -> None:
    torch.manual_seed(0)
    mean, variance = torch.tensor([1.0, -3.0]), torch.tensor([4.0, 0.01])
    drawn = sample(mean, variance, 40_000)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), variance, atol=0, rtol=0.03)


def climb(noise: float) -> tuple[float, float]:
    """Distance from the top of a quadratic, and spread, after 150 generations of noise that decays to nothing."""
    torch.manual_seed(0)
    top = torch.linspace(-2, 2, 10)
    mean, variance = torch.zeros(10), torch.ones(10)
    for generation in range(150):
        individuals = sample(mean, variance, 40)
        returns = -(individuals - top).square().sum(1).double().numpy()
        mean, variance = moved(mean, individuals, returns, 20, noise * (1 - generation / 150), smoothing=0.5)
    return (mean - top).abs().max().item(), variance.sqrt().max().item()


def test_decaying_noise_takes_it_to_the_top_of_a_quadratic_where_none_stops_short() -> None:
    away, spread = climb(noise=0.2)
    assert away < 0.01
    assert spread < 0.02
    short, spread = climb(noise=0.0)
    assert short > 0.1
    assert spread < 1e-3  # it looks nowhere any more


def test_without_selection_the_spread_settles_where_the_noise_holds_it() -> None:
    torch.manual_seed(0)
    rng, mean, variance = np.random.default_rng(0), torch.zeros(20_000), torch.full((20_000,), 0.01)
    for _ in range(80):
        mean, variance = moved(mean, sample(mean, variance, 32), rng.random(32), 16, 0.02, smoothing=1.0)
    expected = 0.02**2 / log_rank_weights(16).square().sum().item()
    assert variance.mean().item() == pytest.approx(expected, rel=0.02)
    assert expected**0.5 / 0.02 == pytest.approx(3.0, abs=0.05)  # as the module says


def test_of_thousands_of_parameters_a_smoothed_mean_learns_where_another_gets_worse() -> None:
    """Networks fitted to the actions of another one, each on inputs of its own; the error of the mean network."""

    def fit(smoothing: float) -> tuple[float, float]:
        torch.manual_seed(0)
        seen, done = gymnasium.spaces.Box(-9, 9, (60,)), gymnasium.spaces.Box(-1, 1, (4,))
        network = ARSPolicy(seen, done, net_arch=[60], activation_fn=torch.nn.Tanh)
        teacher = torch.randn(60, 4) * 0.3

        def errors(individuals: torch.Tensor, count: int) -> torch.Tensor:
            inputs = torch.randn(len(individuals), count, 60)
            wrong = Population(network, individuals)(inputs) - torch.tanh(inputs @ teacher)
            return wrong.square().mean((1, 2))

        mean = parameters_to_vector(network.parameters()).detach()
        variance = torch.full_like(mean, 0.09**2)
        before = errors(mean[None], 4000).item()
        for _ in range(200):
            individuals = sample(mean, variance, 32)
            mean, variance = moved(mean, individuals, -errors(individuals, 20).numpy(), 16, 0.03, smoothing)
        return before, errors(mean[None], 4000).item()

    with torch.no_grad():
        before, after = fit(0.3)
        assert after < 0.6 * before
        before, after = fit(1.0)
        assert after > before


class Ladder(gymnasium.Env[Any, Any]):
    """Rewards 1, 10, 100, … a step; falls after as many steps as its number says, or never."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-2, 4, (1,), np.float32)

    def __init__(self, falls: int | None, diverges: bool = False) -> None:
        self.falls, self.diverges = falls, diverges

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        fell = self.steps == self.falls
        return np.zeros(2), 10.0 ** (self.steps - 1), fell, self.steps == 5, {"diverged": fell and self.diverges}


def ladders(*falls: int | None, diverges: int | None = None) -> DummyVecEnv:
    return DummyVecEnv([lambda n=n, i=i: Ladder(n, i == diverges) for i, n in enumerate(falls)])  # type: ignore[misc]


@pytest.mark.parametrize(
    ("episode_steps", "returns", "lengths", "steps"),
    [(0, [11, 11111, 1], [2, 5, 1], 8), (3, [11, 111, 1], [2, 3, 1], 6), (1, [1, 1, 1], [1, 1, 1], 3)],
)
def test_who_has_fallen_earns_no_more_and_steps_no_more(
    episode_steps: int, returns: list[float], lengths: list[int], steps: int
) -> None:
    agent, rows = build(ladders(2, None, 1), episode_steps=episode_steps, normalize_observation=False)
    agent.learn(1)
    assert [episode["r"] for episode in agent.ep_info_buffer or ()] == returns
    assert [episode["l"] for episode in agent.ep_info_buffer or ()] == lengths
    assert agent.num_timesteps == steps
    (row,) = rows
    assert (row["step"], row["train/generation"]) == (steps, 1)
    assert row["rollout/ep_rew_best"] == max(returns)
    assert row["rollout/ep_rew_mean"] == pytest.approx(np.mean(returns))
    assert row["rollout/ep_rew_worst"] == min(returns)
    assert row["rollout/ep_len_mean"] == pytest.approx(np.mean(lengths))


def test_episodes_may_become_longer_with_training() -> None:
    agent, rows = build(ladders(None, None), episode_steps="linear(1, 5)", normalize_observation=False)
    agent.learn(20)
    # After 0, 2, 4, 8 and 14 of 20 steps the limit is 1, 1.4, 1.8, 2.6 and 3.8 steps for each of the two.
    assert [row["rollout/ep_len_mean"] for row in rows] == [1, 1, 2, 3, 4]
    assert [row["step"] for row in rows] == [2, 4, 8, 14, 22]


def test_the_last_row_is_of_the_last_generation_alone() -> None:
    agent, rows = build(ladders(2, 3), normalize_observation=False)
    agent.learn(11)  # generations of 5 steps
    assert [row["step"] for row in rows] == [5, 10, 15]
    assert [row["rollout/ep_rew_mean"] for row in rows] == [61, 61, 61]
    assert len(agent.ep_info_buffer or ()) == 2


def test_an_individual_whose_physics_diverged_comes_last() -> None:
    torch.manual_seed(0)
    agent, _ = build(ladders(2, 5, 3, diverges=1), elite_fraction=1 / 3, smoothing=1, normalize_observation=False)
    before = parameters_to_vector(agent.policy.parameters()).detach()
    torch.manual_seed(5)
    drawn = sample(before, agent.variance, 3)
    torch.manual_seed(5)
    agent.learn(1)
    torch.testing.assert_close(parameters_to_vector(agent.policy.parameters()).detach(), drawn[2])


def test_each_simulation_is_driven_by_its_individual() -> None:
    """What the simulations are told in the first step is what each individual's own network says."""
    env = envs.make_vec("hopper", 5, seed=3, num_threads=1)
    told: list[Any] = []
    step = env.step_async

    def listen(actions: Any) -> None:
        told.append(actions.copy())
        step(actions)

    env.step_async = listen  # type: ignore[method-assign]
    agent, _ = build(env, sigma=0.5, episode_steps=1)
    policy = copy.deepcopy(agent.policy)
    torch.manual_seed(1)
    individuals = sample(parameters_to_vector(policy.parameters()).detach(), agent.variance, 5)
    env.seed(9)
    starts: Any = env.reset()
    env.seed(9)
    torch.manual_seed(1)
    agent._last_obs = starts
    agent.learn(1, reset_num_timesteps=False)
    for individual, start, actions in zip(individuals, starts, told[0], strict=True):
        vector_to_parameters(individual, policy.parameters())
        np.testing.assert_allclose(policy.predict(start, deterministic=True)[0], actions, atol=1e-6)
    assert np.ptp(told[0], axis=0).min() > 0.01


@pytest.mark.parametrize(("given", "values"), [(0.5, [0.5] * 4), ("linear(0.8, 0.4)", [0.7, 0.6, 0.5, 0.4])])
def test_the_extra_noise_decays_over_training(given: Any, values: list[float]) -> None:
    agent, rows = build(ladders(2, 3), elite_fraction=0.1, extra_noise=given, normalize_observation=False)
    agent.learn(20)
    assert [row["train/extra_noise"] for row in rows] == pytest.approx(values)
    # One elite has no variance of its own.
    assert [row["train/sigma"] for row in rows] == pytest.approx(values)


def test_the_defaults_are_a_tanh_network_of_100_units_and_half_the_population() -> None:
    agent, _ = build(envs.make_vec("hopper", 32, num_threads=1), **AgentConfig("cem").resolved().hyperparameters)
    assert [type(module).__name__ for module in agent.policy.action_net] == ["Linear", "Tanh", "Linear", "Tanh"]
    assert agent.variance.shape == (11 * 100 + 100 + 100 * 3 + 3,)
    assert isinstance(agent.noise_schedule.value_schedule, LinearSchedule)
    agent, _ = build(envs.make_vec("hopper", 2, num_threads=1), policy_kwargs={"net_arch": [16, 8]})
    assert len(agent.variance) == 11 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3


class Straight(gymnasium.Env[Any, Any]):
    """Episodes of one step whose best action is 0.5 wherever they start."""

    observation_space: Any = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), -float(np.square(action - 0.5).sum()), True, False, {}


def test_the_mean_policy_finds_the_known_best_action() -> None:
    env = DummyVecEnv([Straight for _ in range(32)])
    env.seed(0)
    agent, _ = build(
        env,
        policy_kwargs={"net_arch": [4]},
        sigma=0.2,
        smoothing=0.8,
        extra_noise="linear(0.1, 0.01)",
        normalize_observation=False,
    )
    agent.learn(32 * 100)
    actions = agent.predict(np.linspace(-1, 1, 9, dtype=np.float32)[:, None], deterministic=True)[0]
    assert np.abs(actions - 0.5).max() < 0.1


class StopAt(BaseCallback):
    def _on_step(self) -> bool:
        return self.num_timesteps < 12


def test_a_callback_can_stop_it_within_a_generation() -> None:
    agent, rows = build(ladders(None, None), normalize_observation=False)
    agent.learn(1000, StopAt())
    assert agent.num_timesteps == 12
    assert [row["step"] for row in rows] == [10]
    assert agent._n_updates == 1  # an unfinished generation teaches nothing


@pytest.mark.parametrize(("asked", "name"), [(True, "Normalizer"), (False, "BatchedEnv")])
def test_observations_are_normalised_if_asked_for(asked: bool, name: str) -> None:
    config = AgentConfig("cem", {"normalize_observation": asked}).resolved()
    assert type(normalize(config, envs.make_vec("hopper", 2, num_threads=1), training=True)).__name__ == name


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"elite_fraction": 0}, "elite_fraction is 0; it must be above 0 and at most 1"),
        ({"elite_fraction": 1.5}, "elite_fraction is 1.5; it must be above 0 and at most 1"),
        ({"sigma": 0}, "sigma is 0; it must be above 0"),
        ({"smoothing": 0}, "smoothing is 0; it must be above 0 and at most 1"),
        ({"episode_steps": -1}, "episode_steps is -1; it must be an integer of 1 or more, or 0 for whole episodes"),
        ({"episode_steps": 2.5}, "episode_steps is 2.5; it must be an integer of 1 or more, or 0 for whole episodes"),
        ({"episode_steps": "linear(1, 2.5)"}, "episode_steps is 2.5; it must be an integer of 1 or more"),
        ({"episode_steps": "linear(0, 9)"}, "episode_steps is 0.0; it must be an integer of 1 or more"),
    ],
)
def test_impossible_hyperparameters_are_refused_in_one_line(hyperparameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^cem refuses its hyperparameters: ") as caught:
        build(envs.make_vec("hopper", 2, num_threads=1), **hyperparameters)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_are_refused() -> None:
    class Picture(Straight):
        observation_space: Any = gymnasium.spaces.Box(0, 255, (3, 36, 36), np.uint8)

    with pytest.raises(
        ValueError, match=r"^CEM takes no images; accepted: the pipelines state and pose, or agents ppo, "
    ):
        build(DummyVecEnv([Picture]))


def test_the_zip_opens_without_simgap(tmp_path: Path) -> None:
    """It holds no name of our packages, and sb3-contrib's own class acts the same with it."""
    agent, _ = build(envs.make_vec("hopper", 4, num_threads=1), episode_steps=5)
    agent.learn(40)
    agent.save(tmp_path / "policy.zip", exclude=["env", "_vec_normalize_env"])
    with zipfile.ZipFile(io.BytesIO((tmp_path / "policy.zip").read_bytes())) as archive:
        data = json.loads(archive.read("data"))
    pickled = [b64decode(value[":serialized:"]) for value in data.values() if isinstance(value, dict)]
    assert len(pickled) > 3
    assert not any(name in content for content in pickled for name in (b"agents", b"envs", b"experiments"))
    loaded = ARS.load(tmp_path / "policy.zip", device="cpu")
    observations = np.random.default_rng(0).normal(size=(20, 11))
    expected = agent.predict(observations, deterministic=True)[0]
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], expected)
    assert np.ptp(expected, axis=0).min() > 0.01
