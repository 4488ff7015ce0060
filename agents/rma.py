"""Rapid motor adaptation: a policy that is told a summary of the physics, then a student that infers the summary.

Kumar, Fu, Pathak and Malik 2021, arXiv:2107.04034. First an encoder turns the drawn physical parameters into a few
numbers, the latent, which the policy sees behind the state; the two learn together from the reward, by PPO on the
privileged pipeline. Then policy and encoder stay as they are, and an adaptation network is fitted to the encoder's
latent from the last observations and actions, on what the policy does with the network's own latent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

from agents.asymmetric import STATE
from agents.dagger import DAgger
from agents.latent import HISTORY, Adaptation, length_of
from agents.make import Normalizer

Array = npt.NDArray[np.float64]


class RMA(DAgger):
    """The second phase: as DAgger, but the adaptation network alone learns, and from the latent instead of the actions.

    Observations are mappings of ``history`` and ``state``, the latter with the true parameters at its end.
    """

    LOSS: ClassVar[str] = "adaptation_loss"

    def loss(self, observations: TensorDict, actions: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the inferred latent."""
        assert isinstance(self.policy, ActorCriticPolicy)
        network = self.policy.features_extractor
        assert isinstance(network, Adaptation)
        with torch.no_grad():
            wanted = network.encoded(observations)
        return nn.functional.mse_loss(network.inferred(observations), wanted)


def build_on(student: RMA, env: Normalizer, policy: Mapping[str, torch.Tensor], moments: Mapping[str, Any]) -> None:
    """Give a student the encoder, the policy and the normalisation of its teacher, which stay as they are.

    Args:
        student: freshly made.
        env: around its environment.
        policy: the teacher's networks, an actor-critic policy behind a :class:`ParameterEncoder`.
        moments: running mean and variance of what the teacher saw, as its normaliser's state has them.

    Raises:
        ValueError: the teacher's networks are of another shape.
    """
    own = {name: tensor.shape for name, tensor in student.policy.state_dict().items() if ".adaptation." not in name}
    if own != {name: tensor.shape for name, tensor in policy.items()}:
        raise ValueError(
            "the teacher's networks have other layers than the student's; accepted: a teacher of ppo with the same "
            "net_arch, or none, and with the student's --privileged.latent"
        )
    student.policy.load_state_dict(dict(policy), strict=False)
    network = student.policy.features_extractor
    assert isinstance(network, Adaptation)
    mean, var = np.asarray(moments["mean"]), np.asarray(moments["var"])
    assert isinstance(env.observation_space, spaces.Dict)
    past = length_of(env.observation_space[HISTORY]) - network.entries
    actuators = length_of(student.action_space)
    repeat = past // (network.entries + actuators)

    def along(moment: Array, of_actions: float) -> Array:
        now = moment[: network.entries]
        return np.concatenate([now, np.tile(np.append(now, np.full(actuators, of_actions)), repeat)])

    history = {"mean": along(mean, 0.0), "var": along(var, 1.0), "count": moments["count"]}
    env.hold({HISTORY: history, STATE: dict(moments)})
