"""Charts of a study with several sights: cells compared, the gap taken apart, calibration."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.findings import cell_labels, horizons, number
from experiments.plots import (
    INK,
    PALETTE,
    POINT,
    SMALL,
    SOFT,
    TEXT,
    VALUE,
    frame,
    group_label,
    legend,
    seed_spread,
    whisker,
)
from experiments.sights import PARTS
from experiments.statistics import seed_scores
from experiments.tables import CELL

PART_COLORS = dict(zip(PARTS, ["#D55E00", "#0072B2", "#CC79A7", INK], strict=True))


def comparison_chart(compared: pd.DataFrame, episodes: pd.DataFrame) -> Figure:
    """Bars of IQM with 95 % intervals and seeds, grouped by row, published returns hatched below ours.

    Args:
        compared: from ``sights.compare``.
        episodes: one row per evaluation episode.
    """
    domains = list(dict.fromkeys(compared["eval_domain"]))
    texts = list(dict.fromkeys(compared["text"]))
    published = compared["published"].notna().any()
    measured = compared.dropna(subset="horizon") if compared["n_seeds"].any() else episodes
    scores = seed_scores(episodes)
    height = 1.45 if published else 1.0  # of a domain's place, in heights of our bar
    pitch = height * len(domains) + 1.15
    figure, axes = frame(1.15 + 0.3 * pitch * len(texts))
    for _, row in compared.iterrows():
        place = domains.index(row["eval_domain"])
        color = PALETTE[place % len(PALETTE)]
        y = pitch * texts.index(row["text"]) + height * place
        if row["n_seeds"]:
            seeds = scores.loc[tuple(row[[*CELL, "eval_domain"]])].to_numpy()
            axes.barh(y, row["iqm"], height=0.86, color=color, alpha=0.75)
            whisker(axes, y, row["iqm_low"], row["iqm_high"])
            axes.scatter(seeds, y + seed_spread(len(seeds)), s=14, **POINT)
        said = f"{number(row['iqm'])}  ({len(seeds)})" if row["n_seeds"] else "not measured"
        axes.text(1.02, y, said, transform=axes.get_yaxis_transform(), **VALUE)
        if not np.isnan(row["published"]):
            below = y + 0.66
            axes.barh(below, row["published"], height=0.4, color="white", edgecolor=color, hatch="/////", lw=1)
            small = {**VALUE, "fontsize": SMALL, "color": SOFT}
            axes.text(1.02, below, number(row["published"]), transform=axes.get_yaxis_transform(), **small)
    for place, text in enumerate(texts):
        group_label(axes, pitch * place - 0.85, text)
    for place, domain in enumerate(domains):
        axes.barh(0, 0, color=PALETTE[place % len(PALETTE)], alpha=0.75, label=f"judged in {domain} (seeds)")
    if published:
        axes.barh(0, 0, color="white", edgecolor=SOFT, hatch="/////", label="published")
    axes.axvline(0, color=INK, lw=1)
    axes.set_ylim(pitch * len(texts) - 1.4, -1.5)
    axes.set_xlabel(f"return per episode of {horizons(measured)} steps", fontsize=TEXT, color=INK)
    legend(figure, axes)
    return figure


def parts_chart(parts: pd.DataFrame) -> Figure:
    """What dynamics, perception and their interaction take from each cell, with 95 % intervals.

    ``parts`` is from ``sights.taken_apart``.
    """
    pitch = len(PARTS) + 1.1
    figure, axes = frame(0.95 + 0.27 * pitch * len(parts))
    for group, ((_, row), label) in enumerate(zip(parts.iterrows(), cell_labels(parts), strict=True)):
        group_label(axes, pitch * group - 0.85, label)
        for place, part in enumerate(PARTS):
            y, color = pitch * group + place, PART_COLORS[part]
            axes.plot([0, row[part]], [y, y], color=color, lw=3, alpha=0.4)
            whisker(axes, y, row[f"{part}_low"], row[f"{part}_high"])
            axes.scatter([row[part]], [y], s=55, color=color, zorder=5, label=None if group else part)
            axes.text(1.02, y, number(row[part]), transform=axes.get_yaxis_transform(), **VALUE)
    axes.axvline(0, color=INK, lw=1)
    axes.set_ylim(pitch * len(parts) - 1.3, -1.5)
    axes.set_xlabel(f"return lost per episode of {horizons(parts)} steps", fontsize=TEXT, color=INK)
    legend(figure, axes)
    return figure


def calibration_chart(pairs: pd.DataFrame) -> Figure:
    """The return with the estimator over the one that the error model predicted: a point per run and domain.

    ``pairs`` is from ``sights.calibration``.
    """
    figure, axes = frame(4.6, "both")
    low, high = (bound(pairs[["predicted", "reached"]].to_numpy()) for bound in (np.min, np.max))
    axes.plot([low, high], [low, high], color=SOFT, lw=1.2, ls=(0, (5, 3)), label="as predicted")
    for place, (who, group) in enumerate(pairs.groupby(["pipeline", "agent", "eval_domain"])):
        pipeline, agent, domain = map(str, who)
        marker = "o" if place % 2 == 0 else "s"
        style: dict[str, Any] = {"color": PALETTE[place // 2 % len(PALETTE)], "marker": marker, "alpha": 0.75, "lw": 0}
        label = f"{pipeline}, {agent}, in {domain}"
        axes.plot(group["predicted"], group["reached"], ms=5, label=label, **style)
    axes.set_xlabel("return predicted with the error model", fontsize=TEXT, color=INK)
    axes.set_ylabel("return with the estimator", fontsize=TEXT, color=INK)
    legend(figure, axes)
    return figure


def calibration_words(pairs: pd.DataFrame) -> str:
    """How far the prediction is off, over all runs and domains."""
    error = (pairs["reached"] - pairs["predicted"]).to_numpy(float)
    low, high = np.quantile(error, [0.05, 0.95])
    rank = pairs["predicted"].corr(pairs["reached"], method="spearman")
    more = "more" if error.mean() > 0 else "less"
    return (
        f"Over {len(pairs)} pairs of a run and a domain the estimator earns {number(abs(error.mean()))} {more} than "
        f"the error model predicts on average (nine in ten between {number(low)} and {number(high)}; mean absolute "
        f"difference {number(np.abs(error).mean())}; rank correlation {rank:.2f}). The error model was fitted to "
        "frames with shadows, reflections and multisampling; the estimator sees them without."
    )
