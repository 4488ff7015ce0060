"""Building an algorithm on an environment, and the normaliser between the two."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import FloatSchedule, LinearSchedule, set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from agents.config import AgentConfig, construct
from agents.encoders import VECTORS, ImageOptions
from agents.exploration import OPTIONS, Exploration
from agents.frame_buffer import FrameReplayBuffer
from agents.latent import NO_LATENT, LatentOptions
from agents.policies import image_policy, shows_images
from agents.specs import AGENTS
from agents.watched import WatchedMoments, watched

# Beyond this many deviations an observation is clipped. It is far outside what is ever seen, so that the
# normaliser stays an affine map, which export folds into the network.
CLIP_OBSERVATION = 1e6
# What a buffer of frames cannot do, or what is decided for it.
_ON_FRAMES = {"n_steps": 1, "replay_buffer_class": None, "replay_buffer_kwargs": None}
_ENCODER_OPTIONS = "features_extractor_kwargs"

Array = np.ndarray[Any, Any]
Observation = Array | dict[str, Array]
Moments = RunningMeanStd | dict[str, RunningMeanStd]


class Normalizer(VecNormalize):
    """SB3's running normalisation, with its statistics as plain arrays instead of a pickle.

    Of a dict it normalises every entry but the images, and of images alone nothing but the reward. Images pass as
    they are, neither converted nor copied, so the environment must not write to them again. Simulations that are not
    watched teach it nothing of observations.
    """

    def __init__(self, venv: VecEnv, norm_obs: bool = True, **options: Any) -> None:
        """Options as for VecNormalize."""
        space = venv.observation_space
        if isinstance(space, spaces.Dict):
            options["norm_obs_keys"] = [name for name, entry in space.spaces.items() if not is_image_space(entry)]
        super().__init__(venv, norm_obs=norm_obs and not is_image_space(space), **options)
        mask = watched(venv)
        moments: Any = self.obs_rms if self.norm_obs else {}  # SB3 declares a dict, but a vector's are alone
        if isinstance(moments, dict):
            moments = {name: WatchedMoments(each.mean.shape, mask) for name, each in moments.items()}
        else:
            moments = WatchedMoments(moments.mean.shape, mask)
        self.obs_rms = moments
        if isinstance(space, spaces.Dict):
            self.observation_space = spaces.Dict({name: _normalized(entry) for name, entry in space.spaces.items()})
        else:
            self.observation_space = _normalized(space)

    @property
    def moments(self) -> Moments:
        """Running mean and variance of what is normalised: of a vector, or of the vectors of a dict by their names."""
        return self.obs_rms

    @property
    def observation_moments(self) -> RunningMeanStd:
        """Running mean and variance of each entry of a vector.

        Raises:
            ValueError: the observation is images or a dict.
        """
        if isinstance(self.moments, dict):
            raise ValueError(
                "the observation is not a vector alone; accepted: a pipeline that shows one, such as state"
            )
        return self.moments

    def normalize_obs(self, obs: Observation) -> Observation:
        """What SB3 makes of ``obs``, but without a copy of what stays as it is."""
        if not self.norm_obs:
            return obs
        if isinstance(obs, dict):
            return {name: self._scaled(array, self.obs_rms.get(name)) for name, array in obs.items()}
        return self._scaled(obs, self.observation_moments)

    def _scaled(self, array: Array, moments: RunningMeanStd | None) -> Array:
        return array if moments is None else self._normalize_obs(array, moments).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Means, variances, counts, and the discounted return of each environment."""
        moments = self.moments
        return {
            "observation": {name: _plain(each) for name, each in moments.items()}
            if isinstance(moments, dict)
            else _plain(moments),
            "reward": _plain(self.ret_rms),
            "returns": self.returns.copy(),
        }

    def load_state_dict(self, state: dict[str, Any], returns: bool = True) -> None:
        """Restore the statistics; ``returns=False`` leaves out what belongs to the training environments.

        Raises:
            ValueError: they are of other observations.
        """
        moments, saved = self.moments, state["observation"]
        if not isinstance(moments, dict):
            moments, saved = {"": moments}, {"": saved}
        if set(saved) != set(moments):
            raise ValueError(f"normaliser of {_names(saved)} does not fit observations of {_names(moments)}")
        for name, each in moments.items():
            _load(each, saved[name])
        _load(self.ret_rms, state["reward"])
        if returns:
            self.returns = np.asarray(state["returns"], np.float64)

    def hold(self, moments: dict[str, Any]) -> None:
        """Normalise a dict by these statistics of its entries from now on, whatever comes."""
        own = self.moments
        assert isinstance(own, dict)
        for name, each in own.items():
            _load(each, moments[name])
        self.training = False

    def adopt(self, moments: dict[str, Any]) -> None:
        """Begin with the statistics that another normaliser had of the same vector, as its state says."""
        own = self.moments
        for each in own.values() if isinstance(own, dict) else (own,):
            _load(each, moments)


def _normalized(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Space of what comes out of the normaliser for one entry: float32, which spares SB3 conversions."""
    return space if is_image_space(space) else spaces.Box(-np.inf, np.inf, space.shape, np.float32)


def _names(entries: dict[str, Any]) -> str:
    return ", ".join(entries) or "images"


def _plain(moments: RunningMeanStd) -> dict[str, Any]:
    return {
        "mean": np.array(moments.mean, np.float64),
        "var": np.array(moments.var, np.float64),
        "count": float(moments.count),
    }


def _load(moments: RunningMeanStd, saved: dict[str, Any]) -> None:
    mean = np.asarray(saved["mean"], np.float64)
    if mean.shape != np.shape(moments.mean):
        raise ValueError(
            f"normaliser of shape {mean.shape} does not fit observations of shape {np.shape(moments.mean)}"
        )
    moments.mean, moments.var = mean, np.asarray(saved["var"], np.float64)
    moments.count = float(saved["count"])


def normalize(config: AgentConfig, env: VecEnv, training: bool) -> VecEnv:
    """Put the agent's normaliser around ``env``, or return it as it is where the agent uses none."""
    spec = AGENTS[config.name]
    observation = bool(config.hyperparameters.get("normalize_observation", spec.normalize_observation))
    if not (observation or spec.normalize_reward):
        return env
    return Normalizer(
        env,
        training=training,
        norm_obs=observation,
        norm_reward=spec.normalize_reward and training,
        clip_obs=CLIP_OBSERVATION,
        gamma=float(config.hyperparameters.get("gamma", 0.99)),
    )


def make_agent(
    config: AgentConfig,
    env: VecEnv,
    seed: int,
    device: str = "cpu",
    images: ImageOptions = VECTORS,
    latent: LatentOptions = NO_LATENT,
) -> BaseAlgorithm:
    """The algorithm of a resolved ``config``, freshly initialised from ``seed``.

    What ``env`` lets it observe decides on its networks, see :func:`image_policy`, and on its replay buffer: of
    stacked frames it keeps each once. The configuration's ``policy_kwargs`` come on top. SB3 draws from the global
    generators of PyTorch and NumPy, so this seeds them; a checkpoint carries them.

    Raises:
        ValueError: the algorithm refuses its hyperparameters or the observations, or the device is not there.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: PyTorch finds no CUDA here; accepted: cpu")
    spec = AGENTS[config.name]
    policy, networks = image_policy(env.observation_space, config.name, images, latent)
    set_random_seed(seed, using_cuda=device.startswith("cuda"))
    arguments = construct(config.hyperparameters)
    arguments["policy_kwargs"] = _merged(networks, arguments.get("policy_kwargs", {}))
    if issubclass(spec.algorithm(), OffPolicyAlgorithm) and shows_images(env.observation_space):
        for key, accepted in _ON_FRAMES.items():
            if arguments.get(key, accepted) != accepted:
                raise ValueError(
                    f"hyperparameter {key} of {config.name} is {arguments[key]!r}; on images, whose replay buffer "
                    f"keeps frames, it must be {accepted}"
                )
        arguments |= {"replay_buffer_class": FrameReplayBuffer, "replay_buffer_kwargs": {"stack": images.stack}}
    schedules = {key: arguments.pop(key, None) for key in OPTIONS}
    entropy = arguments.get("ent_coef")
    if isinstance(entropy, LinearSchedule):
        arguments["ent_coef"] = entropy.start
    if deviation := arguments.pop("action_noise", None):
        mean = np.zeros(env.action_space.shape or ())
        arguments["action_noise"] = NormalActionNoise(mean, np.full_like(mean, deviation))
    try:
        agent = spec.algorithm()(policy=policy, env=env, device=device, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"{config.name} refuses its hyperparameters: {str(error).strip()}") from error
    if isinstance(agent, Exploration):
        std = None if schedules["std"] is None else FloatSchedule(schedules["std"])
        entropy = entropy if isinstance(entropy, LinearSchedule) else None
        agent.schedule_exploration(entropy, std, schedules["std_floor"] or 0.0)
    agent.action_space.seed(seed)
    return agent


def _merged(networks: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``given`` over ``networks``; the encoder's options one by one."""
    encoder = {**networks.get(_ENCODER_OPTIONS, {}), **given.get(_ENCODER_OPTIONS, {})}
    return {**networks, **given, **({_ENCODER_OPTIONS: encoder} if encoder else {})}
