import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.sweep_grid import Grid, parse_axis
from experiments.sweep_report import read_sweep_table, write_sweep_report
from experiments.tables import CELL, SWEEP

CELL_OF: dict[str, Any] = {"study": "s", "figure": "hopper", "horizon": 500, "pipeline": "state", "agent": "ppo"}
CELL_OF |= {"steps": 1000, "train_domain": "source"}
OFFSETS = (-20.0, -10.0, 0.0, 10.0, 20.0)
LOST = {"none": 0.4, "wide": 0.1}
"""Share of 1500 that each method loses where the torso is 1 kg heavier or lighter."""


def write_sweep(directory: Path, axes: list[str], seeds: int = 5) -> Path:
    """Two methods whose IQM falls linearly from 1500 on either side of the base, and less with wide randomisation."""
    grid = Grid("hopper", "source", tuple(parse_axis(text) for text in axes))
    rows = []
    for method, lost in LOST.items():
        for seed in range(seeds):
            for cell in range(1 + len(grid.operands)):
                operands = grid.origin if cell == 0 else tuple(grid.operands[cell - 1])
                distance = max(abs(x - at) for x, at in zip(operands, grid.origin, strict=True))
                value = 1500 * (1 - lost * distance) + OFFSETS[seed]
                row = {**CELL_OF, "randomization": method, "seed": seed, "policy": "ab12", "base": "source"}
                row |= {"cell": cell, "x": operands[0], "y": operands[1] if len(operands) > 1 else np.nan}
                row |= {"domain": grid.domain(cell), "episodes": 2, "return": value, "std": 1.0, "worst": value - 5}
                rows.append(row | {"length": 400.0, "diverged": 0})
    trained = {"none": [0.0, 0.0], "wide": [-0.5, 0.5]}
    content: dict[str, Any] = {"figure": "hopper", "base": "source", "horizon": 500, "axes": axes, "episodes": 2}
    content["methods"] = [
        {**CELL_OF, "randomization": method, "trained": [[at + low, at + high] for at in grid.origin]}
        for method, (low, high) in trained.items()
    ]
    directory.mkdir(exist_ok=True)
    pd.DataFrame(rows)[list(SWEEP)].to_csv(directory / "sweep.csv", index=False)
    (directory / "sweep.yaml").write_text(yaml.safe_dump(content))
    facts = {"command": "simgap evaluate runs --sweep x", "machine": "a laptop", "cpu": "some CPU", "cores": 2}
    facts |= {"python": "3.11", "versions": {"mujoco": "4"}, "commit": "abc", "started": "2030", "wall_s": 61.0}
    (directory / "provenance.json").write_text(json.dumps(facts | {"judged": 3, "runs": 10}))
    return directory


def words(path: Path) -> str:
    text = re.sub(r"<style>.*?</style>|data:[^\"]+|<[^>]+>", " ", path.read_text(), flags=re.S)
    return " ".join(text.replace("\u202f", " ").split())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The charts by name, as they are before they are written as pictures."""
    charts: dict[str, Figure] = {}

    def save(figure: Figure, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"picture")
        charts[path.stem] = figure

    monkeypatch.setattr("experiments.plots.save", save)
    return charts


def test_one_axis_gives_curves_with_bands_and_what_was_trained_on(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    write_sweep_report(write_sweep(tmp_path / "s", ["torso_mass=-1:2:7"]))
    assert list(drawn) == ["curves"]
    panel, below = drawn["curves"].axes
    lines = {str(line.get_label()): line for line in panel.get_lines() if not str(line.get_label()).startswith("_")}
    assert list(lines) == ["trained in source · no randomisation", "trained in source · wide"]
    expected = 1500 * (1 - 0.4 * np.abs(np.linspace(-1, 2, 7)))
    assert lines["trained in source · no randomisation"].get_ydata() == pytest.approx(expected)
    bars = [np.asarray(line.get_xdata(), float).tolist() for line in below.get_lines()]
    assert bars[1:] == [[0.0, 0.0], [-0.5, 0.5]]  # the first is the base's dashed line
    assert below.get_xlabel() == "shift of torso_mass (kg)"


def test_two_axes_give_maps_with_the_box_and_curves_over_either(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    write_sweep_report(write_sweep(tmp_path / "s", ["torso_mass=-1:2:7", "foot_friction*0.4:2:5"]))
    assert list(drawn) == ["maps", "curves-1", "curves-2"]
    first, second, bar = drawn["maps"].axes
    assert not first.patches  # no randomisation: a point
    (box,) = second.patches
    assert isinstance(box, Rectangle)
    assert box.get_bbox().bounds == pytest.approx((-0.5, 0.5, 1.0, 1.0))
    colours = first.collections[0].get_array()
    assert colours is not None
    assert float(colours.max()) == pytest.approx(1380)  # at factors of 0.8 and 1.2
    assert float(colours.min()) == pytest.approx(300)
    crosses = [np.asarray(line.get_xydata()).tolist() for line in first.get_lines() if line.get_marker() == "X"]
    assert crosses == [[[2.0, 0.4]]]
    assert "per episode of 500 steps" in bar.get_xlabel()


def test_the_page_says_who_is_worst_where_and_how_sure_that_is(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    page = write_sweep_report(write_sweep(tmp_path / "s", ["torso_mass=-1:2:7"]))
    text = words(page)
    for expected in (
        "In the worst of 7 cells, a policy trained in source · wide earns 1200",
        "1500 in source; its weakest cell is at +2.",
        "Trained in source · no randomisation: 300, 900 less (95 % interval 8",
        "trained in source · no randomisation 1500",
        "1 min 01 s for 3 of 10 runs",
        "simgap evaluate runs --sweep x",
    ):
        assert expected in text, expected
    assert "not told apart" not in text
    readme = (page.parent / "README.md").read_text().replace("\u202f", " ")
    assert "| trained in source · wide | 1500 (" in readme
    assert "![Return over torso_mass](figures/curves.png)" in readme


def test_the_table_has_each_methods_radius(tmp_path: Path) -> None:
    table, horizon = read_sweep_table(write_sweep(tmp_path / "s", ["torso_mass=-1:2:7"]))
    assert horizon == 500
    none, wide = table["rows"]
    # Each policy keeps 90 % of its own 1500 ± 20: 0.1 · 1500 / (0.4 · 1500) on average.
    assert none[6][0] == "0.25"
    assert wide[6][0] == "1"
    assert none[5] == ("300", "+2")
    assert table["columns"][6] == "radius"


def test_a_radius_that_ends_with_the_grid_says_so(tmp_path: Path) -> None:
    table, _ = read_sweep_table(write_sweep(tmp_path / "a", ["torso_mass=-0.5:0.5:3"]))
    assert table["rows"][1][6][0] == "\u2265 0.5"
    outside, _ = read_sweep_table(write_sweep(tmp_path / "b", ["torso_mass=1:2:3"]))
    assert outside["rows"][0][6] == ("\u2014", "")
    both, _ = read_sweep_table(write_sweep(tmp_path / "c", ["torso_mass=-0.5:0.5:3", "foot_friction*0.5:1.5:3"]))
    assert both["rows"][1][6][0] == "\u2265 100\u202f%"


def test_one_seed_claims_nothing(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    text = words(write_sweep_report(write_sweep(tmp_path / "s", ["torso_mass=-1:2:4"], seeds=1)))
    assert "900 less (one seed gives no interval)" in text
    assert "Only 1 seed of the method with the fewest" in text


def test_damaged_files_are_named_in_one_line(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path / "s", ["torso_mass=-1:2:4"])
    table = (directory / "sweep.csv").read_text()
    (directory / "sweep.csv").write_text("".join(table.splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=r"sweep\.csv: a run has not each of the grid's 5 cells once"):
        write_sweep_report(directory)
    (directory / "sweep.csv").write_text(table)
    (directory / "sweep.yaml").write_text("figure: hopper\n")
    with pytest.raises(ValueError, match=r"sweep\.yaml: not a sweep of ours"):
        write_sweep_report(directory)
    (directory / "sweep.yaml").unlink()
    with pytest.raises(ValueError, match=r"sweep\.yaml: cannot be read"):
        write_sweep_report(directory)
    assert not (directory / "figures").exists()
    assert set(CELL) <= set(SWEEP)
