"""Episodes of a policy to look at, and videos of them; the live window is in :mod:`experiments.window`."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from envs.task import Array, State, Task
from experiments.evaluate import Policy, load_trained
from experiments.files import write_with
from experiments.overlays import Painter
from experiments.run import Run

FRAMES_PER_SECOND = 50.0

Watch = Callable[[int, float], bool]
"""Called before each step with the steps and the return so far; False ends the episode."""


class Unending:
    """A task whose episodes go on after a fall. The reward counts to the step of the fall, then no more."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.fallen = False
        self._failed: npt.NDArray[np.bool_] = np.zeros(0, bool)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def reset(self, rng: np.random.Generator, qpos0: Array) -> tuple[Array, Array]:
        """A start of the task's, on its feet."""
        self.fallen = False
        return self.task.reset(rng, qpos0)

    def terminated(self, state: State) -> npt.NDArray[np.bool_]:
        """Never."""
        self._failed = self.task.terminated(state)
        return np.zeros_like(self._failed)

    def reward(
        self,
        before: State,
        after: State,
        action: npt.NDArray[np.floating[Any]],
        terminated: npt.NDArray[np.bool_],
        dt: float,
    ) -> tuple[Array, dict[str, Array]]:
        """The task's reward, and 0 after the step of the fall; for a single simulation."""
        rewards, terms = self.task.reward(before, after, action, self._failed, dt)
        counted, self.fallen = not self.fallen, self.fallen or bool(self._failed[0])
        return (rewards if counted else np.zeros_like(rewards)), terms


def load_player(run: Run, domain: str, sight: str, keep_going: bool) -> Policy:
    """The run's policy in one simulation; nothing of how it was trained, such as ``num_envs``, changes what it does.

    Raises:
        ValueError: an unknown domain or sight, or no checkpoint.
    """
    policy = load_trained(run, domain, num_envs=1, num_threads=1, sight=sight)
    if keep_going:
        policy.simulation.task = cast(Task, Unending(policy.simulation.task))
    return policy


def check_episodes(seed: int, loops: int, lowest: int) -> None:
    """Raise ``ValueError`` unless these episodes can be played."""
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or more")
    if loops < lowest:
        accepted = "0 (for ever) or more" if lowest == 0 else "1 or more: a video ends"
        raise ValueError(f"loops is {loops}; it must be {accepted}")


def play_episode(policy: Policy, seed: int, watch: Watch) -> float:
    """Play the episode that starts from ``seed``, calling ``watch`` before each step; returns its return."""
    policy.env.seed(seed)
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


def record_video(
    run: Run,
    domain: str,
    path: Path,
    seed: int = 0,
    sight: str = "",
    loops: int = 1,
    keep_going: bool = False,
    fill: bool = False,
) -> Path:
    """Write episodes of the run's policy in ``domain`` as an MP4 in real time, with their numbers drawn on it.

    The first of ``loops`` episodes starts from ``seed``, the second from ``seed + 1``. With ``keep_going`` they go on
    after a fall; with ``fill``, more episodes follow until all are as long as one without a fall. With a ``sight``
    other than its pipeline's own, the policy sees the domain through that.

    Raises:
        ValueError: an unknown domain or sight, no checkpoint, an impossible number, or a suffix other than .mp4.
        RuntimeError: no OpenGL context.
    """
    if path.suffix != ".mp4":
        raise ValueError(f"{path}: accepted: a file name that ends in .mp4")
    check_episodes(seed, loops, lowest=1)
    policy = load_player(run, domain, sight, keep_going)
    simulation = policy.simulation
    stride = max(1, round(1 / (simulation.dt * FRAMES_PER_SECOND)))
    frames: list[npt.NDArray[np.uint8]] = []
    through = sight or run.config.sees.sights[0]
    with closing(policy.env), closing(Painter(policy)) as painter:
        episode = played = 0
        while episode < loops or (fill and played < run.config.horizon):
            of = f" of {loops}" if loops > 1 else ""
            counted = f"episode {episode + 1}{of}, " if of or episode else ""

            def watch(step: int, total: float, counted: str = counted) -> bool:
                nonlocal played
                played += 1
                if step % stride == 0:
                    fallen = "   fallen" if isinstance(simulation.task, Unending) and simulation.task.fallen else ""
                    lines = (
                        f"{run.config.figure}, trained in {run.config.domain} ({run.config.method})",
                        f"acting in {domain}, seen through {through}",
                        f"{counted}step {step:4d} of {run.config.horizon}   return {total:5.0f}{fallen}",
                    )
                    frames.append(_caption(painter.frame(), lines))
                return True

            play_episode(policy, seed + episode, watch)
            episode += 1
    _write(path, frames, 1 / (simulation.dt * stride))
    return path


def _write(path: Path, frames: list[npt.NDArray[np.uint8]], rate: float) -> None:
    """Encode ``frames`` at ``rate`` frames a second."""
    height, width = frames[0].shape[:2]

    def write(temporary: Path) -> None:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=rate,
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


def _caption(frame: npt.NDArray[np.uint8], lines: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """``frame`` with ``lines`` on a dark band along its top, a long one in smaller letters."""
    band = np.full((96, frame.shape[1], 3), 24, np.uint8)
    for number, line in enumerate(lines):
        origin, font = (10, 24 * (number + 1)), cv2.FONT_HERSHEY_SIMPLEX
        (width, _), _ = cv2.getTextSize(line, font, 0.5, 1)
        size = 0.5 * min(1.0, (frame.shape[1] - 20) / width)
        cv2.putText(band, line, origin, font, size, (235, 235, 235), 1, cv2.LINE_AA)
    return np.asarray(np.concatenate((band, frame)), np.uint8)
