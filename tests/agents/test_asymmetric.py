"""Actors that see images or a pose while their critics know the state: what each learns, sees and touches."""

import copy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import (
    AgentConfig,
    ImageOptions,
    Normalizer,
    agent_state,
    load_agent_state,
    load_random_state,
    make_agent,
    normalize,
)
from agents.asymmetric import AsymmetricPolicy, AsymmetricSACPolicy
from experiments.checkpoints import load_section, save_checkpoint

SIDE = 12
Observation = dict[str, npt.NDArray[Any]]


class Bar(gymnasium.Env[Any, Any]):
    """Episodes of one step: 1 for naming the side of a bright bar, and a bonus that only the state shows."""

    observation_space = spaces.Dict(
        {
            "pixels": spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8),
            "state": spaces.Box(-np.inf, np.inf, (2,), np.float32),
        }
    )
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.right, self.bonus = self.np_random.integers(2), self.np_random.integers(2)
        return observation(self.right, self.bonus, self.np_random.integers(3)), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return observation(self.right, self.bonus), self.reward(action), True, False, {}

    def reward(self, action: Any) -> float:
        return float(action == self.right) + 2.0 * self.bonus


class Dial(Bar):
    """The same with an action from -1, left, to 1, right."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reward(self, action: Any) -> float:
        return 1.0 - float(np.square(action[0] - (self.right - 0.5)).sum()) + 2.0 * self.bonus


class Pose(Dial):
    """The same, with a vector in place of the image."""

    observation_space = spaces.Dict(
        {"pose": spaces.Box(-1, 1, (1,), np.float32), "state": Bar.observation_space["state"]}
    )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        found, info = super().reset(seed=seed)
        return self.posed(found), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        found, *others = super().step(action)
        return self.posed(found), *others  # type: ignore[return-value]

    def posed(self, found: Observation) -> Observation:
        return {"pose": np.array([2 * self.right - 1], np.float32), "state": found["state"]}


def observation(right: Any, bonus: Any, offset: Any = 1) -> Observation:
    """A bar of two columns, somewhere in its half."""
    pixels = np.zeros((3, SIDE, SIDE), np.uint8)
    start = SIDE // 2 * right + offset + 1
    pixels[:, :, start : start + 2] = 255
    return {"pixels": pixels, "state": np.array([right, bonus], np.float32)}


def many(kind: type[Bar], count: int = 8) -> DummyVecEnv:
    env = DummyVecEnv([kind for _ in range(count)])
    env.seed(0)
    return env


ROLLOUTS: dict[str, Any] = {"n_steps": 16, "batch_size": 64, "n_epochs": 4, "learning_rate": 3e-4}
REPLAY: dict[str, Any] = {
    "learning_starts": 32,
    "batch_size": 32,
    "buffer_size": 2000,
    "learning_rate": 3e-3,
    "policy_kwargs": {"net_arch": [32]},
}
AGENTS: dict[str, tuple[type[Bar], dict[str, Any]]] = {
    "ppo": (Bar, ROLLOUTS),
    "sac": (Dial, REPLAY),
    "tqc": (Dial, REPLAY),
}


def build(name: str, kind: type[Bar] | None = None, shift: int = 0, seed: int = 0, **more: Any) -> Any:
    standard, hyperparameters = AGENTS[name]
    config = AgentConfig(name, {**hyperparameters, **more})
    env = DummyVecEnv([kind or standard for _ in range(8)])
    env.seed(seed)
    images = ImageOptions("impala", shift)
    agent = make_agent(config, normalize(config, env, training=True), seed, images=images)
    agent.set_logger(Logger(None, []))
    return agent


def stacked(*observations: Observation) -> Observation:
    return {name: np.stack([each[name] for each in observations]) for name in observations[0]}


def tensors(observations: Observation) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(array) for name, array in observations.items()}


# Left and right, each without and with the bonus.
QUESTIONS = stacked(*(observation(right, bonus) for right in (0, 1) for bonus in (0, 1)))
ACTIONS = torch.linspace(-0.9, 0.9, 4)[:, None]


def values(agent: Any, observations: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the critics say, of ``ACTIONS`` where they ask for actions."""
    with torch.no_grad():
        if not hasattr(agent.policy, "critic"):
            found: torch.Tensor = agent.policy.predict_values(observations)
            return found
        found = agent.policy.critic(observations, ACTIONS)
        return torch.cat(list(found), dim=1) if isinstance(found, tuple) else found.flatten(1)


@pytest.mark.parametrize("shift", [0, 1])
def test_ppo_learns_to_act_on_images_and_to_value_by_the_state(shift: int) -> None:
    # An encoder that no value loss steadies is overdone now and then by whole epochs.
    agent = build("ppo", shift=shift, target_kl=0.02)
    assert agent.predict(QUESTIONS, deterministic=True)[0].tolist() != [0, 0, 1, 1]
    agent.learn(2048)
    assert agent.predict(QUESTIONS, deterministic=True)[0].tolist() == [0, 0, 1, 1]
    found = values(agent, tensors(agent.env.normalize_obs(QUESTIONS))).flatten().numpy()
    earned = found * np.sqrt(agent.env.ret_rms.var)
    np.testing.assert_allclose(earned, [1, 3, 1, 3], atol=0.3)  # the bonus is nowhere in the image


@pytest.mark.parametrize("name", ["sac", "tqc"])
def test_off_policy_agents_learn_to_act_on_a_pose_and_to_value_by_the_state(name: str) -> None:
    agent = build(name, Pose)
    agent.learn(2048)
    questions = {"pose": np.array([[-1], [-1], [1], [1]], np.float32), "state": QUESTIONS["state"]}
    actions = agent.predict(questions, deterministic=True)[0]
    np.testing.assert_allclose(actions[:, 0], [-0.5, -0.5, 0.5, 0.5], atol=0.2)
    with torch.no_grad():
        found = agent.policy.critic(tensors(questions), torch.as_tensor(actions))
    means = torch.stack(found).mean(0)[:, 0] if isinstance(found, tuple) else found.mean((1, 2))
    np.testing.assert_allclose(means, [1, 3, 1, 3], atol=0.4)


@pytest.mark.parametrize("name", AGENTS)
def test_actions_follow_the_image_and_values_the_state(name: str) -> None:
    agent = build(name)
    other_state = {**QUESTIONS, "state": QUESTIONS["state"] + 1}
    other_image = {**QUESTIONS, "pixels": 255 - QUESTIONS["pixels"]}
    image_alone = {"pixels": QUESTIONS["pixels"]}

    def acting(observations: Observation) -> Any:
        """A sample, which shows more of the distribution than its mode."""
        torch.manual_seed(0)
        return np.concatenate([agent.predict(observations)[0] for _ in range(20)])

    expected = acting(QUESTIONS)
    np.testing.assert_array_equal(acting(other_state), expected)
    np.testing.assert_array_equal(acting(image_alone), expected)
    if name == "ppo":
        with torch.no_grad():
            agent.policy.action_net.weight.mul_(100)  # a fresh actor has no opinion, and but two actions
    assert (acting(other_image) != acting(QUESTIONS)).any()

    found = values(agent, tensors(QUESTIONS))
    assert torch.equal(values(agent, tensors(other_image)), found)
    assert torch.equal(values(agent, {"state": torch.as_tensor(QUESTIONS["state"])}), found)
    assert not (values(agent, tensors(other_state)) == found).any()


def test_ppos_losses_touch_their_own_parameters_alone() -> None:
    policy = build("ppo", shift=1).policy
    policy.set_training_mode(True)
    found, log_prob, _ = policy.evaluate_actions(tensors(QUESTIONS), torch.tensor([0, 1, 0, 1]))
    touched: list[set[str]] = []
    for loss in (found.square().sum(), log_prob.sum()):
        policy.optimizer.zero_grad()
        loss.backward(retain_graph=True)
        grown = {name for name, each in policy.named_parameters() if each.grad is not None and each.grad.any()}
        touched.append(grown)
    critic, actor = touched
    assert {name.split(".")[0] for name in critic} == {"mlp_extractor", "value_net"}
    assert {name.split(".")[0] for name in actor} >= {"features_extractor", "action_net"}
    assert not critic & actor
    assert critic | actor >= {name for name, _ in policy.named_parameters()}
    assert [tuple(each.shape) for each in policy.mlp_extractor.parameters()] == [(256, 2), (256,), (256, 256), (256,)]


@pytest.mark.parametrize("name", ["sac", "tqc"])
def test_no_critic_runs_the_encoder(name: str) -> None:
    agent = build(name)
    agent.learn(64)
    calls: list[torch.Size] = []
    agent.policy.actor.features_extractor.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].shape))
    before = copy.deepcopy(agent.policy.state_dict())
    agent.train(1, batch_size=32)
    assert calls == 2 * [(32, 3, SIDE, SIDE)]  # the actor's own: for the present and for the next action
    changed = {name for name, value in agent.policy.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"actor", "critic", "critic_target"}
    assert any("features_extractor" in name for name in changed)

    for critic in (agent.policy.critic, agent.policy.critic_target):
        assert {each.shape[1] for each in critic.parameters() if each.dim() == 2} == {2 + 1, 32}
    agent.policy.actor.optimizer.zero_grad()
    found = agent.policy.critic(tensors(QUESTIONS), ACTIONS)
    torch.cat(list(found)).sum().backward()
    assert all(each.grad is None for each in agent.policy.actor.parameters())


class Snapshot(BaseCallback):
    """Writes everything to disk at the start of the rollout after ``steps``."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__()
        self.folder, self.steps = folder, steps

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps == self.steps:
            save_checkpoint(self.folder, self.steps, {"training": everything(self.model)})

    def _on_step(self) -> bool:
        return True


def simulations(agent: Any) -> list[Any]:
    return [env.unwrapped for env in agent.env.unwrapped.envs]


def everything(agent: Any) -> dict[str, Any]:
    return {
        "agent": agent_state(agent),
        "bars": [[env.np_random.bit_generator.state, int(env.right), int(env.bonus)] for env in simulations(agent)],
        "normalizer": agent.env.state_dict() if isinstance(agent.env, Normalizer) else None,
    }


def load(agent: Any, state: dict[str, Any]) -> None:
    load_agent_state(agent, state["agent"])
    for env, (generator, right, bonus) in zip(simulations(agent), state["bars"], strict=True):
        env.np_random.bit_generator.state = generator
        env.right, env.bonus = right, bonus
    if isinstance(agent.env, Normalizer):
        agent.env.load_state_dict(state["normalizer"])
    load_random_state(agent, state["agent"])


def plain(tree: Any) -> Any:
    """The tree with its tensors as arrays, which NumPy can compare."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().numpy().copy()
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    return copy.deepcopy(tree)


@pytest.mark.parametrize(("name", "steps", "total"), [("ppo", 256, 512), ("sac", 80, 160), ("tqc", 80, 160)])
def test_training_is_reproducible_and_continues_from_disk_bit_identically(
    name: str, steps: int, total: int, tmp_path: Path
) -> None:
    uninterrupted = build(name, shift=1)
    uninterrupted.learn(total, Snapshot(tmp_path, steps))
    expected = plain(everything(uninterrupted))

    again = build(name, shift=1)
    again.learn(total)
    np.testing.assert_equal(plain(everything(again)), expected)
    other = build(name, shift=0)  # the shifts are part of what is repeated
    other.learn(total)
    parameters = [plain(each.get_parameters()["policy"]) for each in (again, other)]
    assert any((parameters[0][key] != parameters[1][key]).any() for key in parameters[0])

    torch.manual_seed(99)
    restored = build(name, shift=1, seed=7)
    state = load_section(tmp_path / f"{steps:012d}", "training")
    load(restored, state)
    assert state["agent"]["attributes"]["_last_obs"]["pixels"].dtype == np.uint8
    restored.learn(total - steps, reset_num_timesteps=False)
    np.testing.assert_equal(plain(everything(restored)), expected)


@pytest.mark.parametrize(("name", "kind"), [("ppo", AsymmetricPolicy), ("sac", AsymmetricSACPolicy)])
def test_a_policy_on_its_own_is_saved_and_loaded(name: str, kind: Any, tmp_path: Path) -> None:
    agent = build(name, shift=2)
    agent.policy.save(tmp_path / "policy.pt")
    loaded = kind.load(tmp_path / "policy.pt")
    assert loaded.encoder == {"encoder": "impala", "shift": 2, "mixed_precision": False}
    for mode in (loaded, agent.policy):
        torch.manual_seed(0)
        mode.actions = np.concatenate([mode.predict(QUESTIONS)[0] for _ in range(20)])
    np.testing.assert_array_equal(loaded.actions, agent.policy.actions)
