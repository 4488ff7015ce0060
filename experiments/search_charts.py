"""Charts of a search, in the style of :mod:`experiments.plots`; ``trials`` is the table of ``trials.csv``."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import INK, PALETTE, POINT, SMALL, SOFT, TEXT, VALUE, WIDTH, frame, group_label
from experiments.search_parameters import Parameter, label


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted key, or as many as tell it from the others."""
    names = {}
    for key in keys:
        parts = key.split(".")
        for many in range(1, len(parts) + 1):
            name = ".".join(parts[-many:])
            if sum(other == name or other.endswith(f".{name}") for other in keys) == 1:
                break
        names[key] = name
    return names


def history_chart(trials: pd.DataFrame, score: str) -> Figure:
    """Each trial's score, the best so far, and where trials were pruned or failed."""
    figure, axes = frame(3.6, "both")
    done = trials[trials["state"] == "complete"]
    axes.scatter(done["number"], done["score"], s=26, **POINT)
    axes.step(done["number"], done["score"].cummax(), where="post", color=PALETTE[0], lw=2.4, label="best so far")
    for state, color in (("pruned", PALETTE[4]), ("failed", PALETTE[1])):
        numbers = trials.loc[trials["state"] == state, "number"]
        if len(numbers):
            axes.plot(
                numbers, np.zeros(len(numbers)), "|", ms=11, mew=2, color=color, label=state, clip_on=False,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
    axes.set_xlabel("trial", fontsize=TEXT, color=INK)
    axes.set_ylabel(score, fontsize=TEXT, color=INK)
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=SMALL, handlelength=1.2)
    return figure


def importance_chart(importances: Mapping[str, float]) -> Figure:
    """The share of each parameter, largest first."""
    names = short_names(list(importances))
    figure, axes = frame(0.8 + 0.62 * len(importances))
    for y, (key, share) in enumerate(sorted(importances.items(), key=lambda item: -item[1])):
        axes.barh(y, share, height=0.5, color=PALETTE[0], alpha=0.75)
        axes.text(1.02, y, f"{100 * share:.0f} %", transform=axes.get_yaxis_transform(), **VALUE)
        group_label(axes, y - 0.45, names[key])
    axes.set_ylim(len(importances) - 0.6, -0.8)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("share of what sets the best quarter apart", fontsize=TEXT, color=INK)
    return figure


def correlations(trials: pd.DataFrame, parameters: Mapping[str, Parameter]) -> pd.DataFrame:
    """Spearman's rank correlations between the score and the parameters over complete trials, a square table.

    Choices that are no numbers are a column each: 1 where it was taken, 0 elsewhere. Columns that never vary are left
    out.
    """
    done, names = trials[trials["state"] == "complete"], short_names(list(parameters))
    columns = {"score": done["score"].astype(float)}
    for key, parameter in parameters.items():
        choices = parameter.choices
        if choices is None or all(
            isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices
        ):
            columns[names[key]] = done[key].astype(float)
        else:
            for choice in choices:
                columns[f"{names[key]} = {label(choice)}"] = (done[key] == str(label(choice))).astype(float)
    ranks = pd.DataFrame({name: column.rank() for name, column in columns.items() if column.nunique() > 1})
    return ranks.corr() if len(ranks) > 1 else pd.DataFrame()


def correlation_chart(table: pd.DataFrame) -> Figure:
    """The table of :func:`correlations` as coloured squares with its numbers."""
    many = len(table)
    figure = Figure(figsize=(WIDTH, 1.9 + 0.42 * many), layout="constrained")
    axes = figure.subplots()
    axes.imshow(table.to_numpy(), vmin=-1, vmax=1, cmap="PuOr_r")
    for y, x in np.ndindex(many, many):
        value = table.iloc[y, x]
        color = "white" if abs(value) > 0.6 else INK
        axes.text(x, y, f"{value:.1f}".replace("-", "\u2212"), ha="center", va="center", fontsize=SMALL, color=color)
    names = [name if len(name) <= 22 else f"{name[:21]}\u2026" for name in table.columns]
    axes.set_xticks(range(many), names, rotation=90, fontsize=SMALL, color=INK)
    axes.set_yticks(range(many), names, fontsize=SMALL, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def slices_chart(trials: pd.DataFrame, parameters: Mapping[str, Parameter], score: str) -> Figure:
    """Score over each parameter's value, a panel each; later trials are darker."""
    done, names = trials[trials["state"] == "complete"], short_names(list(parameters))
    figure = Figure(figsize=(WIDTH, 0.4 + 2.1 * len(parameters)), layout="constrained")
    panels = figure.subplots(len(parameters), 1, sharey=True, squeeze=False)[:, 0]
    for axes, (key, parameter) in zip(panels, parameters.items(), strict=True):
        _slice(axes, done, key, parameter)
        axes.set_title(names[key], loc="left", fontsize=TEXT, color=INK, weight="bold")
    figure.supylabel(score, fontsize=TEXT, color=INK)
    return figure


def _slice(axes: Axes, done: pd.DataFrame, key: str, parameter: Parameter) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=SMALL, colors=SOFT, length=0)
    axes.grid(color="#dfe3e7", lw=0.8)
    axes.set_axisbelow(True)
    if parameter.choices is None:
        places = done[key].astype(float)
        if parameter.log:
            axes.set_xscale("log")
    else:
        labels = [str(label(choice)) for choice in parameter.choices]
        places = done[key].map(lambda value: labels.index(str(value)))
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.scatter(
        places, done["score"], s=26, c=done["number"], cmap="Blues", vmin=-0.5 * len(done), edgecolors=INK, lw=0.6
    )
