"""Learning algorithms by name, with defaults tuned for the batched environment."""

import difflib
import importlib
import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import LinearSchedule


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

    on_images: Mapping[str, Any] = field(default_factory=dict)
    """What changes where an encoder learns from the reward: ``num_envs``, ``steps``, single ``hyperparameters``."""

    def for_images(self) -> "AgentSpec":
        """The same for an agent that learns from images alone."""
        merged = {**self.hyperparameters, **self.on_images.get("hyperparameters", {})}
        return replace(self, **{**self.on_images, "hyperparameters": merged})

    def algorithm(self) -> type[BaseAlgorithm]:
        """The algorithm's class, imported when it is asked for."""
        kind: type[BaseAlgorithm] = getattr(importlib.import_module(self.module), self.kind)
        return kind


_ON_POLICY = {"normalize_observation": True, "normalize_reward": True}
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
    ),
}

# Arguments that the run decides, so that a hyperparameter cannot contradict it.
_RESERVED = (
    "self",
    "policy",
    "env",
    "seed",
    "device",
    "verbose",
    "tensorboard_log",
    "_init_setup_model",
)
# What SB3 would accept and then fail on late, run for ever on, or learn nothing from.
_SMALLEST_INTEGER = {
    "n_steps": 1,
    "batch_size": 1,
    "n_epochs": 1,
    "buffer_size": 1,
    "learning_starts": 0,
    "train_freq": 1,
    "gradient_steps": 1,
    "target_update_interval": 1,
    "stats_window_size": 1,
}
_ABOVE_ZERO = ("learning_rate", "clip_range", "clip_range_vf", "max_grad_norm", "target_kl")
_UP_TO_ONE = ("gamma", "gae_lambda", "tau")
_OR_ELSE = {"gradient_steps": -1, "clip_range_vf": None, "target_kl": None}
SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf", "extra_noise")
_SCHEDULE = re.compile(r"^linear\(\s*([^,()]+)\s*,\s*([^,()]+)\s*\)$")


@dataclass(frozen=True)
class AgentConfig:
    """Which algorithm learns, and with which hyperparameters."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str = "ppo"
    """One of: ppo, recurrent_ppo, dagger, sac, tqc, cem."""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    """Arguments of the Stable-Baselines3 class, e.g. learning_rate=linear(1e-3,1e-4) n_epochs=5."""

    def __post_init__(self) -> None:
        if self.name not in AGENTS:
            raise ValueError(f"unknown agent {self.name!r}; accepted: {', '.join(AGENTS)}")
        accepted = [
            name for name in inspect.signature(AGENTS[self.name].algorithm()).parameters if name not in _RESERVED
        ]
        for key in self.hyperparameters:
            if key not in accepted:
                close = difflib.get_close_matches(key, accepted, n=1)
                hint = f", did you mean {close[0]!r}?" if close else ""
                raise ValueError(
                    f"unknown hyperparameter {key!r} of {self.name}{hint} (accepted: {', '.join(accepted)})"
                )
        for key, value in construct(self.hyperparameters).items():
            entropy = key == "ent_coef" and self.name in ("ppo", "recurrent_ppo")
            if isinstance(value, LinearSchedule) and key not in SCHEDULED and not entropy:
                raise ValueError(f"hyperparameter {key} of {self.name} takes no schedule; accepted: a number")

    def spec(self, images: bool = False) -> AgentSpec:
        """The algorithm, as it is used where it learns from ``images``."""
        return AGENTS[self.name].for_images() if images else AGENTS[self.name]

    def resolved(self, images: bool = False) -> "AgentConfig":
        """The same with every default of ours written out."""
        return AgentConfig(self.name, {**self.spec(images).hyperparameters, **self.hyperparameters})


_ACTIVATIONS = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "elu": torch.nn.ELU,
    "silu": torch.nn.SiLU,
}


def construct(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for the algorithm: schedules and activation functions built from their names.

    Raises:
        ValueError: a schedule or an activation function cannot be read, a value is impossible.
    """
    arguments: dict[str, Any] = {}
    for key, value in hyperparameters.items():
        arguments[key] = value
        if isinstance(value, str) and (key in SCHEDULED or _SCHEDULE.match(value.strip())):
            match = _SCHEDULE.match(value.strip())
            try:
                numbers = [float(number) for number in (match.groups() if match else (value,))]
            except ValueError:
                raise ValueError(f"cannot read {key} {value!r}; accepted: a number, or linear(start, end)") from None
            arguments[key] = LinearSchedule(numbers[0], numbers[1], 1.0) if match else numbers[0]
            for number in numbers:
                if match is None or number != 0:  # a schedule may start or end at 0
                    _check_number(key, number)
        else:
            _check_number(key, value)
        if key == "policy_kwargs":
            if not isinstance(value, Mapping):
                raise ValueError(f"policy_kwargs is {value!r}; it must be a mapping such as {{net_arch: [64, 64]}}")
            arguments[key] = dict(value)
            activation = value.get("activation_fn", "tanh")
            if activation not in _ACTIVATIONS:
                raise ValueError(f"unknown activation_fn {activation!r}; accepted: {', '.join(_ACTIVATIONS)}")
            if "activation_fn" in value:
                arguments[key]["activation_fn"] = _ACTIVATIONS[activation]
    return arguments


def _check_number(key: str, value: Any) -> None:
    """Raise ``ValueError`` unless hyperparameter ``key`` may have this ``value``."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"hyperparameter {key} is {value}; it must be finite")
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if key in _OR_ELSE and value == _OR_ELSE[key]:
        return
    if key in _SMALLEST_INTEGER:
        low = _SMALLEST_INTEGER[key]
        accepted, sound = f"an integer of {low} or more", isinstance(value, int) and number >= low
    elif key in _ABOVE_ZERO:
        accepted, sound = "a number above 0", number > 0
    elif key in _UP_TO_ONE:
        accepted, sound = "a number from 0 to 1", 0 <= number <= 1
    else:
        return
    if not sound:
        other = f", or {_OR_ELSE[key]}" if key in _OR_ELSE else ""
        raise ValueError(f"hyperparameter {key} is {value!r}; it must be {accepted}{other}")
