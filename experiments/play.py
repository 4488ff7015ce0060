"""Watching a policy: a live window where there is a display, a video file otherwise."""

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import mujoco
import numpy as np
import numpy.typing as npt

from experiments.evaluate import Policy, load_trained
from experiments.files import write_with
from experiments.overlays import Painter
from experiments.run import Run

FRAMES_PER_SECOND = 50.0

Watch = Callable[[int, float], bool]
"""Called before each step with the steps and the return so far; False ends the episode."""


def record_video(run: Run, domain: str, path: Path, seed: int = 0, sight: str = "") -> Path:
    """Write one episode of the run's policy in ``domain`` as an MP4 in real time, with its numbers drawn on it.

    With a ``sight`` other than its pipeline's own, the policy sees the domain through that.

    Raises:
        ValueError: an unknown domain or sight, no checkpoint, or a suffix other than .mp4.
        RuntimeError: no OpenGL context.
    """
    if path.suffix != ".mp4":
        raise ValueError(f"{path}: accepted: a file name that ends in .mp4")
    policy = _one(run, domain, seed, sight)
    simulation = policy.simulation
    painter = Painter(policy)
    stride = max(1, round(1 / (simulation.dt * FRAMES_PER_SECOND)))
    frames: list[npt.NDArray[np.uint8]] = []
    through = sight or run.config.sees.sights[0]

    def watch(step: int, total: float) -> bool:
        if step % stride == 0:
            lines = (
                f"{run.config.figure}, trained in {run.config.domain} ({run.config.method})",
                f"acting in {domain}, seen through {through}",
                f"step {step:4d} of {run.config.horizon}   return {total:5.0f}",
            )
            frames.append(_caption(painter.frame(), lines))
        return True

    _roll(policy, watch)
    painter.close()
    policy.env.close()
    height, width = frames[0].shape[:2]

    def write(temporary: Path) -> None:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=1 / (simulation.dt * stride),
            codec="libx264",
            output_params=["-crf", "28", "-preset", "slow", "-movflags", "+faststart"],
        )
        try:
            writer.send(None)
            for frame in frames:
                writer.send(np.ascontiguousarray(frame))
            writer.close()
            # The writer does not tell whether ffmpeg came to its end.
            written, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
        except (OSError, RuntimeError):
            written = 0
        if written != len(frames):
            raise OSError(f"{path}: cannot be written ({written} of {len(frames)} frames); is the disk full?")

    write_with(path, write)
    return path


def _one(run: Run, domain: str, seed: int, sight: str) -> Policy:
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or more")
    policy = load_trained(run, domain, num_envs=1, num_threads=1, sight=sight)
    policy.env.seed(seed)
    return policy


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def play_live(run: Run, domain: str, seed: int = 0, sight: str = "") -> float:
    """Show one episode in MuJoCo's interactive viewer in real time; returns the return reached.

    Raises:
        RuntimeError: there is no display.
    """
    if not has_display():
        raise RuntimeError("no display: neither DISPLAY nor WAYLAND_DISPLAY is set; use --video FILE.mp4")
    _open_display()
    from mujoco import viewer

    policy = _one(run, domain, seed, sight)
    simulation = policy.simulation
    model, data = simulation.batch.get_model(0), simulation.batch.get_data(0)
    with viewer.launch_passive(model, data, show_left_ui=False, show_right_ui=False) as window:
        window.cam.type = mujoco.mjtCamera.mjCAMERA_FIXED
        window.cam.fixedcamid = 0  # each figure's first camera follows it
        started = time.monotonic()

        def watch(step: int, total: float) -> bool:
            simulation.batch.get_data(0, data)
            mujoco.mj_forward(model, data)  # the batch keeps states, not the poses that are drawn
            window.sync()
            time.sleep(max(0.0, started + step * simulation.dt - time.monotonic()))
            return bool(window.is_running())

        return _roll(policy, watch)


def _open_display() -> None:
    """Raise ``RuntimeError`` where no window can be opened; MuJoCo's viewer would end the whole process."""
    import glfw  # needs the display's libraries, which few machines that train have

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says again what the error below says
        opened = glfw.init()
    if not opened:
        name = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        raise RuntimeError(f"no display: {name} cannot be opened; use --video FILE.mp4")


def _roll(policy: Policy, watch: Watch) -> float:
    """Play one episode, calling ``watch(step, return so far)`` before each step until it says no."""
    observations: Any = policy.env.reset()
    memory: Any = None
    starts, total, step = np.ones(1, bool), 0.0, 0
    while watch(step, total):
        actions, memory = policy.agent.predict(observations, memory, episode_start=starts, deterministic=True)
        observations, rewards, starts, _ = policy.env.step(actions)
        total += float(rewards[0])
        step += 1
        if starts[0]:
            break
    return total


def _caption(frame: npt.NDArray[np.uint8], lines: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """``frame`` with ``lines`` on a dark band along its top."""
    band = np.full((96, frame.shape[1], 3), 24, np.uint8)
    for number, line in enumerate(lines):
        origin = (10, 24 * (number + 1))
        cv2.putText(band, line, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
    return np.asarray(np.concatenate((band, frame)), np.uint8)
