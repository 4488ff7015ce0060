"""Speed and memory against the usual alternatives, from one process on one machine, printed with the goals.

What is compared takes turns: every repeat measures everything once, and a ratio is the median of the repeats'
own ratios, so that a machine that is slower for a while does not favour anyone.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

import envs
from benchmarks.memory import training_memory
from benchmarks.timing import Row, print_machine, ratio, table
from benchmarks.training import Learner, our_training, training_shares, training_speeds
from experiments.config import RunConfig

REPEATS = 7
SIZES = (8, 16, 64, 256)
SB3_SIZE = 8  # environments of DummyVecEnv and SubprocVecEnv
ENVPOOL_SIZES = (8, 64)
TRAINING_ENVS = 64
ENVPOOL_MISSING = "not installed: pip install envpool"

NOTES = (
    "Environments: Hopper, random float32 actions drawn beforehand, with rewards, ends of episodes and resets; steps "
    "of all environments together. BatchedEnv, EnvPool and Batch use one thread a core, SubprocVecEnv one process an "
    "environment. EnvPool spends a call on each reset, which counts as a step here, in its favour.",
    "Bare Batch.step, in the same Batch, repeats the very states and actions of BatchedEnv (checked bit for bit); "
    "where an episode ended the next start is written in with the clock stopped, so the difference is all that "
    "BatchedEnv adds.",
    "Training: nominal Hopper, 1000 steps, on the CPU. Ours as `simgap train` sets it up, one torch thread and all "
    "cores for physics, without writing files; SB3 with its defaults and one environment. SB3's own choice of torch "
    "threads, the first shown, suffers much from other load; one thread is shown beside it.",
    f"Memory: `simgap train` with {TRAINING_ENVS} environments and uniform randomisation, in a process of its own.",
)

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
        ratios.append(ratio(f"BatchedEnv / {theirs}", speeds[ours], speeds[theirs], 90, "%"))
    return rows, ratios


def training_rows(ours: BaseAlgorithm, steps: int) -> list[Row]:
    """Our learning next to SB3's, which needs more time for fewer steps and is given a quarter of them."""
    default = torch.get_num_threads()
    learners = [Learner(f"simgap PPO ×{TRAINING_ENVS}", ours, 1, -(-steps // REPEATS))]
    for threads in sorted({default, 1}, reverse=True):
        name = f"SB3 PPO, torch threads {threads}"
        plain = PPO("MlpPolicy", "Hopper-v5", device="cpu", seed=0)
        learners.append(Learner(name, plain, threads, -(-steps // (4 * REPEATS))))
    speeds = training_speeds(learners, REPEATS)
    rows = [Row(name, tuple(values), "steps/s") for name, values in speeds.items()]
    first, *others = rows
    for other in others:
        goal = 6.0 if other is others[0] else None  # against SB3 as it comes
        rows.append(ratio(f"simgap / {other.name}", first.values, other.values, goal))
    return rows


def main(steps: int = 400, training_steps: int = 200_000) -> None:
    """Measure and print everything.

    Args:
        steps: calls of ``step`` per measurement of an environment.
        training_steps: environment steps, rounded up to whole updates, over all repeats of training.

    Raises:
        ValueError: a count is below 1.
    """
    for name, value in (("steps", steps), ("training_steps", training_steps)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    console = Console(highlight=False)
    cores = print_machine(console)

    rows, ratios = environment_rows(environment_speeds(steps, cores))
    console.print(table("Environments", rows), table(f"Ratios of environments, {REPEATS} repeats", ratios))

    ours = our_training(RunConfig(domain="nominal", horizon=1000, num_envs=TRAINING_ENVS), cores)
    console.print(table("Training", training_rows(ours[0], training_steps)))
    console.print(table("Where our training time goes", training_shares(ours, training_steps)))

    peak = training_memory(TRAINING_ENVS, training_steps, cores)
    console.print(table("Memory", [Row("peak of a training process", (peak,), "GB", 1, at_most=True)]))
    console.print(*NOTES, sep="\n")
