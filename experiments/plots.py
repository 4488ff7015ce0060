"""Charts of a study. Every function returns a ``matplotlib.figure.Figure``; none touches pyplot.

Sizes are chosen so that the text stays readable when a chart is shown 360 px wide on a phone:
figures are about five inches wide with text of 12 points. Colours are Okabe and Ito's (2008), which
colour-blind readers can tell apart. Returns are undiscounted and always carry their horizon.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.files import write_with
from experiments.findings import cell_labels, horizons, number, percent
from experiments.statistics import iqm
from experiments.tables import CELL

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
INK, SOFT, GRID = "#1d242b", "#5a6570", "#dfe3e7"
WIDTH, TEXT, SMALL = 5.2, 12, 11
"""Figure width in inches; sizes of text in points."""


def save(figure: Figure, path: Path, dpi: int = 200) -> Path:
    """Write ``figure`` as PNG under a temporary name, then rename it to ``path``."""
    write_with(path, lambda file: figure.savefig(file, format="png", dpi=dpi, facecolor="white"))
    return path


def returns_chart(
    episodes: pd.DataFrame, summary: pd.DataFrame, reference: Mapping[str, float] | None = None
) -> Figure:
    """Bars of IQM with 95 % intervals and every seed's mean, grouped by cell.

    Args:
        episodes: one row per evaluation episode.
        summary: from ``statistics.summarize`` of the same episodes.
        reference: returns to mark with a dashed line, by label (for example the oracle's).
    """
    domains = list(dict.fromkeys(summary["eval_domain"]))
    labels = cell_labels(summary)
    groups = list(dict.fromkeys(labels))
    means = episodes.groupby([*CELL, "eval_domain", "seed"])["return"].mean()
    pitch = len(domains) + 1.15  # bar heights are 1; the rest is room for the group's label
    figure, axes = frame(1.15 + 0.36 * pitch * len(groups) + 0.3 * bool(reference))
    for (_, row), label in zip(summary.iterrows(), labels, strict=True):
        place = domains.index(row["eval_domain"])
        y = pitch * groups.index(label) + place
        scores = means.loc[tuple(row[[*CELL, "eval_domain"]])].to_numpy()
        axes.barh(y, row["iqm"], height=0.86, color=PALETTE[place % len(PALETTE)], alpha=0.75)
        whisker(axes, y, row["iqm_low"], row["iqm_high"])
        axes.scatter(scores, y + seed_spread(len(scores)), s=17, **POINT)
        axes.text(1.02, y, number(row["iqm"]), transform=axes.get_yaxis_transform(), **VALUE)
    for place, label in enumerate(groups):
        group_label(axes, pitch * place - 0.85, label)
    for place, domain in enumerate(domains):
        color = PALETTE[place % len(PALETTE)]
        axes.barh(0, 0, color=color, alpha=0.75, label=f"judged in {domain}")
    for label, value in (reference or {}).items():
        axes.axvline(value, color=INK, lw=1.2, ls=(0, (5, 3)), zorder=1, label=label)
    axes.axvline(0, color=INK, lw=1)
    axes.set_ylim(pitch * len(groups) - 1.4, -1.5)
    axes.set_xlabel(f"return per episode of {horizons(summary)} steps", fontsize=TEXT, color=INK)
    legend(figure, axes)
    return figure


def gap_chart(gaps: pd.DataFrame) -> Figure:
    """The gap of each cell (return in the source minus in the target) with its 95 % interval."""
    figure, axes = frame(0.95 + 0.66 * len(gaps))
    for y, ((_, row), label) in enumerate(zip(gaps.iterrows(), cell_labels(gaps), strict=True)):
        axes.plot([0, row["gap"]], [y, y], color=PALETTE[1], lw=3, alpha=0.35)
        whisker(axes, y, row["gap_low"], row["gap_high"])
        axes.scatter([row["gap"]], [y], s=70, color=PALETTE[1], zorder=5)
        text = f"{number(row['gap'])}  ({percent(row['relative_gap'])})"
        axes.text(1.02, y, text, transform=axes.get_yaxis_transform(), **VALUE)
        group_label(axes, y - 0.4, label)
    axes.axvline(0, color=INK, lw=1)
    axes.set_ylim(len(gaps) - 0.6, -0.75)
    axes.set_xlabel(f"return lost per episode of {horizons(gaps)} steps", fontsize=TEXT, color=INK)
    return figure


def learning_curves(curves: pd.DataFrame) -> Figure:
    """One panel per cell: IQM over seeds, the seeds' 25 to 75 % range, and each seed's thin line.

    Args:
        curves: columns ``figure, randomization, train_domain, pipeline, agent, seed, step, return``; the
            return is the mean of the training episodes in the last window, in the training domain
            (NaN before the first episode ends).
    """
    curves = curves.dropna(subset="return")
    labels = cell_labels(curves)
    groups = list(dict.fromkeys(labels))
    figure = Figure(figsize=(WIDTH, 0.9 + 1.75 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for place, (axes, label) in enumerate(zip(panels, groups, strict=True)):
        color = PALETTE[place % len(PALETTE)]
        style(axes, "both")
        runs = [run.sort_values("step") for _, run in curves[labels == label].groupby("seed")]
        for run in runs:
            axes.plot(run["step"], run["return"], color=color, lw=0.8, alpha=0.4)
        steps, scores = _common_steps(runs)
        low, high = np.quantile(scores, [0.25, 0.75], axis=0)
        axes.fill_between(steps, low, high, color=color, alpha=0.2, lw=0)
        axes.plot(steps, [iqm(column) for column in scores.T], color=color, lw=2.6)
        axes.set_title(label, loc="left", fontsize=TEXT, color=INK, weight="bold")
    panels[-1].set_xlabel("training steps", fontsize=TEXT, color=INK)
    figure.supylabel("training return", fontsize=TEXT, color=INK)
    return figure


def learning_curve(run_curve: pd.DataFrame, horizon: int) -> Figure:
    """The learning curve of one run; columns ``step`` and ``return``, of a population also ``best`` and ``worst``."""
    figure, axes = frame(3.4, "both")
    population = "best" in run_curve
    axes.plot(run_curve["step"], run_curve["return"], color=PALETTE[0], lw=2, label="mean" if population else None)
    if population:
        band = run_curve["step"], run_curve["worst"], run_curve["best"]
        axes.fill_between(*band, color=PALETTE[0], alpha=0.2, lw=0, label="worst to best individual")
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=SMALL)
    axes.set_xlabel("training steps", fontsize=TEXT, color=INK)
    axes.set_ylabel(f"training return\n({number(horizon)}-step episodes)", fontsize=TEXT, color=INK, ma="center")
    return figure


POINT: dict[str, Any] = {"color": "white", "edgecolors": INK, "linewidths": 0.9, "zorder": 4}
VALUE: dict[str, Any] = {"va": "center", "ha": "left", "fontsize": TEXT, "color": INK}


def frame(height: float, grid: Literal["x", "both"] = "x") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    style(axes, grid)
    if grid == "x":
        axes.tick_params(axis="y", left=False, labelleft=False)
    return figure, axes


def style(axes: Axes, grid: Literal["x", "both"]) -> None:
    """The house's axes: no frame, a light grid, whole numbers."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.grid(axis=grid, color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, colors=SOFT, length=0)
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    axes.locator_params(axis="x", nbins=5)


def whisker(axes: Axes, y: float, low: float, high: float) -> None:
    axes.plot([low, high], [y, y], color=INK, lw=2, zorder=3)
    axes.plot([low, high], [y, y], color=INK, lw=0, marker="|", ms=9, mew=2, zorder=3)


def seed_spread(count: int) -> NDArray[np.float64]:
    """Vertical offsets that keep the seeds' points apart, in the order of the seeds."""
    order = (np.arange(count) * 0.618034) % 1  # golden ratio: neighbours land far apart
    offsets: NDArray[np.float64] = 0.56 * (order - order.mean())
    return offsets


def group_label(axes: Axes, y: float, label: str) -> None:
    place = axes.get_yaxis_transform()
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # above lines behind the text
    style: dict[str, Any] = {
        "fontsize": TEXT,
        "color": INK,
        "weight": "bold",
        "va": "center",
        "bbox": paper,
    }
    short = label if len(label) <= 48 else f"{label[:47]}\u2026"
    axes.text(0.01, y, short, transform=place, **style)


def legend(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """What the lines of ``axes`` are, above them, in at most ``columns`` columns."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: not labels[i].startswith("judged in"))
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside upper left",
        ncols=min(columns, 2 if max(map(len, labels)) > 18 else 3),
        frameon=False,
        fontsize=SMALL,
        handlelength=2.0 if columns == 1 else 1.2,  # dashes need room
        columnspacing=1.2,
    )


def _common_steps(
    runs: Iterable[pd.DataFrame],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolate runs to shared steps ``(s,)`` and returns ``(runs, s)`` where all have data."""
    lines = [run[["step", "return"]].to_numpy(dtype=float).T for run in runs]
    first, last = max(line[0, 0] for line in lines), min(line[0, -1] for line in lines)
    grid = np.linspace(first, max(first, last), 200)
    return grid, np.array([np.interp(grid, *line) for line in lines])
