"""A sweep against the usual loop: one Gymnasium environment at a time, its masses edited, and ``model.predict``.

Both judge the same policy in the same cells. What is compared takes turns: every repeat measures each once, and a ratio
is the median of the repeats' own ratios.
"""

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.progress import track
from stable_baselines3.common.base_class import BaseAlgorithm

import envs
from agents import Normalizer, fold_normalizer
from benchmarks.timing import Row, print_machine, ratio, table
from envs.domains import domain_model
from experiments.evaluate import load_trained
from experiments.run import Run, open_run
from experiments.sweep import play_grid
from experiments.sweep_grid import Grid, parse_axis

REPEATS = 5
EPISODES = 2
"""Of each cell, in both."""
GOAL = 10.0
POLICY = Path(__file__).parents[1] / "results" / "pretrained" / "policies" / "hopper" / "good"
OURS, THEIRS, SINGLE = "simgap sweep", "loop over Hopper-v5", "loop over simgap/Hopper-v0"
NOTES = (
    "Steps of episodes until they end, per second of everything that judging takes: loading the policy, making "
    "simulations, resets, acting, physics.",
    "The loops make one environment, as gymnasium.make gives it, edit its model for each cell, and call model.predict "
    "of the exported policy (normaliser folded in) for each step, one torch thread; they play a part of the cells, "
    "spread over all of them.",
)


def grid_of(cells: int) -> Grid:
    """Torso mass and friction around the hopper's source, about ``cells`` cells."""
    side = max(2, round(math.sqrt(cells)))
    axes = (f"torso_mass=-1.5:3:{side}", f"foot_friction,floor_friction*0.5:1.5:{side}")
    return Grid("hopper", "source", tuple(parse_axis(text) for text in axes))


def batched_speed(run: Run, grid: Grid, threads: int) -> float:
    """Steps per second of a sweep of ``grid``."""
    began = time.perf_counter()
    played = play_grid(run, grid, EPISODES, threads)
    seconds = time.perf_counter() - began
    steps: int = sum(row["length"] for rows in played for row in rows)
    return steps / seconds


def loop(agent: BaseAlgorithm, name: str, horizon: int, grid: Grid, cells: Sequence[int]) -> tuple[int, float]:
    """Steps and seconds of the loop over ``cells``; shifted models are compiled with the clock stopped."""
    options: dict[str, Any] = {"horizon": horizon} if name.startswith("simgap") else {"max_episode_steps": horizon}
    models = [domain_model(envs.task_of(grid.figure), grid.domain(cell)) for cell in cells]
    steps, began = 0, time.perf_counter()
    env = gymnasium.make(name, **options)
    model = env.unwrapped.model  # type: ignore[attr-defined]  # every MuJoCo environment has it
    for shifted in models:
        for field in ("body_mass", "body_inertia", "geom_friction"):
            getattr(model, field)[:] = getattr(shifted, field)
        for episode in range(EPISODES):
            observation, _ = env.reset(seed=episode)
            over = False
            while not over:
                action, _ = agent.predict(observation, deterministic=True)
                observation, _, terminated, truncated, _ = env.step(action)
                over = terminated or truncated
                steps += 1
    seconds = time.perf_counter() - began
    env.close()
    return steps, seconds


def measure(grid: Grid, loop_cells: int, threads: int, repeats: int = REPEATS) -> dict[str, list[float]]:
    """Steps per second by name, one for each repeat."""
    run = open_run(POLICY)
    policy = load_trained(run, grid.base, num_envs=1, num_threads=1)  # leaves torch with one thread
    if isinstance(policy.env, Normalizer):
        fold_normalizer(policy.agent, policy.env)
    part = np.linspace(1, len(grid.operands), min(loop_cells, len(grid.operands))).astype(int).tolist()
    speeds: defaultdict[str, list[float]] = defaultdict(list)
    for repeat in track(range(repeats + 1), "sweep"):
        tried = grid if repeat else grid_of(4)  # the first warms up
        found = {OURS: batched_speed(run, tried, threads)}
        for name, environment in ((THEIRS, "Hopper-v5"), (SINGLE, "simgap/Hopper-v0")):
            cells = part if repeat else part[:1]
            steps, seconds = loop(policy.agent, environment, run.config.horizon, grid, cells)
            found[name] = steps / seconds
        for name, speed in found.items():
            if repeat:
                speeds[name].append(speed)
    return dict(speeds)


def speed_rows(speeds: Mapping[str, Sequence[float]]) -> list[Row]:
    """Speeds, and the ratios, of which the one to Gymnasium's own environment has a goal."""
    rows = [Row(name, tuple(values), "steps/s") for name, values in speeds.items()]
    rows.append(ratio(f"{OURS} / {THEIRS}", speeds[OURS], speeds[THEIRS], GOAL))
    return [*rows, ratio(f"{OURS} / {SINGLE}", speeds[OURS], speeds[SINGLE], None)]


def main(cells: int = 2000, loop_cells: int = 20) -> None:
    """Measure and print everything.

    Args:
        cells: about how many cells the grid has.
        loop_cells: how many of them a loop plays in each repeat.

    Raises:
        ValueError: a count is below 1.
    """
    for name, value in (("cells", cells), ("loop_cells", loop_cells)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    console = Console(highlight=False)
    cores = print_machine(console)
    grid = grid_of(cells)
    rows = speed_rows(measure(grid, loop_cells, cores))
    console.print(table(f"A sweep of {len(grid.operands)} cells, {EPISODES} episodes each, {REPEATS} repeats", rows))
    console.print(*NOTES, sep="\n")
