"""The measuring code and its arithmetic. Nothing here depends on how fast anything is."""

import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from rich.console import Console
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from agents import AgentConfig
from benchmarks import speed
from benchmarks.memory import training_memory
from benchmarks.speed import (
    ENVPOOL_MISSING,
    ENVPOOL_SIZES,
    SIZES,
    batched,
    environment_rows,
    envpool,
    main,
    sb3,
    take_turns,
)
from benchmarks.timing import Row, Stopwatch, ratio, table
from benchmarks.training import Learner, our_training, training_shares, training_speeds
from experiments.config import RunConfig

TINY = RunConfig(
    domain="nominal", num_envs=4, agent=AgentConfig(hyperparameters={"n_steps": 8, "batch_size": 16, "n_epochs": 1})
)


def test_a_row_is_judged_by_its_median() -> None:
    row = Row("r", (1.0, 9.0, 3.0), "×", goal=3)
    assert (row.value, row.met) == (3.0, True)
    assert row.cells() == ("r", "3.00 ×", "1.00–9.00", "≥ 3 ×: met")
    assert Row("r", (2.9,), "×", goal=3).cells() == ("r", "2.90 ×", "", "≥ 3 ×: missed")


def test_a_limit_is_met_below_it() -> None:
    assert Row("r", (0.5,), "GB", goal=1, at_most=True).cells()[3] == "< 1 GB: met"
    assert Row("r", (1.0,), "GB", goal=1, at_most=True).met is False


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    row = Row("r", (), "×", goal=3, note="absent")
    assert math.isnan(row.value)
    assert row.cells() == ("r", "absent", "", "≥ 3 ×: not measured")
    assert Row("r", (1.0,), "steps/s").met is None


def test_a_ratio_is_the_median_of_ratios_not_the_ratio_of_medians() -> None:
    ours, theirs = (10.0, 40.0, 90.0), (10.0, 10.0, 30.0)
    assert ratio("r", ours, theirs, 3).values == (1.0, 4.0, 3.0)
    assert ratio("r", ours, theirs, 3).value == 3.0
    assert ratio("r", ours, theirs, 90, "%").values == (100.0, 400.0, 300.0)
    with pytest.raises(ValueError, match="shorter"):
        ratio("r", ours, theirs[:2], 3)


def test_a_table_shows_every_row() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(table("title", [Row("one", (1.0,), "GB", 1, True), Row("two", (1234.5, 2e6), "steps/s")]))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "missed" in text
    assert "1,234–2,000,000" in text


def test_ratios_of_given_speeds() -> None:
    speeds = {"DummyVecEnv ×8": [10.0, 20.0], "SubprocVecEnv ×8": [5.0, 10.0], "EnvPool ×8": [40.0, 80.0]}
    speeds |= {f"BatchedEnv ×{size}": [30.0, 80.0] for size in SIZES}
    speeds |= {f"bare Batch.step ×{size}": [40.0, 80.0] for size in SIZES}
    rows, ratios = environment_rows(speeds)
    assert [row.name for row in rows] == list(speeds)
    assert {row.unit for row in rows} == {"steps/s"}
    found = {row.name: row for row in ratios}
    assert found["BatchedEnv ×8 / DummyVecEnv ×8"].values == (3.0, 4.0)
    assert found["BatchedEnv ×8 / DummyVecEnv ×8"].met
    assert found["BatchedEnv ×256 / SubprocVecEnv ×8"].values == (6.0, 8.0)
    assert found["BatchedEnv / bare Batch.step ×64"].value == 87.5
    assert found["BatchedEnv / bare Batch.step ×64"].met is False
    assert found["BatchedEnv ×8 / EnvPool ×8"].value == 0.875
    assert found["BatchedEnv ×64 / EnvPool ×64"].cells()[1] == ENVPOOL_MISSING
    assert len(ratios) == 3 * len(SIZES) + len(ENVPOOL_SIZES)


def test_every_contender_is_measured_in_every_repeat() -> None:
    # 60 calls let every hopper fall; batched() itself raises unless the bare steps end in the same states.
    contenders = [batched(3, 1), sb3(DummyVecEnv, 2), sb3(SubprocVecEnv, 1)]
    speeds = take_turns(contenders, calls=60, repeats=2)
    assert list(speeds) == ["BatchedEnv ×3", "bare Batch.step ×3", "DummyVecEnv ×2", "SubprocVecEnv ×1"]
    assert all(len(values) == 2 and min(values) > 0 for values in speeds.values())
    for contender in contenders:
        contender.close()


def test_envpool_is_measured_where_it_is_installed() -> None:
    contender = envpool(2, 1)
    assert contender is not None
    assert contender.burst(np.zeros((3, 2, 3), np.float32))["EnvPool ×2"] > 0
    contender.close()


def test_stopwatch_counts_time_for_the_innermost_part() -> None:
    now = 0.0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    watch = Stopwatch("rest", clock=lambda: now)
    inner = watch.part("inner", work)

    def outer_work() -> None:
        work(1)
        inner(2)
        work(3)

    outer = watch.part("outer", outer_work)
    work(4)
    outer()
    inner(10)
    assert watch.seconds == {"rest": 4.0, "outer": 4.0, "inner": 12.0}
    assert [(row.name, row.value) for row in watch.shares()] == [("inner", 60.0), ("rest", 20.0), ("outer", 20.0)]


def test_stopwatch_survives_an_error() -> None:
    watch = Stopwatch("rest", clock=lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        watch.part("inner", lambda: 1 / 0)()
    assert watch._inside == ["rest"]


def test_learners_take_turns_with_their_own_torch_threads() -> None:
    before = torch.get_num_threads()
    agent, _, _ = our_training(TINY, 1)
    seen = []

    def note() -> None:
        seen.append(torch.get_num_threads())

    agent.train = note  # type: ignore[attr-defined]  # on-policy algorithms have it
    speeds = training_speeds([Learner("a", agent, 1, 33), Learner("b", agent, 2, 1)], repeats=2)
    assert {name: len(values) for name, values in speeds.items()} == {"a": 2, "b": 2}
    # Updates of 32 steps: one each to warm up, then two (33 steps) and one in each repeat.
    assert seen == [1, 2, 1, 1, 2, 1, 1, 2]
    assert agent.num_timesteps == 8 * 32
    assert torch.get_num_threads() == before


def test_shares_of_training_cover_all_of_it() -> None:
    rows = training_shares(our_training(TINY, 1), 64)
    assert sum(row.value for row in rows) == pytest.approx(100)
    assert {row.name.split(" ")[0] for row in rows} == {"physics", "environment", "normalisation", "policy,", "other"}
    assert len(rows) == 6
    assert all(row.value > 0 for row in rows)


def test_memory_is_that_of_another_process() -> None:
    assert 0.05 < training_memory(num_envs=1, steps=1, threads=1) < 50


def test_everything_is_printed_with_its_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def given_speeds(learners: Sequence[Learner], repeats: int) -> dict[str, list[float]]:
        assert [learner.torch_threads for learner in learners] == [1, 2, 1]
        assert [learner.steps for learner in learners] == [100, 25, 25]
        return {learner.name: [value] * repeats for learner, value in zip(learners, (900.0, 100.0, 450.0), strict=True)}

    names = [f"{kind} ×{size}" for kind in ("BatchedEnv", "bare Batch.step") for size in SIZES]
    speeds = {name: [7.0] for name in [*names, "DummyVecEnv ×8", "SubprocVecEnv ×8"]}
    monkeypatch.setattr(speed, "environment_speeds", lambda calls, threads: speeds)
    monkeypatch.setattr(speed, "training_speeds", given_speeds)
    monkeypatch.setattr(speed, "training_shares", lambda ours, steps: [Row("physics", (100.0,), "%")])
    monkeypatch.setattr(speed, "training_memory", lambda num_envs, steps, threads: 0.5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setenv("COLUMNS", "200")
    main(1, 100 * speed.REPEATS)
    printed = " ".join(capsys.readouterr().out.split())
    assert "BatchedEnv ×8 / DummyVecEnv ×8 │ 1.00 × │ │ ≥ 3.5 ×: missed" in printed
    assert "SB3 PPO, torch threads 2 │ 9.00 × │ 9.00–9.00 │ ≥ 6 ×: met" in printed
    assert "SB3 PPO, torch threads 1 │ 2.00 × │ 2.00–2.00 │ │" in printed
    assert "peak of a training process │ 0.50 GB │ │ < 1 GB: met" in printed
    assert "physics │ 100.0 %" in printed
    assert ENVPOOL_MISSING in printed


@pytest.mark.parametrize(("steps", "training_steps"), [(0, 1), (1, -3)])
def test_counts_below_one_are_refused(steps: int, training_steps: int) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        main(steps, training_steps)
