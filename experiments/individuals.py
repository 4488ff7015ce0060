"""Policies that are compared with one another, and what they really earn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.vec_env import VecEnv

from agents import Normalizer
from agents.cem import CEM, sample
from agents.population import Population
from experiments.checkpoints import load_section
from experiments.evaluate import load_trained
from experiments.run import Run, check_memoryless

Array = npt.NDArray[Any]
Act = Callable[[Array], Array]
"""Actions ``(n, m, actuators)`` in unnormalised states ``(n, m, entries)``: ``m`` for each of ``n`` individuals."""


@dataclass(frozen=True)
class Individuals:
    """Policies that act together."""

    names: tuple[str, ...]
    act: Act


@dataclass(frozen=True)
class Played:
    """What each individual did in each of its episodes, ``(n, episodes)``; a step after its end counts nothing."""

    returns: Array
    lengths: Array
    predicted: Array
    """Sums of predicted rewards; NaN without a predictor."""
    rewards: Array
    """Of all steps of all of them, ``(steps,)``."""
    guesses: Array
    """The predicted ones, ``(steps,)``."""


def trained(run: Run) -> Individuals:
    """The policy of a run's last checkpoint.

    Raises:
        ValueError: it has none, is on no state, or remembers what it saw.
    """
    _check(run)
    policy = load_trained(run, run.config.domain, num_envs=1, num_threads=1)
    normalize = _normalizer(policy.env)

    def act(observations: Array) -> Array:
        seen = normalize(observations.reshape(-1, observations.shape[-1]))
        actions, _ = policy.agent.predict(seen, deterministic=True)
        return np.asarray(actions.reshape(*observations.shape[:2], -1))

    return Individuals((run.name,), act)


def sampled(run: Run, count: int, seed: int) -> Individuals:
    """``count`` individuals of the search distribution of a run's last checkpoint.

    Raises:
        ValueError: as :func:`trained`, or the run is not of agent cem.
    """
    if run.config.agent.name != "cem":
        raise ValueError(f"{run.directory}: a run of agent {run.config.agent.name}; accepted: of agent cem")
    _check(run)
    policy = load_trained(run, run.config.domain, num_envs=1, num_threads=1)
    agent, normalize = policy.agent, _normalizer(policy.env)
    assert isinstance(agent, CEM)
    checkpoint = run.latest_checkpoint()
    try:
        variance = load_section(checkpoint, "training")["agent"]["attributes"]["variance"]
        mean = torch.nn.utils.parameters_to_vector(agent.policy.parameters()).detach()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            population = Population(agent.policy, sample(mean, variance.to(mean.device), count))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{checkpoint}: no search distribution of this policy ({error})") from None

    def act(observations: Array) -> Array:
        return population.act(normalize(observations))

    return Individuals(tuple(f"{run.name}#{number}" for number in range(count)), act)


def together(groups: Sequence[Individuals]) -> Individuals:
    """All individuals of all groups, in order."""
    ends = np.cumsum([len(group.names) for group in groups])[:-1]

    def act(observations: Array) -> Array:
        parts = np.split(observations, ends)
        return np.concatenate([group.act(part) for group, part in zip(groups, parts, strict=True)])

    return Individuals(tuple(name for group in groups for name in group.names), act)


def play(
    individuals: Individuals,
    simulation: Any,
    predict: Callable[[Array, Array], Array] | None = None,
    tell: Callable[[int], object] = lambda step: None,
) -> Played:
    """An episode of each individual in each of its simulations: those of the first come first, then the next one's.

    Args:
        individuals: ``n`` of them; ``simulation`` has a multiple of so many.
        simulation: an :class:`envs.BatchedEnv`, seeded.
        predict: rewards ``(k,)`` of observations and actions, ``(k, ...)`` each.
        tell: called with the number of steps done.
    """
    count = len(individuals.names)
    observations = simulation.reset()
    running = np.ones(len(observations), bool)
    returns, lengths, predicted = np.zeros((3, len(observations)))
    steps: list[tuple[Array, Array]] = []
    while running.any():
        actions = individuals.act(observations.reshape(count, -1, observations.shape[1]))
        actions = actions.reshape(len(observations), -1)
        guesses = np.full(len(observations), np.nan) if predict is None else predict(observations, actions)
        observations, rewards, dones, _ = simulation.step(actions)
        steps.append((rewards[running], guesses[running]))
        returns += np.where(running, rewards, 0.0)
        predicted += np.where(running, guesses, 0.0)
        lengths += running
        running &= ~dones
        tell(len(steps))
    all_rewards, all_guesses = (np.concatenate(column) for column in zip(*steps, strict=True))
    returns, lengths, predicted = (each.reshape(count, -1) for each in (returns, lengths, predicted))
    return Played(returns, lengths, predicted, all_rewards, all_guesses)


def _check(run: Run) -> None:
    if run.config.pipeline != "state":
        raise ValueError(f"{run.directory}: a policy on {run.config.pipeline}; accepted: on state")
    check_memoryless(run)


def _normalizer(env: VecEnv) -> Callable[[Array], Array]:
    def normalize(observations: Array) -> Array:
        return np.asarray(env.normalize_obs(observations)) if isinstance(env, Normalizer) else observations

    return normalize
