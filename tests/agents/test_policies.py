"""The networks that an agent takes for its observations, and how a configuration changes them."""

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import AgentConfig, ImageOptions, image_policy, make_agent
from agents.asymmetric import AsymmetricPolicy, AsymmetricSACPolicy, AsymmetricTQCPolicy
from agents.encoders import Impala, Nature

IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
VECTOR = spaces.Box(-1, 1, (11,), np.float32)
ASYMMETRIC = {"ppo": AsymmetricPolicy, "sac": AsymmetricSACPolicy, "tqc": AsymmetricTQCPolicy}


class Blank(gymnasium.Env[Any, Any]):
    """Shows a constant of its observation space."""

    action_space = spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space = space


def built(name: str, space: spaces.Space[Any], policy_kwargs: dict[str, Any], **encoder: Any) -> Any:
    hyperparameters: dict[str, Any] = {"policy_kwargs": policy_kwargs}
    if name in ("ppo", "recurrent_ppo", "trpo"):
        hyperparameters.update({"n_steps": 8, "batch_size": 8})
    elif name in ("sac", "tqc", "td3"):
        hyperparameters.update({"buffer_size": 8})
    env = DummyVecEnv([lambda: Blank(space)])
    return make_agent(AgentConfig(name, hyperparameters), env, seed=0, images=ImageOptions(**encoder)).policy


def test_vectors_take_the_agents_own_policy() -> None:
    assert image_policy(VECTOR, "ppo", ImageOptions("impala", 4)) == ("MlpPolicy", {})
    assert image_policy(VECTOR, "recurrent_ppo") == ("MlpLstmPolicy", {})
    assert image_policy(VECTOR, "tqc") == ("MlpPolicy", {})


@pytest.mark.parametrize(("encoder", "kind", "orthogonal"), [("nature", Nature, True), ("impala", Impala, False)])
def test_images_take_the_encoder_in_front(encoder: str, kind: type[Any], orthogonal: bool) -> None:
    images, options = ImageOptions(encoder, 4), {"shift": 4, "mixed_precision": False}
    extractor = {"features_extractor_class": kind, "features_extractor_kwargs": options}
    on_policy = {**extractor, "ortho_init": orthogonal, "net_arch": []}
    assert image_policy(IMAGE, "ppo", images) == ("CnnPolicy", on_policy)
    assert image_policy(IMAGE, "recurrent_ppo", images) == ("CnnLstmPolicy", on_policy)
    for name in ("a2c", "trpo", "reinforce"):
        assert image_policy(IMAGE, name, images) == ("CnnPolicy", on_policy)
    assert image_policy(IMAGE, "sac", images) == ("CnnPolicy", extractor)


@pytest.mark.parametrize("seen", [{"pixels": IMAGE}, {"pose": VECTOR}], ids=str)
@pytest.mark.parametrize("name", ASYMMETRIC)
def test_a_state_goes_to_the_critic_alone(name: str, seen: dict[str, Any]) -> None:
    space = spaces.Dict({**seen, "state": VECTOR})
    options: dict[str, Any] = {"encoder": "impala", "shift": 2, "mixed_precision": True}
    assert image_policy(space, name, ImageOptions(**options)) == (ASYMMETRIC[name], options)


@pytest.mark.parametrize(
    ("space", "name", "encoder", "message"),
    [
        (
            IMAGE,
            "ars",
            "nature",
            "ARS takes no images; accepted: the pipelines state and pose, or agents "
            "ppo, recurrent_ppo, a2c, trpo, reinforce, dagger, sac, tqc, td3",
        ),
        (
            spaces.Dict({"pose": VECTOR, "state": VECTOR}),
            "ars",
            "nature",
            "ars has no critic that sees another observation; accepted: ppo, dagger, sac, tqc",
        ),
        (IMAGE, "ppo", "resnet", "unknown encoder 'resnet'; accepted: nature, impala"),
        (spaces.Dict({"pixels": IMAGE}), "sac", "nature", "observations of pixels; accepted: state and one more entry"),
        (
            spaces.Dict({"pixels": IMAGE, "pose": VECTOR, "state": VECTOR}),
            "ppo",
            "nature",
            "observations of pixels, pose, state; accepted: state and one more entry",
        ),
        (
            spaces.Dict({"pixels": IMAGE, "state": VECTOR}),
            "recurrent_ppo",
            "nature",
            "recurrent_ppo has no critic that sees another observation; accepted: ppo, dagger, sac, tqc",
        ),
    ],
)
def test_what_no_policy_takes_is_refused(space: Any, name: str, encoder: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        image_policy(space, name, ImageOptions(encoder))


@pytest.mark.parametrize("name", ["ppo", "recurrent_ppo", "a2c", "trpo", "reinforce", "sac", "tqc", "td3"])
def test_an_agent_sees_images_through_its_encoder(name: str) -> None:
    policy = built(name, IMAGE, {"features_extractor_kwargs": {"mixed_precision": True}}, encoder="impala", shift=4)
    encoder = (policy.actor if name in ("sac", "tqc", "td3") else policy).features_extractor
    assert isinstance(encoder, Impala)
    assert (encoder.shift, encoder.mixed_precision) == (4, True)  # what is given comes on top of what is not


def test_ppos_networks_behind_images_are_those_of_stable_baselines3() -> None:
    ours = built("ppo", IMAGE, {}).state_dict()
    theirs = stable_baselines3.PPO("CnnPolicy", DummyVecEnv([lambda: Blank(IMAGE)]), seed=0).policy.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_hyperparameters_change_the_asymmetric_networks(name: str) -> None:
    space = spaces.Dict({"pixels": IMAGE, "state": VECTOR})
    critic = "vf" if name == "ppo" else "qf"
    given = {"net_arch": {"pi": [7], critic: [5]}, "mixed_precision": True, "optimizer_kwargs": {"fused": True}}
    policy = built(name, space, given, encoder="impala", shift=2)
    actor = policy if name == "ppo" else policy.actor
    assert (actor.features_extractor.shift, actor.features_extractor.mixed_precision) == (2, True)
    assert (actor.mlp_extractor.policy_net if name == "ppo" else actor.latent_pi)[0].weight.shape == (7, 256)
    first = policy.mlp_extractor.value_net[0] if name == "ppo" else policy.critic.qf0[0]
    assert first.weight.shape == (5, 11 if name == "ppo" else 11 + 3)
    assert (policy.optimizer if name == "ppo" else policy.actor.optimizer).defaults["fused"]


def test_the_asymmetric_networks_by_default() -> None:
    policy = built("ppo", spaces.Dict({"pixels": IMAGE, "state": VECTOR}), {})
    assert isinstance(policy.features_extractor, Nature)
    assert policy.action_net.weight.shape == (3, 512)
    assert [layer.weight.shape for layer in policy.mlp_extractor.value_net[::2]] == [(256, 11), (256, 256)]
    policy = built("ppo", spaces.Dict({"pose": VECTOR, "state": VECTOR}), {})
    assert [layer.weight.shape for layer in policy.mlp_extractor.policy_net[::2]] == [(64, 11), (64, 64)]
    assert [layer.weight.shape for layer in policy.mlp_extractor.value_net[::2]] == [(64, 11), (64, 64)]


@pytest.mark.parametrize(
    ("policy_kwargs", "shift", "message"),
    [
        ({"encoder": "resnet"}, 0, r"unknown encoder 'resnet'; accepted: nature, impala"),
        ({}, -1, r"shift is -1; it must be 0 pixels or more"),
        ({"features": 3}, 0, r".*unexpected keyword argument 'features'"),
    ],
)
def test_networks_that_cannot_be_are_refused(policy_kwargs: dict[str, Any], shift: int, message: str) -> None:
    space = spaces.Dict({"pixels": IMAGE, "state": VECTOR})
    with pytest.raises(ValueError, match=rf"^ppo refuses its hyperparameters: {message}$"):
        built("ppo", space, policy_kwargs, shift=shift)
