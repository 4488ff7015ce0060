"""The live window, with MuJoCo's viewer replaced by one that counts and presses keys."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import pytest

from experiments import window
from experiments.run import Run, open_run
from experiments.window import BACKSPACE, ENTER, HOME, SPACE, has_display, next_camera, play_live

HOPPERS = Path(__file__).parents[2] / "results" / "pretrained" / "policies" / "hopper"
Press = Callable[[int, Callable[[int], None], Any], None]
"""Called with the number of the frame, the window's key callback and its camera."""


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Puts the counting viewer in place; returns where each drawn frame has the torso, m along the floor."""

    def put(closes_after: int = 10_000, press: Press = lambda *_: None) -> list[float]:
        drawn: list[float] = []

        class Window:
            def __init__(self, model: Any, data: Any, key_callback: Callable[[int], None], **_: Any) -> None:
                self.model, self.data, self.key = model, data, key_callback
                self.cam = mujoco.MjvCamera()

            def __enter__(self) -> "Window":
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def sync(self) -> None:
                place = float(self.data.xpos[self.model.body("torso").id, 0])
                assert place == pytest.approx(float(self.data.qpos[0]), abs=1e-12)  # drawn where it is
                drawn.append(place)
                press(len(drawn), self.key, self.cam)

            def is_running(self) -> bool:
                return len(drawn) < closes_after

        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(window, "_open_display", lambda: None)
        monkeypatch.setattr("mujoco.viewer.launch_passive", Window)
        monkeypatch.setattr("time.sleep", lambda _: None)
        return drawn

    return put


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


def test_a_window_shows_the_whole_episode(
    ppo_run: Run, shown: Callable[..., list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = shown(closes_after=8)
    (total,) = play_live(ppo_run, "source", seed=3)
    assert len(drawn) == 8
    assert len(set(drawn)) == 8  # the body moves from frame to frame
    assert total > 0
    assert capsys.readouterr().out.startswith("keys: Home next camera, Space pause, Backspace this episode again, ")


def test_loops_begin_one_episode_after_the_other(ppo_run: Run, shown: Callable[..., list[float]]) -> None:
    drawn = shown()
    first, second = play_live(ppo_run, "source", seed=3, loops=2)
    both = list(drawn)
    assert [first] == play_live(ppo_run, "source", seed=3)
    assert [second] == play_live(ppo_run, "source", seed=4)
    assert drawn[len(both) :] == both


def test_without_an_end_it_plays_until_the_window_is_closed(ppo_run: Run, shown: Callable[..., list[float]]) -> None:
    drawn = shown(closes_after=300)
    assert len(play_live(ppo_run, "source", loops=0)) >= 300 // 50
    assert len(drawn) == 300


def test_an_episode_goes_on_after_a_fall(shown: Callable[..., list[float]]) -> None:
    poor = open_run(HOPPERS / "poor")
    run = Run(replace(poor.config, horizon=300), poor.directory)
    drawn = shown()
    (ended,) = play_live(run, "target", seed=3)
    length = len(drawn)
    (going,) = play_live(run, "target", seed=3, keep_going=True)
    assert length < 300
    assert len(drawn) == length + 300
    assert going == pytest.approx(ended)


def test_space_holds_the_moment_until_it_is_pressed_again(ppo_run: Run, shown: Callable[..., list[float]]) -> None:
    drawn = shown(press=lambda frame, key, _: key(SPACE) if frame in (5, 12) else None)
    (total,) = play_live(ppo_run, "source", seed=3)
    assert len(set(drawn[4:12])) == 1
    assert len(set(drawn[11:])) == len(drawn[11:])
    undisturbed = shown()
    assert [total] == play_live(ppo_run, "source", seed=3)
    assert [place for frame, place in enumerate(drawn) if not 5 <= frame < 12] == undisturbed


def test_backspace_begins_the_episode_again_and_enter_the_next(ppo_run: Run, shown: Callable[..., list[float]]) -> None:
    drawn = shown(press=lambda frame, key, _: key({4: BACKSPACE, 7: ENTER}.get(frame, 0)))
    returns = play_live(ppo_run, "source", seed=3, loops=2)
    assert drawn[4:7] == drawn[:3]
    undisturbed = shown()
    assert returns[1:] == play_live(ppo_run, "source", seed=4)
    assert drawn[7:] == undisturbed


def test_home_goes_through_the_cameras_to_a_free_one_and_back(ppo_run: Run, shown: Callable[..., list[float]]) -> None:
    cameras: list[tuple[int, int]] = []

    def press(frame: int, key: Callable[[int], None], camera: Any) -> None:
        cameras.append((camera.type, camera.fixedcamid))
        key(HOME if frame in (1, 3) else 0)

    shown(closes_after=5, press=press)
    play_live(ppo_run, "source", seed=3)
    fixed, free = (int(mujoco.mjtCamera.mjCAMERA_FIXED), 0), (int(mujoco.mjtCamera.mjCAMERA_FREE), -1)
    assert cameras == [fixed, free, free, fixed, fixed]  # the hopper's XML has one


def test_every_camera_of_a_model_comes_once() -> None:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><camera name='a'/><camera name='b'/></worldbody></mujoco>"
    )
    camera = mujoco.MjvCamera()
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
    seen = []
    for _ in range(4):
        next_camera(camera, model)
        seen.append(camera.fixedcamid)
    assert seen == [1, -1, 0, 1]


@pytest.mark.parametrize(
    ("seed", "loops", "message"),
    [
        (0, -1, r"loops is -1; it must be 0 \(for ever\) or more"),
        (-1, 1, "seed is -1; it must be 0 or more"),
    ],
)
def test_impossible_numbers_open_no_window(ppo_run: Run, seed: int, loops: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        play_live(ppo_run, "source", seed, loops=loops)
