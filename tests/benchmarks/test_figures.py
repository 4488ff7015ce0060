"""The comparison of every figure with Gymnasium's own, in small."""

from pathlib import Path

import gymnasium
import pytest

import envs
from benchmarks import figures


def test_every_twin_is_of_the_same_figure() -> None:
    assert set(figures.GYMNASIUM) <= set(envs.FIGURES)
    for figure, name in figures.GYMNASIUM.items():
        spec = gymnasium.spec(name)
        assert str(spec.entry_point).split(":")[0].endswith(f"{figure}_v5")


def test_both_are_measured_in_every_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Gymnasium's way of compiling the half cheetah writes a warning there
    monkeypatch.setattr(figures, "REPEATS", 2)
    speeds = figures.measure(2, 1, ["half_cheetah", "ant"])
    assert {figure: {who: len(values) for who, values in found.items()} for figure, found in speeds.items()} == {
        figure: {"simgap": 2, "Gymnasium": 2} for figure in ("half_cheetah", "ant")
    }
    assert all(value > 0 for found in speeds.values() for values in found.values() for value in values)


def test_a_ratio_is_the_median_of_the_repeats_own() -> None:
    rows = figures.speed_rows(
        {"ant": {"simgap": [10.0, 60.0, 80.0], "Gymnasium": [10.0, 20.0, 40.0]}, "x": {"simgap": [1.0]}}
    )
    assert [(row.name, row.value, row.unit) for row in rows] == [
        ("ant: simgap", 60.0, "steps/s"),
        ("ant: Gymnasium", 20.0, "steps/s"),
        ("ant: simgap / Gymnasium", 2.0, "×"),
        ("x: simgap", 1.0, "steps/s"),
    ]


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^steps is 0; it must be 1 or more$"):
        figures.main(0)
