"""The cross-entropy method: a population of small policies, of which the best say where to look next.

Each generation draws policies from a normal distribution over their parameters with a diagonal covariance, lets each
act in a simulation of its own, and moves the distribution to those that earned most. The method is Rubinstein's
("The cross-entropy method for combinatorial and continuous optimization", Methodology and Computing in Applied
Probability 1, 1999); the noise that keeps its variance from vanishing too early, and decays, is Szita and Lőrincz's
("Learning Tetris using the noisy cross-entropy method", Neural Computation 18, 2006); elites count by the
logarithm of their rank, as in CMA-ES (Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772) and as
Pourchot and Sigaud have it for the parameters of networks (arXiv:1810.01222).

There are no common random numbers: every individual meets a start, and a draw of the physics, of its own. With the same
ones for all, a ranking would be less noisy, but every generation would fit one start; here the elites' mean is of
policies that did well on different ones.

The variance is the elites' own, around their mean, so that without extra noise it shrinks by 1 − Σ weights² a
generation even where nothing is selected. Where nothing is, it settles at extra_noise² / Σ weights², for 16 elites at
3.0 times the extra noise: the noise, not the first sigma, says how far a long search looks. Nor does the mean of 16
elites stand still there: it walks at random, in 12,000 dimensions further than selection takes it, and saturates the
tanh. Smoothed updates (de Boer, Kroese, Mannor and Rubinstein, "A tutorial on the cross-entropy method", Annals of
Operations Research 134, 2005) average the walk out over generations.
"""

import sys
import time
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from sb3_contrib.ars.policies import ARSPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import FloatSchedule
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from agents.population import Population
from agents.watched import watched

Returns = npt.NDArray[np.float64]


def log_rank_weights(elites: int) -> Tensor:
    """What each elite counts, best first, ``(elites,)``: ln(elites + 1/2) − ln(rank), over their sum.

    Hansen's equation 49 for a population of twice as many, where the others count nothing.
    """
    weights = np.log(elites + 0.5) - np.log(np.arange(1, elites + 1))
    return torch.as_tensor(weights / weights.sum(), dtype=torch.float32)


def moved(
    mean: Tensor, individuals: Tensor, returns: Returns, elites: int, noise: float, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Mean and variance ``(d,)`` after a generation of ``individuals`` ``(n, d)`` that earned ``returns`` ``(n,)``.

    The variance is of the ``elites`` around their own mean, plus the square of ``noise``, a standard deviation. The
    mean goes the share ``smoothing`` of the way to theirs. Of equal returns the earlier counts more.
    """
    order = torch.as_tensor(np.argsort(-returns, kind="stable")[:elites].copy(), device=individuals.device)
    chosen, weights = individuals[order], log_rank_weights(elites).to(individuals.device)
    theirs = weights @ chosen
    return torch.lerp(mean, theirs, smoothing), weights @ (chosen - theirs).square() + noise**2


class CEM(BaseAlgorithm):
    """A policy that is the mean of a population; one environment for each individual.

    Steps count those of individuals that still earn. A simulation whose individual has fallen stands still until the
    next generation: it plays no episodes that nobody judges, which normaliser and randomizer would learn from.
    Training stops, and saves, between two generations.

    The policy is sb3-contrib's for random search, a perceptron whose actions pass through a tanh, so that what is
    exported opens with ``sb3_contrib.ARS.load``.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": ARSPolicy}
    policy: ARSPolicy
    carried: ClassVar[tuple[str, ...]] = ("variance",)
    """What a checkpoint keeps beside what every algorithm has."""

    def __init__(
        self,
        policy: str | type[ARSPolicy],
        env: GymEnv | None,
        elite_fraction: float = 0.5,
        sigma: float = 0.05,
        extra_noise: float | Schedule = 0.015,
        smoothing: float = 0.3,
        episode_steps: float | Schedule = 0,
        normalize_observation: bool = True,
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        """As SB3's algorithms, and:

        ``elite_fraction``: share of the population that the next generation is drawn around.
        ``sigma``: standard deviation of the parameters in the first generation.
        ``extra_noise``: standard deviation that is added after each generation (the variances add up), or a schedule.
        ``smoothing``: share of the way to the elites' mean that the mean goes; 1 goes all of it.
        ``episode_steps``: environment steps that an individual is judged on at most; 0 judges whole episodes. Short
        ones tell more about a gait for their price, long ones whether it lasts: a schedule goes from one to the other.
        ``normalize_observation``: whether ``env`` normalises what it shows; :func:`agents.make.normalize` does it.

        Raises:
            ValueError: an impossible value.
        """
        super().__init__(
            policy,
            env,
            learning_rate=0.0,  # there is none, but SB3 wants one
            policy_kwargs={"net_arch": [100], "activation_fn": nn.Tanh, **(policy_kwargs or {})},
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
            supported_action_spaces=(spaces.Box,),
        )
        for name, share in (("elite_fraction", elite_fraction), ("smoothing", smoothing)):
            if not 0 < share <= 1:
                raise ValueError(f"{name} is {share}; it must be above 0 and at most 1")
        if not sigma > 0:
            raise ValueError(f"sigma is {sigma}; it must be above 0")
        self.length_schedule = FloatSchedule(episode_steps)
        for steps in [episode_steps(1.0), episode_steps(0.0)] if callable(episode_steps) else [episode_steps or 1]:
            if steps < 1 or steps != int(steps):
                raise ValueError(
                    f"episode_steps is {steps}; it must be an integer of 1 or more, or 0 for whole episodes"
                )
        self.elite_fraction, self.sigma, self.smoothing = elite_fraction, sigma, smoothing
        self.noise_schedule = FloatSchedule(extra_noise)
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(self.observation_space, self.action_space, **self.policy_kwargs)  # type: ignore[assignment]
        self.policy = self.policy.to(self.device)
        # The statistics of a generation: SB3 keeps as many episodes.
        self._stats_window_size = self.n_envs
        self.variance = torch.full_like(self._mean(), self.sigma**2)

    def _mean(self) -> Tensor:
        """The policy's parameters ``(d,)``, which are the distribution's mean."""
        return parameters_to_vector(self.policy.parameters()).detach()

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "CEM",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Whole generations until ``total_timesteps`` are reached; a log row every ``log_interval`` generations."""
        total, callback = self._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        self.variance = self.variance.to(self.device)  # out of a checkpoint it comes to the CPU
        callback.on_training_start(locals(), globals())
        self._update_current_progress_remaining(self.num_timesteps, total)  # a checkpoint does not carry it
        while self.num_timesteps < total:
            callback.on_rollout_start()
            individuals = sample(self._mean(), self.variance, self.n_envs)
            returns = self._judge(individuals, callback)
            if returns is None:
                break
            self._update_current_progress_remaining(self.num_timesteps, total)
            noise = self.noise_schedule(self._current_progress_remaining)
            elites = max(1, round(self.elite_fraction * self.n_envs))
            mean, self.variance = moved(self._mean(), individuals, returns, elites, noise, self.smoothing)
            vector_to_parameters(mean, self.policy.parameters())
            self._n_updates += 1
            callback.on_rollout_end()
            self.logger.record("train/extra_noise", noise)
            if log_interval and self._n_updates % log_interval == 0:
                self.dump_logs()
        callback.on_training_end()
        return self

    def _judge(self, individuals: Tensor, callback: BaseCallback) -> Returns | None:
        """What each individual ``(n, d)`` earned until it fell or its time was over; None if the callback wants an end.

        One whose physics diverged comes last, whatever it earned: the others are not to learn to break the simulator.
        """
        env = self.env
        assert env is not None
        population = Population(self.policy, individuals)
        returns, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)
        standing, diverged = np.ones(env.num_envs, bool), np.zeros(env.num_envs, bool)
        moving = watched(env)
        moving[:] = True
        observations: Any = env.reset()
        limit = round(self.length_schedule(self._current_progress_remaining)) or np.inf
        while standing.any() and lengths.max() < limit:
            observations, rewards, dones, infos = env.step(population.act(observations[:, None])[:, 0])
            self.num_timesteps += int(standing.sum())
            returns += np.where(standing, rewards, 0.0)
            lengths += standing
            diverged |= [bool(alive and info.get("diverged")) for alive, info in zip(standing, infos, strict=True)]
            standing &= ~dones
            moving[:] = standing
            callback.update_locals(locals())
            if not callback.on_step():
                return None
        self._last_obs = observations
        self._update_info_buffer(
            [{"episode": {"r": float(r), "l": int(n)}} for r, n in zip(returns, lengths, strict=True)]
        )
        return np.where(diverged, -np.inf, returns)

    def dump_logs(self) -> None:
        """Write the last generation's row."""
        episodes = self.ep_info_buffer or ()
        returns = [episode["r"] for episode in episodes]
        seconds = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
        for name, value in (
            ("rollout/ep_rew_mean", np.mean(returns)),
            ("rollout/ep_rew_best", max(returns)),
            ("rollout/ep_rew_worst", min(returns)),
            ("rollout/ep_len_mean", np.mean([episode["l"] for episode in episodes])),
            ("train/sigma", self.variance.sqrt().mean().item()),
            ("train/generation", self._n_updates),
            ("time/fps", int((self.num_timesteps - self._num_timesteps_at_start) / seconds)),
        ):
            self.logger.record(name, value)
        self.logger.record("time/time_elapsed", int(seconds), exclude="tensorboard")
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)


def sample(mean: Tensor, variance: Tensor, count: int) -> Tensor:
    """``(count, d)`` individuals of a normal distribution; drawn from PyTorch's generator, which checkpoints carry."""
    return mean + variance.sqrt() * torch.randn(count, len(mean), device=mean.device)
