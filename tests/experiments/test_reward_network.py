from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.reward_config import RewardConfig
from experiments.reward_network import fit_network, held_out, load_network, quality, save_network
from experiments.transitions import Transitions

CONFIG = RewardConfig(points=4000, hidden=(32,), epochs=15, batch_size=64, learning_rate=5e-3)
WEIGHTS = np.array([0.5, -2.0, 0.0, 3.0, 1.0])


def linear(noise: float = 0.0, shift: float = 7.0) -> Transitions:
    """Rewards that are linear in three observations of different sizes, of which one is constant, and two actions."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4000, 5)) * [1, 10, 0, 0.1, 1] + [0, 50, 3, 0, 0]
    rewards = inputs @ WEIGHTS + shift + noise * rng.normal(size=4000)
    episodes = np.arange(4000) // 20
    f4 = np.float32
    return Transitions(
        inputs[:, :3].astype(f4), inputs[:, 3:].astype(f4), rewards.astype(f4), episodes, (episodes % 2).astype(int)
    )


def test_it_learns_a_linear_reward() -> None:
    data = linear()
    network = fit_network(CONFIG, data)
    chosen = held_out(data, CONFIG.seed)
    found = quality(data.rewards[chosen], network.predict(data.observations[chosen], data.actions[chosen]))
    assert found["r2"] > 0.999
    assert found["deviation"] == pytest.approx(np.sqrt(0.25 + 400 + 0.09 + 1), rel=0.1)


def test_noise_is_not_learned() -> None:
    data = linear(noise=20.0)
    network = fit_network(replace(CONFIG, epochs=5), data)
    chosen = held_out(data, CONFIG.seed)
    found = quality(data.rewards[chosen], network.predict(data.observations[chosen], data.actions[chosen]))
    assert found["r2"] == pytest.approx(0.5, abs=0.08)  # half of the variance is noise


def test_whole_episodes_of_every_kind_are_held_out() -> None:
    data = linear()
    chosen = held_out(data, 0)
    assert chosen.mean() == pytest.approx(0.2)
    for episode in range(200):
        assert len(set(chosen[data.episodes == episode])) == 1
    assert [chosen[data.kinds == kind].mean() for kind in (0, 1)] == pytest.approx([0.2, 0.2])
    assert (held_out(data, 1) != chosen).any()


def test_held_out_rewards_teach_nothing() -> None:
    data = linear()
    chosen = held_out(data, CONFIG.seed)
    changed = replace(data, rewards=np.where(chosen, 1e6, data.rewards).astype(np.float32))
    short = replace(CONFIG, epochs=1)
    first, second = fit_network(short, data).state_dict(), fit_network(short, changed).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_episode_of_a_kind_is_refused() -> None:
    data = linear()
    with pytest.raises(ValueError, match="one episode of a kind of policy cannot be learned from and judged on"):
        held_out(replace(data, episodes=np.where(data.kinds == 1, 0, data.episodes + 1)), 0)


def test_the_seed_decides_and_the_file_keeps_the_network(tmp_path: Path) -> None:
    data, short, before = linear(), replace(CONFIG, epochs=1), torch.get_rng_state()
    first, again, other = (fit_network(replace(short, seed=seed), data) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    save_network(first, tmp_path / "n.safetensors")
    kept = load_network(tmp_path / "n.safetensors", short.hidden)
    states = [network.state_dict() for network in (first, again, kept, other)]
    assert all(torch.equal(states[0][name], state[name]) for state in states[1:3] for name in state)
    assert any(not torch.equal(states[0][name], states[3][name]) for name in states[0])
    with pytest.raises(ValueError, match=r"n\.safetensors: cannot be read .*; remove it to fit anew"):
        load_network(tmp_path / "n.safetensors", (5, 5))


def test_quality_by_hand() -> None:
    true = np.array([1.0, 2.0, 3.0, 6.0])
    assert quality(true, true) == pytest.approx({"r2": 1, "rmse": 0, "deviation": np.sqrt(3.5)})
    assert quality(true, true + 1)["rmse"] == pytest.approx(1)
    assert quality(true, true + 1)["r2"] == pytest.approx(1 - 1 / 3.5)
    assert quality(true, np.full(4, 3.0))["r2"] == pytest.approx(0)
    assert np.isnan(quality(np.ones(4), true)["r2"])
