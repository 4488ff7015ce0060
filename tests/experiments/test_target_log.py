"""Logs of a target: the domain's own transitions, their cost, and files that run no code."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from experiments.run import Run
from experiments.target_log import TargetLog, join, log_target, read_log, write_log


@pytest.fixture(scope="module")
def log(ppo_run: Run) -> TargetLog:
    return log_target(ppo_run, "target", 4)


def test_transitions_are_those_of_the_target_and_not_of_the_source(log: TargetLog) -> None:
    for domain, near in (("target", True), ("source", False)):
        simulator = envs.make_simulator("hopper", domain, [("gravity", "*")])
        found = simulator.next_states(np.ones((1, 1)), log.states, log.actions)[0]
        assert bool(np.allclose(found, log.next_states, atol=1e-5)) == near
    assert log.dt == pytest.approx(0.008)


def test_every_step_in_the_target_is_counted(log: TargetLog, ppo_run: Run) -> None:
    """Each episode's last transition is not kept, but it was made."""
    assert (log.figure, log.domain, log.episodes) == ("hopper", "target", 4)
    assert log.steps == len(log.states) + 4
    lengths = np.bincount(log.episode) + 1
    assert len(lengths) == 4
    assert (lengths <= ppo_run.config.horizon).all()


def test_within_an_episode_one_transition_follows_the_other(log: TargetLog) -> None:
    for episode in range(4):
        own = log.episode == episode
        np.testing.assert_array_equal(log.next_states[own][:-1], log.states[own][1:])


def test_noisy_sensors_measure_the_log_too_each_state_once(ppo_run: Run) -> None:
    noisy = log_target(ppo_run, "target, sensor_noise=0.05", 8)
    own = noisy.episode == 0
    np.testing.assert_array_equal(noisy.next_states[own][:-1], noisy.states[own][1:])
    simulator = envs.make_simulator("hopper", "target", [("gravity", "*")])
    found = simulator.next_states(np.ones((1, 1)), noisy.states, noisy.actions)[0]
    # In position x: noise of the state before, of the one after, and of the speed over 8 ms.
    spread = (found - noisy.next_states)[:, 0].std()
    assert spread == pytest.approx(0.05 * np.sqrt(2 + 0.008**2), rel=0.2)


def test_a_log_comes_back_as_it_was_written(log: TargetLog, tmp_path: Path) -> None:
    write_log(log, tmp_path / "a.npz")
    np.testing.assert_equal(vars(read_log(tmp_path / "a.npz")), vars(log))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        assert all(data[name].dtype != object for name in data.files)


def test_joined_logs_add_up(log: TargetLog) -> None:
    both = join([log, log])
    assert (both.episodes, both.steps) == (2 * log.episodes, 2 * log.steps)
    assert len(np.unique(both.episode)) == 8
    np.testing.assert_array_equal(both.states, np.concatenate((log.states, log.states)))


def _nan(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "states": np.full_like(content["states"], np.nan)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nan, "damaged: states holds what is not a finite number"),
        (lambda c: {**c, "actions": c["actions"][:-1]}, r"damaged: actions has the shape \("),
        (
            lambda c: {**c, "states": c["states"][:, :-1]},
            "damaged: its states and actions do not have the sizes",
        ),
        (lambda c: {**c, "figure": "unicorn"}, "unknown figure 'unicorn'; accepted: hopper"),
        (lambda c: {**c, "format": "other"}, "not a log of this version; accepted: simgap-target-log-1"),
        (
            lambda c: {k: v for k, v in c.items() if k != "dt"},
            "not a log of a target .*accepted: what simgap log",
        ),
        (lambda c: {**c, "states": np.array([{}], object)}, "not a log of a target"),
        (
            lambda c: {**c, **{k: c[k][:0] for k in ("states", "actions", "next_states", "episode")}},
            "holds no transition; accepted: a log of at least one",
        ),
    ],
)
def test_damaged_logs_are_refused_in_one_line(
    log: TargetLog, tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    write_log(log, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as data:
        content = {name: data[name] for name in data.files}
    np.savez(tmp_path / "b.npz", **change(content))
    with pytest.raises(ValueError, match=message) as raised:
        read_log(tmp_path / "b.npz")
    assert "\n" not in str(raised.value)


def test_a_truncated_or_missing_file_is_refused(log: TargetLog, tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    with pytest.raises(ValueError, match=r"a\.npz: not a log of a target"):
        read_log(file)
    write_log(log, file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"a\.npz: not a log of a target"):
        read_log(file)


def test_impossible_requests_are_refused(log: TargetLog, ppo_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="episodes is 0; it must be from 1"):
        log_target(ppo_run, "target", 0)
    with pytest.raises(ValueError, match=r"every episode of .* ended in its first step; nothing to log"):
        log_target(ppo_run, "source, gravity=90000", 2)
    with pytest.raises(ValueError, match="no log of a target is given"):
        join([])
    with pytest.raises(ValueError, match="logs of different figures: ant, hopper; accepted: of one"):
        join([log, replace(log, figure="ant")])
    with pytest.raises(ValueError, match="logs with and without mass_only; accepted: of one kind"):
        join([log, replace(log, mass_only=True)])
    with pytest.raises(ValueError, match=r"a\.txt: accepted: a file name that ends in \.npz"):
        write_log(log, tmp_path / "a.txt")
