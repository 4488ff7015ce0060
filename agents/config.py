"""Which algorithm learns, with which hyperparameters, and what is refused of them."""

import difflib
import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from stable_baselines3.common.utils import LinearSchedule

from agents.exploration import OPTIONS, Exploration, HeldSchedule
from agents.reinforce import BASELINES
from agents.specs import AGENTS, AgentSpec, Seen

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
    "policy_delay": 1,
    "n_critic_updates": 1,
    "cg_max_steps": 1,
    "line_search_max_iter": 1,
    "sub_sampling_factor": 1,
    "n_delta": 1,
    "n_top": 1,
    "n_eval_episodes": 1,
    "teacher_steps": 0,
    "top_quantiles_to_drop_per_net": 0,
}
_POLICY_INTEGERS = ("lstm_hidden_size", "n_lstm_layers", "n_critics", "n_quantiles")
"""Of ``policy_kwargs``: 1 or more."""
_ABOVE_ZERO = ("learning_rate", "clip_range", "clip_range_vf", "max_grad_norm", "target_kl", *OPTIONS, "delta_std")
_FROM_ZERO = ("action_noise", "target_policy_noise", "target_noise_clip", "cg_damping", "noise", "extra_noise")
_UP_TO_ONE = ("gamma", "gae_lambda", "tau", "line_search_shrinking_factor")
_OR_ELSE = {"gradient_steps": -1, "clip_range_vf": None, "target_kl": None, "n_top": None, "action_noise": None}
SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf", "std", "delta_std", "extra_noise", "episode_steps")
_TO_ZERO = ("learning_rate", "clip_range", "clip_range_vf", "ent_coef", "extra_noise")
"""Schedules that may start or end at 0."""
_SCHEDULE = re.compile(r"^linear\(\s*([^,()]+)\s*,\s*([^,()]+)\s*(?:,\s*([^,()]+)\s*)?\)$")
_HELD = ("std", "ent_coef", "extra_noise", "episode_steps")
"""Schedules that may hold their start for a while: classes of ours follow them, and an export goes without."""


@dataclass(frozen=True)
class AgentConfig:
    """Which algorithm learns, and with which hyperparameters."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    name: str = "ppo"
    """One of: ppo, recurrent_ppo, a2c, trpo, reinforce, dagger, rma, sac, tqc, td3, crossq, ars, cem."""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    """Arguments of the Stable-Baselines3 class, e.g. learning_rate=linear(1e-3,1e-4) n_epochs=5; for on-policy agents
    also std, the deviation of actions instead of a learnt one, e.g. std=linear(1.0,0.2), or std=linear(0.6,0.1,0.75),
    which falls in the last quarter of training, and std_floor=0.1."""

    def __post_init__(self) -> None:
        if self.name not in AGENTS:
            raise ValueError(f"unknown agent {self.name!r}; accepted: {', '.join(AGENTS)}")
        algorithm = AGENTS[self.name].algorithm()
        parameters = {
            name: parameter.default
            for name, parameter in inspect.signature(algorithm).parameters.items()
            if name not in _RESERVED
        }
        explores = issubclass(algorithm, Exploration)
        accepted = [*parameters, *(OPTIONS if explores else ())]
        for key in self.hyperparameters:
            if key not in accepted:
                close = difflib.get_close_matches(key, accepted, n=1)
                hint = f", did you mean {close[0]!r}?" if close else ""
                raise ValueError(
                    f"unknown hyperparameter {key!r} of {self.name}{hint} (accepted: {', '.join(accepted)})"
                )
        arguments = construct(self.hyperparameters)
        for key, value in arguments.items():
            if isinstance(value, LinearSchedule) and key not in SCHEDULED and not (explores and key == "ent_coef"):
                raise ValueError(f"hyperparameter {key} of {self.name} takes no schedule; accepted: a number")
            _check_kind(key, value, parameters.get(key))
        if self.name == "reinforce" and (baseline := arguments.get("baseline", "none")) not in BASELINES:
            raise ValueError(f"unknown baseline {baseline!r}; accepted: {', '.join(BASELINES)}")
        if self.name == "tqc":  # the numbers here are sb3-contrib's own defaults
            quantiles = arguments.get("policy_kwargs", {}).get("n_quantiles", 25)
            if (dropped := arguments.get("top_quantiles_to_drop_per_net", 2)) >= quantiles:
                raise ValueError(
                    f"hyperparameter top_quantiles_to_drop_per_net is {dropped}; it must be less than n_quantiles, "
                    f"{quantiles}"
                )
        top, deltas = (self.resolved_value(key) for key in ("n_top", "n_delta"))
        if top is not None and top > deltas:
            raise ValueError(f"hyperparameter n_top is {top}; it must be at most n_delta, {deltas}")

    def spec(self, seen: Seen = "state") -> AgentSpec:
        """The algorithm, as it is used where it learns from what is ``seen``."""
        return AGENTS[self.name].seeing(seen)

    def resolved_value(self, key: str) -> Any:
        """A hyperparameter, or our default of it; None if there is neither."""
        return self.hyperparameters.get(key, AGENTS[self.name].hyperparameters.get(key))

    def resolved(self, seen: Seen = "state") -> "AgentConfig":
        """The same with every default of ours written out."""
        return AgentConfig(self.name, {**self.spec(seen).hyperparameters, **self.hyperparameters})


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
            arguments[key] = _read(key, value)
        else:
            _check_number(key, value)
        if key == "policy_kwargs":
            arguments[key] = _policy_kwargs(value)
        elif key == "replay_buffer_kwargs" and not isinstance(value, Mapping | None):
            raise ValueError(f"hyperparameter {key} is {value!r}; it must be a mapping, or None")
    return arguments


def _read(key: str, text: str) -> float | LinearSchedule:
    """The number, or the schedule, that ``text`` says.

    Raises:
        ValueError: it says neither, or a value is impossible.
    """
    match = _SCHEDULE.match(text.strip())
    try:
        start, *rest = [float(number) for number in (match.groups() if match else (text,)) if number is not None]
        if len(rest) == 2 and not (key in _HELD and 0 <= rest[1] < 1):
            raise ValueError
    except ValueError:
        forms = "linear(start, end)"
        if key in _HELD:
            forms += ", or linear(start, end, share of training before it moves)"
        raise ValueError(f"cannot read {key} {text!r}; accepted: a number, or {forms}") from None
    for number in (start, *rest[:1]):
        if match is None or number != 0 or key not in _TO_ZERO:
            _check_number(key, number)
    if not rest:
        return start
    end, *held = rest
    return HeldSchedule(start, end, *held) if held else LinearSchedule(start, end, 1.0)


def _policy_kwargs(given: Any) -> dict[str, Any]:
    """Arguments for the policy: the activation function built from its name.

    Raises:
        ValueError: they are no mapping, or a value is impossible.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"policy_kwargs is {given!r}; it must be a mapping such as {{net_arch: [64, 64]}}")
    arguments = dict(given)
    for key in _POLICY_INTEGERS:
        if key in given and not _counts([given[key]]):
            raise ValueError(f"policy_kwargs: {key} is {given[key]!r}; it must be an integer of 1 or more")
    widths = given.get("net_arch")
    if widths is not None and not all(map(_counts, widths.values() if isinstance(widths, Mapping) else [widths])):
        raise ValueError(
            f"policy_kwargs: net_arch is {widths!r}; it must be a list of integers of 1 or more, or a mapping of such "
            "lists"
        )
    if "activation_fn" in given:
        activation = given["activation_fn"]
        if not isinstance(activation, str) or activation not in _ACTIVATIONS:
            raise ValueError(f"unknown activation_fn {activation!r}; accepted: {', '.join(_ACTIVATIONS)}")
        arguments["activation_fn"] = _ACTIVATIONS[activation]
    return arguments


def _counts(values: Any) -> bool:
    """Whether these are integers of 1 or more in a list."""
    return isinstance(values, list | tuple) and all(type(value) is int and value >= 1 for value in values)


def _check_kind(key: str, value: Any, default: Any) -> None:
    """Raise ``ValueError`` where ``value`` is of another kind than the algorithm's ``default``."""
    if isinstance(default, bool):
        accepted, sound = "true or false", isinstance(value, bool)
    elif isinstance(default, int | float):
        accepted, sound = "a number", isinstance(value, int | float | LinearSchedule) and not isinstance(value, bool)
    else:
        return
    if not sound:
        raise ValueError(f"hyperparameter {key} is {value!r}; it must be {accepted}")


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
    elif key in _FROM_ZERO:
        accepted, sound = "a number of 0 or more", number >= 0
    elif key in _UP_TO_ONE:
        accepted, sound = "a number from 0 to 1", 0 <= number <= 1
    else:
        return
    if not sound:
        other = f", or {_OR_ELSE[key]}" if key in _OR_ELSE else ""
        raise ValueError(f"hyperparameter {key} is {value!r}; it must be {accepted}{other}")
