"""The table of learning algorithms: where each lives, and its defaults for the batched environment."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from stable_baselines3.common.base_class import BaseAlgorithm

Seen = Literal["state", "images", "history"]
"""What an agent learns from, as far as settings go: few numbers of now, images, or many numbers of the last steps."""


@dataclass(frozen=True)
class AgentSpec:
    """One algorithm: where it lives and how it is used here."""

    module: str
    kind: str
    policy: str
    num_envs: int
    steps: int
    hyperparameters: Mapping[str, Any]
    normalize_observation: bool = False
    """Observations are shifted and scaled by their running mean and deviation."""
    normalize_reward: bool = False
    """Rewards are scaled by the running deviation of the discounted return."""

    on_images: Mapping[str, Any] | None = field(default_factory=dict)
    """What changes where an encoder learns from the reward: ``num_envs``, ``steps``, single ``hyperparameters``. None:
    the algorithm takes no images."""
    on_history: Mapping[str, Any] = field(default_factory=dict)
    """What changes likewise where the last observations and actions are in view."""

    def seeing(self, what: Seen) -> "AgentSpec":
        """The same for an agent that learns from ``what``.

        Raises:
            ValueError: it cannot.
        """
        if what == "images" and self.on_images is None:
            able = ", ".join(name for name, spec in AGENTS.items() if spec.on_images is not None)
            raise ValueError(f"{self.kind} takes no images; accepted: the pipelines state and pose, or agents {able}")
        changes = {"state": {}, "images": self.on_images or {}, "history": self.on_history}[what]
        merged = {**self.hyperparameters, **changes.get("hyperparameters", {})}
        return replace(self, **{**changes, "hyperparameters": merged})

    def algorithm(self) -> type[BaseAlgorithm]:
        """The algorithm's class, imported when it is asked for."""
        kind: type[BaseAlgorithm] = getattr(importlib.import_module(self.module), self.kind)
        return kind


_ON_POLICY: dict[str, Any] = {"normalize_observation": True, "normalize_reward": True}
_OFF_POLICY: dict[str, Any] = {
    # One update for every two new transitions: with one for eight, a hopper stands still after 300,000 steps. SB3's 256
    # units a layer instead of 128 earned 1572 instead of 1493 (source, 500 steps, one seed) in twice the time.
    "learning_starts": 10_000,
    "train_freq": 1,
    "gradient_steps": 8,
    "batch_size": 256,
    "buffer_size": 1_000_000,
    "learning_rate": 1e-3,
    "policy_kwargs": {"net_arch": [128, 128], "optimizer_kwargs": {"fused": True}},
}
_PLAIN_ON_IMAGES: dict[str, Any] = {"steps": 500_000, "hyperparameters": {"learning_rate": "linear(3e-4, 1e-4)"}}
_OFF_POLICY_ON_IMAGES: dict[str, Any] = {
    # An update takes twenty times as long as on a vector.
    "steps": 200_000,
    "hyperparameters": {"gradient_steps": 4, "batch_size": 128, "buffer_size": 100_000, "learning_rate": 3e-4},
}

AGENTS: dict[str, AgentSpec] = {
    "ppo": AgentSpec(
        "agents.on_policy",
        "PPO",
        "MlpPolicy",
        num_envs=32,
        steps=1_500_000,
        hyperparameters={
            "n_steps": 128,
            "batch_size": 512,
            "n_epochs": 8,
            "learning_rate": "linear(1e-3, 1e-4)",
            # Without it the deviation collapses to 0.15 within a million steps and the gait stays where it is;
            # held at 0.02, the noise of 1.5 hides from training how fast the mean action hops.
            "ent_coef": "linear(0.02, 0.005)",
            "policy_kwargs": {"optimizer_kwargs": {"fused": True}},
        },
        # An encoder's many weights move the policy far in few updates: smaller steps, and an end to an update's epochs.
        on_images={
            "steps": 500_000,
            "hyperparameters": {"learning_rate": "linear(3e-4, 1e-4)", "n_epochs": 4, "target_kl": 0.03},
        },
        # 235 numbers instead of 11: at 1e-3 an update moves the policy by a divergence of 0.08, and it earned 847 where
        # the state alone earned 1477 and this 1326 (source, 500 steps, wide draws, one seed).
        on_history={"hyperparameters": {"learning_rate": "linear(3e-4, 1e-4)", "target_kl": 0.03}},
        **_ON_POLICY,
    ),
    "recurrent_ppo": AgentSpec(
        "agents.on_policy",
        "RecurrentPPO",
        "MlpLstmPolicy",
        num_envs=32,
        steps=1_000_000,
        hyperparameters={
            "n_steps": 128,
            "batch_size": 512,
            "n_epochs": 4,
            "learning_rate": "linear(1e-3, 1e-4)",
            "policy_kwargs": {"lstm_hidden_size": 64, "net_arch": [64]},
        },
        on_images={"steps": 500_000, "hyperparameters": {"learning_rate": "linear(3e-4, 1e-4)", "target_kl": 0.03}},
        **_ON_POLICY,
    ),
    "a2c": AgentSpec(
        "agents.on_policy",
        "A2C",
        "MlpPolicy",
        num_envs=32,
        steps=2_000_000,
        hyperparameters={
            # As tuned for continuous control in rl-baselines3-zoo (hyperparams/a2c.yml), but for its state-dependent
            # exploration, whose deviation cannot be scheduled. One gradient step for each 256 transitions.
            "n_steps": 8,
            "gae_lambda": 0.9,
            "vf_coef": 0.4,
            "learning_rate": "linear(1e-3, 1e-4)",
            # One step a rollout is too few for Adam's moments to be worth their lag; RMSprop is SB3's default too.
            "use_rms_prop": True,
        },
        on_images=_PLAIN_ON_IMAGES,
        **_ON_POLICY,
    ),
    "trpo": AgentSpec(
        "agents.on_policy",
        "TRPO",
        "MlpPolicy",
        num_envs=32,
        steps=1_500_000,
        hyperparameters={
            # rl-baselines3-zoo for MuJoCo (hyperparams/trpo.yml), its 2 x 1024 steps spread over 32 simulations; but
            # the critic takes a quarter of its updates, in which most of the time goes.
            "n_steps": 64,
            "batch_size": 256,
            "cg_max_steps": 25,
            "n_critic_updates": 10,
            "learning_rate": 1e-3,
            "policy_kwargs": {"optimizer_kwargs": {"fused": True}},
        },
        on_images={"steps": 500_000, "hyperparameters": {"learning_rate": 3e-4, "n_critic_updates": 5}},
        **_ON_POLICY,
    ),
    "reinforce": AgentSpec(
        "agents.reinforce",
        "REINFORCE",
        "MlpPolicy",
        num_envs=32,
        steps=2_000_000,
        hyperparameters={
            # Two and a half times the 100 steps that gamma = 0.99 looks ahead, so that few returns are cut.
            "n_steps": 256,
            "baseline": "learned",
            "learning_rate": "linear(5e-3, 5e-4)",
            "policy_kwargs": {"optimizer_kwargs": {"fused": True}},
        },
        on_images=_PLAIN_ON_IMAGES,
        **_ON_POLICY,
    ),
    "dagger": AgentSpec(
        "agents.dagger",
        "DAgger",
        "MlpPolicy",
        num_envs=32,
        steps=100_000,
        hyperparameters={
            # Rounds of 1,024 new states and 128 updates.
            "train_freq": 32,
            "gradient_steps": 128,
            "batch_size": 256,
            "buffer_size": 200_000,
            "learning_rate": "linear(1e-3, 1e-5)",
        },
        on_images={"hyperparameters": {"gradient_steps": 64, "buffer_size": 100_000}},
        normalize_observation=True,
    ),
    "rma": AgentSpec(
        "agents.rma",
        "RMA",
        "MlpPolicy",
        num_envs=32,
        steps=200_000,
        hyperparameters={
            # As dagger, but what is kept is recent: the paper fits each round to what the student has just done.
            "train_freq": 32,
            "gradient_steps": 128,
            "batch_size": 256,
            "buffer_size": 50_000,
            "learning_rate": "linear(1e-3, 1e-5)",
        },
        on_images=None,
        normalize_observation=True,
    ),
    "sac": AgentSpec(
        "stable_baselines3",
        "SAC",
        "MlpPolicy",
        num_envs=16,
        steps=300_000,
        hyperparameters=_OFF_POLICY,
        on_images=_OFF_POLICY_ON_IMAGES,
    ),
    "tqc": AgentSpec(
        "sb3_contrib",
        "TQC",
        "MlpPolicy",
        num_envs=16,
        steps=300_000,
        hyperparameters=_OFF_POLICY,
        on_images=_OFF_POLICY_ON_IMAGES,
    ),
    "td3": AgentSpec(
        "stable_baselines3",
        "TD3",
        "MlpPolicy",
        num_envs=16,
        steps=300_000,
        # The deviation of exploration in half ranges of the actuators, as in the paper (arXiv:1802.09477).
        hyperparameters={**_OFF_POLICY, "action_noise": 0.1},
        on_images=_OFF_POLICY_ON_IMAGES,
    ),
    "crossq": AgentSpec(
        "sb3_contrib",
        "CrossQ",
        "MlpPolicy",
        num_envs=16,
        steps=150_000,  # its updates take longer than SAC's, and the paper's agent needs fewer of them
        hyperparameters={
            **_OFF_POLICY,
            # Batch normalisation wants critics wider than the actor (arXiv:1902.05605); the paper's 2048 units a layer
            # are for a GPU. Adam's betas are the paper's.
            "policy_kwargs": {
                "net_arch": {"pi": [128, 128], "qf": [256, 256]},
                "optimizer_kwargs": {"fused": True, "betas": [0.5, 0.999]},
            },
        },
        on_images=None,
    ),
    "ars": AgentSpec(
        "agents.ars",
        "ARS",
        "MlpPolicy",
        num_envs=16,
        steps=5_000_000,
        hyperparameters={
            # A linear policy on normalised observations: version V2-t of the paper, with its numbers for the hopper
            # (arXiv:1803.07055, appendix). There it also takes the bonus of 1 a step for being alive off the reward
            # (alive_bonus_offset=-1), which would leave the pendulum nothing to learn from.
            "n_delta": 8,
            "n_top": 4,
            "learning_rate": 0.01,
            "delta_std": 0.025,
            "policy_kwargs": {"net_arch": [], "squash_output": False},
        },
        on_images=None,
        normalize_observation=True,
    ),
    "cem": AgentSpec(
        "agents.cem",
        "CEM",
        "MlpPolicy",
        num_envs=32,  # the population
        steps=5_000_000,
        hyperparameters={
            "elite_fraction": 0.5,
            # Small, or the first actions are large: an ant that pays for them then learns to fall early.
            "sigma": 0.05,
            "extra_noise": "linear(0.015, 0.01)",
            "smoothing": 0.3,
            "episode_steps": 0,
            "normalize_observation": True,
            "policy_kwargs": {"net_arch": [100]},
        },
        on_images=None,
    ),
}
