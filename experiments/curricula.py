"""How a randomisation moved during training: what runs logged of it, and its charts."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.findings import cell_labels
from experiments.plots import INK, PALETTE, SMALL, TEXT, WIDTH, save, style
from experiments.run import Run

PREFIX = "randomization/"
"""Of the rows' keys in ``metrics.jsonl``."""
BOUNDS = ("/low", "/high")
"""Endings of what is logged of a parameter."""
QUANTITIES = {
    "width": "mean width, as a share of the largest ranges",
    "widened": "times that a bound moved outwards",
    "narrowed": "times that a bound moved inwards",
    "bound_return": "mean return at the bound judged last",
    "entropy": "entropy (nats; 0: uniform over the largest ranges)",
    "success": "success rate before the last step",
    "estimated_success": "success rate estimated after it",
    "effective_sample_size": "effective sample size (episodes)",
    "kl": "KL divergence of the last step (nats)",
    "solver_status": "solver's status (0: converged)",
    "step_kind": "step: 0 waited, 1 widened, 2 retreated, −1 refused",
    "worst_return": "highest return that was learned from",
    "rows_learned_from": "share of the rows that was learned from",
}
"""What is logged beside the parameters, in words."""
POINTS = 200
"""Steps at which the seeds of a cell are compared."""


def read_curriculum(run: Run) -> pd.DataFrame:
    """What a run logged of its randomisation: columns ``step``, ``quantity`` and ``value``; empty if nothing.

    Quantities are those of :data:`QUANTITIES`, and ``<parameter>/low`` and ``<parameter>/high``.

    Raises:
        ValueError: the metrics file is damaged.
    """
    found = [
        (row["step"], key.removeprefix(PREFIX), value)
        for row in run.rows()
        for key, value in row.items()
        if key.startswith(PREFIX)
    ]
    return pd.DataFrame(found, columns=["step", "quantity", "value"])


def write_curriculum(run: Run) -> None:
    """Draw ``curriculum.png`` where the randomisation moved."""
    table = read_curriculum(run)
    if len(table):
        cell = {key: run.cell[key] for key in ("randomization", "train_domain", "seed")}
        save(curriculum_chart(table.assign(**cell)), run.directory / "curriculum.png")


def parameters(table: pd.DataFrame) -> list[str]:
    """Those whose distribution moved, in the order of the table."""
    names = (name.rsplit("/", 1)[0] for name in table["quantity"] if name.endswith(BOUNDS))
    return list(dict.fromkeys(names))


def curriculum_chart(table: pd.DataFrame, only: Iterable[str] | None = None) -> Figure:
    """A panel for each parameter, with the range that it is drawn from, and for each other quantity.

    Lines are medians over seeds, thin ones the seeds; a parameter's band lies between the medians of its bounds.

    Args:
        table: ``step``, ``quantity``, ``value``, ``seed`` and the columns that cells are labelled by.
        only: the panels to draw; all by default.
    """
    drawn = parameters(table)
    others = [name for name in QUANTITIES if name in set(table["quantity"])]
    panels = [name for name in (*drawn, *others) if only is None or name in only]
    wanted = {name + end for name in panels for end in ("", *BOUNDS)}
    labels = cell_labels(table)[table["quantity"].isin(wanted)]
    table = table.loc[labels.index]
    groups = list(dict.fromkeys(labels))
    figure = Figure(figsize=(WIDTH, 0.9 + 1.3 * len(panels) + 0.3 * len(groups)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for place, name in zip(axes, panels, strict=True):
        style(place, "both")
        place.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        place.locator_params(axis="y", nbins=4)
        place.set_title(QUANTITIES.get(name, name), loc="left", fontsize=TEXT, color=INK)
        for i, group in enumerate(groups):
            _draw(place, table[labels == group], name, PALETTE[i % len(PALETTE)])
    axes[-1].set_xlabel("training steps", fontsize=TEXT, color=INK)
    if len(groups) > 1:
        handles = [axes[0].plot([], [], color=PALETTE[i % len(PALETTE)], lw=2.6)[0] for i in range(len(groups))]
        figure.legend(handles, groups, loc="outside upper left", ncols=1, frameon=False, fontsize=SMALL)
    return figure


def _draw(axes: Axes, cell: pd.DataFrame, name: str, color: str) -> None:
    """One cell's lines of a quantity, or of both bounds of a parameter."""
    medians = []
    for quantity in (name, *(name + end for end in BOUNDS)):
        runs = [run.sort_values("step") for _, run in cell[cell["quantity"] == quantity].groupby("seed")]
        if not runs:
            continue
        for run in runs if len(runs) > 1 else ():
            axes.plot(run["step"], run["value"], color=color, lw=0.7, alpha=0.35)
        steps, median = _median(runs)
        axes.plot(steps, median, color=color, lw=2)
        medians.append((steps, median))
    if len(medians) == len(BOUNDS):
        (steps, low), (_, high) = medians
        axes.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)


def _median(runs: list[pd.DataFrame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Over the runs, at steps that all of them reached: steps and medians, ``(POINTS,)`` each."""
    lines = [run[["step", "value"]].to_numpy(dtype=float).T for run in runs]
    first, last = max(line[0, 0] for line in lines), min(line[0, -1] for line in lines)
    steps = np.linspace(first, max(first, last), POINTS)
    return steps, np.median([np.interp(steps, *line) for line in lines], axis=0)


def figures(table: pd.DataFrame | None) -> dict[str, dict[str, Any]]:
    """A report's charts of how the curricula moved; none without any."""
    if table is None:
        return {}
    seeds = "Thick: medians over seeds; thin: each seed."
    found = {}
    if drawn := parameters(table):
        found["curricula"] = {
            "figure": curriculum_chart(table, drawn),
            "title": "How the curricula moved",
            "caption": "What each parameter is drawn from: between the bounds of adr, and from the 5 to the 95\u202f% "
            f"quantile of doraemon; of scaled parameters as factors of nominal, of shifted ones as shifts. {seeds}",
        }
    if others := [name for name in QUANTITIES if name in set(table["quantity"])]:
        found["curricula-steps"] = {
            "figure": curriculum_chart(table, others),
            "title": "What moved the curricula",
            "caption": f"What the methods themselves report at each update. {seeds}",
        }
    return found
