"""Speed and memory against the usual alternatives, from one process on one machine, printed with the goals.

What is compared takes turns: every repeat measures everything once, and a ratio is the median of the repeats'
own ratios, so that a machine that is slower for a while does not favour anyone.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

import envs
from agents import make_agent, normalize
from benchmarks.memory import training_memory
from benchmarks.timing import Row, Stopwatch, ratio, table
from experiments.config import RunConfig
from experiments.run import provenance
from pipelines import PIPELINES

REPEATS = 7
SIZES = (8, 16, 64, 256)
SB3_SIZE = 8  # environments of DummyVecEnv and SubprocVecEnv
ENVPOOL_SIZES = (8, 64)
TRAINING_ENVS = 64
ENVPOOL_MISSING = "not installed: pip install envpool"

NOTES = f"""Environments: Hopper, random float32 actions drawn beforehand, with rewards, ends of episodes and resets.
A step is one of one environment. BatchedEnv, EnvPool and Batch use one thread a core, SubprocVecEnv one process an
environment. EnvPool spends a call on each reset, which counts as a step here, in its favour. Bare Batch.step, in the
same Batch, repeats the very states and actions of BatchedEnv (checked bit for bit); where an episode ended the next
start is written in with the clock stopped, so that the difference is all that BatchedEnv adds.
Training: both on the CPU and on the nominal Hopper with 1000 steps. Ours as `simgap train` sets it up ({TRAINING_ENVS}
environments, one torch thread, all cores for physics), without writing files; SB3 with its defaults throughout
(1 environment, torch's own choice of threads).
Memory: `simgap train` with {TRAINING_ENVS} environments and uniform randomisation."""

Actions = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Contender:
    """Something to step: ``burst`` takes actions ``(calls, num_envs, 3)`` and returns seconds by name."""

    num_envs: int
    burst: Callable[[Actions], dict[str, float]]
    close: Callable[[], None]


def batched(num_envs: int, threads: int) -> Contender:
    """BatchedEnv and the bare stepping of its own Batch."""
    env = envs.make_vec("hopper", num_envs, num_threads=threads)
    env.reset()
    batch, ctrl = env.batch, env.batch.bind("ctrl")

    def burst(actions: Actions) -> dict[str, float]:
        saved = env.state_dict()
        starts = []
        for action in actions:
            ids = np.flatnonzero(env.step(action)[2])
            starts.append((ids, batch.state[ids]))
        end = batch.state.copy()

        env.load_state_dict(saved)
        whole = _seconds(env.step, actions)

        batch.state[:] = saved["physics"]
        bare = 0.0
        for action, (ids, states) in zip(actions, starts, strict=True):
            ctrl[:] = action
            began = time.perf_counter()
            batch.step(nstep=env.task.frame_skip)
            bare += time.perf_counter() - began
            batch.state[ids] = states
        if not np.array_equal(batch.state, end):
            raise RuntimeError("bare Batch.step left the states of BatchedEnv, so the two cannot be compared")
        return {f"BatchedEnv ×{num_envs}": whole, f"bare Batch.step ×{num_envs}": bare}

    return Contender(num_envs, burst, env.close)


def sb3(kind: type[DummyVecEnv] | type[SubprocVecEnv], num_envs: int) -> Contender:
    """Gymnasium's Hopper as SB3's users run it, each environment in a Monitor."""
    env = make_vec_env("Hopper-v5", num_envs, seed=0, vec_env_cls=kind)
    env.reset()
    return Contender(num_envs, lambda a: {f"{kind.__name__} ×{num_envs}": _seconds(env.step, a)}, env.close)


def envpool(num_envs: int, threads: int) -> Contender | None:
    """EnvPool's synchronous Hopper; None where EnvPool is not installed."""
    try:
        import envpool
    except ImportError:
        return None
    env = envpool.make_gymnasium("Hopper-v5", num_envs=num_envs, batch_size=num_envs, num_threads=threads, seed=0)
    env.reset()

    def burst(actions: Actions) -> dict[str, float]:
        return {f"EnvPool ×{num_envs}": _seconds(env.step, actions.astype(env.action_space.dtype))}

    return Contender(num_envs, burst, env.close)


def _seconds(step: Callable[[Actions], object], actions: Actions) -> float:
    began = time.perf_counter()
    for action in actions:
        step(action)
    return time.perf_counter() - began


def take_turns(contenders: Sequence[Contender], calls: int, repeats: int) -> dict[str, list[float]]:
    """Steps per second of all environments together, by name, one for each repeat."""
    rng = np.random.default_rng(0)
    speeds: defaultdict[str, list[float]] = defaultdict(list)
    for repeat in track(range(repeats + 1), "environments"):
        for contender in contenders:
            shape = (calls, contender.num_envs, 3)
            actions = rng.uniform(-1, 1, shape).astype(np.float32)
            for name, seconds in contender.burst(actions).items():
                if repeat:  # the first is the warm-up
                    speeds[name].append(calls * contender.num_envs / seconds)
    return dict(speeds)


def environment_speeds(calls: int, threads: int, repeats: int = REPEATS) -> dict[str, list[float]]:
    """Steps per second of every contender that is installed."""
    with contextlib.ExitStack() as stack:
        contenders = [sb3(SubprocVecEnv, SB3_SIZE), sb3(DummyVecEnv, SB3_SIZE)]
        contenders += [batched(size, threads) for size in SIZES]
        contenders += [pool for size in ENVPOOL_SIZES if (pool := envpool(size, threads))]
        for contender in contenders:
            stack.callback(contender.close)
        return take_turns(contenders, calls, repeats)


def environment_rows(speeds: Mapping[str, Sequence[float]]) -> tuple[list[Row], list[Row]]:
    """Speeds, and the ratios that have a goal."""
    rows = [Row(name, tuple(values), "steps/s") for name, values in speeds.items()]
    ratios = []
    for kind, goal in ((DummyVecEnv, 3.5), (SubprocVecEnv, 5.0)):
        theirs = f"{kind.__name__} ×{SB3_SIZE}"
        for size in SIZES:
            ours = f"BatchedEnv ×{size}"
            ratios.append(ratio(f"{ours} / {theirs}", speeds[ours], speeds[theirs], goal))
    for size in ENVPOOL_SIZES:
        ours, theirs = f"BatchedEnv ×{size}", f"EnvPool ×{size}"
        if theirs in speeds:
            ratios.append(ratio(f"{ours} / {theirs}", speeds[ours], speeds[theirs], 1.2))
        else:
            ratios.append(Row(f"{ours} / {theirs}", (), "×", 1.2, note=ENVPOOL_MISSING))
    for size in SIZES:
        ours, theirs = f"BatchedEnv ×{size}", f"bare Batch.step ×{size}"
        ratios.append(ratio(f"{ours} / {theirs}", speeds[ours], speeds[theirs], 90, "%"))
    return rows, ratios


def our_training(config: RunConfig, threads: int) -> tuple[BaseAlgorithm, VecEnv, envs.BatchedEnv]:
    """Agent, its environment and the simulation below, put together as in experiments.train."""
    config = config.resolved()
    simulation = config.make_env(config.num_envs, threads)
    env = normalize(config.agent, PIPELINES[config.pipeline]().wrap(simulation), training=True)
    return make_agent(config.agent, env, config.seed, config.device), env, simulation


def learning_speed(agent: BaseAlgorithm, steps: int, torch_threads: int) -> float:
    """Steps per second while ``agent`` learns on for at least ``steps``, in whole updates."""
    with _torch_threads(torch_threads):
        before, began = agent.num_timesteps, time.perf_counter()
        agent.learn(steps, reset_num_timesteps=False)
        return (agent.num_timesteps - before) / (time.perf_counter() - began)


def training_speeds(
    ours: BaseAlgorithm, plain: BaseAlgorithm, steps: int, repeats: int = REPEATS
) -> tuple[list[float], list[float]]:
    """Steps per second of both in each repeat; all repeats together take ``steps`` steps, or whole updates."""
    speeds: tuple[list[float], list[float]] = ([], [])
    for repeat in track(range(repeats + 1), "training"):
        for agent, torch_threads, into in ((ours, 1, speeds[0]), (plain, torch.get_num_threads(), speeds[1])):
            # The first is the warm-up: one rollout and its update.
            speed = learning_speed(agent, max(steps // repeats, 1) if repeat else 1, torch_threads)
            if repeat:
                into.append(speed)
    return speeds


def training_shares(agent: BaseAlgorithm, env: VecEnv, simulation: envs.BatchedEnv, steps: int) -> list[Row]:
    """Where the time of our training goes; the timers stay in ``agent``, which is of no more use afterwards."""
    watch = Stopwatch()
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
    watch.part("other (rollout buffer, advantages, logging)", learning_speed)(agent, steps, torch_threads=1)
    return [row for row in watch.shares() if row.name != "other"]


@contextlib.contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(steps: int = 400, training_steps: int = 200_000) -> None:
    """Measure and print everything.

    Args:
        steps: calls of ``step`` per measurement of an environment.
        training_steps: environment steps, or whole updates, per measurement of training.

    Raises:
        ValueError: a count is below 1.
    """
    for name, value in (("steps", steps), ("training_steps", training_steps)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    console = Console(highlight=False)
    facts = provenance()
    cores: int = facts["cores"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    console.print(f"{facts['cpu']}, {cores} cores, {facts['machine']}\nPython {facts['python']}, {versions}")

    rows, ratios = environment_rows(environment_speeds(steps, cores))
    console.print(table("Environments", rows), table(f"Ratios of environments, {REPEATS} repeats", ratios))

    config = RunConfig(domain="nominal", horizon=1000, num_envs=TRAINING_ENVS)
    agent, env, simulation = our_training(config, cores)
    plain = PPO("MlpPolicy", "Hopper-v5", device="cpu", seed=0)
    ours, theirs = training_speeds(agent, plain, training_steps)
    training = [
        Row(f"simgap PPO ×{TRAINING_ENVS}", tuple(ours), "steps/s"),
        Row("SB3 PPO, defaults", tuple(theirs), "steps/s"),
        ratio("simgap PPO / SB3 PPO", ours, theirs, 6),
    ]
    console.print(table("Training", training))
    shares = training_shares(agent, env, simulation, training_steps)
    console.print(table("Where our training time goes", shares))

    memory = Row("peak memory of training", (training_memory(TRAINING_ENVS, training_steps, cores),), "GB", 1, True)
    console.print(table("Memory", [memory]))
    console.print(NOTES)
