"""Agents by name: what a configuration accepts, and what its notation becomes."""

import inspect
import re
from typing import Any

import pytest
import torch

from agents import AGENTS, AgentConfig
from agents.config import construct


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("ppo", "PPO"),
        ("recurrent_ppo", "RecurrentPPO"),
        ("sac", "SAC"),
        ("tqc", "TQC"),
        ("a2c", "A2C"),
        ("trpo", "TRPO"),
        ("reinforce", "REINFORCE"),
        ("td3", "TD3"),
        ("crossq", "CrossQ"),
        ("ars", "ARS"),
        ("cem", "CEM"),
    ],
)
def test_every_agent_is_reached_by_its_name(name: str, algorithm: str) -> None:
    assert AGENTS[name].algorithm().__name__ == algorithm
    AgentConfig(name).resolved()  # our defaults pass our own checks


def test_there_are_no_other_agents() -> None:
    names = [
        "ppo",
        "recurrent_ppo",
        "a2c",
        "trpo",
        "reinforce",
        "dagger",
        "rma",
        "sac",
        "tqc",
        "td3",
        "crossq",
        "ars",
        "cem",
    ]
    assert list(AGENTS) == names
    with pytest.raises(ValueError, match=rf"^unknown agent 'pppo'; accepted: {', '.join(names)}$"):
        AgentConfig("pppo")


def test_the_help_names_every_agent() -> None:
    assert f"One of: {', '.join(AGENTS)}." in inspect.getsource(AgentConfig)


def test_resolving_writes_our_defaults_out_and_keeps_what_was_given() -> None:
    given = {"n_steps": 7, "learning_rate": "linear(1e-3, 1e-4)", "gamma": 0.9}
    resolved = AgentConfig("ppo", given).resolved()
    assert resolved.hyperparameters == {**AGENTS["ppo"].hyperparameters, **given}
    assert resolved.resolved() == resolved
    assert AgentConfig("sac").resolved().hyperparameters["learning_starts"] == 10_000


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("ppo", "n_step", "unknown hyperparameter 'n_step' of ppo, did you mean 'n_steps'? (accepted: learning_rate, "),
        ("sac", "n_epochs", "unknown hyperparameter 'n_epochs' of sac"),
        ("ppo", "zzz", "unknown hyperparameter 'zzz' of ppo (accepted: learning_rate, n_steps, batch_size, "),
        # What the run decides is not a hyperparameter.
        *(("ppo", key, f"unknown hyperparameter '{key}' of ppo") for key in ("seed", "device", "env", "verbose")),
    ],
)
def test_an_unknown_hyperparameter_is_refused(name: str, key: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        AgentConfig(name, {key: 1})


INTEGER = "an integer of 1 or more"


@pytest.mark.parametrize(
    ("name", "key", "value", "accepted"),
    [
        ("ppo", "batch_size", 0, INTEGER),
        ("ppo", "batch_size", -64, INTEGER),
        ("ppo", "batch_size", 64.5, INTEGER),
        ("ppo", "batch_size", "many", INTEGER),
        ("ppo", "batch_size", True, INTEGER),
        ("ppo", "batch_size", None, INTEGER),
        ("ppo", "n_steps", 0, INTEGER),
        ("ppo", "n_epochs", 0, INTEGER),
        ("recurrent_ppo", "n_epochs", -1, INTEGER),
        ("sac", "buffer_size", 0, INTEGER),
        ("sac", "learning_starts", -1, "an integer of 0 or more"),
        ("sac", "train_freq", 0, INTEGER),
        ("sac", "gradient_steps", 0, f"{INTEGER}, or -1"),
        ("tqc", "gradient_steps", -2, f"{INTEGER}, or -1"),
        ("sac", "target_update_interval", 0, INTEGER),
        ("ppo", "learning_rate", 0, "a number above 0"),
        ("ppo", "learning_rate", -3e-4, "a number above 0"),
        ("ppo", "learning_rate", "-3e-4", "a number above 0"),
        ("ppo", "learning_rate", "linear(-1e-3, 0)", "a number above 0"),
        ("ppo", "learning_rate", "linear(1e-3, -1e-4)", "a number above 0"),
        ("ppo", "clip_range", 0.0, "a number above 0"),
        ("ppo", "clip_range_vf", -1, "a number above 0, or None"),
        ("ppo", "target_kl", 0, "a number above 0, or None"),
        ("ppo", "max_grad_norm", -1, "a number above 0"),
        ("ppo", "gamma", 1.01, "a number from 0 to 1"),
        ("ppo", "gamma", "high", "a number from 0 to 1"),
        ("ppo", "gae_lambda", -0.1, "a number from 0 to 1"),
        ("sac", "tau", 2, "a number from 0 to 1"),
        ("td3", "action_noise", -0.1, "a number of 0 or more, or None"),
        ("td3", "action_noise", "0.1", "a number of 0 or more, or None"),
        ("td3", "action_noise", [0.1], "a number of 0 or more, or None"),
        ("td3", "policy_delay", 0, INTEGER),
        ("dagger", "teacher_steps", -5, "an integer of 0 or more"),
        ("rma", "teacher_steps", 2.5, "an integer of 0 or more"),
        ("tqc", "top_quantiles_to_drop_per_net", -3, "an integer of 0 or more"),
        ("tqc", "top_quantiles_to_drop_per_net", 25, "less than n_quantiles, 25"),
        ("tqc", "top_quantiles_to_drop_per_net", 30, "less than n_quantiles, 25"),
        ("sac", "replay_buffer_kwargs", 3, "a mapping, or None"),
        ("td3", "target_policy_noise", -1, "a number of 0 or more"),
        ("trpo", "target_kl", None, "a number"),
        ("trpo", "n_critic_updates", 0, INTEGER),
        ("trpo", "normalize_advantage", "yes", "true or false"),
        ("a2c", "use_rms_prop", 1, "true or false"),
        ("a2c", "vf_coef", "half", "a number"),
        ("ppo", "ent_coef", "auto", "a number"),
        ("ars", "n_delta", 0, INTEGER),
        ("ars", "n_top", 0, f"{INTEGER}, or None"),
        ("ars", "n_top", 9, "at most n_delta, 8"),
        ("ars", "delta_std", 0, "a number above 0"),
        ("ars", "delta_std", "linear(0.1, 0)", "a number above 0"),
        ("ppo", "std", 0, "a number above 0"),
        ("ppo", "std", "linear(1, 0)", "a number above 0"),
        ("a2c", "std", None, "a number above 0"),
        ("a2c", "std", True, "a number above 0"),
        ("trpo", "std_floor", -0.1, "a number above 0"),
        ("reinforce", "std_floor", 0, "a number above 0"),
        ("recurrent_ppo", "std_floor", "low", "a number above 0"),
    ],
)
def test_an_impossible_value_is_refused(name: str, key: str, value: Any, accepted: str) -> None:
    with pytest.raises(ValueError, match=rf"^hyperparameter {key} is .*; it must be {re.escape(accepted)}$"):
        AgentConfig(name, {key: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "nan", "linear(1e-3, inf)"])
@pytest.mark.parametrize("key", ["learning_rate", "clip_range"])
def test_numbers_must_be_finite(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^hyperparameter {key} is (nan|-?inf); it must be finite$"):
        AgentConfig("ppo", {key: value})


def test_an_unlisted_number_must_be_finite_too() -> None:
    with pytest.raises(ValueError, match=r"^hyperparameter ent_coef is nan; it must be finite$"):
        AgentConfig("ppo", {"ent_coef": float("nan")})


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("td3", {"action_noise": 0.0, "target_noise_clip": 0}),
        ("crossq", {"action_noise": None, "ent_coef": "auto_0.1"}),
        ("ars", {"n_top": None, "alive_bonus_offset": -1, "zero_policy": False}),
        ("trpo", {"std": 0.3, "std_floor": 1e-3}),
        ("ppo", {"clip_range_vf": None, "target_kl": None, "gamma": 1, "gae_lambda": 0, "ent_coef": 0.0}),
        ("tqc", {"top_quantiles_to_drop_per_net": 24}),
        ("tqc", {"top_quantiles_to_drop_per_net": 0, "policy_kwargs": {"n_quantiles": 1, "n_critics": 1}}),
        ("ars", {"policy_kwargs": {"net_arch": []}}),
        ("sac", {"policy_kwargs": {"net_arch": {"pi": [8], "qf": [8, 8]}}, "replay_buffer_kwargs": None}),
        ("recurrent_ppo", {"policy_kwargs": {"net_arch": None, "lstm_hidden_size": 1}}),
        ("sac", {"gradient_steps": -1, "learning_starts": 0, "ent_coef": "auto_0.1", "tau": 1.0}),
    ],
)
def test_the_edges_of_what_is_possible_are_accepted(name: str, hyperparameters: dict[str, Any]) -> None:
    assert construct(AgentConfig(name, hyperparameters).hyperparameters) == hyperparameters


@pytest.mark.parametrize("text", ["linear(1e-3, 1e-4)", " linear( 0.001 ,0.0001 ) "])
@pytest.mark.parametrize("key", ["learning_rate", "clip_range", "clip_range_vf"])
def test_a_linear_schedule_goes_from_start_to_end(key: str, text: str) -> None:
    schedule = construct({key: text})[key]
    remaining = [1.0, 0.75, 0.5, 0.0]
    assert [schedule(share) for share in remaining] == pytest.approx([1e-3, 7.75e-4, 5.5e-4, 1e-4], rel=1e-12)


@pytest.mark.parametrize("key", ["std", "ent_coef", "extra_noise", "episode_steps"])
def test_a_schedule_of_ours_may_hold_its_start_for_a_share_of_training(key: str) -> None:
    schedule = construct({key: "linear(0.6, 0.1, 0.75)"})[key]
    remaining = [1.0, 0.5, 0.25, 0.125, 0.05, 0.0]
    assert [schedule(share) for share in remaining] == pytest.approx([0.6, 0.6, 0.6, 0.35, 0.2, 0.1], rel=1e-12)


@pytest.mark.parametrize("text", ["linear(1, 2, 1)", "linear(1, 2, -0.1)", "linear(1, 2, 0.5, 0.6)", "linear(1, 2, )"])
def test_a_share_that_no_training_has_is_refused(text: str) -> None:
    forms = "a number, or linear(start, end), or linear(start, end, share of training before it moves)"
    with pytest.raises(ValueError, match=f"^{re.escape(f'cannot read std {text!r}; accepted: {forms}')}$"):
        AgentConfig("ppo", {"std": text})


def test_a_schedule_may_end_at_zero() -> None:
    assert construct({"learning_rate": "linear(1e-3, 0)"})["learning_rate"](0.0) == 0.0


def test_a_number_in_quotes_is_a_number() -> None:
    assert construct({"learning_rate": "3e-4"}) == {"learning_rate": 3e-4}


@pytest.mark.parametrize("text", ["", "fast", "linear", "linear(1)", "linear(1, 2, 3)", "linear(a, b)", "cosine(1, 2)"])
def test_an_unreadable_schedule_is_refused(text: str) -> None:
    message = f"cannot read learning_rate {text!r}; accepted: a number, or linear(start, end)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AgentConfig("ppo", {"learning_rate": text})


@pytest.mark.parametrize(
    ("name", "activation"),
    [("tanh", torch.nn.Tanh), ("relu", torch.nn.ReLU), ("elu", torch.nn.ELU), ("silu", torch.nn.SiLU)],
)
def test_an_activation_is_built_from_its_name(name: str, activation: type[torch.nn.Module]) -> None:
    given = {"policy_kwargs": {"activation_fn": name, "net_arch": [8]}}
    assert construct(given) == {"policy_kwargs": {"activation_fn": activation, "net_arch": [8]}}
    assert given == {"policy_kwargs": {"activation_fn": name, "net_arch": [8]}}  # the configuration stays text


def test_bad_policy_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown activation_fn 'gelu'; accepted: tanh, relu, elu, silu$"):
        AgentConfig("ppo", {"policy_kwargs": {"activation_fn": "gelu"}})
    with pytest.raises(ValueError, match=r"^unknown activation_fn \['tanh'\]; accepted: tanh, relu, elu, silu$"):
        AgentConfig("ppo", {"policy_kwargs": {"activation_fn": ["tanh"]}})
    message = r"^policy_kwargs is \[64, 64\]; it must be a mapping such as \{net_arch: \[64, 64\]\}$"
    with pytest.raises(ValueError, match=message):
        AgentConfig("ppo", {"policy_kwargs": [64, 64]})


LISTS = "a list of integers of 1 or more, or a mapping of such lists"


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("net_arch", [0], LISTS),
        ("net_arch", [64, -1], LISTS),
        ("net_arch", [64.5], LISTS),
        ("net_arch", 64, LISTS),
        ("net_arch", "64", LISTS),
        ("net_arch", {"pi": [64], "vf": [0]}, LISTS),
        ("net_arch", {"pi": 64}, LISTS),
        ("lstm_hidden_size", -4, INTEGER),
        ("lstm_hidden_size", True, INTEGER),
        ("n_lstm_layers", 0, INTEGER),
        ("n_critics", 0, INTEGER),
        ("n_quantiles", "many", INTEGER),
    ],
)
def test_impossible_networks_are_refused_by_name(key: str, value: Any, accepted: str) -> None:
    message = f"policy_kwargs: {key} is {value!r}; it must be {accepted}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AgentConfig("recurrent_ppo", {"policy_kwargs": {key: value}})


def test_an_agent_that_drops_quantiles_keeps_one() -> None:
    message = r"^hyperparameter top_quantiles_to_drop_per_net is 2; it must be less than n_quantiles, 2$"
    with pytest.raises(ValueError, match=message):
        AgentConfig("tqc", {"policy_kwargs": {"n_quantiles": 2}})


@pytest.mark.parametrize("name", ["ppo", "recurrent_ppo", "a2c", "trpo", "reinforce"])
def test_the_deviation_of_on_policy_agents_takes_a_schedule_and_a_floor(name: str) -> None:
    std = construct(AgentConfig(name, {"std": "linear(1.0, 0.2)", "std_floor": 0.5}).hyperparameters)["std"]
    assert [std(remaining) for remaining in (1.0, 0.5, 0.0)] == pytest.approx([1.0, 0.6, 0.2])


@pytest.mark.parametrize("name", ["dagger", "rma", "sac", "tqc", "td3", "crossq", "ars"])
@pytest.mark.parametrize("key", ["std", "std_floor"])
def test_other_agents_have_no_such_deviation(name: str, key: str) -> None:
    with pytest.raises(ValueError, match=rf"^unknown hyperparameter '{key}' of {name}"):
        AgentConfig(name, {key: 0.5})


def test_a_schedule_goes_only_where_one_is_followed() -> None:
    message = r"^hyperparameter std_floor of ppo takes no schedule; accepted: a number$"
    with pytest.raises(ValueError, match=message):
        AgentConfig("ppo", {"std_floor": "linear(1, 0.5)"})
    with pytest.raises(ValueError, match=r"^unknown hyperparameter 'ent_coef' of trpo"):
        AgentConfig("trpo", {"ent_coef": 0.01})


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown baseline 'mean'; accepted: none, whiten, learned$"):
        AgentConfig("reinforce", {"baseline": "mean"})


@pytest.mark.parametrize("name", ["crossq", "ars"])
def test_an_agent_without_eyes_says_who_has_them(name: str) -> None:
    message = f"{AGENTS[name].kind} takes no images; accepted: the pipelines state and pose, or agents ppo, "
    with pytest.raises(ValueError, match=f"^{message}"):
        AgentConfig(name).resolved("images")
