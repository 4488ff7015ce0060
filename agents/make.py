"""Building an algorithm on an environment, and the normaliser between the two."""

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import LinearSchedule, set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from agents.config import AGENTS, AgentConfig, construct
from agents.on_policy import EntropySchedule

# Beyond this many deviations an observation is clipped. It is far outside what is ever seen, so that the
# normaliser stays an affine map, which export folds into the network.
CLIP_OBSERVATION = 1e6


class Normalizer(VecNormalize):
    """SB3's running normalisation, with its statistics as plain arrays instead of a pickle."""

    def __init__(self, venv: VecEnv, **options: Any) -> None:
        """Options as for VecNormalize."""
        super().__init__(venv, **options)
        # What comes out is float32; saying so spares SB3 a conversion of every minibatch.
        space = self.observation_space
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, space.shape, np.float32)

    @property
    def observation_moments(self) -> RunningMeanStd:
        """Running mean and variance of each entry of the observation."""
        assert isinstance(self.obs_rms, RunningMeanStd)  # a dict of them for Dict spaces, which we do not have
        return self.obs_rms

    def state_dict(self) -> dict[str, Any]:
        """Means, variances, counts, and the discounted return of each environment."""
        return {
            "observation": _moments(self.observation_moments),
            "reward": _moments(self.ret_rms),
            "returns": self.returns.copy(),
        }

    def load_state_dict(self, state: dict[str, Any], returns: bool = True) -> None:
        """Restore the statistics; ``returns=False`` leaves out what belongs to the training environments."""
        for moments, saved in (
            (self.observation_moments, state["observation"]),
            (self.ret_rms, state["reward"]),
        ):
            mean = np.asarray(saved["mean"], np.float64)
            if mean.shape != np.shape(moments.mean):
                raise ValueError(
                    f"normaliser of shape {mean.shape} does not fit observations of shape {np.shape(moments.mean)}"
                )
            moments.mean, moments.var = mean, np.asarray(saved["var"], np.float64)
            moments.count = float(saved["count"])
        if returns:
            self.returns = np.asarray(state["returns"], np.float64)


def _moments(moments: RunningMeanStd) -> dict[str, Any]:
    return {
        "mean": np.array(moments.mean, np.float64),
        "var": np.array(moments.var, np.float64),
        "count": float(moments.count),
    }


def normalize(config: AgentConfig, env: VecEnv, training: bool) -> VecEnv:
    """Put the agent's normaliser around ``env``, or return it as it is where the agent uses none."""
    spec = AGENTS[config.name]
    if not (spec.normalize_observation or spec.normalize_reward):
        return env
    return Normalizer(
        env,
        training=training,
        norm_obs=spec.normalize_observation,
        norm_reward=spec.normalize_reward and training,
        clip_obs=CLIP_OBSERVATION,
        gamma=float(config.hyperparameters.get("gamma", 0.99)),
    )


def make_agent(config: AgentConfig, env: VecEnv, seed: int, device: str = "cpu") -> BaseAlgorithm:
    """The algorithm of a resolved ``config``, freshly initialised from ``seed``.

    SB3 draws from the global generators of PyTorch and NumPy, so this seeds them; a checkpoint carries them.

    Raises:
        ValueError: the algorithm refuses its hyperparameters, or the device is not there.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: PyTorch finds no CUDA here; accepted: cpu")
    spec = AGENTS[config.name]
    set_random_seed(seed, using_cuda=device.startswith("cuda"))
    arguments = construct(config.hyperparameters)
    entropy = arguments.get("ent_coef")
    if isinstance(entropy, LinearSchedule):
        arguments["ent_coef"] = entropy.start
    try:
        agent = spec.algorithm()(policy=spec.policy, env=env, device=device, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"{config.name} refuses its hyperparameters: {str(error).strip()}") from error
    if isinstance(agent, EntropySchedule) and isinstance(entropy, LinearSchedule):
        agent.ent_schedule = entropy
    agent.action_space.seed(seed)
    return agent
