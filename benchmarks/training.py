"""Speed of learning: ours against plain Stable-Baselines3, and where our time goes."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.progress import track
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

import envs
from agents import normalize
from benchmarks.timing import Row, Stopwatch
from experiments.config import RunConfig


@dataclass(frozen=True)
class Learner:
    """An agent that learns on for at least ``steps`` (whole updates) in each repeat."""

    name: str
    agent: BaseAlgorithm
    torch_threads: int
    steps: int


def our_training(config: RunConfig, threads: int) -> tuple[BaseAlgorithm, VecEnv, envs.BatchedEnv]:
    """Agent, its environment and the simulation below, put together as in experiments.train."""
    config = config.resolved()
    simulation = config.make_env(config.num_envs, threads)
    env = normalize(config.agent, config.observe(simulation), training=True)
    return config.make_agent(env), env, simulation


def training_speeds(learners: Sequence[Learner], repeats: int) -> dict[str, list[float]]:
    """Steps per second by name, one for each repeat, after one update to warm up."""
    speeds: defaultdict[str, list[float]] = defaultdict(list)
    for repeat in track(range(repeats + 1), "training"):
        for learner in learners:
            speed = _learn(learner.agent, learner.steps if repeat else 1, learner.torch_threads)
            if repeat:
                speeds[learner.name].append(speed)
    return dict(speeds)


def training_shares(ours: tuple[BaseAlgorithm, VecEnv, envs.BatchedEnv], steps: int) -> list[Row]:
    """Where the time of :func:`our_training` goes. The timers stay in it, so this comes last."""
    agent, env, simulation = ours
    watch = Stopwatch("other (rollout buffer, advantages, logging)")
    parts = [
        (simulation.batch, "step", "physics (Batch.step)"),
        (simulation, "step_async", "environment (observation, reward, resets)"),
        (simulation, "step_wait", "environment (observation, reward, resets)"),
        (agent.policy, "forward", "policy, acting"),
        (agent, "train", "policy, update"),
    ]
    if env is not simulation:
        parts.append((env, "step_wait", "normalisation"))
    for owner, method, name in parts:
        setattr(owner, method, watch.part(name, getattr(owner, method)))
    _learn(agent, steps, torch_threads=1)
    return watch.shares()


def _learn(agent: BaseAlgorithm, steps: int, torch_threads: int) -> float:
    """Steps per second over at least ``steps``."""
    with _torch_threads(torch_threads):
        before, began = agent.num_timesteps, time.perf_counter()
        agent.learn(steps, reset_num_timesteps=False)
        return (agent.num_timesteps - before) / (time.perf_counter() - began)


@contextlib.contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
