"""SimOpt and BayRn in runs: an exact budget, draws that change between rounds, the same bits after an interruption."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.identify_config import search_of
from experiments.rounds import first_distribution, read_looks
from experiments.run import Run
from experiments.train import train
from randomization import bayrn, simopt

Tiny = Callable[..., RunConfig]
SEARCH = ["torso_mass * uniform(0.5, 2)", "foot_friction * uniform(0.5, 2)"]


def config(tiny: Tiny, method: str, rounds: int = 3) -> RunConfig:
    settings = {"method": method, "rounds": rounds, "episodes": 2, "search": SEARCH, "name": "online"}
    return tiny(identify=settings, checkpoint_every=64)


@pytest.fixture(scope="module", params=["bayrn", "simopt"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run(method: str, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simopt, "SAMPLES", 8)
        return train(config(tiny, method), tmp_path_factory.mktemp(method), num_threads=1)


def test_looks_come_between_the_rounds_and_are_all_that_is_spent(run: Run) -> None:
    looks = read_looks(run)
    assert [look["step"] for look in looks] == [192, 384]  # the first updates after a third and two thirds of 512
    result = run.result()
    assert result["target_episodes"] == sum(len(look["returns"]) for look in looks) == 4
    assert result["target_steps"] == sum(look["steps"] for look in looks)
    assert all(4 <= look["steps"] <= 100 for look in looks)
    assert looks[0]["returns"] != looks[1]["returns"]


def test_what_is_drawn_changes_at_each_look(run: Run) -> None:
    """The parameters of simulations in the final checkpoint are those of the last look's draws."""
    looks = read_looks(run)
    texts = [first_distribution(run.config).draws(search_of(run.config)), *(tuple(look["draws"]) for look in looks)]
    if run.config.identify.method == "simopt":
        assert len(set(texts)) == 3
    env = run.config.make_env(4, 1, draws=texts[-1])
    saved = load_section(run.latest_checkpoint(), "training")["simulation"]
    keys = np.stack((np.arange(4), saved["episode"]), axis=1)
    assert env.randomizer is not None
    drawn = env.randomizer.sample(keys)
    started = saved["elapsed"] < 128 / 4  # their episode began after the last look
    assert started.any()
    factors = saved["parameters"]["torso_mass"] / 2.534
    np.testing.assert_allclose(factors[started], drawn["torso_mass", "*"][started])


def test_bayrn_ends_with_the_best_that_it_tried(run: Run) -> None:
    if run.config.identify.method == "bayrn":
        looks = read_looks(run)
        points = [bayrn.start(search_of(run.config).nominal), np.array(looks[0]["point"])]
        best = points[int(np.argmax([np.mean(look["returns"]) for look in looks]))]
        np.testing.assert_array_equal(looks[1]["point"], best)


def test_a_run_that_continues_pays_for_no_look_twice_and_ends_with_the_same_bits(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the checkpoint before the last one, whose looks are known."""
    directory = tmp_path / run.config.path
    shutil.copytree(run.directory, directory)
    (directory / "done.json").unlink()
    wanted = load_section(run.latest_checkpoint(), "policy")["policy"]
    shutil.rmtree(list_checkpoints(directory / "checkpoints")[-1])
    monkeypatch.setattr("experiments.rounds.play_target", None)
    again = train(run.config, tmp_path, num_threads=1)
    assert again.result()["target_steps"] == run.result()["target_steps"]
    found = load_section(again.latest_checkpoint(), "policy")["policy"]
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_look_leaves_training_alone(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With looks already known, the same run from its first step ends with the same bits."""
    monkeypatch.setattr(simopt, "SAMPLES", 8)
    first = train(config(tiny, "simopt", rounds=2), tmp_path / "a", num_threads=1)
    directory = tmp_path / "b" / first.config.path
    directory.mkdir(parents=True)
    for name in ("rounds.json", "config.yaml"):
        shutil.copy(first.directory / name, directory / name)
    monkeypatch.setattr("experiments.rounds.play_target", None)
    second = train(first.config, tmp_path / "b", num_threads=1)
    states = [load_section(each.latest_checkpoint(), "policy")["policy"] for each in (first, second)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_damaged_looks_are_refused(run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "seed-000"
    directory.mkdir()
    (directory / "rounds.json").write_text(json.dumps({"looks": [{"step": 3}]}))
    broken: Any = Run(run.config, directory)
    with pytest.raises(ValueError, match=r"rounds\.json: damaged; accepted: the looks at the target"):
        read_looks(broken)


def test_the_rounds_of_a_run_that_learns_on_are_of_its_own_steps(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    first = train(tiny(), tmp_path, num_threads=1)  # 512 steps
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simopt, "SAMPLES", 8)
        given = config(tiny, run.config.identify.method)
        further = replace(given, start=str(first.directory), steps=1024, study="further")
        looks = read_looks(train(further, tmp_path, num_threads=1))
    assert [look["step"] for look in looks] == [704, 896]  # after a third and two thirds of the 512 from 512 on


def test_rounds_in_which_nothing_is_learned_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rounds is 20, but nothing is learned between the looks at 64 steps"):
        train(config(tiny, "bayrn", rounds=20), tmp_path, num_threads=1)
