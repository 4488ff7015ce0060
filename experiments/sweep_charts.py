"""Charts of a sweep: curves over one axis, maps over two, with what each method was trained on drawn on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from experiments.findings import cell_labels, number
from experiments.method_charts import DASHES
from experiments.plots import INK, PALETTE, SMALL, SOFT, TEXT, WIDTH, legend, style
from experiments.sweep_statistics import KEPT
from experiments.tables import CELL

Array = NDArray[np.float64]
Methods = Sequence[Mapping[str, Any]]
"""From :func:`experiments.sweep_statistics.summarize_sweep`, each with ``trained``: of each axis the smallest and the
largest operand that it was trained on."""

MAPS = "viridis"
TRAINED = "#ffffff"


def curves_chart(methods: Methods, axis: Array, label: str, origin: float, horizon: int, column: int = 0) -> Figure:
    """Return over an axis's values, a line for each method with its 95 % band.

    Args:
        methods: with ``curve``, ``curve_low`` and ``curve_high`` of as many values as the axis has.
        axis: operands.
        label: what they are.
        origin: the base's operand.
        horizon: steps of an episode at most.
        column: which of the sweep's axes it is.
    """
    strip = 0.16 * len(methods) + 0.1
    height = 3.2 + strip + 0.24 * len(methods)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panel, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, strip])
    style(panel, "both")
    style(below, "x")
    panel.axvline(origin, color=SOFT, lw=1.2, ls=(0, (5, 3)), zorder=1)
    below.axvline(origin, color=SOFT, lw=1.2, ls=(0, (5, 3)), zorder=1)
    for place, (method, name) in enumerate(zip(methods, _labels(methods), strict=True)):
        color = PALETTE[place % len(PALETTE)]
        dashes = DASHES[place // len(PALETTE) % len(DASHES)]
        panel.fill_between(axis, method["curve_low"], method["curve_high"], color=color, alpha=0.18, lw=0)
        panel.plot(axis, method["curve"], color=color, lw=2.2, ls=dashes, label=name)
        low, high = _within(method["trained"][column], axis)
        below.plot([low, high], [place, place], color=color, lw=4, solid_capstyle="butt")
        below.scatter([low, high] if low == high else [], [place, place] if low == high else [], color=color, s=36)
    margin = 0.02 * (axis[-1] - axis[0])
    panel.set_xlim(axis[0] - margin, axis[-1] + margin)
    panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
    panel.set_ylabel(f"return per episode\nof {number(horizon)} steps", fontsize=TEXT, color=INK)
    below.set_ylim(len(methods) - 0.4, -0.6)
    below.tick_params(axis="y", left=False, labelleft=False)
    below.set_ylabel("trained\non", fontsize=SMALL, color=INK, rotation=0, ha="right", va="center")
    below.set_xlabel(label, fontsize=TEXT, color=INK)
    below.xaxis.set_major_formatter(lambda value, _: digits(value))
    legend(figure, panel, columns=1)
    return figure


def maps_chart(
    methods: Methods, axes: Sequence[Array], labels: Sequence[str], origin: Sequence[float], horizon: int
) -> Figure:
    """One map of returns for each method, on one scale of colours."""
    grids = [np.reshape(method["curve"], [len(axis) for axis in axes]) for method in methods]
    lowest, highest = min(grid.min() for grid in grids), max(grid.max() for grid in grids)
    figure = Figure(figsize=(WIDTH, 1.7 + 2.9 * len(methods)), layout="constrained")
    panels = figure.subplots(len(methods), 1, sharex=True, squeeze=False)[:, 0]
    edges = [_edges(axis) for axis in axes]
    for panel, method, grid, name in zip(panels, methods, grids, _labels(methods), strict=True):
        mesh = panel.pcolormesh(*edges, grid.T, cmap=MAPS, vmin=lowest, vmax=highest, rasterized=True)
        kept = KEPT * method["nominal"]
        if grid.min() < kept < grid.max():
            panel.contour(*axes, grid.T, levels=[kept], colors=INK, linewidths=1.4)
        _draw_trained(panel, method["trained"], edges)
        x, y = np.unravel_index(method["weakest"] - 1, grid.shape)
        panel.plot(axes[0][x], axes[1][y], marker="X", ms=9, mfc="#D55E00", mec="white", ls="")
        panel.plot(*origin, marker="+", ms=12, mew=2.4, color="white", ls="")
        panel.plot(*origin, marker="+", ms=11, mew=1.2, color=INK, ls="")
        panel.set_title(name, loc="left", fontsize=TEXT, color=INK, weight="bold")
        panel.set_ylabel(labels[1], fontsize=SMALL, color=INK)
        panel.tick_params(labelsize=SMALL, colors=SOFT, length=0)
        for ruler in (panel.xaxis, panel.yaxis):
            ruler.set_major_formatter(lambda value, _: digits(value))
        panel.spines[:].set_visible(False)
        panel.set_xlim(edges[0][0], edges[0][-1])
        panel.set_ylim(edges[1][0], edges[1][-1])
    panels[-1].set_xlabel(labels[0], fontsize=TEXT, color=INK)
    bar = figure.colorbar(mesh, ax=list(panels), location="top", aspect=40, pad=0.01, fraction=0.04)
    bar.set_label(f"return per episode of {number(horizon)} steps", fontsize=TEXT, color=INK)
    bar.ax.tick_params(labelsize=SMALL, colors=SOFT, length=0)
    bar.ax.xaxis.set_major_formatter(lambda value, _: number(value))
    bar.outline.set_visible(False)
    marks = [
        Line2D([], [], color=TRAINED, lw=2.4, label="trained on", path_effects=_outline()),
        Line2D([], [], color=INK, lw=1.4, label="90 % kept"),
        Line2D([], [], marker="+", color=INK, ms=11, ls="", label="base"),
        Line2D([], [], marker="X", mfc="#D55E00", mec="white", ms=9, ls="", label="weakest"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False, fontsize=SMALL, handlelength=1.3)
    return figure


def digits(value: float) -> str:
    """An operand with as few digits as it needs, and a proper minus."""
    return f"{value:.3g}".replace("-", "\u2212")


def _outline() -> list[Any]:
    from matplotlib import patheffects

    return [patheffects.Stroke(linewidth=4.2, foreground=INK), patheffects.Normal()]


def _labels(methods: Methods) -> list[str]:
    return list(cell_labels(pd.DataFrame([{column: method[column] for column in CELL} for method in methods])))


def _within(span: Sequence[float], axis: Array) -> tuple[float, float]:
    """The part of a range that the axis shows; a point beyond it sits at its end."""
    low, high = np.clip(span, axis[0], axis[-1])
    return float(low), float(high)


def _edges(axis: Array) -> Array:
    half = (axis[1] - axis[0]) / 2
    return np.concatenate((axis - half, [axis[-1] + half]))


def _draw_trained(panel: Axes, trained: Sequence[Sequence[float]], edges: Sequence[Array]) -> None:
    """A box, a line or a point, in white with a dark rim, so that it shows on every colour."""
    (left, right), (bottom, top) = (_within(span, edge) for span, edge in zip(trained, edges, strict=True))
    if left == right and bottom == top:
        panel.plot(left, bottom, marker="o", ms=9, mfc="none", mec=INK, mew=4, ls="", zorder=5)
        panel.plot(left, bottom, marker="o", ms=9, mfc="none", mec=TRAINED, mew=2, ls="", zorder=6)
        return
    box = Rectangle((left, bottom), right - left, top - bottom, fill=False, ec=TRAINED, lw=2.4, zorder=5)
    box.set_path_effects(_outline())
    panel.add_patch(box)
