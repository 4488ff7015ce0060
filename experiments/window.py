"""A live window on a policy, with keys for cameras, pause and episodes."""

import os
import sys
import time
import warnings
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import mujoco

from experiments.play import check_episodes, load_player, play_episode
from experiments.run import Run

# GLFW's numbers. MuJoCo's viewer itself uses all letters, digits, brackets and arrows.
SPACE, ENTER, BACKSPACE, HOME = 32, 257, 259, 268
KEYS_HELP = "keys: Home next camera, Space pause, Backspace this episode again, Enter next episode, Esc free camera"


@dataclass
class Keys:
    """What was pressed and not yet acted on; the viewer calls it from a thread of its own."""

    paused: bool = False
    again: bool = False
    following: bool = False
    camera: bool = False

    def __call__(self, key: int) -> None:
        """Note a key."""
        if key == SPACE:
            self.paused = not self.paused
        elif key == BACKSPACE:
            self.again = True
        elif key == ENTER:
            self.following = True
        elif key == HOME:
            self.camera = True

    @property
    def leave(self) -> bool:
        """Whether the episode is over because of a key."""
        return self.again or self.following


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def play_live(
    run: Run, domain: str, seed: int = 0, sight: str = "", loops: int = 1, keep_going: bool = False
) -> list[float]:
    """Show episodes in MuJoCo's interactive viewer in real time, until they are over or the window is closed.

    The first of ``loops`` episodes (0: no end) starts from ``seed``, the second from ``seed + 1``. With ``keep_going``
    they go on after a fall.

    Returns:
        The return of each episode.

    Raises:
        ValueError: an unknown domain or sight, no checkpoint, or an impossible number.
        RuntimeError: there is no display.
    """
    check_episodes(seed, loops, lowest=0)
    if not has_display():
        raise RuntimeError("no display: neither DISPLAY nor WAYLAND_DISPLAY is set; use --video FILE.mp4")
    _open_display()
    from mujoco import viewer

    policy = load_player(run, domain, sight, keep_going)
    simulation = policy.simulation
    model, data = simulation.batch.get_model(0), simulation.batch.get_data(0)
    keys, returns = Keys(), list[float]()
    print(KEYS_HELP, flush=True)
    with (
        closing(policy.env),
        viewer.launch_passive(model, data, key_callback=keys, show_left_ui=False, show_right_ui=False) as window,
    ):
        window.cam.type = mujoco.mjtCamera.mjCAMERA_FIXED
        window.cam.fixedcamid = 0  # each figure's first camera follows it
        due = time.monotonic()

        def watch(step: int, total: float) -> bool:
            nonlocal due
            simulation.batch.get_data(0, data)
            mujoco.mj_forward(model, data)  # the batch keeps states, not the poses that are drawn
            while True:
                if keys.camera:
                    keys.camera = False
                    next_camera(window.cam, model)
                window.sync()
                due = max(due + simulation.dt, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
                if keys.leave or not window.is_running():
                    return False
                if not keys.paused:
                    return True

        while window.is_running() and (loops == 0 or len(returns) < loops):
            total = play_episode(policy, seed + len(returns), watch)
            if not keys.again:
                returns.append(total)
            keys.again = keys.following = False
    return returns


def next_camera(camera: Any, model: mujoco.MjModel) -> None:
    """Look through the model's next camera, and after the last one through a free one."""
    fixed = camera.type == mujoco.mjtCamera.mjCAMERA_FIXED
    following = camera.fixedcamid + 1 if fixed else 0
    if following < model.ncam:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, following
    else:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FREE, -1


def _open_display() -> None:
    """Raise ``RuntimeError`` where no window can be opened; MuJoCo's viewer would end the whole process."""
    import glfw  # needs the display's libraries, which few machines that train have

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says again what the error below says
        opened = glfw.init()
    if not opened:
        name = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        raise RuntimeError(f"no display: {name} cannot be opened; use --video FILE.mp4")
