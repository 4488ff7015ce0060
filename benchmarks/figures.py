"""Steps per second of every figure, beside those of Gymnasium's own environment of it.

Who is compared takes turns, and a ratio is the median of the repeats' own ratios; see :mod:`benchmarks.speed`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.progress import track

import envs
from benchmarks.timing import Row, print_machine, ratio, table

GYMNASIUM = {
    "hopper": "Hopper-v5",
    "inverted_pendulum": "InvertedPendulum-v5",
    "walker2d": "Walker2d-v5",
    "half_cheetah": "HalfCheetah-v5",
    "ant": "Ant-v5",
}
"""Its environment of each of our figures that it has."""
OURS, THEIRS = 64, 8
"""Environments of each."""
REPEATS = 5

NOTE = (
    f"Random float32 actions drawn beforehand, with rewards, ends of episodes and resets; steps of all environments "
    f"together. Ours: BatchedEnv ×{OURS}, one thread a core. Gymnasium: SyncVectorEnv ×{THEIRS}, which steps its "
    "environments one after another in one process and spends a step on each reset, which counts here."
)

Burst = Callable[[int], float]
"""Makes so many calls of step and returns the seconds that they took."""


def ours(figure: str, threads: int) -> tuple[Burst, Any]:
    """Our environment, and what to close afterwards."""
    env = envs.make_vec(figure, OURS, num_threads=threads)
    env.reset()
    return _burst(env.step, OURS, env.action_space), env


def gymnasiums(figure: str) -> tuple[Burst, Any]:
    """Gymnasium's own, and what to close afterwards."""
    env = gymnasium.make_vec(GYMNASIUM[figure], THEIRS, vectorization_mode="sync")
    env.reset(seed=0)
    return _burst(env.step, THEIRS, env.unwrapped.single_action_space), env


def _burst(step: Callable[[Any], object], num_envs: int, space: Any) -> Burst:
    rng = np.random.default_rng(0)

    def burst(calls: int) -> float:
        actions = rng.uniform(space.low, space.high, (calls, num_envs, *space.shape)).astype(np.float32)
        began = time.perf_counter()
        for action in actions:
            step(action)
        return time.perf_counter() - began

    return burst


def measure(calls: int, threads: int, figures: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Steps per second of each repeat, by figure, then by whose; Gymnasium gets as many calls with fewer in each."""
    speeds: dict[str, dict[str, list[float]]] = {}
    for figure in track(figures, "figures"):
        made = {"simgap": (*ours(figure, threads), OURS)}
        if figure in GYMNASIUM:
            made["Gymnasium"] = (*gymnasiums(figure), THEIRS)
        found: defaultdict[str, list[float]] = defaultdict(list)
        for repeat in range(REPEATS + 1):
            for who, (burst, _, num_envs) in made.items():
                seconds = burst(calls)
                if repeat:  # the first is the warm-up
                    found[who].append(calls * num_envs / seconds)
        for _, env, _ in made.values():
            env.close()
        speeds[figure] = dict(found)
    return speeds


def speed_rows(speeds: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Row]:
    """Speeds of each figure, and ours over Gymnasium's."""
    rows = []
    for figure, found in speeds.items():
        rows += [Row(f"{figure}: {who}", tuple(values), "steps/s") for who, values in found.items()]
        if "Gymnasium" in found:
            rows.append(ratio(f"{figure}: simgap / Gymnasium", found["simgap"], found["Gymnasium"], None))
    return rows


def main(steps: int) -> None:
    """Measure and print everything.

    Args:
        steps: calls of ``step`` per measurement.

    Raises:
        ValueError: fewer than one.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be 1 or more")
    console = Console(highlight=False)
    cores = print_machine(console)
    console.print(table(f"Figures, {REPEATS} repeats", speed_rows(measure(steps, cores, list(envs.FIGURES)))))
    console.print(NOTE)
