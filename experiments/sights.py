"""What a study with several sights says beyond its returns: the gap taken apart, calibration, rows of cells compared.

A policy judged through a sight that is not its pipeline's own stands in ``episodes.csv`` under ``pipeline@sight``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.statistics import bootstrap, in_order_of, interval, iqm, random_stream, seed_scores
from experiments.tables import CELL

TRUE, MODEL, REAL, DIFFERENCED = "state", "error-model", "estimator", "two-frame"
"""Sights: the state as the task observes it, the estimator's fitted errors, the estimator itself, or with two frames
differenced."""
PARTS = ("dynamics", "perception", "interaction", "total")

Array = NDArray[np.float64]


def own(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of policies that see as their pipeline says."""
    return frame[~frame["pipeline"].str.contains("@", regex=False)].reset_index(drop=True)


def seen(episodes: pd.DataFrame) -> pd.DataFrame:
    """Mean returns of each cell and seed that was judged through more than one sight.

    Returns:
        Indexed by cell (its pipeline without the sight) and seed; columns ``(sight, evaluation domain)``.
    """
    scores = seed_scores(episodes).reset_index()
    scores[["pipeline", "sight"]] = scores["pipeline"].str.partition("@")[[0, 2]]
    several = scores.groupby("pipeline")["sight"].transform("nunique") > 1
    scores = scores[several].copy()
    for pipeline, group in scores.groupby("pipeline"):
        # Of a pipeline's sights, its own alone is not written down.
        written = set(group["sight"])
        of_estimator = written & {TRUE, MODEL, DIFFERENCED}
        unsaid = TRUE if pipeline == TRUE or REAL in written else REAL if of_estimator else str(pipeline)
        scores.loc[(scores["pipeline"] == pipeline) & (scores["sight"] == ""), "sight"] = unsaid
    return scores.pivot(index=[*CELL, "seed"], columns=["sight", "eval_domain"], values="return")


def taken_apart(episodes: pd.DataFrame, source: str, target: str, seed: int = 0) -> pd.DataFrame:
    """The loss from true state in the source to estimator in the target, part by part; one row per cell.

    - ``dynamics``: what the true state loses from source to target;
    - ``perception``: what the estimator loses against the true state, in the source;
    - ``interaction``: how much more it loses in the target;
    - ``total``: their sum, true state in the source minus estimator in the target.

    Each is a mean over training seeds of differences within a seed, so that the parts add up, with ``_low`` and
    ``_high``, its 95 % bootstrap interval. Cells that are not judged so are left out, as are those trained in the
    target, which lose nothing to it.
    """
    table = seen(episodes)
    columns = [*CELL, "n_seeds", *(name for part in PARTS for name in (part, f"{part}_low", f"{part}_high"))]
    needed = [(sight, domain) for sight in (TRUE, REAL) for domain in (source, target)]
    rows: list[dict[str, Any]] = []
    if source != target and set(needed) <= set(table.columns):
        for key, group in table[needed].dropna().groupby(CELL, sort=False):
            cell = dict(zip(CELL, key, strict=True))
            if cell["train_domain"] == target:
                continue
            true_source, true_target, real_source, real_target = group.to_numpy(float).T
            values = {"dynamics": true_source - true_target, "perception": true_source - real_source}
            values["interaction"] = (true_target - real_target) - values["perception"]
            values["total"] = true_source - real_target
            row: dict[str, Any] = {**cell, "n_seeds": len(group)}
            for part, value in values.items():
                low, high = interval(bootstrap(_mean, value, random_stream(seed, *key, part)))
                row |= {part: _mean(value), f"{part}_low": low, f"{part}_high": high}
            rows.append(row)
    return in_order_of(own(episodes), pd.DataFrame(rows, columns=columns))


def calibration(episodes: pd.DataFrame) -> pd.DataFrame:
    """The return predicted with the error model beside the one with the estimator: one row per cell, domain, seed.

    Returns:
        Columns of the cell, ``eval_domain``, ``seed``, ``predicted`` and ``reached``.
    """
    table = seen(episodes)
    columns = [*CELL, "eval_domain", "seed", "predicted", "reached"]
    if not {MODEL, REAL} <= set(table.columns.get_level_values("sight")):
        return pd.DataFrame(columns=columns)
    pairs = pd.DataFrame({"predicted": table[MODEL].stack(), "reached": table[REAL].stack()}).dropna()
    return pairs.reset_index()[columns]


def compare(rows: Sequence[Mapping[str, Any]], summary: pd.DataFrame) -> pd.DataFrame:
    """The cells that a comparison of the study names, in its order.

    Args:
        rows: each with ``text``, columns of the cell to choose by under ``cell``, and perhaps ``published`` returns
            by evaluation domain.
        summary: from :func:`statistics.summarize`.

    Returns:
        The chosen rows of the summary with their ``text`` and ``published``; what was not measured has NaN.

    Raises:
        ValueError: a row fits more than one cell.
    """
    found = []
    for row in rows:
        chosen = matching(summary, row["cell"])
        published = row.get("published", {})
        for domain in dict.fromkeys(summary["eval_domain"]):
            there = chosen[chosen["eval_domain"] == domain]
            if len(there) > 1:
                raise ValueError(f"comparison row {row['text']!r} fits {len(there)} cells; accepted: one")
            measured = dict(there.iloc[0]) if len(there) else {"eval_domain": domain, "n_seeds": 0}
            found.append({**measured, "text": row["text"], "published": published.get(domain, math.nan)})
    return pd.DataFrame(found, columns=[*summary.columns, "text", "published"])


def matching(frame: pd.DataFrame, cell: Mapping[str, Any]) -> pd.DataFrame:
    """The rows whose columns have the values of ``cell``."""
    return frame[(frame[list(cell)] == pd.Series(cell)).all(axis=1)]


def ratio(scores: Array, reference: Array, key: Sequence[object], seed: int = 0) -> tuple[float, float, float]:
    """The IQM of ``scores`` over that of ``reference``, with its 95 % interval; NaN unless the latter is positive.

    The two are resampled independently.
    """
    samples = [scores, reference]
    low, high = interval(bootstrap(_ratio, samples, random_stream(seed, *key, "ratio")))
    return _ratio(*samples), low, high


def _mean(values: Array) -> float:
    return float(values.mean())


def _ratio(scores: Array, reference: Array) -> float:
    below = iqm(reference)
    return iqm(scores) / below if below > 0 else math.nan
