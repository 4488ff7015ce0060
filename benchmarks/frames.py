"""How many frames of MuJoCo a second, against Gymnasium's own rendering of the figure; what a replay buffer keeps."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.progress import track
from stable_baselines3.common.buffers import ReplayBuffer

import envs
from agents import FrameReplayBuffer
from benchmarks.timing import Row, print_machine, ratio, table
from envs.film import Film
from envs.frames import Frames

GOALS = {84: 30.0, 224: 20.0}
"""Edge of the frames, px: our frames over Gymnasium's, with one worker a core of two."""
NUM_ENVS = 32
TRANSITIONS, STACK = 100_000, 3
REPEATS = 5
GYMNASIUM = "Gymnasium"

NOTE = (
    "Frames of the hopper through the track camera while it moves, physics included. Gymnasium: Hopper-v5 with "
    'render_mode="rgb_array", one environment. Ours: 32 environments, without multisampling, shadows and reflections.'
)

Take = Callable[[int], int]
"""Takes at least so many frames; returns how many."""


def gymnasium_frames(size: int) -> Take:
    """Gymnasium's own environment and rendering."""
    env: Any = gymnasium.make("Hopper-v5", render_mode="rgb_array", camera_name="track", width=size, height=size)
    env.reset(seed=0)
    env.action_space.seed(0)
    env.render()

    def take(count: int) -> int:
        # It does so when the viewer is made and never again, but the others have contexts of their own.
        env.unwrapped.mujoco_renderer.viewer.make_context_current()
        for _ in range(count):
            if env.step(env.action_space.sample())[2]:
                env.reset()
            env.render()
        return count

    return take


def our_frames(size: int, workers: int) -> tuple[Take, Frames]:
    """Ours, and what to close afterwards."""
    env = envs.make_vec("hopper", NUM_ENVS, num_threads=workers)
    env.reset()
    frames = Frames(Film(env.model, NUM_ENVS, "track", size), workers)
    rng = np.random.default_rng(0)

    def take(count: int) -> int:
        calls = -(-count // NUM_ENVS)
        for _ in range(calls):
            env.step(rng.uniform(-1, 1, (NUM_ENVS, 3)).astype(np.float32))
            frames.draw(env.shot())
        return calls * NUM_ENVS

    return take, frames


def measure(cores: int, images: int) -> dict[int, dict[str, list[float]]]:
    """Frames per second of each repeat, by size, then by name; ``images`` are ours of each measurement."""
    speeds: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    takers: dict[int, dict[str, Take]] = {}
    opened: list[Frames] = []
    for size in GOALS:
        takers[size] = {GYMNASIUM: gymnasium_frames(size)}
        for workers in dict.fromkeys((1, cores)):
            takers[size][f"{workers} worker{'s' if workers > 1 else ''}"], frames = our_frames(size, workers)
            opened.append(frames)
    try:
        for repeat in track(range(REPEATS + 1), "frames"):
            for size, found in takers.items():
                for name, take in found.items():
                    began = time.perf_counter()
                    done = take(-(-images // 30) if name == GYMNASIUM else images)
                    if repeat:  # the first is the warm-up
                        speeds[size][name].append(done / (time.perf_counter() - began))
    finally:
        for frames in opened:
            frames.close()
    return speeds


def speed_rows(speeds: Mapping[int, Mapping[str, Sequence[float]]]) -> list[Row]:
    """Speeds, and ours over Gymnasium's; the goal is for the most workers."""
    rows = []
    for size, found in speeds.items():
        where = f"{size} × {size}"
        rows += [Row(f"{where}: {name}", tuple(values), "images/s") for name, values in found.items()]
        ours = [name for name in found if name != GYMNASIUM]
        rows += [
            ratio(
                f"{where}: {name} / {GYMNASIUM}",
                found[name],
                found[GYMNASIUM],
                GOALS[size] if name == ours[-1] else None,
            )
            for name in ours
        ]
    return rows


def memory_rows() -> list[Row]:
    """Gigabytes of the arrays that keep ``TRANSITIONS`` stacks, those of SB3's replay buffer and of ours."""
    space = gymnasium.spaces.Box(0, 255, (STACK, 84, 84), np.uint8)
    actions = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    options: Any = {"device": "cpu", "n_envs": 16, "handle_timeout_termination": True}
    theirs, ours = (
        sum(array.nbytes for array in vars(buffer).values() if isinstance(array, np.ndarray)) / 1e9
        for buffer in (
            ReplayBuffer(TRANSITIONS, space, actions, **options),
            FrameReplayBuffer(TRANSITIONS, space, actions, **options, stack=STACK),
        )
    )
    what = f"{TRANSITIONS:,} stacks of {STACK} grey frames of 84 × 84"
    return [
        Row(f"{what}: Stable-Baselines3", (theirs,), "GB"),
        Row(f"{what}: FrameReplayBuffer", (ours,), "GB"),
        ratio("Stable-Baselines3 / FrameReplayBuffer", (theirs,), (ours,), None),
    ]


def main(images: int) -> None:
    """Measure and print everything.

    Raises:
        ValueError: no images.
        RuntimeError: no OpenGL context can be made on this machine.
    """
    if images < 1:
        raise ValueError(f"images is {images}; it must be 1 or more")
    console = Console(highlight=False)
    cores = print_machine(console)
    console.print(table(f"Frames of MuJoCo, up to {cores} workers", speed_rows(measure(cores, images))))
    console.print(NOTE)
    console.print(table("Replay memory, before any episode has ended", memory_rows()))
