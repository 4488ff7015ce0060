"""The deviation of on-policy agents is where its schedule or its floor says, and what is logged is what acts."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

import envs
from agents import AgentConfig, make_agent

ON_POLICY: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "policy_kwargs": {"optimizer_kwargs": {"fused": True}}},
    "recurrent_ppo": {
        "n_steps": 16,
        "batch_size": 32,
        "n_epochs": 2,
        "policy_kwargs": {"lstm_hidden_size": 8, "net_arch": [8]},
    },
    "a2c": {"n_steps": 16},
    "trpo": {"n_steps": 16, "batch_size": 32, "n_critic_updates": 1},
    "reinforce": {"n_steps": 16, "n_critic_updates": 1, "batch_size": 32},
}


class Rows(KVWriter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        self.rows.append({"step": step, **key_values})

    def close(self) -> None:
        pass


class Deviations(BaseCallback):
    """Notes the deviations of the policy at the start of every rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def _on_rollout_start(self) -> None:
        self.seen.append(self.model.policy.log_std.detach().exp().clone())  # type: ignore[operator]

    def _on_step(self) -> bool:
        return True


def learn(name: str, steps: int = 256, **hyperparameters: Any) -> tuple[Any, list[torch.Tensor], list[dict[str, Any]]]:
    """A trained agent, its deviations at every rollout of 64 steps and at the end, and what it logged."""
    env = envs.make_vec("hopper", 4, horizon=25, num_threads=1)
    agent: Any = make_agent(AgentConfig(name, {**ON_POLICY[name], **hyperparameters}), env, seed=0)
    rows, deviations = Rows(), Deviations()
    agent.set_logger(Logger(None, [rows]))
    agent.learn(steps, deviations, log_interval=1)
    return agent, [*deviations.seen, agent.policy.log_std.detach().exp()], rows.rows


@pytest.mark.parametrize("name", ON_POLICY)
def test_a_scheduled_deviation_is_at_every_rollout_where_its_schedule_is(name: str) -> None:
    _, seen, rows = learn(name, std="linear(1.0, 0.2)")
    for rollout, expected in enumerate([1.0, 0.8, 0.6, 0.4, 0.2]):  # after 0, 64, 128, 192 and 256 of 256 steps
        np.testing.assert_allclose(seen[rollout], np.full(3, expected), rtol=1e-6)
    # A row is written behind a rollout, and says what that rollout acted with.
    assert [row["train/std"] for row in rows[1:]] == pytest.approx([0.8, 0.6, 0.4], rel=1e-6)
    entropy = [3 * (0.5 * math.log(2 * math.pi * math.e) + math.log(std)) for std in (0.8, 0.6, 0.4)]
    assert [row["train/entropy"] for row in rows[1:]] == pytest.approx(entropy, rel=1e-5)


@pytest.mark.parametrize("name", ON_POLICY)
def test_no_update_moves_a_deviation_that_is_held(name: str) -> None:
    """Not even within an update, where the policy is compared with the one that acted."""
    agent, seen, _ = learn(name, std=0.5)
    assert all((each == seen[0]).all() for each in seen)
    assert seen[0].numpy() == pytest.approx(np.full(3, 0.5))
    assert "log_std" not in dict(agent.policy.named_parameters())
    assert "log_std" in agent.policy.state_dict()
    agent.train()
    assert (agent.policy.log_std.exp() == seen[0]).all()
    fresh: Any = make_agent(AgentConfig(name, {**ON_POLICY[name], "std": 0.5}), agent.env, seed=0)
    before, after = (dict(one.policy.named_parameters()) for one in (fresh, agent))
    assert all(
        (before[key] != after[key]).any() for key in ("action_net.weight", "value_net.weight")
    )  # the rest learns


@pytest.mark.parametrize("name", ON_POLICY)
def test_a_learnt_deviation_stays_above_its_floor(name: str) -> None:
    """The floor is above where the deviation begins, so that every update has to be corrected or leaves it higher."""
    faster: dict[str, Any] = {} if name == "trpo" else {"learning_rate": 0.02}
    agent, seen, _ = learn(name, std_floor=1.01, **faster)
    assert all((each >= 1.01 * (1 - 1e-6)).all() for each in seen)
    assert seen[0].numpy() == pytest.approx(np.full(3, 1.01))
    assert isinstance(agent.policy.log_std, torch.nn.Parameter)
    assert any((each != seen[0]).any() for each in seen)  # what is above the floor still learns


def test_without_its_floor_the_deviation_would_fall() -> None:
    """Otherwise the test above would show nothing."""
    _, seen, _ = learn("ppo", learning_rate=0.02)
    assert min(each.min() for each in seen) < 0.99


def test_a_floor_under_a_schedule_cuts_it_off() -> None:
    _, seen, _ = learn("a2c", std="linear(1.0, 0.2)", std_floor=0.5)
    assert [each[0].item() for each in seen] == pytest.approx([1.0, 0.8, 0.6, 0.5, 0.5], rel=1e-6)


def test_a_policy_without_such_a_deviation_is_refused() -> None:
    env = envs.make_vec("hopper", 4, horizon=25, num_threads=1)
    for given in ({"std": 0.5}, {"std_floor": 0.5}):
        config = AgentConfig("a2c", {"n_steps": 16, "use_sde": True, **given})
        with pytest.raises(ValueError, match=r"^std and std_floor are for Gaussian policies; .* use_sde=false$"):
            make_agent(config, env, seed=0)


@pytest.mark.parametrize("name", ["ppo", "recurrent_ppo", "a2c", "reinforce"])
def test_the_entropy_bonus_follows_its_schedule(name: str) -> None:
    agent, _, rows = learn(name, ent_coef="linear(0.02, 0.01)")
    assert [row["train/ent_coef"] for row in rows[1:]] == pytest.approx([0.0175, 0.015, 0.0125])
    assert agent.ent_coef == pytest.approx(0.01)
