import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments import plots
from experiments.statistics import gaps, summarize


@pytest.fixture
def episodes() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"study": "s", "figure": "hopper", "horizon": 500, "pipeline": "state", "steps": 1000}
        | {"randomization": randomization, "agent": "ppo", "train_domain": "source"}
        | {"eval_domain": domain, "seed": seed, "episode": episode, "length": 500}
        | {"return": 1500 + 100 * seed + rng.normal(), "terminated": False, "diverged": False}
        for randomization in ("none", "uniform")
        for domain in ("source", "target")
        for seed in range(3)
        for episode in range(2)
    ]
    return pd.DataFrame(rows)


def curves(seeds: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {"randomization": "none", "train_domain": "source", "pipeline": "state", "agent": "ppo"}
        | {"seed": np.repeat(np.arange(seeds), 5), "step": np.tile(np.arange(5) * 100, seeds)}
        | {"return": np.repeat(np.arange(seeds), 5) * 10.0}
    )


def texts(figure: Figure) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [axes.get_xlabel() + axes.get_ylabel() + axes.get_title("left") for axes in figure.axes]
    found += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([*found, figure.get_supylabel()])


def test_returns_chart_shows_bars_seeds_values_and_horizon(episodes: pd.DataFrame) -> None:
    summary = summarize(episodes)
    figure = plots.returns_chart(episodes, summary, {"oracle": 1900.0})
    axes: Any = figure.axes[0]
    widths = [bar.get_width() for bar in axes.patches if bar.get_width()]
    assert widths == list(summary["iqm"])
    seeds = np.concatenate([points.get_offsets()[:, 0] for points in axes.collections])
    expected = episodes.groupby(["randomization", "eval_domain", "seed"])["return"].mean()
    assert sorted(seeds) == pytest.approx(sorted(expected))
    shown = texts(figure)
    for text in ("500 steps", "trained in source · uniform", "judged in target", "oracle", "1600"):
        assert text in shown
    left, right = axes.get_xlim()
    assert left <= 0
    assert right > seeds.max()


def test_points_of_all_seeds_stay_on_their_bar() -> None:
    for count in (1, 2, 10, 50):
        assert np.abs(plots.seed_spread(count)).max() < 0.43


def test_gap_chart_marks_each_gap_and_its_interval(episodes: pd.DataFrame) -> None:
    episodes.loc[episodes["eval_domain"] == "target", "return"] -= 400 + 50 * episodes["seed"]
    frame = gaps(episodes, "source", "target")
    shown = texts(plots.gap_chart(frame))
    assert "450  (28\u202f%)" in shown
    assert "500 steps" in shown
    assert "no randomisation" in shown


def test_learning_curves_aggregate_seeds() -> None:
    figure = plots.learning_curves(curves())
    (axes,) = figure.axes
    assert len(axes.lines) == 3 + 1
    assert np.all(axes.lines[-1].get_ydata() == 10)
    assert "training steps" in texts(figure)


def test_learning_curves_use_only_steps_that_all_seeds_have() -> None:
    frame = curves()
    frame = frame[(frame["seed"] > 0) | (frame["step"] <= 200)]
    frame.loc[frame["step"] == 0, "return"] = np.nan
    line: Any = plots.learning_curves(frame).axes[0].lines[-1]
    assert (line.get_xdata().min(), line.get_xdata().max()) == (100, 200)


def test_learning_curve_of_one_run() -> None:
    figure = plots.learning_curve(pd.DataFrame({"step": [0, 10], "return": [1.0, 2.0]}), 1000)
    assert "1000-step episodes" in texts(figure)


def test_learning_curve_of_a_population_shows_its_range() -> None:
    curve = pd.DataFrame({"step": [0, 10], "return": [1.0, 2.0], "best": [3.0, 4.0], "worst": [-1.0, 0.0]})
    figure = plots.learning_curve(curve, 150)
    (axes,) = figure.axes
    (band,) = axes.collections
    vertices: Any = band.get_paths()[0].vertices
    points = {(float(x), float(y)) for x, y in vertices}
    assert points == {(0, -1), (10, 0), (10, 4), (0, 3)}
    assert np.all(axes.lines[0].get_ydata() == np.array([1, 2]))
    assert {"mean", "worst to best individual"} <= {text.get_text() for text in figure.legends[0].get_texts()}
    assert "150-step episodes" in texts(figure)


def test_save_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "curve.png"
    figure = plots.learning_curve(pd.DataFrame({"step": [0, 10], "return": [1.0, 2.0]}), 500)
    for _ in range(2):
        assert plots.save(figure, path, dpi=50) == path
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(path.parent.iterdir()) == [path]


def test_one_seed_and_negative_returns_still_plot(episodes: pd.DataFrame, tmp_path: Path) -> None:
    single = episodes[episodes["seed"] == 0].assign(**{"return": -500.0})
    figure = plots.returns_chart(single, summarize(single))
    plots.save(figure, tmp_path / "returns.png", dpi=50)
    plots.save(plots.gap_chart(gaps(single, "source", "target")), tmp_path / "gap.png", dpi=50)
    assert "\u2212500" in texts(figure)


def test_no_global_pyplot_state() -> None:
    code = "import experiments.plots, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
