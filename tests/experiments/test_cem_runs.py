"""Runs of the population search: resumed, judged, drawn and told of like the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import AgentConfig
from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.evaluate import evaluate
from experiments.info import print_runs
from experiments.metrics import read_curve
from experiments.run import Run
from experiments.train import train

Tiny = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def cem_run(tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Run:
    """Sixteen generations of four individuals, 8 steps each."""
    return train(tiny("cem"), tmp_path_factory.mktemp("cem"), num_threads=1)


def bits(tree: Any) -> Any:
    if isinstance(tree, torch.Tensor | np.ndarray):
        array = np.asarray(tree)
        return str(array.dtype), array.shape, array.tobytes()
    if isinstance(tree, dict):
        return {key: bits(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [bits(value) for value in tree]
    return tree


def final_state(run: Run) -> Any:
    state: dict[str, Any] = load_section(run.latest_checkpoint(), "training")
    state.pop("elapsed")
    return bits(state)


def timeless(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in run.rows()]


def test_it_stops_and_saves_between_generations(cem_run: Run) -> None:
    assert cem_run.result()["steps"] == 512
    assert [path.name for path in list_checkpoints(cem_run.checkpoints)] == ["000000000384", "000000000512"]
    assert [(row["step"], row["train/generation"]) for row in cem_run.rows()] == [(32 * n, n) for n in range(1, 17)]


def test_it_resumes_bit_identical_at_a_generation(cem_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny("cem"), tmp_path, num_threads=1)
    (run.directory / "done.json").unlink()
    for file in (run.checkpoints / "000000000512").iterdir():
        file.unlink()
    (run.checkpoints / "000000000512").rmdir()
    before = load_section(run.latest_checkpoint(), "policy")["policy"]
    run = train(run.config, tmp_path, num_threads=1)
    assert final_state(run) == final_state(cem_run)
    assert timeless(run) == timeless(cem_run)
    after = load_section(run.latest_checkpoint(), "policy")["policy"]
    assert any(not torch.equal(after[name], before[name]) for name in before)  # there was something to do


def test_best_mean_and_worst_are_logged_and_drawn(cem_run: Run) -> None:
    curve = read_curve(cem_run)
    assert list(curve) == ["step", "return", "best", "worst"]
    assert (curve["worst"] < curve["return"]).all()
    assert (curve["return"] < curve["best"]).all()
    assert (cem_run.directory / "learning_curve.png").exists()
    events = EventAccumulator(str(cem_run.directory / "tensorboard")).Reload()
    for name, column in (("best", "best"), ("mean", "return"), ("worst", "worst")):
        shown = [event.value for event in events.Scalars(f"rollout/ep_rew_{name}")]
        assert shown == pytest.approx(curve[column].tolist(), rel=1e-6)


def test_info_tells_the_range_and_over_how_many_steps(
    cem_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_runs([cem_run])
    out = capsys.readouterr().out
    last = read_curve(cem_run).iloc[-1]
    assert f"{last['return']:.0f} ({last['worst']:.0f} to {last['best']:.0f})" in out
    assert " 8 steps" in out  # not the horizon's 50, of which training sees no more


def test_a_training_return_is_over_what_an_individual_is_judged_on() -> None:
    def steps(horizon: int, episode_steps: int | str) -> int:
        return RunConfig(horizon=horizon, agent=AgentConfig("cem", {"episode_steps": episode_steps})).training_horizon

    assert (steps(500, 150), steps(100, 150), steps(500, 0)) == (150, 100, 500)
    assert (steps(500, "linear(100, 400)"), steps(300, "linear(100, 400)")) == (400, 300)
    assert RunConfig(horizon=500).training_horizon == 500


def test_it_is_judged_over_the_whole_horizon(cem_run: Run) -> None:
    rows = evaluate(cem_run, ["source"], episodes=3, num_threads=1)
    assert {row["horizon"] for row in rows} == {50}
    assert max(row["length"] for row in rows) > 8
