"""The comparison with a loop over single environments, in small."""

import pytest

from agents import fold_normalizer
from benchmarks import sweep
from experiments.evaluate import load_trained
from experiments.run import open_run


def test_each_contender_judges_in_every_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "EPISODES", 1)
    speeds = sweep.measure(sweep.grid_of(4), loop_cells=1, threads=1, repeats=2)
    assert {name: len(values) for name, values in speeds.items()} == {sweep.OURS: 2, sweep.THEIRS: 2, sweep.SINGLE: 2}
    assert all(value > 0 for values in speeds.values() for value in values)


def test_both_loops_play_the_same_episodes_in_the_shifted_physics() -> None:
    run, grid = open_run(sweep.POLICY), sweep.grid_of(4)
    policy = load_trained(run, grid.base, 1, 1)
    fold_normalizer(policy.agent, policy.env)  # type: ignore[arg-type]  # PPO's environment has a normaliser
    steps = {
        cell: [sweep.loop(policy.agent, name, 300, grid, [cell])[0] for name in ("Hopper-v5", "simgap/Hopper-v0")]
        for cell in (1, 4)
    }
    assert all(theirs == ours for theirs, ours in steps.values())
    assert len({ours for _, ours in steps.values()}) > 1


def test_the_goal_is_against_gymnasiums_environment() -> None:
    speeds = {sweep.OURS: [30.0, 20.0], sweep.THEIRS: [2.0, 2.5], sweep.SINGLE: [3.0, 4.0]}
    rows = sweep.speed_rows(speeds)
    assert [(row.name, row.value, row.goal) for row in rows[3:]] == [
        (f"{sweep.OURS} / {sweep.THEIRS}", 11.5, 10.0),
        (f"{sweep.OURS} / {sweep.SINGLE}", 7.5, None),
    ]


def test_the_grid_has_about_as_many_cells_as_asked_for() -> None:
    assert len(sweep.grid_of(2000).operands) == 45 * 45
    assert len(sweep.grid_of(1).operands) == 4


def test_no_cells_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^cells is 0; it must be 1 or more$"):
        sweep.main(0)
