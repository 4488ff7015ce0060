"""The comparison with Gymnasium's own rendering, in small."""

import pytest
from rich.console import Console

from benchmarks import frames
from benchmarks.timing import table


def test_each_contender_draws_in_every_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "GOALS", {16: 30.0})
    monkeypatch.setattr(frames, "REPEATS", 2)
    speeds = frames.measure(cores=2, images=frames.NUM_ENVS)
    assert list(speeds) == [16]
    assert {name: len(values) for name, values in speeds[16].items()} == {"Gymnasium": 2, "1 worker": 2, "2 workers": 2}
    assert all(value > 0 for values in speeds[16].values() for value in values)


def test_the_goal_is_for_all_workers() -> None:
    rows = frames.speed_rows({84: {"Gymnasium": [10.0, 20.0], "1 worker": [100.0, 400.0], "2 workers": [290.0, 640.0]}})
    assert [(row.name, row.value, row.goal) for row in rows[3:]] == [
        ("84 × 84: 1 worker / Gymnasium", 15.0, None),
        ("84 × 84: 2 workers / Gymnasium", 30.5, 30.0),
    ]
    console = Console(width=120)
    with console.capture() as shown:
        console.print(table("t", rows))
    assert "met" in shown.get()


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^images is 0; it must be 1 or more$"):
        frames.main(0)


def test_replay_memory_is_that_of_each_frame_once() -> None:
    theirs, ours, times = frames.memory_rows()
    assert theirs.value == pytest.approx(2 * 3 * 84 * 84 * 100_000 / 1e9, rel=0.01)
    assert ours.value == pytest.approx(84 * 84 * 100_000 / 1e9, rel=0.01)
    assert times.value == pytest.approx(6, rel=0.02)
