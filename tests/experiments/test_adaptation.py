"""History, a critic that knows the physics, and students of a teacher that does: whole runs."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from experiments.config import RunConfig
from experiments.evaluate import load_trained
from experiments.export import export
from experiments.privileged import TAUGHT
from experiments.run import Run, create_run
from experiments.statistics import read_episodes
from experiments.study_config import StudyConfig
from experiments.teacher import load_teacher
from experiments.train import train
from tests.experiments.test_train import cut_and_judged

Tiny = Callable[..., RunConfig]

UNIFORM: dict[str, Any] = {"method": "uniform"}
CRITIC: dict[str, Any] = {"pipeline": "history", "history": {"length": 4, "critic": "parameters"}}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "history": ("ppo", {"pipeline": "history", "history": {"length": 4}}),
    "critic": ("ppo", CRITIC),
    "critic of sac": ("sac", CRITIC),
    "oracle": ("ppo", {"pipeline": "privileged"}),
    "imitator": ("dagger", CRITIC),
    "rma": ("rma", CRITIC),
}


@pytest.fixture(scope="module")
def teacher(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("teacher")
    return train(tiny(steps=128, pipeline="privileged", randomization=UNIFORM), root, num_threads=1)


def config(tiny: Tiny, kind: str, teacher: Run | None, /, **changes: Any) -> RunConfig:
    agent, settings = KINDS[kind]
    taught = {"teacher": str(teacher.directory)} if teacher and agent in TAUGHT else {}
    return tiny(agent, **{"steps": 128, "checkpoint_every": 64, "randomization": UNIFORM} | settings | taught | changes)


@pytest.mark.parametrize("kind", KINDS)
def test_it_continues_bit_identically_and_is_judged(kind: str, tiny: Tiny, teacher: Run, tmp_path: Path) -> None:
    run = cut_and_judged(config(tiny, kind, teacher), 64, tmp_path)
    assert set(read_episodes(run.episodes)["pipeline"]) == {run.config.sees.name}


@pytest.mark.parametrize("kind", ["critic", "critic of sac", "imitator", "rma"])
def test_its_actor_never_sees_the_parameters(kind: str, tiny: Tiny, teacher: Run, tmp_path: Path) -> None:
    policy = load_trained(train(config(tiny, kind, teacher), tmp_path, num_threads=1), "target", 4, 1)
    seen: Any = policy.env.reset()
    expected, _ = policy.agent.predict(seen, deterministic=True)
    other = {**seen, "state": seen["state"] + 7}
    np.testing.assert_array_equal(policy.agent.predict(other, deterministic=True)[0], expected)
    moved, _ = policy.agent.predict({**seen, "history": seen["history"] + 1}, deterministic=True)
    assert np.abs(moved - expected).max() > 1e-4


def test_a_run_writes_down_which_parameters_are_shown_in_which_order(tiny: Tiny, tmp_path: Path) -> None:
    drawn = ["foot_mass * uniform(0.5, 2)", "gravity + uniform(-1, 1)", "thigh_mass * uniform(0.5, 2)"]
    given = config(tiny, "critic", None, randomization={"method": "uniform", "draws": drawn})
    run = create_run(given, tmp_path)
    assert run.config.history.parameters == run.config.shown == ("foot_mass", "gravity", "thigh_mass")
    assert run.config.resolved() == run.config
    assert create_run(given, tmp_path).config == run.config  # the same command again
    env = run.config.make_env(3, 1)
    seen: Any = run.config.observe(env).reset()
    np.testing.assert_allclose(seen["state"][:, 12] * 9.81 + 9.81, env.parameters["gravity"])
    chosen = dataclasses.replace(given, history=dataclasses.replace(given.history, parameters=("gravity",)))
    assert chosen.resolved().shown == ("gravity",)


def test_the_student_of_rma_is_its_teacher_but_for_the_latent(tiny: Tiny, teacher: Run, tmp_path: Path) -> None:
    run = train(config(tiny, "rma", teacher), tmp_path, num_threads=1)
    assert all(np.isfinite(row["rollout/ep_rew_mean"]) for row in run.rows())
    ours, theirs = (load_trained(one, "target", 4, 1) for one in (run, teacher))
    base = theirs.agent.policy.state_dict()
    assert all(torch.equal(ours.agent.policy.state_dict()[name], tensor) for name, tensor in base.items())
    network: Any = ours.agent.policy.features_extractor
    network.inferred = network.encoded
    seen: Any = ours.env.reset()
    privileged: Any = theirs.env.reset()
    for _ in range(5):
        found, _ = ours.agent.predict(seen, deterministic=True)
        np.testing.assert_allclose(found, theirs.agent.predict(privileged, deterministic=True)[0], atol=1e-5)
        seen, privileged = ours.env.step(found)[0], theirs.env.step(found)[0]


def test_an_oracle_is_exported_with_its_encoder_and_a_student_refused(tiny: Tiny, teacher: Run, tmp_path: Path) -> None:
    loaded = PPO.load(export(teacher, tmp_path / "oracle.zip"), device="cpu")
    policy = load_trained(teacher, "target", 4, 1)
    seen: Any = policy.env.reset()
    raw: Any = teacher.config.observe(teacher.config.make_env(4, 1, "target"), "state").reset()
    expected, _ = policy.agent.predict(seen, deterministic=True)
    np.testing.assert_allclose(loaded.predict(raw, deterministic=True)[0], expected, atol=1e-5)
    assert np.abs(policy.agent.predict(raw, deterministic=True)[0] - expected).max() > 1e-3  # folding matters
    student = train(config(tiny, "rma", teacher), tmp_path, num_threads=1)
    with pytest.raises(ValueError, match=r"^the observation is not a vector alone; accepted: "):
        export(student, tmp_path / "student.zip")


def test_a_teacher_that_does_not_serve_is_refused(tiny: Tiny, teacher: Run, ppo_run: Run, tmp_path: Path) -> None:
    wide = {"method": "uniform", "draws": ["torso_mass * uniform(0.5, 2)"]}
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("rma", {"teacher": str(ppo_run.directory)}, "on state; accepted as a teacher: one of hopper on privileged"),
        ("imitator", {"randomization": wide}, "shown thigh_mass, leg_mass, foot_mass; accepted as a teacher: one that"),
        ("rma", {"privileged": {"latent": 4}}, "privileged.latent is 8; accepted as a teacher of this student: 4"),
    ]
    for i, (kind, changes, message) in enumerate(cases):
        with pytest.raises(ValueError, match=message):
            train(config(tiny, kind, teacher, **changes), tmp_path / str(i), num_threads=1)
    layers = {"name": "rma", "hyperparameters": {"policy_kwargs": {"net_arch": [8]}}}
    run = create_run(config(tiny, "rma", teacher, agent=layers), tmp_path)
    with pytest.raises(ValueError, match=r"policy_kwargs.net_arch is None; accepted as a teacher of this student: "):
        load_teacher(run)


@pytest.mark.parametrize(
    ("agent", "changes", "message"),
    [
        (
            "ppo",
            {"pipeline": "privileged"},
            "pipeline privileged is to show the drawn physical parameters, but ",
        ),
        (
            "ppo",
            CRITIC,
            "pipeline history is to show the drawn physical parameters, but nothing is drawn",
        ),
        (
            "ppo",
            {"pipeline": "privileged", "privileged": {"parameters": ["gravity"]}, "randomization": UNIFORM},
            "privileged.parameters has 'gravity'; accepted: each once, of thigh_mass, leg_mass, foot_mass",
        ),
        ("rma", CRITIC, "agent rma learns from a teacher; accepted: --teacher with a run on the pipeline privileged"),
        ("rma", {"teacher": "t"}, "agent rma infers from history what its teacher's encoder makes of the parameters; "),
        (
            "rma",
            {**CRITIC, "teacher": "t", "privileged": {"latent": 0}},
            "agent rma infers from history .* history.length and privileged.latent of 1 or more",
        ),
        (
            "dagger",
            {"pipeline": "history", "teacher": "t"},
            "agent dagger needs the true state for its teacher .* or --pipeline history --history.critic parameters",
        ),
        ("ppo", {"teacher": "t"}, "teacher 't' is for agents dagger and rma alone, not for ppo"),
    ],
)
def test_what_cannot_be_is_one_line(tiny: Tiny, agent: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        tiny(agent, **changes)
    assert "\n" not in str(error.value)


def test_what_identification_looks_for_can_be_shown_too(tiny: Tiny) -> None:
    search = ["torso_mass * uniform(0.5, 2)", "foot_friction * uniform(0.5, 2)"]
    identify = {"method": "dropo", "policy": "p", "search": search}
    assert tiny(pipeline="privileged", identify=identify).shown == ("torso_mass", "foot_friction")


def test_a_study_compares_the_methods() -> None:
    """Every cell has a path of its own, and teachers are cells."""
    cell = "hopper-source-privileged-uniform-ppo"
    student = {"pipeline": "history", "history": {"critic": "parameters"}, "teacher": cell}
    study = StudyConfig(
        name="adapt",
        title="",
        description="",
        base={"randomization": {"method": "uniform"}},
        cells=[
            {"pipeline": "privileged"},
            {"pipeline": "history"},
            {"pipeline": "history", "history": {"name": "asymmetric", "critic": "parameters"}},
            {**student, "agent": {"name": "rma"}},
            {**student, "agent": {"name": "dagger"}},
        ],
        seeds=1,
    )
    assert [str(config.path.parent.name) for config in study.runs()] == [
        cell,
        "hopper-source-history-uniform-ppo",
        "hopper-source-asymmetric-uniform-ppo",
        "hopper-source-history-uniform-rma",
        "hopper-source-history-uniform-dagger",
    ]
