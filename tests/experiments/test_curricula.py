"""Runs whose randomisation moves: trained in small, resumed, logged, drawn and reported."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from experiments.checkpoints import list_checkpoints, load_section
from experiments.config import RunConfig
from experiments.curricula import curriculum_chart, figures, parameters, read_curriculum
from experiments.evaluate import evaluate
from experiments.plain import parse_config, to_plain, to_yaml
from experiments.published import published_rows
from experiments.run import Run
from experiments.study_config import StudyConfig
from experiments.study_tables import rows_of, write_tables
from experiments.tables import CURRICULA, read_table
from experiments.train import train

Tiny = Callable[..., RunConfig]
METHODS: dict[str, dict[str, Any]] = {
    "adr": {"reference_return": 10.0, "adr": {"episodes": 2, "boundary": 0.8}},
    "doraemon": {"reference_return": 10.0, "doraemon": {"episodes": 6}},
    "epopt": {"epopt": {"epsilon": 0.25, "warmup": 0.3}},
}


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


def config(tiny: Tiny, method: str, **changes: Any) -> RunConfig:
    hyperparameters = {"batch_size": 32, "n_epochs": 2} | ({} if method == "epopt" else {"n_steps": 16})
    return tiny(
        agent={"name": "ppo", "hyperparameters": hyperparameters},
        horizon=30,
        steps=768,
        randomization={"method": method, **METHODS[method]},
        **changes,
    )


@pytest.fixture(scope="module")
def runs(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """One finished run of each method; not to be changed."""
    root = tmp_path_factory.mktemp("curricula")
    return {method: train(config(tiny, method), root, num_threads=1) for method in METHODS}


def timeless(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in run.rows()]


def final_state(run: Run) -> dict[str, Any]:
    state: dict[str, Any] = load_section(run.latest_checkpoint(), "training")
    assert state.pop("elapsed") > 0
    return state


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_bit_identical(method: str, runs: dict[str, Run], tiny: Tiny, tmp_path: Path) -> None:
    whole = runs[method]
    root = tmp_path / "runs"
    shutil.copytree(whole.directory, root / whole.config.path)
    run = Run(whole.config, root / whole.config.path)
    (run.directory / "done.json").unlink()
    (run.directory / "curriculum.png").unlink()
    earlier, last = list_checkpoints(run.checkpoints)
    shutil.rmtree(last)
    before = load_section(earlier, "training")["simulation"]["randomizer"]
    run = train(config(tiny, method), root, num_threads=2)
    assert len(run.starts()) == 2
    assert same(final_state(run), final_state(whole))
    assert timeless(run) == timeless(whole)
    assert (run.directory / "curriculum.png").read_bytes() == (whole.directory / "curriculum.png").read_bytes()
    moved = not same(before, final_state(run)["simulation"]["randomizer"])
    assert moved == (method != "epopt")  # or else nothing was resumed


@pytest.mark.parametrize("method", METHODS)
def test_what_moved_is_logged_at_each_update(method: str, runs: dict[str, Run]) -> None:
    rows = runs[method].rows()
    last = {key.removeprefix("randomization/") for key in rows[-1] if key.startswith("randomization/")}
    moving = {f"{limb}_mass/{end}" for limb in ("thigh", "leg", "foot") for end in ("low", "high")}
    own = {
        "adr": {"width", "widened", "narrowed", "bound_return", *moving},
        "doraemon": {
            *("entropy", "success", "estimated_success", "effective_sample_size", "kl", "solver_status", "step_kind"),
            *moving,
        },
        "epopt": {"worst_return", "rows_learned_from"},
    }
    assert last == own[method]
    table = read_curriculum(runs[method])
    assert set(table["quantity"]) == last
    if method == "adr":
        widths = table[table["quantity"] == "width"]["value"]
        assert len(widths) == len(rows)
        assert widths.iloc[-1] > 0
    if method == "doraemon":
        entropies = table[table["quantity"] == "entropy"]["value"]
        assert entropies.iloc[-1] != entropies.iloc[0]


def test_epopt_leaves_out_rows_after_its_warmup_alone(runs: dict[str, Run]) -> None:
    run = runs["epopt"]
    assert run.config.agent.hyperparameters["n_steps"] == 32  # the horizon of 30, with full batches
    shares = [row.get("randomization/rows_learned_from", 1.0) for row in run.rows()]
    assert shares[:2] == [1.0, 1.0]  # a row is logged before its own update; one update of six is warm-up
    assert all(0 < share < 0.6 for share in shares[2:])


def test_training_does_not_depend_on_the_number_of_threads(runs: dict[str, Run], tiny: Tiny, tmp_path: Path) -> None:
    again = train(config(tiny, "adr"), tmp_path, num_threads=2)
    assert same(final_state(again), final_state(runs["adr"]))


def test_a_fixed_randomisation_has_no_curriculum(ppo_run: Run) -> None:
    assert read_curriculum(ppo_run).empty
    assert not (ppo_run.directory / "curriculum.png").exists()
    assert figures(None) == {}


def test_the_run_directory_has_a_picture(runs: dict[str, Run]) -> None:
    for run in runs.values():
        with Image.open(run.directory / "curriculum.png") as picture:
            assert picture.size[0] > 300


def table(seeds: int = 3) -> pd.DataFrame:
    """Two cells: adr with a bound that moves further with the seed, doraemon with entropy too."""
    rows = [
        {
            "figure": "hopper",
            "randomization": method,
            "train_domain": "source",
            "pipeline": "state",
            "agent": "ppo",
            "seed": seed,
        }
        | {"step": step, "quantity": quantity, "value": sign * seed * step / 100 + 1}
        for method, quantities in (
            ("adr", {"leg_mass/low": -1, "leg_mass/high": 1, "width": 1}),
            ("doraemon", {"leg_mass/low": -2, "leg_mass/high": 2, "entropy": 1}),
        )
        for seed in range(seeds)
        for step in (0, 100)
        for quantity, sign in quantities.items()
    ]
    return pd.DataFrame(rows)


def test_a_chart_shows_medians_seeds_and_a_panel_for_each_quantity() -> None:
    figure = curriculum_chart(table())
    assert [axes.get_title("left").split(" ")[0] for axes in figure.axes] == ["leg_mass", "mean", "entropy"]
    lines: Any = figure.axes[0].lines
    thick = [line for line in lines if line.get_linewidth() == 2]
    assert len(lines) - len(thick) - 2 == 2 * 2 * 3  # two of the legend
    assert [float(line.get_ydata()[-1]) for line in thick] == pytest.approx([0, 2, -1, 3])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "trained in source · adr",
        "trained in source · doraemon",
    ]


def test_a_report_has_a_chart_of_the_parameters_and_one_of_the_rest() -> None:
    assert parameters(table()) == ["leg_mass"]
    found = figures(table())
    assert list(found) == ["curricula", "curricula-steps"]
    assert len(found["curricula"]["figure"].axes) == 1
    assert len(found["curricula-steps"]["figure"].axes) == 2
    alone = table()[table()["quantity"] == "entropy"]
    (only,) = figures(alone).values()
    assert only["figure"].legends == []


def test_a_study_keeps_what_moved_and_finds_it_again(runs: dict[str, Run], tmp_path: Path) -> None:
    run = Run(runs["doraemon"].config, tmp_path / "runs" / runs["doraemon"].config.path)
    shutil.copytree(runs["doraemon"].directory, run.directory)
    evaluate(run, ["source", "target"], episodes=1, num_threads=1)
    base = {key: value for key, value in to_plain(run.config).items() if key not in ("study", "seed")}
    told = {"name": "tiny", "title": "t", "description": "d", "seeds": 1, "episodes": 1}
    study = parse_config(StudyConfig, {**told, "base": base, "cells": [{}]}, "s")
    rows = rows_of(run, study)
    assert len(rows.curriculum) == len(read_curriculum(run))
    directory = tmp_path / "results" / "tiny"
    directory.mkdir(parents=True)
    write_tables([rows], directory)
    (directory / "study.yaml").write_text(to_yaml(study))
    (directory / "provenance.json").write_text("{}")
    (found,) = published_rows(study, tmp_path / "results").values()
    assert found.curriculum["quantity"].tolist() == rows.curriculum["quantity"].tolist()
    np.testing.assert_allclose(found.curriculum["value"], rows.curriculum["value"], rtol=1e-5)
    write_tables([replace(rows, curriculum=rows.curriculum.iloc[:0])], directory)
    assert not (directory / "curricula.csv").exists()


def test_the_table_of_a_study_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "curricula.csv"
    table().to_csv(file, index=False)
    pd.testing.assert_frame_equal(read_table(file, CURRICULA), table()[list(CURRICULA)])
    file.write_text(file.read_text().replace("entropy,1.0", "entropy,wide", 1))
    with pytest.raises(ValueError, match=r"column value: 'wide' is not a finite number"):
        read_table(file, CURRICULA)
