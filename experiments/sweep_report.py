"""The report of a sweep: from the files of its directory to figures, a table and one page. It judges nothing.

::

    results/sweeps/<grid>/
      sweep.yaml      what was swept, and what each method was trained on
      sweep.csv       a row for each run and cell; cell 0 is the base itself
      provenance.json README.md   report.html   figures/*.png
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments import plots, sweep_charts
from experiments.files import read_json, read_yaml, write_text
from experiments.findings import (
    DASH,
    FEW_SEEDS,
    PERCENT,
    cell_labels,
    count,
    duration,
    interval_words,
    number,
    percent,
    span,
)
from experiments.pages import TEMPLATES, data_uri
from experiments.report_tables import Table
from experiments.statistics import bootstrap, interval, iqm, random_stream
from experiments.sweep_grid import Grid, parse_axis
from experiments.sweep_statistics import curve, summarize_sweep
from experiments.tables import CELL, SWEEP, read_table

Array = NDArray[np.float64]
Method = dict[str, Any]


def write_sweep_report(directory: Path) -> Path:
    """Write every derived file of the sweep in ``directory`` and return the path of the page.

    Raises:
        ValueError: an input is missing or damaged; one line names the file.
    """
    directory = Path(directory)
    facts = read_json(directory / "provenance.json")
    sweep, grid, table, methods = _read(directory)
    axes = [np.array(axis.values) for axis in grid.axes]
    figures = _figures(methods, grid, axes, sweep["horizon"])
    for name, figure in figures.items():
        plots.save(figure["figure"], directory / "figures" / f"{name}.png")
    context = {
        "title": f"How far {grid.figure} policies carry: {' and '.join(', '.join(a.names) for a in grid.axes)}",
        "name": directory.name,
        "sweep": sweep,
        "grid": grid,
        "cells": number(len(grid.operands)),
        "answer": _answer(methods, grid, sweep["horizon"]),
        "cautions": _cautions(methods, table, grid),
        "table": _table(methods, grid, axes),
        "radius": _radius_words(grid),
        "figures": figures,
        "uris": {n: data_uri((directory / "figures" / f"{n}.png").read_bytes(), "image/png") for n in figures},
        "provenance": facts,
        "took": duration(facts["wall_s"]),
        "judged": _judged_words(facts["judged"], facts["runs"]),
    }
    write_text(directory / "README.md", TEMPLATES.get_template("sweep.md.j2").render(context))
    write_text(directory / "report.html", TEMPLATES.get_template("sweep.html.j2").render(context))
    return directory / "report.html"


def read_sweep_table(directory: Path) -> tuple[Table, int]:
    """The report's table, and the horizon of its returns.

    Raises:
        ValueError: an input is missing or damaged.
    """
    sweep, grid, _, methods = _read(directory)
    return _table(methods, grid, [np.array(axis.values) for axis in grid.axes]), sweep["horizon"]


def _read(directory: Path) -> tuple[dict[str, Any], Grid, pd.DataFrame, list[Method]]:
    """What was swept, the grid, every run's returns and each method's numbers."""
    sweep, grid = _read_sweep(directory / "sweep.yaml")
    table = read_table(directory / "sweep.csv", SWEEP)
    cells = 1 + len(grid.operands)
    if not (table.groupby([*CELL, "seed"])["cell"].agg(lambda found: sorted(found) == list(range(cells)))).all():
        raise ValueError(f"{directory / 'sweep.csv'}: a run has not each of the grid's {cells} cells once")
    axes = [np.array(axis.values) for axis in grid.axes]
    trained = {tuple(method[column] for column in CELL): method["trained"] for method in sweep["methods"]}
    methods = summarize_sweep(table, axes, grid.origin)
    for method in methods:
        key = tuple(method[column] for column in CELL)
        if key not in trained:
            raise ValueError(f"{directory / 'sweep.yaml'}: methods lacks one of sweep.csv: {key}")
        method["trained"] = trained[key]
    return sweep, grid, table, methods


def _read_sweep(path: Path) -> tuple[dict[str, Any], Grid]:
    content = read_yaml(path)
    try:
        axes = tuple(parse_axis(text) for text in content["axes"])
        grid = Grid(content["figure"], content["base"], axes)
        return {**content, "horizon": int(content["horizon"]), "methods": list(content["methods"])}, grid
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a sweep of ours ({type(error).__name__}: {error})") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _figures(methods: Sequence[Method], grid: Grid, axes: Sequence[Array], horizon: int) -> dict[str, dict[str, Any]]:
    labels = [axis.label for axis in grid.axes]
    band = f"Lines are interquartile means over seeds, bands their 95{PERCENT} bootstrap intervals"
    strip = (
        f"The dashed line is {grid.base} itself; below, what each method was trained on: a point is its training "
        f"domain, a bar what it drew at its end (of normal and of learned distributions 5 to 95{PERCENT})."
    )
    if len(axes) == 1:
        chart = sweep_charts.curves_chart(methods, axes[0], labels[0], grid.origin[0], horizon)
        title = f"Return over {', '.join(grid.axes[0].names)}"
        return {"curves": {"figure": chart, "title": title, "caption": f"{band}. {strip}"}}
    figures = {
        "maps": {
            "figure": sweep_charts.maps_chart(methods, axes, labels, grid.origin, horizon),
            "title": f"Return over {' and '.join(', '.join(axis.names) for axis in grid.axes)}",
            "caption": "Interquartile means over seeds, all maps on one scale. White: what the method was trained on, "
            "a circle is its training domain, a box or a line what it drew at its end (of normal and of learned "
            f"distributions 5 to 95{PERCENT}), cut at the map's edge. "
            f"The dark line is where 90{PERCENT} of the return in {grid.base} (+) is kept; \u2715 is the weakest cell.",
        }
    }
    for column, axis in enumerate(grid.axes):
        other = grid.axes[1 - column]
        averaged = [_averaged(method, axes, 1 - column) for method in methods]
        figures[f"curves-{column + 1}"] = {
            "figure": sweep_charts.curves_chart(
                averaged, axes[column], labels[column], grid.origin[column], horizon, column
            ),
            "title": f"Return over {', '.join(axis.names)}, averaged over {', '.join(other.names)}",
            "caption": f"{band}, of each policy's mean over the other axis ({count(other.count, 'value')}). {strip}",
        }
    return figures


def _averaged(method: Method, axes: Sequence[Array], over: int) -> Method:
    """The method's curve over one axis: each policy's mean over the other, axis ``over``."""
    scores = method["cells"].reshape([-1, *(len(axis) for axis in axes)]).mean(axis=1 + over)
    middle, low, high = curve(scores, [*(method[column] for column in CELL), over])
    return {**method, "curve": middle, "curve_low": low, "curve_high": high}


def _table(methods: Sequence[Method], grid: Grid, axes: Sequence[Array]) -> Table:
    rows = []
    for label, method in zip(_labels(methods), methods, strict=True):
        scores = [_with_interval(method, name) for name in ("nominal", "mean", "cvar10", "worst")]
        weakest = (number(method["curve"].min()), _shifts(grid, method["weakest"]))
        radius = _radius(method, grid, axes)
        rows.append([label, *scores, weakest, radius, str(method["n_seeds"])])
    columns = ["method", f"in {grid.base}", "mean of cells", "CVaR10 of cells", "worst cell of each policy"]
    return {"columns": [*columns, "weakest cell", "radius", "seeds"], "rows": rows}


def _with_interval(method: Method, name: str) -> tuple[str, str]:
    return number(method[name]), span(method[f"{name}_low"], method[f"{name}_high"])


def _shifts(grid: Grid, cell: int) -> str:
    """A cell of the grid without its base."""
    shifts = zip(grid.axes, grid.operands[cell - 1], strict=True)
    return ", ".join(axis.short(float(value)) for axis, value in shifts)


def _radius(method: Method, grid: Grid, axes: Sequence[Array]) -> tuple[str, str]:
    value, low, high = (method[f"radius{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return DASH, ""
    form = sweep_charts.digits if len(axes) == 1 else percent
    most = max(axes[0][-1] - grid.origin[0], grid.origin[0] - axes[0][0]) if len(axes) == 1 else 1.0
    return ("\u2265 " if value >= most - 1e-9 else "") + form(value), span(low, high, form)


def _radius_words(grid: Grid) -> str:
    kept = f"keeps 90{PERCENT} of its return in {grid.base}, interpolated between cells"
    if len(grid.axes) == 1:
        return (
            f"Radius: the largest shift, to either side within the grid and in the axis\u2019s units, up to which the "
            f"policy {kept}. \u2265 stands where it reaches the grid\u2019s end."
        )
    return (
        f"Radius: the largest rectangle of shifts around {grid.base}, in the proportions of the grid\u2019s reach on "
        f"either axis, in all of which the policy {kept}: 100{PERCENT} is the whole grid."
    )


def _answer(methods: Sequence[Method], grid: Grid, horizon: int) -> list[str]:
    """The best worst case, and whether its interval is apart from the next one's."""
    ranked = sorted(zip(_labels(methods), methods, strict=True), key=lambda pair: -pair[1]["worst"])
    sentences = []
    for place, (label, method) in enumerate(ranked):
        where = interval_words(method["worst_low"], method["worst_high"])
        if place == 0:
            sentences.append(
                f"In the worst of {number(len(grid.operands))} cells, a policy {label} earns {number(method['worst'])} "
                f"{where} per episode of {number(horizon)} steps, {number(method['nominal'])} in {grid.base}; its "
                f"weakest cell is at {_shifts(grid, method['weakest'])}."
            )
        else:
            first = ranked[0][1]
            low, high = interval(
                bootstrap(_advantage, [_worst(first), _worst(method)], random_stream(0, label, "worst"))
            )
            less = number(first["worst"] - method["worst"])
            said = "one seed gives no interval" if math.isnan(low) else f"95{PERCENT} interval {span(low, high)}"
            told = "" if math.isnan(low) or low > 0 else ": not told apart"
            sentences.append(f"{label[0].upper()}{label[1:]}: {number(method['worst'])}, {less} less ({said}){told}.")
    return sentences


def _judged_words(judged: int, runs: int) -> str:
    return count(runs, "run") if judged == runs else f"{judged} of {runs} runs (the others had been judged before)"


def _worst(method: Method) -> Array:
    return np.asarray(method["cells"].min(axis=1))


def _advantage(ours: Array, theirs: Array) -> float:
    return iqm(ours) - iqm(theirs)


def _cautions(methods: Sequence[Method], table: pd.DataFrame, grid: Grid) -> list[str]:
    notes = []
    fewest = min(method["n_seeds"] for method in methods)
    if fewest < FEW_SEEDS:
        notes.append(
            f"Only {count(fewest, 'seed')} of the method with the fewest: intervals from fewer than {FEW_SEEDS} seeds "
            "are too narrow, or absent. Read them as a first look."
        )
    if any(math.isnan(method["radius"]) for method in methods):
        notes.append(
            f"No radius where {grid.base} itself lies outside the grid, or where a return there is not positive."
        )
    diverged = int(table["diverged"].sum())
    if diverged:
        notes.append(f"The physics of {count(diverged, 'episode')} diverged; they count with the return they had.")
    return notes


def _labels(methods: Sequence[Method]) -> list[str]:
    return list(cell_labels(pd.DataFrame([{column: method[column] for column in CELL} for method in methods])))
