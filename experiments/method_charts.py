"""Charts of how methods compare: performance profiles, and the matrix of who improves on whom."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.findings import number
from experiments.method_statistics import performance_profile, profile_band, thresholds_of, told_apart
from experiments.plots import INK, PALETTE, SMALL, SOFT, TEXT, WIDTH, legend, style
from experiments.statistics import random_stream

Array = NDArray[np.float64]
DASHES: Sequence[Any] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
"""Of lines, once the colours are used up."""
_WORSE_BETTER = LinearSegmentedColormap.from_list("worse-better", ["#e69f00", "#ffffff", "#56b4e9"])


def profiles_chart(scores: Mapping[str, Array], horizon: str, target: str) -> Figure:
    """Share of each method's seeds above every return, with its 95 % band.

    Args:
        scores: by method, the mean return of each seed.
        horizon: steps of an episode, in words.
        target: the domain that they are judged in.
    """
    figure = Figure(figsize=(WIDTH, 3.4 + 0.24 * len(scores)), layout="constrained")
    axes = figure.subplots()
    style(axes, "both")
    thresholds = thresholds_of(list(scores.values()))
    for place, (name, values) in enumerate(scores.items()):
        color, dashes = PALETTE[place % len(PALETTE)], DASHES[place // len(PALETTE) % len(DASHES)]
        low, high = profile_band(values, thresholds, random_stream(0, name, "profile"))
        axes.fill_between(thresholds, low, high, color=color, alpha=0.13, lw=0)
        axes.plot(thresholds, performance_profile(values, thresholds), color=color, lw=2.2, ls=dashes, label=name)
    axes.set_ylim(-0.02, 1.04)
    axes.yaxis.set_major_formatter(lambda value, _: f"{round(100 * value)} %")
    axes.set_ylabel("share of seeds above", fontsize=TEXT, color=INK)
    axes.set_xlabel(f"return in {target} per episode of {horizon} steps", fontsize=TEXT, color=INK)
    legend(figure, axes, columns=1)
    return figure


def improvement_chart(methods: Sequence[str], pairs: Sequence[Mapping[str, Any]]) -> Figure:
    """Matrix: the probability that the method of the row improves on that of the column, in percent.

    Bold where the difference of their IQMs is larger than its interval.

    Args:
        methods: their names, in order.
        pairs: from :func:`experiments.method_statistics.compare` of these methods.
    """
    count = len(methods)
    matrix, sure = np.full((count, count), np.nan), np.zeros((count, count), bool)
    for pair in pairs:
        i, j = methods.index(pair["first"]), methods.index(pair["second"])
        matrix[i, j], matrix[j, i] = pair["probability"], 1 - pair["probability"]
        sure[i, j] = sure[j, i] = told_apart(pair)
    figure = Figure(figsize=(WIDTH, 0.9 + 0.27 * count + 0.36 * count), layout="constrained")
    axes = figure.subplots()
    axes.imshow(matrix, cmap=_WORSE_BETTER, vmin=0, vmax=1, aspect="auto")
    for i in range(count):
        for j in range(count):
            if i != j:
                style_of: dict[str, Any] = {"weight": "bold", "color": INK} if sure[i, j] else {"color": SOFT}
                text = number(100 * matrix[i, j])
                axes.text(j, i, text, ha="center", va="center", fontsize=min(SMALL, 96 / count), **style_of)  # 100 fits
    axes.set_xticks(range(count), [str(place + 1) for place in range(count)])
    axes.set_yticks(range(count), [_wrapped(f"{place}  {name}") for place, name in enumerate(methods, 1)])
    axes.tick_params(labelsize=SMALL, colors=INK, length=0)
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=2)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    return figure


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 28, max_lines=2, placeholder=" \u2026"))
