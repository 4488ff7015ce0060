import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest

from experiments import play
from experiments.evaluate import Policy, load_trained
from experiments.play import load_player, play_episode, record_video
from experiments.run import Run, open_run

HOPPERS = Path(__file__).parents[2] / "results" / "pretrained" / "policies" / "hopper"


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
        ({"loops": 0}, "loops is 0; it must be 1 or more: a video ends"),
    ],
)
def test_bad_requests_write_nothing(ppo_run: Run, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"domain": "source", "path": "v.mp4"} | arguments
    with pytest.raises(ValueError, match=message):
        record_video(ppo_run, **{**settings, "path": tmp_path / settings["path"]})
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


@pytest.fixture
def filmed(monkeypatch: pytest.MonkeyPatch) -> list[list[npt.NDArray[np.uint8]]]:
    """The frames of each video, of which each shows the state's own bytes instead of a picture."""
    videos: list[list[npt.NDArray[np.uint8]]] = []

    class Bytes:
        def __init__(self, policy: Policy) -> None:
            self.simulation = policy.simulation

        def frame(self) -> npt.NDArray[np.uint8]:
            state = np.frombuffer(self.simulation.states().tobytes(), np.uint8)
            return np.broadcast_to(state[:480, None, None], (len(state), 480, 3)).copy()

        def close(self) -> None:
            pass

    monkeypatch.setattr(play, "Painter", Bytes)
    monkeypatch.setattr(play, "_write", lambda path, frames, rate: videos.append(frames))
    return videos


def test_loops_are_the_episodes_of_the_following_seeds(
    ppo_run: Run, filmed: list[list[npt.NDArray[np.uint8]]], tmp_path: Path
) -> None:
    record_video(ppo_run, "target", tmp_path / "v.mp4", seed=3, loops=2)
    for seed in (3, 4):
        record_video(ppo_run, "target", tmp_path / "v.mp4", seed=seed)
    both, first, second = filmed
    assert [frame[96:].tobytes() for frame in both] == [frame[96:].tobytes() for frame in first + second]
    assert (both[0][:96] != first[0][:96]).any()  # the caption counts them
    assert (first[-1] != second[-1]).any()


def test_a_video_does_not_depend_on_how_the_run_was_trained(own_run: Run, tmp_path: Path) -> None:
    run = Run(replace(own_run.config, horizon=8), own_run.directory)  # four frames
    before = record_video(run, "target", tmp_path / "before.mp4", seed=3)
    changed = replace(run.config, num_envs=8, checkpoint_every=99, study="other", steps=99_999)
    after = record_video(Run(changed, own_run.directory), "target", tmp_path / "after.mp4", seed=3)
    again = record_video(run, "target", tmp_path / "again.mp4", seed=3)
    assert before.read_bytes() == after.read_bytes() == again.read_bytes()
    other = record_video(run, "target", tmp_path / "other.mp4", seed=4)
    assert before.read_bytes() != other.read_bytes()


def test_an_episode_that_goes_on_after_a_fall_counts_to_the_fall() -> None:
    run = open_run(HOPPERS / "poor")
    ending, going = load_player(run, "target", "", False), load_player(run, "target", "", True)
    steps: list[int] = []
    heights: list[float] = []

    def watch(step: int, total: float) -> bool:
        heights.append(float(going.simulation.states()[0, 1]))
        return True

    def count(step: int, total: float) -> bool:
        steps.append(step)
        return True

    total = play_episode(ending, 3, count)
    fell = len(steps)
    assert fell < 400
    assert play_episode(going, 3, watch) == pytest.approx(total, rel=1e-12)
    assert len(heights) == 500
    assert min(heights[fell:]) < 0.5 < 1.2 < heights[0]  # on the floor, where it goes on
    assert play_episode(going, 3, lambda step, _: step < fell + 5) == pytest.approx(total, rel=1e-12)
    assert play_episode(going, 4, lambda step, _: step < 3) > 0  # the next one counts from its start


def test_a_video_that_goes_on_after_a_fall_is_as_long_as_the_horizon(
    filmed: list[list[npt.NDArray[np.uint8]]], tmp_path: Path
) -> None:
    poor = open_run(HOPPERS / "poor")
    run = Run(replace(poor.config, horizon=300), poor.directory)
    record_video(run, "target", tmp_path / "v.mp4", seed=3)
    record_video(run, "target", tmp_path / "v.mp4", seed=3, keep_going=True)
    ended, went_on = filmed
    assert len(ended) < len(went_on) == 150
    assert [frame.tobytes() for frame in ended] == [frame.tobytes() for frame in went_on[: len(ended)]]


@pytest.mark.parametrize("line", ["short", "long " * 30])
def test_a_caption_ends_before_its_picture_does(line: str) -> None:
    band = play._caption(np.zeros((10, 480, 3), np.uint8), (line,))[:-10, :, 0]
    written = np.flatnonzero((band != 24).any(axis=0))
    assert 8 <= written[0] <= 14
    assert written[-1] <= 472


def test_a_filled_video_shows_more_episodes_after_a_fall(
    filmed: list[list[npt.NDArray[np.uint8]]], tmp_path: Path
) -> None:
    poor = open_run(HOPPERS / "poor")
    run = Run(replace(poor.config, horizon=300), poor.directory)
    record_video(run, "target", tmp_path / "v.mp4", fill=True)
    record_video(run, "target", tmp_path / "v.mp4")
    filled, first = filmed
    assert len(first) < 150 <= len(filled) < 300
    # The second begins anew; its caption counts it, that of the first is as ever.
    assert [frame.tobytes() for frame in filled[: len(first)]] == [frame.tobytes() for frame in first]
    record_video(run, "target", tmp_path / "v.mp4", seed=1)
    again, second = filled[len(first)], filmed[2][0]
    assert (again[96:] == second[96:]).all()
    assert (again[:96] != second[:96]).any()
