"""Which options an agent takes for what it observes."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space

from agents.asymmetric import AsymmetricPolicy, AsymmetricSACPolicy, AsymmetricTQCPolicy, seen_by_actor
from agents.encoders import VECTORS, ImageOptions, encoder_named
from agents.latent import NO_LATENT, Adaptation, LatentOptions, ParameterEncoder
from agents.specs import AGENTS
from agents.supervised import SupervisedPolicy

ASYMMETRIC: dict[str, type[BasePolicy]] = {
    "ppo": AsymmetricPolicy,
    "dagger": AsymmetricPolicy,
    "sac": AsymmetricSACPolicy,
    "tqc": AsymmetricTQCPolicy,
}
"""The policies whose critic knows the state, by agent."""


def image_policy(
    space: spaces.Space[Any], agent: str, images: ImageOptions = VECTORS, latent: LatentOptions = NO_LATENT
) -> tuple[str | type[BasePolicy], dict[str, Any]]:
    """Policy, and its ``policy_kwargs``, of the agent of this name for observations of ``space``.

    A vector takes the agent's MLP policy, and ``images`` says nothing then. Images take the same with an encoder in
    front, and a dict of ``state`` and one more entry the policy whose critic sees the state alone. With ``latent``,
    physical parameters pass an encoder first, or rma's adaptation network infers what the encoder would say.

    Raises:
        ValueError: an unknown encoder, or observations that no policy of this agent takes.
    """
    spec = AGENTS[agent]
    network = encoder_named(images.encoder)
    options: dict[str, Any] = {"shift": images.shift, "mixed_precision": images.mixed_precision}
    if isinstance(space, spaces.Dict):
        seen_by_actor(space)
        if agent == "rma":
            return ActorCriticPolicy, latent.networks(Adaptation)
        if agent not in ASYMMETRIC:
            raise ValueError(f"{agent} has no critic that sees another observation; accepted: {', '.join(ASYMMETRIC)}")
        if images.supervised and agent != "ppo":
            raise ValueError(f"{agent} fits no encoder to the state; accepted: ppo")
        return SupervisedPolicy if images.supervised else ASYMMETRIC[agent], {"encoder": images.encoder, **options}
    if not is_image_space(space):
        if not latent.latent:
            return spec.policy, {}
        if spec.algorithm().policy_aliases.get(spec.policy) is not ActorCriticPolicy:
            raise ValueError(f"{agent} has no encoder of parameters; accepted: --privileged.latent 0, or agent ppo")
        return spec.policy, latent.networks(ParameterEncoder)
    networks: dict[str, Any] = {"features_extractor_class": network, "features_extractor_kwargs": options}
    if issubclass(spec.algorithm(), OnPolicyAlgorithm):
        networks["ortho_init"] = network.ORTHOGONAL
        networks["net_arch"] = []  # SB3's own default behind images, but it knows only its own encoder
    return spec.seeing("images").policy.replace("Mlp", "Cnn"), networks


def shows_images(space: spaces.Space[Any]) -> bool:
    """Whether images are what the agent, or its actor, observes."""
    return is_image_space(seen_by_actor(space)[1] if isinstance(space, spaces.Dict) else space)
