import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments import sweep
from experiments.evaluate import evaluate
from experiments.files import read_json
from experiments.run import Run
from experiments.sweep import run_sweep, sweep_run
from experiments.sweep_grid import Grid, parse_axis
from experiments.sweep_report import write_sweep_report
from experiments.tables import SWEEP, read_table


def grid(*axes: str) -> Grid:
    return Grid("hopper", "source", tuple(parse_axis(text) for text in axes))


MASS = grid("torso_mass=-1.5:3:4")
BOTH = grid("torso_mass*0.5:2:3", "foot_friction,floor_friction*0.3:2:2")


@pytest.mark.parametrize("episodes", [3, 17])
@pytest.mark.parametrize("swept", [MASS, BOTH], ids=["mass", "mass-friction"])
def test_a_cell_equals_its_domain_judged_alone_bit_for_bit(own_run: Run, swept: Grid, episodes: int) -> None:
    table = sweep_run(own_run, swept, episodes, num_threads=2)
    domains = [swept.domain(cell) for cell in range(1 + len(swept.operands))]
    alone = pd.DataFrame(evaluate(own_run, domains, episodes, num_threads=1))
    expected = alone.groupby("eval_domain", sort=False)
    assert table["domain"].tolist() == domains
    assert table["return"].tolist() == [np.mean(group["return"]) for _, group in expected]
    assert table["worst"].tolist() == expected["return"].min().tolist()
    assert table["length"].tolist() == expected["length"].mean().tolist()
    assert table["return"].nunique() > 2


def test_batches_are_split_without_a_trace(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep_run(own_run, MASS, episodes=3, num_threads=1)
    (own_run.directory / "sweeps" / f"{MASS.slug}.csv").unlink()
    monkeypatch.setattr(sweep, "MOST_SIMULATIONS", 7)  # two cells at a time
    told: list[tuple[int, int, bool]] = []
    split = sweep_run(own_run, MASS, 3, 1, lambda _, done, cells, played: told.append((done, cells, played)))
    pd.testing.assert_frame_equal(split, whole)
    assert told == [(3, 5, True), (5, 5, True)]


def test_policies_that_see_otherwise_are_judged_cell_by_cell(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    batched = sweep_run(own_run, MASS, episodes=2, num_threads=1)
    (own_run.directory / "sweeps" / f"{MASS.slug}.csv").unlink()
    monkeypatch.setattr(sweep, "sees_state", lambda _: False)
    pd.testing.assert_frame_equal(sweep_run(own_run, MASS, episodes=2, num_threads=1), batched)


def test_a_finished_run_is_not_repeated_until_its_policy_changes(own_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sweep_run(own_run, MASS, episodes=2, num_threads=1)
    file = own_run.directory / "sweeps" / f"{MASS.slug}.csv"
    pd.testing.assert_frame_equal(read_table(file, SWEEP), first, check_dtype=False)
    with monkeypatch.context() as patched:
        patched.setattr(sweep, "play_grid", lambda *_: pytest.fail("played again"))
        pd.testing.assert_frame_equal(sweep_run(own_run, MASS, episodes=2), first, check_dtype=False)
    file.write_text(file.read_text().replace(str(first["policy"][0]), "another"))
    assert sweep_run(own_run, MASS, 2, 1)["policy"].tolist() == first["policy"].tolist()
    assert set(sweep_run(own_run, MASS, 3, 1)["episodes"]) == {3}


def test_a_sweep_writes_what_its_report_is_made_of(own_run: Run, tmp_path: Path) -> None:
    page = run_sweep([own_run], MASS, episodes=2, num_threads=1, output=tmp_path / "swept")
    files = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*") if path.is_file()}
    assert files == {"sweep.yaml", "sweep.csv", "provenance.json", "README.md", "report.html", "figures/curves.png"}
    content = yaml.safe_load((page.parent / "sweep.yaml").read_text())
    assert content["axes"] == ["torso_mass+-1.5:3:4"]
    assert content["methods"][0]["trained"] == [[0.0, 0.0]]
    assert read_json(page.parent / "provenance.json")["judged"] == 1
    before = page.read_bytes()
    assert run_sweep([own_run], MASS, 2, 1, tmp_path / "swept").read_bytes() == before
    page.unlink()
    assert write_sweep_report(page.parent).read_bytes() == before


def test_runs_that_do_not_belong_together_are_refused_before_anything_is_written(own_run: Run, tmp_path: Path) -> None:
    shutil.copytree(own_run.directory, tmp_path / "copy")
    copy = Run(own_run.config, tmp_path / "copy")
    with pytest.raises(ValueError, match=r"copy: the same cell and seed as .*; accepted: one of them"):
        run_sweep([own_run, copy], MASS, 2, 1, tmp_path / "out")
    with pytest.raises(ValueError, match="episodes is 0; it must be from 1"):
        run_sweep([own_run], MASS, 0, 1, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="mine: holds something else than a sweep; accepted: an empty or a new dir"):
        run_sweep([own_run], MASS, 2, 1, tmp_path / "mine")
    shutil.rmtree(copy.checkpoints)
    with pytest.raises(ValueError, match="copy: no checkpoint yet"):
        run_sweep([copy], MASS, 2, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (own_run.directory / "sweeps").exists()


def test_a_damaged_table_is_named(own_run: Run) -> None:
    file = own_run.directory / "sweeps" / f"{MASS.slug}.csv"
    sweep_run(own_run, MASS, episodes=2, num_threads=1)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"\.csv: line \d+"):
        sweep_run(own_run, MASS, episodes=2, num_threads=1)
