"""The report on a reward predictor: tables and charts of what ``simgap fit-reward`` stored. It plays nothing."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.files import read_json, write_text
from experiments.findings import number
from experiments.fit_reward import (
    AGAIN,
    GENERATED,
    INDIVIDUALS,
    LENGTH,
    METRICS,
    PROVENANCE,
    RECORDED,
    TRUE,
    read_reward_config,
)
from experiments.pages import TEMPLATES
from experiments.plots import GRID, INK, PALETTE, SMALL, TEXT, WIDTH, save

ALL = f"{RECORDED}: all"
NAMES = {
    GENERATED: "on observations that each generates itself, from other starts",
    LENGTH: "by how long it stays up there, without any predictor",
    AGAIN: "by its own return on those observations: about the most to hope for",
}


def write_reward_report(directory: Path) -> Path:
    """Write README.md and figures into the directory, and return the README.

    Raises:
        ValueError: something that the report needs is missing or damaged.
    """
    config, found = read_reward_config(directory), read_json(directory / METRICS)
    try:
        scores = pd.read_csv(directory / INDIVIDUALS)
    except (OSError, ValueError) as error:
        raise ValueError(f"{directory / INDIVIDUALS}: cannot be read ({' '.join(str(error).split())})") from None
    save(scatter_chart(scores, found), directory / "figures" / "ranking.png")
    context = {
        "found": found,
        "config": config,
        "individuals": len(scores),
        "range": [number(scores[TRUE].min()), number(scores[TRUE].median()), number(scores[TRUE].max())],
        "prediction": prediction_rows(found),
        "rankings": ranking_rows(found),
        "findings": findings(found),
        "facts": read_json(directory / PROVENANCE),
    }
    write_text(directory / "README.md", TEMPLATES.get_template("reward_report.md.j2").render(**context))
    return directory / "README.md"


def prediction_rows(found: dict[str, Any]) -> list[list[str]]:
    """Kind of policy, steps recorded, R², RMSE and the rewards' own deviation."""
    return [
        [
            name if name != "individuals" else "the individuals themselves",
            f"{found['recorded'][name]:,}" if name in found["recorded"] else "none",
            *(f"{quality[key]:.3f}" for key in ("r2", "rmse", "deviation")),
        ]
        for name, quality in found["prediction"].items()
    ]


def ranking_rows(found: dict[str, Any]) -> list[list[str]]:
    """How it was ranked, Spearman and Kendall with intervals, and the overlap of the best."""
    order = [name for name in found["rankings"] if name.startswith(RECORDED)] + [GENERATED, LENGTH, AGAIN]
    rows = []
    for name in order:
        values = found["rankings"][name]
        kind = name.removeprefix(f"{RECORDED}: ")
        text = NAMES.get(name, f"on recorded observations: {kind}")
        rows.append(
            [text, _with_interval(values, "spearman"), _with_interval(values, "kendall"), f"{values['top']:.0%}"]
        )
    return rows


def findings(found: dict[str, Any]) -> list[str]:
    """What the numbers say, one sentence or two each."""
    kinds = [quality["r2"] for name, quality in found["prediction"].items() if name != "individuals"]
    recorded, generated = found["rankings"][ALL], found["rankings"][GENERATED]
    rho = {name: _with_interval(found["rankings"][name], "spearman") for name in (ALL, GENERATED, LENGTH, AGAIN)}
    return [
        f"The reward of a step is predicted with R² {min(kinds):.2f} to {max(kinds):.2f} on episodes that the network "
        f"did not learn from, and with {found['prediction']['individuals']['r2']:.2f} on the individuals' own steps.",
        f"On recorded observations the ranking {_relation(recorded)} (ρ {rho[ALL]}). "
        "Every individual is asked about the same states there, so that only its actions in them tell it from others: "
        f"{100 * found['between'][ALL]:.2g} % of the variance of the predictions lies between individuals, the rest "
        "between observations. Where its actions would lead, and whether it falls there, no single reward says.",
        "On observations that each individual generates itself the ranking "
        f"{_relation(generated)} (ρ {rho[GENERATED]}). "
        "But they come from the simulation that the predictor was to spare, and which says the true reward as well.",
        f"How long an individual stays up in them ranks it with ρ {rho[LENGTH]}, without any predictor; what it really "
        f"earns in them with ρ {rho[AGAIN]}, which is as sure as a ranking by so many episodes can be.",
    ]


def scatter_chart(scores: pd.DataFrame, found: dict[str, Any]) -> Figure:
    """True return against what was predicted of it, on recorded and on generated observations."""
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    panels = (
        (ALL, "recorded observations", "predicted reward per step"),
        (GENERATED, "generated observations", "predicted return"),
    )
    for axes, (column, title, label), color in zip(figure.subplots(2, 1), panels, PALETTE, strict=False):
        axes.scatter(scores[TRUE], scores[column], s=22, color=color, alpha=0.7, lw=0)
        rho = found["rankings"][column]["spearman"]
        axes.set_title(f"{title}: ρ {rho:.2f}", loc="left", fontsize=TEXT, color=INK, weight="bold")
        axes.set_xlabel(f"true return ({number(found['horizon'])}-step episodes)", fontsize=TEXT, color=INK)
        axes.set_ylabel(label, fontsize=TEXT, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL - 1, colors=INK)
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
    return figure


def _with_interval(values: dict[str, float], name: str) -> str:
    value, low, high = (values[key] for key in (name, f"{name}_low", f"{name}_high"))
    if not np.isfinite(value):
        return "undefined"
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(low) else f"{value:.2f} (unbounded)"


def _relation(values: dict[str, float]) -> str:
    """What the correlation's interval says; chance where it holds 0, or none can be given."""
    low, high = values["spearman_low"], values["spearman_high"]
    if not (math.isfinite(low) and math.isfinite(high)) or low <= 0 <= high:
        return "cannot be told from chance"
    return "agrees with the true one" if low > 0 else "runs against the true one"
