"""Policies whose actor sees what a robot would see, while their critic knows the simulator's true state.

Only training needs the critic, so only the actor has to do without the state (Pinto et al. 2017, arXiv:1710.06542).
The observation is a dict of two entries: ``state`` for the critic, and one more, images or a vector, for the actor.
"""

from typing import Any, ClassVar

import torch
from gymnasium import spaces
from sb3_contrib.tqc import policies as tqc
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel, BasePolicy, ContinuousCritic
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac import policies as sac

from agents.encoders import encoder_named

STATE = "state"
"""Entry of the observation that the critic alone sees."""
ACTIONS = "actions"
"""Entry of the last actions, which only an encoder takes that is fitted to the state."""


def seen_by_actor(space: spaces.Space[Any]) -> tuple[str, spaces.Space[Any]]:
    """Name and space of the entry that the actor sees.

    Raises:
        ValueError: not a dict of ``state`` and one more entry.
    """
    entries = dict(space.spaces) if isinstance(space, spaces.Dict) else {}
    others = [entry for entry in entries if entry not in (STATE, ACTIONS)]
    if STATE not in entries or len(others) != 1:
        raise ValueError(f"observations of {', '.join(entries) or space}; accepted: {STATE} and one more entry")
    return others[0], entries[others[0]]


class _Narrow(BaseModel):
    """A network that takes one entry of the observation and never touches the other."""

    observation_space: spaces.Dict
    entry: str

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor) -> torch.Tensor:
        return _features(obs, self.entry, features_extractor)


def _features(obs: PyTorchObs, entry: str, extractor: BaseFeaturesExtractor) -> torch.Tensor:
    assert isinstance(obs, dict)
    seen = obs[entry]
    features: torch.Tensor = extractor(seen if seen.dtype == torch.uint8 else seen.float())
    return features


class _Asymmetric(BasePolicy):
    """What the policies of all algorithms have in common: the actor's encoder."""

    observation_space: spaces.Dict

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        encoder: str = "nature",
        shift: int = 0,
        mixed_precision: bool = False,
        **options: Any,
    ) -> None:
        """Everything by name, so that it can come from a configuration.

        Args:
            observation_space: dict of ``state`` and of what the actor sees.
            action_space: as for every policy of Stable-Baselines3, like ``lr_schedule``.
            lr_schedule: learning rate by the share of training that remains.
            net_arch: widths of the hidden layers behind the actor's features and behind the critic's state.
            encoder: name in ``ENCODERS``; for images alone, like ``shift`` and ``mixed_precision``.
            shift: pixels by which images move at random in training.
            mixed_precision: the encoder's layers run in bfloat16.
            options: of the policy of Stable-Baselines3.

        Raises:
            ValueError: other observations, an unknown encoder, or images that it cannot see.
        """
        self.seen, _ = seen_by_actor(observation_space)
        self.encoder: dict[str, Any] = {"encoder": encoder, "shift": shift, "mixed_precision": mixed_precision}
        super().__init__(observation_space, action_space, lr_schedule, net_arch=net_arch, **options)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """The actor's; called once."""
        space = self.observation_space[self.seen]
        if not is_image_space(space):
            return FlattenExtractor(space)
        options = dict(self.encoder)
        return encoder_named(options.pop("encoder"))(space, **options)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        parameters = {**super()._get_constructor_parameters(), **self.encoder}
        return {name: value for name, value in parameters.items() if not name.startswith("features_extractor")}


class AsymmetricPolicy(_Asymmetric, ActorCriticPolicy):
    """For PPO. Behind images the actor is the encoder and one layer, as SB3's CnnPolicy; the critic is 256 x 256.

    Hidden layers are tanh, as in every policy of SB3 for PPO.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        encoder: str = "nature",
        **options: Any,
    ) -> None:
        """As the policies of the other algorithms."""
        if is_image_space(seen_by_actor(observation_space)[1]):
            net_arch = {"pi": [], "vf": [256, 256]} if net_arch is None else net_arch
            options = {"ortho_init": encoder_named(encoder).ORTHOGONAL, **options}
        super().__init__(observation_space, action_space, lr_schedule, net_arch, encoder, **options)

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        # SB3 would build the critic's extractor as a second encoder and make both towers as wide as the first, so
        # the policy is built as one with a shared extractor up to here, and parted before anything uses it.
        self.share_features_extractor = False
        self.vf_features_extractor = FlattenExtractor(self.observation_space[STATE])
        critic = MlpExtractor(
            self.vf_features_extractor.features_dim, self.net_arch, self.activation_fn, device=self.device
        )
        self.mlp_extractor.value_net = critic.value_net
        self.mlp_extractor.latent_dim_vf = critic.latent_dim_vf

    def extract_features(  # type: ignore[override]  # SB3's own signature for extractors that are not shared
        self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The actor's features and the critic's."""
        return self._actor_features(obs), self._critic_features(obs)

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """Of actions; ``obs`` needs no state."""
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(self._actor_features(obs)))

    def predict_values(self, obs: PyTorchObs) -> torch.Tensor:
        """(batch, 1); ``obs`` needs nothing but the state."""
        values: torch.Tensor = self.value_net(self.mlp_extractor.forward_critic(self._critic_features(obs)))
        return values

    def _actor_features(self, obs: PyTorchObs) -> torch.Tensor:
        return _features(obs, self.seen, self.pi_features_extractor)

    def _critic_features(self, obs: PyTorchObs) -> torch.Tensor:
        return _features(obs, STATE, self.vf_features_extractor)


class _OffPolicy(_Asymmetric):
    """Hidden layers are relu, 256 x 256 behind the actor's features and in each critic, as in SB3."""

    ACTOR: ClassVar[type[_Narrow]]
    CRITIC: ClassVar[type[_Narrow]]
    actor_kwargs: dict[str, Any]
    critic_kwargs: dict[str, Any]

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """The network that acts."""
        actor = self.ACTOR(**self._update_features_extractor(self.actor_kwargs, features_extractor))
        actor.entry = self.seen
        return actor.to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """The critics, or their targets."""
        state = FlattenExtractor(self.observation_space[STATE])
        critic = self.CRITIC(**self._update_features_extractor(self.critic_kwargs, state))
        critic.entry = STATE
        return critic.to(self.device)


class _SACActor(_Narrow, sac.Actor): ...


class _SACCritic(_Narrow, ContinuousCritic): ...


class _TQCActor(_Narrow, tqc.Actor): ...


class _TQCCritic(_Narrow, tqc.Critic): ...


class AsymmetricSACPolicy(_OffPolicy, sac.SACPolicy):
    """For SAC."""

    ACTOR, CRITIC = _SACActor, _SACCritic


class AsymmetricTQCPolicy(_OffPolicy, tqc.TQCPolicy):
    """For TQC."""

    ACTOR, CRITIC = _TQCActor, _TQCCritic
