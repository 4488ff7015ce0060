import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.evaluate import evaluate
from experiments.metrics import read_curve
from experiments.run import Run, create_run
from experiments.train import train
from experiments.upkeep import Interrupted

Tiny = Callable[..., RunConfig]


def same(a: Any, b: Any) -> bool:
    """Trees of equal values, arrays and tensors bit for bit."""
    if isinstance(a, torch.Tensor | np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def timeless(run: Run) -> list[dict[str, Any]]:
    """The run's metrics without what depends on the clock or on how often it was started."""
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in run.rows()]


def final_state(run: Run) -> dict[str, Any]:
    state: dict[str, Any] = load_section(run.latest_checkpoint(), "training")
    assert state.pop("elapsed") > 0
    return state


def stop_after(steps: int, number: signal.Signals = signal.SIGINT) -> Callable[[int, int, float, float], None]:
    """A progress report that sends the signal to this process once ``steps`` are done."""

    def report(done: int, total: int, speed: float, mean: float) -> None:
        if done >= steps:
            os.kill(os.getpid(), number)

    return report


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is reported at every step instead of twice a second."""
    clock = iter(range(10**9))
    monkeypatch.setattr("experiments.upkeep.time.monotonic", lambda: float(next(clock)))


def test_a_run_has_everything_when_it_is_done(ppo_run: Run) -> None:
    result = ppo_run.result()
    assert ppo_run.done
    assert result["steps"] == 512
    assert result["diverged_episodes"] == 0
    assert result["wall_s"] > 0
    assert [path.name for path in list_checkpoints(ppo_run.checkpoints)] == ["000000000384", "000000000512"]
    rows = ppo_run.rows()
    assert [row["step"] for row in rows] == list(range(64, 513, 64))
    assert all(row["rollout/diverged_episodes"] == 0 for row in rows)
    assert all(np.isfinite(row["train/loss"]) for row in rows[1:])
    with Image.open(ppo_run.directory / "learning_curve.png") as picture:
        assert picture.size[0] > 300
    assert {path.name for path in ppo_run.directory.glob(".*")} <= {".lock", ".episodes.lock"}
    (start,) = ppo_run.starts()
    assert start["num_threads"] == 1


def test_the_learning_curve_is_what_training_logged(ppo_run: Run) -> None:
    curve = read_curve(ppo_run)
    logged = [row for row in ppo_run.rows() if "rollout/ep_rew_mean" in row]
    assert len(logged) >= 5
    assert curve["step"].tolist() == [row["step"] for row in logged]
    assert curve["return"].tolist() == [row["rollout/ep_rew_mean"] for row in logged]


def test_tensorboard_shows_the_same_numbers(ppo_run: Run) -> None:
    events = EventAccumulator(str(ppo_run.directory / "tensorboard")).Reload().Scalars("rollout/ep_rew_mean")
    curve = read_curve(ppo_run)
    assert [event.step for event in events] == curve["step"].tolist()
    assert np.allclose([event.value for event in events], curve["return"], rtol=1e-6)


def test_the_same_command_does_nothing_when_done(own_run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in own_run.directory.rglob("*")}
    again = train(own_run.config, own_run.directory.parents[2], num_threads=1)
    assert again == own_run
    assert {path: path.stat().st_mtime_ns for path in own_run.directory.rglob("*")} == before


def test_training_twice_gives_the_same_bits(ppo_run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """Thread count and the spacing of checkpoints do not matter."""
    again = train(tiny(checkpoint_every=100_000), tmp_path, num_threads=2)
    assert same(final_state(again), final_state(ppo_run))
    assert timeless(again) == timeless(ppo_run)
    other = train(tiny(seed=1), tmp_path, num_threads=1)
    assert not same(final_state(other)["agent"]["parameters"], final_state(ppo_run)["agent"]["parameters"])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_resumes_bit_identical(
    ppo_run: Run, tiny: Tiny, tmp_path: Path, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    # 100 lies inside the second rollout; 300 inside the fifth.
    for steps, saved in ((100, 128), (300, 320)):
        sent: list[int] = []

        def report(done: int, total: int, speed: float, mean: float, at: int = steps, to: list[int] = sent) -> None:
            if done >= at and not to:
                to.append(done)
                os.kill(os.getpid(), number)

        with pytest.raises(Interrupted, match=f"stopped at {saved} of 512 steps and saved; the same command continues"):
            train(tiny(), tmp_path, num_threads=1, report=report)
        assert "stopping after this update; press again to stop at once" in capfd.readouterr().err
        run = create_run(tiny(), tmp_path)
        assert not run.done
        assert run.latest_checkpoint().name == f"{saved:012d}"
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    run = train(tiny(), tmp_path, num_threads=1)
    assert run.done
    assert len(run.starts()) == 3
    assert same(final_state(run), final_state(ppo_run))
    assert timeless(run) == timeless(ppo_run)
    evaluate(run, ["source", "target"], episodes=3, num_threads=1)
    assert run.episodes.read_bytes() == ppo_run.episodes.read_bytes()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("agent", ["a2c", "sac", "ars"])
def test_every_kind_of_agent_saves_when_it_is_interrupted(agent: str, tiny: Tiny, tmp_path: Path) -> None:
    """On-policy agents between two rollouts, off-policy ones between two updates, searches between two generations."""
    config = tiny(agent, steps=400, checkpoint_every=100_000)
    whole = train(config, tmp_path / "whole", num_threads=1)
    sent: list[int] = []

    def report(done: int, total: int, speed: float, mean: float) -> None:
        if done >= 150 and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match=r"^stopped at \d+ of 400 steps and saved; the same command continues$"):
        train(config, tmp_path / "cut", num_threads=1, report=report)
    run = create_run(config, tmp_path / "cut")
    assert 150 <= int(run.latest_checkpoint().name) < 400
    assert same(final_state(train(config, tmp_path / "cut", num_threads=1)), final_state(whole))
    assert timeless(run) == timeless(whole)


@pytest.mark.usefixtures("eager")
def test_a_second_signal_stops_at_once(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path, num_threads=1, report=stop_after(10))
    run = create_run(tiny(), tmp_path)
    assert list_checkpoints(run.checkpoints) == []
    with run.lock():  # and the lock is free again
        pass


def test_recurrent_ppo_resumes_bit_identical(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny("recurrent_ppo", steps=256, checkpoint_every=64)
    whole = train(config, tmp_path / "whole", num_threads=1)
    run = train(config, tmp_path / "cut", num_threads=1)
    go_back(run, 192)
    assert same(final_state(train(config, tmp_path / "cut", num_threads=1)), final_state(whole))
    assert timeless(run) == timeless(whole)


def go_back(run: Run, step: int) -> None:
    """As if the process had been killed after the checkpoint of ``step``."""
    (run.directory / "done.json").unlink()
    for checkpoint in list_checkpoints(run.checkpoints):
        if int(checkpoint.name) > step:
            for file in checkpoint.iterdir():
                file.unlink()
            checkpoint.rmdir()
    assert run.latest_checkpoint().name == f"{step:012d}"


def cut_and_judged(config: RunConfig, step: int, root: Path) -> Run:
    """A run that was cut at ``step`` and continued; it must equal an uncut one, and be judged in both domains alike."""
    whole = train(config, root / "whole", num_threads=1)
    run = train(config, root / "cut", num_threads=1)
    go_back(run, step)
    run = train(config, root / "cut", num_threads=1)
    assert same(final_state(run), final_state(whole))
    assert timeless(run) == timeless(whole)
    rows = evaluate(run, ["source", "target"], episodes=2, num_threads=1)
    assert [row["eval_domain"] for row in rows] == ["source"] * 2 + ["target"] * 2
    assert rows == evaluate(whole, ["source", "target"], episodes=2, num_threads=1)
    return run


def test_metrics_after_the_checkpoint_are_written_anew(own_run: Run, ppo_run: Run) -> None:
    go_back(own_run, 384)
    with own_run.metrics.open("a") as file:
        file.write('{"step": 576, "rollout/ep_rew_mean": 1e9}\n{"step": 64')  # the last one cut by the kill
    run = train(own_run.config, own_run.directory.parents[2], num_threads=1)
    assert timeless(run) == timeless(ppo_run)
    assert same(final_state(run), final_state(ppo_run))


def test_a_run_killed_between_its_last_checkpoint_and_done(own_run: Run, ppo_run: Run) -> None:
    (own_run.directory / "done.json").unlink()
    (own_run.directory / "learning_curve.png").unlink()
    run = train(own_run.config, own_run.directory.parents[2], num_threads=1)
    assert run.result()["steps"] == 512
    assert (run.directory / "learning_curve.png").exists()
    assert timeless(run) == timeless(ppo_run)


def test_damaged_metrics_stop_a_resume_and_lose_nothing(own_run: Run) -> None:
    go_back(own_run, 384)
    lines = own_run.metrics.read_text().splitlines()
    own_run.metrics.write_text("\n".join([lines[0], "garbage", *lines[2:], ""]))
    before = own_run.metrics.read_bytes()
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: damaged"):
        train(own_run.config, own_run.directory.parents[2], num_threads=1)
    assert own_run.metrics.read_bytes() == before


def test_diverged_episodes_are_counted(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under such gravity every step diverges; none of it reaches the learner, which stays finite."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log into the working directory
    run = train(tiny(domain="gravity=1e14", steps=64), tmp_path, num_threads=1)
    assert run.result()["diverged_episodes"] == 64
    assert run.rows()[-1]["rollout/diverged_episodes"] == 64
    policy = load_section(run.latest_checkpoint(), "policy")["policy"]
    assert all(torch.isfinite(tensor).all() for tensor in policy.values())


def test_progress_tells_steps_speed_and_return(tiny: Tiny, tmp_path: Path, eager: None) -> None:
    seen: list[tuple[int, int, float, float]] = []
    train(tiny(), tmp_path, num_threads=1, report=lambda *values: seen.append(values))
    assert [done for done, *_ in seen] == list(range(4, 513, 4))
    assert {total for _, total, *_ in seen} == {512}
    assert all(speed > 0 for _, _, speed, _ in seen)
    assert np.isnan(seen[0][3])
    assert np.isfinite(seen[-1][3])


def test_negative_threads_leave_nothing(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threads is -1; it must be 0"):
        train(tiny(), tmp_path, num_threads=-1)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_training_and_the_run_continues_later(
    ppo_run: Run, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.numpy

    real, calls = safetensors.numpy.save_file, []

    def full(tensors: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) > 2:  # the first checkpoint, of two sections, fits
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        real(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", full)
        with pytest.raises(OSError, match=r"000000000256: cannot be written \(.*No space left on device"):
            train(tiny(), tmp_path, num_threads=1)
    run = create_run(tiny(), tmp_path)
    assert [path.name for path in run.checkpoints.iterdir()] == ["000000000128"]
    assert same(final_state(train(tiny(), tmp_path, num_threads=1)), final_state(ppo_run))


def test_sac_writes_metrics_and_keeps_its_replay_buffer(sac_run: Run) -> None:
    replay = load_section(sac_run.latest_checkpoint(), "training")["agent"]["replay"]
    assert replay["pos"] == 160 // 4
    assert not replay["full"]
    assert replay["arrays"]["observations"].shape == (40, 4, 11)
    assert json.loads((sac_run.directory / "done.json").read_text())["steps"] == 160
