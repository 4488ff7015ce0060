"""An agent's state: continuing from it is the same as never having stopped.

For every algorithm but those that learn from a teacher, whose runs ``tests/experiments/test_every_agent.py`` resumes.
"""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

import envs
from agents import (
    AGENTS,
    AgentConfig,
    Normalizer,
    agent_state,
    load_agent_state,
    load_policy,
    load_random_state,
    make_agent,
    normalize,
    policy_state,
)

_ROLLOUTS: dict[str, Any] = {"n_steps": 16, "batch_size": 32, "n_epochs": 2, "learning_rate": "linear(1e-3, 1e-4)"}
_REPLAY: dict[str, Any] = {
    "learning_starts": 40,
    "batch_size": 16,
    "buffer_size": 200,
    "learning_rate": "linear(1e-2, 1e-3)",
    "policy_kwargs": {"net_arch": [16]},
}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {**_ROLLOUTS, "policy_kwargs": {"net_arch": [16], "optimizer_kwargs": {"fused": True}}},
    "recurrent_ppo": {**_ROLLOUTS, "policy_kwargs": {"lstm_hidden_size": 8, "net_arch": [8]}},
    "a2c": {"n_steps": 16, "learning_rate": "linear(1e-3, 1e-4)", "std": "linear(1.0, 0.2)"},
    "trpo": {"n_steps": 16, "batch_size": 32, "n_critic_updates": 2, "std_floor": 0.999},
    "reinforce": {"n_steps": 16, "batch_size": 32, "n_critic_updates": 2, "std": "linear(1.0, 0.2)"},
    "sac": _REPLAY,
    "tqc": _REPLAY,
    "cem": {"episode_steps": "linear(4, 8)", "extra_noise": "linear(0.1, 0)", "policy_kwargs": {"net_arch": [8]}},
    "td3": {**_REPLAY, "action_noise": 0.1},
    "crossq": _REPLAY,
    "ars": {"n_delta": 2, "n_top": 1, "learning_rate": "linear(0.1, 0.01)", "delta_std": "linear(0.1, 0.05)"},
}


def test_every_algorithm_without_a_teacher_is_here() -> None:
    assert {*SMALL, "dagger", "rma"} == {*AGENTS}


class Session:
    """One agent on its own simulations."""

    def __init__(self, name: str, seed: int, **hyperparameters: Any) -> None:
        config = AgentConfig(name, {**SMALL[name], **hyperparameters})
        self.simulation = envs.make_vec("hopper", 4, horizon=25, seed=seed, num_threads=1)
        self.env: VecEnv = normalize(config, self.simulation, training=True)
        self.agent: BaseAlgorithm = make_agent(config, self.env, seed)
        self.agent.set_logger(Logger(None, []))

    def state(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "agent": agent_state(self.agent),
                "simulation": self.simulation.state_dict(),
                "normalizer": self.env.state_dict() if isinstance(self.env, Normalizer) else None,
            }
        )

    def load(self, state: dict[str, Any]) -> None:
        load_agent_state(self.agent, state["agent"])
        self.simulation.load_state_dict(state["simulation"])
        if isinstance(self.env, Normalizer):
            self.env.load_state_dict(state["normalizer"])
        load_random_state(self.agent, state["agent"])


class Snapshot(BaseCallback):
    """Takes the state at the start of the rollout after ``steps``."""

    def __init__(self, session: Session, steps: int) -> None:
        super().__init__()
        self.session, self.steps = session, steps
        self.taken: dict[str, Any] = {}

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps == self.steps:
            self.taken = self.session.state()

    def _on_step(self) -> bool:
        return True


def plain(tree: Any) -> Any:
    """The tree with its tensors as arrays, which NumPy can compare."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().numpy()
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    return tree


@pytest.mark.parametrize(
    ("name", "steps", "total"),
    [
        ("cem", 116, 224),
        *((name, 128, 320) for name in ("ppo", "recurrent_ppo", "a2c", "trpo", "reinforce")),
        ("sac", 120, 280),
        *((name, 240, 280) for name in ("sac", "tqc", "td3", "crossq")),
    ],
)
def test_a_restored_agent_continues_bit_identically(name: str, steps: int, total: int) -> None:
    uninterrupted = Session(name, seed=3)
    snapshot = Snapshot(uninterrupted, steps)
    uninterrupted.agent.learn(total, snapshot)
    assert snapshot.taken["agent"]["attributes"]["num_timesteps"] == steps
    expected = uninterrupted.state()

    torch.manual_seed(99)
    restored = Session(name, seed=77)
    restored.load(snapshot.taken)
    np.testing.assert_equal(plain(restored.state()), plain(snapshot.taken))
    restored.agent.learn(total - steps, reset_num_timesteps=False)
    np.testing.assert_equal(plain(restored.state()), plain(expected))

    before, after = (plain(state["agent"]["parameters"]["policy"]) for state in (snapshot.taken, expected))
    assert any((before[key] != after[key]).any() for key in before)  # there was something to continue


class EachGeneration(BaseCallback):
    """Takes the state at the start of every generation of a population search."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.taken: list[dict[str, Any]] = []

    def _on_rollout_start(self) -> None:
        self.taken.append(self.session.state())

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize(("name", "given"), [("ars", {}), ("cem", {"episode_steps": 0, "sigma": 0.5})])
def test_a_restored_search_of_whole_episodes_continues_bit_identically(name: str, given: dict[str, Any]) -> None:
    """Its generations end when their episodes do, at no round number of steps."""
    uninterrupted = Session(name, seed=3, **given)
    each = EachGeneration(uninterrupted)
    uninterrupted.agent.learn(400, each)
    expected = plain(uninterrupted.state())
    middle = each.taken[len(each.taken) // 2]
    steps = middle["agent"]["attributes"]["num_timesteps"]
    assert 100 < steps < 400 <= expected["agent"]["attributes"]["num_timesteps"]

    torch.manual_seed(99)
    restored = Session(name, seed=77, **given)
    restored.load(middle)
    np.testing.assert_equal(plain(restored.state()), plain(middle))
    restored.agent.learn(400 - steps, reset_num_timesteps=False)
    np.testing.assert_equal(plain(restored.state()), expected)
    before, after = plain(middle)["agent"]["parameters"]["policy"], expected["agent"]["parameters"]["policy"]
    assert any((before[key] != after[key]).any() for key in before)


def test_the_statistics_of_crossqs_batch_normalisation_are_part_of_the_state() -> None:
    trained, fresh = Session("crossq", seed=0), Session("crossq", seed=1)
    trained.agent.learn(120)
    fresh.load(trained.state())
    ours, theirs = (dict(session.agent.policy.named_buffers()) for session in (fresh, trained))
    assert {"actor.latent_pi.0.ra_mean", "critic.qf1.0.ra_var", "critic.qf0.0.steps"} <= set(theirs)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    assert theirs["critic.qf0.0.steps"] == 20  # updates: one after each 4 steps beyond the first 40
    assert theirs["actor.latent_pi.0.ra_mean"].abs().max() > 0


@pytest.mark.parametrize("name", ["sac", "tqc", "crossq"])
def test_the_entropy_coefficient_is_part_of_the_state(name: str) -> None:
    trained, fresh = Session(name, seed=0), Session(name, seed=1)
    trained.agent.learn(120)
    learnt = trained.agent.log_ent_coef.item()  # type: ignore[attr-defined]
    assert learnt != 0.0
    fresh.load(trained.state())
    assert fresh.agent.log_ent_coef.item() == learnt  # type: ignore[attr-defined]
    (group,) = fresh.agent.ent_coef_optimizer.param_groups  # type: ignore[attr-defined]
    assert group["params"][0] is fresh.agent.log_ent_coef  # type: ignore[attr-defined]  # and goes on being learnt


@pytest.mark.parametrize(("steps", "filled", "full"), [(120, 30, False), (240, 50, True)])
def test_the_replay_buffer_holds_the_same_transitions(steps: int, filled: int, full: bool) -> None:
    trained, fresh = Session("sac", seed=0), Session("sac", seed=1)
    trained.agent.learn(steps)
    state = trained.state()
    assert state["agent"]["replay"]["arrays"]["rewards"].shape == (filled, 4)  # only what was written is kept
    fresh.load(state)
    ours, theirs = fresh.agent.replay_buffer, trained.agent.replay_buffer  # type: ignore[attr-defined]
    assert (ours.pos, ours.full) == (theirs.pos, theirs.full) == (steps // 4 % 50, full)
    for field in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        assert getattr(theirs, field)[:filled].any()
        np.testing.assert_array_equal(getattr(ours, field)[:filled], getattr(theirs, field)[:filled])


@pytest.mark.parametrize("name", SMALL)
def test_the_policys_part_of_the_state_acts_the_same(name: str) -> None:
    trained, fresh = Session(name, seed=0), Session(name, seed=1)
    trained.agent.learn(128)
    observations = np.random.default_rng(0).normal(size=(10, 11)).astype(np.float32)
    expected = trained.agent.predict(observations, deterministic=True)[0]
    assert not np.allclose(fresh.agent.predict(observations, deterministic=True)[0], expected)
    load_policy(fresh.agent, copy.deepcopy(policy_state(agent_state(trained.agent))))
    np.testing.assert_array_equal(fresh.agent.predict(observations, deterministic=True)[0], expected)


def test_a_state_sets_nothing_but_what_an_agent_carries() -> None:
    trained, fresh = Session("ppo", seed=0), Session("ppo", seed=1)
    trained.agent.learn(64)
    state = trained.state()
    state["agent"]["attributes"]["predict"] = "mine"
    fresh.load(state)
    assert callable(fresh.agent.predict)
    assert fresh.agent.num_timesteps == 64


def test_the_memory_of_a_recurrent_agent_is_where_its_networks_are() -> None:
    trained, fresh = Session("recurrent_ppo", seed=0), Session("recurrent_ppo", seed=1)
    trained.agent.learn(64)
    fresh.agent.device = torch.device("meta")  # as good as any other than the processor's
    load_agent_state(fresh.agent, trained.state()["agent"])
    memory = fresh.agent._last_lstm_states  # type: ignore[attr-defined]
    assert {each.device.type for part in (memory.pi, memory.vf) for each in part} == {"meta"}


def test_the_state_of_another_algorithm_is_refused() -> None:
    ours, theirs = Session("sac", seed=0), Session("tqc", seed=0)
    state = agent_state(theirs.agent)
    with pytest.raises(ValueError, match=r"^is of TQC, not of SAC$"):
        load_agent_state(ours.agent, state)
    with pytest.raises(ValueError, match=r"^is of TQC, not of SAC$"):
        load_policy(ours.agent, policy_state(state))


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_the_state_of_networks_of_another_shape_is_refused_in_one_line(name: str) -> None:
    ours, theirs = Session(name, seed=0), Session(name, seed=0, policy_kwargs={"net_arch": [8]})
    state = agent_state(theirs.agent)
    for load, given in ((load_agent_state, state), (load_policy, policy_state(state))):
        with pytest.raises(ValueError, match=r"^does not fit this agent: .*size mismatch for ") as caught:
            load(ours.agent, given)
        assert "\n" not in str(caught.value)
