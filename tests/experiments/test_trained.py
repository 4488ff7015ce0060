"""What is drawn as trained on must be what training drew at its end."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import truncnorm

from experiments.config import RunConfig
from experiments.files import write_json
from experiments.run import Run, create_run
from experiments.sweep_grid import Grid, parse_axis
from experiments.trained import ranges, trained_on

DRAWS = ["torso_mass + uniform(-0.5, 1)", "floor_friction * uniform(0.6, 1.2)"]
KEYS = [("torso_mass", "+"), ("floor_friction", "*")]
LAW = "truncnormal(1.2, 0.1, 0.5, 2)"


def grid(*axes: str) -> Grid:
    return Grid("hopper", "source", tuple(parse_axis(text) for text in axes))


TWO = grid("torso_mass=-1:3:3", "foot_friction,floor_friction*0.3:2:3")


def drawing(tiny: Callable[..., RunConfig], root: Path, method: str, seed: int = 0) -> Run:
    randomization = {"method": method, "draws": DRAWS}
    return create_run(tiny(randomization=randomization, domain="target", seed=seed), root)


def log(run: Run, low: float, high: float) -> None:
    moved = {f"randomization/torso_mass/{end}": value for end, value in (("low", low), ("high", high))}
    rows = [{"step": 0, "rollout/ep_rew_mean": 1.0}, {"step": 1, **dict.fromkeys(moved, 0.0)}, {"step": 2, **moved}]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_fixed_randomisation_draws_all_that_it_could(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    run = drawing(tiny, tmp_path, "uniform")
    assert ranges(run) == {KEYS[0]: (-0.5, 1.0), KEYS[1]: (0.6, 1.2)}
    # The target's torso is 1 kg heavier than the source's, around which the grid lies.
    assert trained_on([run], TWO) == [pytest.approx([0.5, 2.0]), pytest.approx([0.6, 1.2])]


def test_draws_with_tails_count_between_the_quantiles_that_are_shown(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    draws = [f"torso_mass * {LAW}", "floor_friction * loguniform(0.5, 2)"]
    run = create_run(tiny(randomization={"method": "uniform", "draws": draws}), tmp_path)
    expected = truncnorm((0.5 - 1.2) / 0.1, (2 - 1.2) / 0.1, 1.2, 0.1).ppf([0.05, 0.95])
    assert ranges(run) == {("torso_mass", "*"): pytest.approx(expected), ("floor_friction", "*"): (0.5, 2.0)}


def test_without_randomisation_it_is_a_point(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    run = create_run(tiny(), tmp_path)
    assert ranges(run) == {}
    assert trained_on([run], TWO) == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("method", ["adr", "doraemon"])
def test_what_moved_is_where_it_ended_in_the_middle_of_the_seeds(
    method: str, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    runs = [drawing(tiny, tmp_path, method, seed) for seed in range(3)]
    for run, high in zip(runs, (0.1, 0.2, 0.7), strict=True):
        log(run, -0.1, high)
    assert ranges(runs[1])[KEYS[0]] == (-0.1, 0.2)
    assert trained_on(runs, TWO)[0] == pytest.approx([0.9, 1.2])


def test_what_was_identified_is_what_is_drawn(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    once, rounds = (create_run(tiny(seed=seed), tmp_path) for seed in range(2))
    found = {"draws": [f"torso_mass * {LAW}"], "episodes": 1, "steps": 9, "report": {}, "method": "dropo"}
    write_json(once.directory / "identified.json", found)
    look = {"step": 1, "episodes": 1, "steps": 9, "returns": [1.0], "point": [0.0]}
    looks = [{**look, "draws": ["torso_mass * uniform(3, 4)"]}, {**look, "draws": found["draws"]}]
    write_json(rounds.directory / "rounds.json", {"looks": looks})
    expected = truncnorm((0.5 - 1.2) / 0.1, (2 - 1.2) / 0.1, 1.2, 0.1).ppf([0.05, 0.95])
    for run in (once, rounds):
        assert ranges(run) == {("torso_mass", "*"): pytest.approx(tuple(expected), abs=1e-6)}
