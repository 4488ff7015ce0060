import os
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from experiments import play
from experiments.evaluate import load_trained
from experiments.play import has_display, play_live, record_video
from experiments.run import Run


def read_video(path: Path) -> tuple[list[npt.NDArray[np.uint8]], float]:
    """Frames and frames per second."""
    video = cv2.VideoCapture(str(path))
    assert video.isOpened()
    frames = []
    while True:
        there, frame = video.read()
        if not there:
            break
        frames.append(np.asarray(frame, np.uint8))
    rate = video.get(cv2.CAP_PROP_FPS)
    video.release()
    return frames, rate


def episode_length(run: Run, domain: str, seed: int) -> int:
    policy = load_trained(run, domain, 1, 1)
    policy.env.seed(seed)
    observations: Any = policy.env.reset()
    for step in range(1, 51):
        actions, _ = policy.agent.predict(observations, deterministic=True)
        observations, _, dones, _ = policy.env.step(actions)
        if dones[0]:
            return step
    raise AssertionError


def test_a_video_plays_at_real_time_and_shows_the_whole_episode(ppo_run: Run, tmp_path: Path) -> None:
    path = record_video(ppo_run, "target", tmp_path / "new" / "v.mp4", seed=3)
    assert path == tmp_path / "new" / "v.mp4"
    frames, rate = read_video(path)
    assert rate == pytest.approx(62.5)  # every second step of 8 ms
    assert len(frames) == -(-episode_length(ppo_run, "target", 3) // 2)
    assert all(frame.shape == (576, 480, 3) for frame in frames)  # 480 pixels and the caption
    assert frames[0][:96].max() > 150  # the words
    assert frames[0][96:].std() > 5  # the scene
    assert (frames[0] != frames[-1]).any()
    assert os.listdir(path.parent) == ["v.mp4"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "v.gif"}, "accepted: a file name that ends in .mp4"),
        ({"domain": "mars"}, "cannot read 'mars'"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
    ],
)
def test_bad_requests_write_nothing(ppo_run: Run, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"domain": "source", "path": "v.mp4", "seed": 0} | arguments
    with pytest.raises(ValueError, match=message):
        record_video(ppo_run, settings["domain"], tmp_path / settings["path"], settings["seed"])
    assert list(tmp_path.iterdir()) == []


def test_no_opengl_is_one_clear_error(ppo_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    monkeypatch.setattr("mujoco.Renderer", fail)
    with pytest.raises(RuntimeError, match=r"cannot render: no OpenGL context through MUJOCO_GL=.*install libegl1"):
        record_video(ppo_run, "source", tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", [0, 1])
def test_a_video_that_ffmpeg_could_not_finish_is_not_published(
    ppo_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """As on a full disk: ffmpeg stops early and its wrapper says nothing."""
    (tmp_path / "v.mp4").write_bytes(b"old")

    def count(path: str) -> tuple[int, float]:
        if not written:
            raise RuntimeError("Could not get number of frames")
        return written, 0.1

    monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", count)
    monkeypatch.setattr(play, "_caption", lambda frame, lines: frame[::8, ::8].copy())
    with pytest.raises(OSError, match=rf"v\.mp4: cannot be written \({written} of \d+ frames\); is the disk full\?"):
        record_video(ppo_run, "source", tmp_path / "v.mp4")
    assert (tmp_path / "v.mp4").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["v.mp4"]


def test_without_a_display_no_window_is_tried(ppo_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_display()
    with pytest.raises(RuntimeError, match="no display: neither DISPLAY nor WAYLAND_DISPLAY is set; use --video"):
        play_live(ppo_run, "source")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()


def test_a_display_that_cannot_be_opened_is_an_error_and_not_the_end_of_the_process(
    ppo_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("glfw.init", lambda: False)  # the real one would look for libraries of X
    with pytest.raises(RuntimeError, match="no display: :77 cannot be opened; use --video"):
        play_live(ppo_run, "source")


def test_a_window_shows_the_whole_episode(ppo_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MuJoCo's viewer replaced by one that counts."""
    synced: list[float] = []
    drawn: list[float] = []

    class Window:
        def __init__(self, model: Any, data: Any, **_: Any) -> None:
            self.model, self.data = model, data
            self.cam = mujoco.MjvCamera()

        def __enter__(self) -> "Window":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def sync(self) -> None:
            synced.append(float(self.data.qpos[0]))
            drawn.append(float(self.data.xpos[self.model.body("torso").id, 0]))
            assert self.cam.type == mujoco.mjtCamera.mjCAMERA_FIXED

        def is_running(self) -> bool:
            return len(synced) < 8

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(play, "_open_display", lambda: None)
    monkeypatch.setattr("mujoco.viewer.launch_passive", Window)
    monkeypatch.setattr("time.sleep", lambda _: None)
    total = play_live(ppo_run, "source", seed=3)
    assert len(synced) == 8
    assert len(set(synced)) == 8  # the body moves from frame to frame
    assert drawn == pytest.approx(synced, abs=1e-12)  # and is drawn where it is: its torso is at the first coordinate
    assert total > 0
