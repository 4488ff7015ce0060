"""Identification from a log, in a run of its own and on the command line's path."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.config import RunConfig
from experiments.identify import fit, read_identified, write_identified
from experiments.plain import parse_config
from experiments.run import Run, create_run
from experiments.target_log import TargetLog, log_target, write_log
from experiments.teacher import teacher_directory
from experiments.train import train
from randomization import dropo, parse_draw
from randomization.identification import parse_search

Tiny = Callable[..., RunConfig]
SEARCH = parse_search(["torso_mass * uniform(0.5, 2)"])
TRUTH = 3.534 / 2.534


@pytest.fixture(scope="module")
def log(ppo_run: Run) -> TargetLog:
    return log_target(ppo_run, "target", 3)


@pytest.fixture
def settings(ppo_run: Run) -> dict[str, Any]:
    policy = str(ppo_run.directory.parent)
    return {
        "method": "sysid",
        "policy": policy,
        "episodes": 2,
        "search": ["torso_mass * uniform(0.5, 2)"],
        "name": "id",
    }


def test_sysid_finds_the_targets_torso(log: TargetLog) -> None:
    found = fit("sysid", log, "source", SEARCH)
    assert (found.episodes, found.steps) == (3, log.steps)
    assert found.report["parameters"]["torso_mass *"]["mean"] == pytest.approx(TRUTH, rel=1e-3)
    assert found.report["residual_rms"] < 0.01 * found.report["residual_rms_at_start"]
    assert parse_draw(found.draws[0]).distribution.support == pytest.approx((TRUTH, TRUTH), rel=1e-3)


def test_dropo_finds_it_too_with_a_spread(log: TargetLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropo, "TRANSITIONS", 10)
    monkeypatch.setattr(dropo, "SAMPLES", 8)
    found = fit("dropo", log, "source", SEARCH, seed=1)
    torso = found.report["parameters"]["torso_mass *"]
    assert torso["mean"] == pytest.approx(TRUTH, rel=0.03)
    assert 0 < torso["std"] < 0.1
    assert found.report["log_likelihood"] > found.report["log_likelihood_at_start"]
    assert found.report["transitions"] == 10


def test_what_is_found_is_a_configuration_that_declares_its_budget(log: TargetLog, tmp_path: Path) -> None:
    found = fit("sysid", log, "source", SEARCH)
    write_identified(found, replace(log, mass_only=True), "source", tmp_path / "found.yaml")
    text = (tmp_path / "found.yaml").read_text()
    config = parse_config(RunConfig, yaml.safe_load(text), "found")
    assert config.randomization.draws == found.draws
    assert config.mass_only
    assert (config.identify.episodes_spent, config.identify.steps_spent) == (3, log.steps)
    assert config.path.parent.name == "hopper-source-state-sysid-draws-ppo"
    assert "# report:\n" in text


def test_a_run_logs_fits_and_trains_with_what_it_found(
    tiny: Tiny, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tiny(identify=settings), tmp_path, num_threads=1)
    assert run.directory.parent.name == "hopper-source-state-id-ppo"
    found = read_identified(run.directory / "identified.json")
    result = run.result()
    assert (result["target_episodes"], result["target_steps"]) == (2, found.steps)
    assert 2 < found.steps <= 100
    env = run.config.make_env(2, 1, draws=found.draws)
    env.reset()
    assert env.parameters["torso_mass"] == pytest.approx(3.534, rel=1e-3)
    # A run that continues neither looks at the target nor fits again.
    monkeypatch.setattr("experiments.identify.log_target", None)
    monkeypatch.setattr("experiments.identify.fit", None)
    (run.directory / "done.json").unlink()
    assert train(run.config, tmp_path, num_threads=1).result()["target_episodes"] == 2


def test_draws_given_by_hand_declare_what_they_cost(tiny: Tiny, tmp_path: Path) -> None:
    drawn = {"method": "uniform", "name": "by-hand", "draws": ["torso_mass * uniform(1.3, 1.5)"]}
    config = tiny(randomization=drawn, identify={"episodes_spent": 3, "steps_spent": 70}, steps=64)
    result = train(config, tmp_path, num_threads=1).result()
    assert (result["target_episodes"], result["target_steps"]) == (3, 70)


def test_a_run_without_identification_has_no_budget(ppo_run: Run) -> None:
    written = json.loads((ppo_run.directory / "done.json").read_text())
    assert (written["target_episodes"], written["target_steps"]) == (0, 0)


def test_a_run_of_before_budgets_counts_as_zero(own_run: Run) -> None:
    file = own_run.directory / "done.json"
    content = json.loads(file.read_text())
    del content["target_episodes"], content["target_steps"]
    file.write_text(json.dumps(content))
    assert own_run.result()["target_steps"] == 0


def test_the_policy_may_be_a_cell_of_the_same_study(tiny: Tiny, settings: dict[str, Any], tmp_path: Path) -> None:
    """Its run with the same seed is what the study trains first."""
    plain = create_run(tiny(seed=3, steps=64), tmp_path)
    identified = create_run(tiny(seed=3, identify={**settings, "policy": plain.directory.parent.name}), tmp_path)
    assert teacher_directory(identified) == plain.directory


def test_a_policy_that_cannot_log_is_refused(
    tiny: Tiny, settings: dict[str, Any], own_run: Run, tmp_path: Path
) -> None:
    unfinished = {**settings, "policy": str(own_run.directory)}
    (own_run.directory / "done.json").unlink()
    with pytest.raises(ValueError, match="a policy of hopper that has not finished training; accepted to log"):
        train(tiny(identify=unfinished), tmp_path, num_threads=1)
    with pytest.raises(ValueError, match=r"mass_only is True, but of .*, which logs the target, it is not"):
        train(tiny(identify=settings, mass_only=True, study="other"), tmp_path, num_threads=1)
    shutil.rmtree(own_run.directory)
    with pytest.raises(ValueError, match="not a run directory"):
        train(tiny(identify=unfinished), tmp_path, num_threads=1)


def test_a_log_of_another_figure_is_refused(
    tiny: Tiny, settings: dict[str, Any], log: TargetLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(tiny(identify=settings), tmp_path)
    write_log(log, run.directory / "target.npz")
    monkeypatch.setattr("experiments.identify.read_log", lambda _: replace(log, figure="ant"))
    with pytest.raises(ValueError, match=r"target\.npz: a target of ant; accepted: of hopper"):
        train(run.config, tmp_path, num_threads=1)


def test_damaged_findings_are_refused(tiny: Tiny, settings: dict[str, Any], tmp_path: Path) -> None:
    run = create_run(tiny(identify=settings), tmp_path)
    (run.directory / "identified.json").write_text('{"draws": ["torso"], "method": "sysid"}')
    with pytest.raises(ValueError, match=r"identified\.json: damaged \(.*; remove it to identify the target anew"):
        train(run.config, tmp_path, num_threads=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"randomization": {"method": "uniform"}},
            "randomization.method is 'uniform', but identify.method simopt",
        ),
        ({"pipeline": "pixels"}, "simopt simulates policies on the state; accepted: pipeline state, not pixels"),
        ({"identify": {"method": "bayrn", "rounds": 2}}, "identify.rounds is 2; accepted with bayrn: 3 or more"),
        ({"identify": {"method": "simopt", "domain": "mars"}}, "domain 'mars': cannot read 'mars'"),
        (
            {"identify": {"method": "simopt", "search": ["wing_mass * uniform(1, 2)"]}},
            "unknown physical parameter",
        ),
        (
            {"identify": {"method": "simopt", "search": ["torso_mass + uniform(-9, 2)"]}},
            "torso_mass = -6.466 is not",
        ),
        ({"domain": "source, actuator_delay=2"}, "domain 'source, actuator_delay=2': .*; accepted: a domain without"),
        ({"figure": "ant"}, "ant observes contact forces, which .*; accepted: a figure that observes none"),
        ({"identify": {"method": "simopt", "budget": 3}}, r"identify\.budget: unknown key \(accepted: method, policy"),
    ],
)
def test_impossible_configurations_are_refused_in_one_line(tiny: Tiny, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^tiny: {message}|^tiny: .*{message}"):
        tiny(**{"identify": {"method": "simopt"}, **changes})


def test_what_simulates_no_given_states_takes_every_domain(tiny: Tiny) -> None:
    assert tiny(domain="source, sensor_noise=0.1", identify={"method": "bayrn"}).identify.method == "bayrn"


def test_a_log_of_another_time_step_is_refused(log: TargetLog) -> None:
    with pytest.raises(ValueError, match=r"^the log has 0\.01 s from state to state; accepted: 0\.008 s"):
        fit("sysid", replace(log, dt=0.01), "source", SEARCH)
