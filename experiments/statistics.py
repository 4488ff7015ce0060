"""Statistics of evaluation episodes: pure functions, with the training seed as the unit.

Episodes of one policy are not independent evidence about a method, so every interval here resamples
training seeds. Scores are summarised by the interquartile mean (IQM; Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice"). Returns are undiscounted sums of
reward per episode; their size depends on the horizon, which is therefore part of every cell.

Each bootstrap draws from a stream keyed by (seed, cell, quantity): results depend neither on the
order of the rows nor on which other cells a study holds.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from experiments.tables import CELL, EPISODES, SETTING, read_table

Array = NDArray[np.float64]
Key = tuple[object, ...]
"""Values of a cell's columns."""

SUMMARY_COLUMNS = [
    *CELL,
    *("eval_domain", "n_seeds", "episodes", "iqm", "iqm_low", "iqm_high"),
    *("mean", "std", "worst_seed", "cvar10"),
]
GAP_COLUMNS = [
    *CELL,
    *("n_seeds", "source_iqm", "target_iqm", "gap", "gap_low", "gap_high", "relative_gap"),
    *("won_back", "won_back_low", "won_back_high", "share_closed", "share_low", "share_high"),
]


def read_episodes(path: Path) -> pd.DataFrame:
    """Read ``episodes.csv``: one row per evaluation episode.

    Raises:
        ValueError: one line naming file, line and column, and what would be accepted.
    """
    episodes = read_table(path, EPISODES)
    identity = [*CELL, "eval_domain", "seed", "episode"]
    repeated = episodes.duplicated(identity)
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        raise ValueError(
            f"{path}: line {row + 2}, column episode: {episodes['episode'].iloc[row]} repeats an "
            "episode of the same cell, evaluation domain and seed; each may appear once"
        )
    return episodes


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean after dropping the lowest and the highest quarter of all scores.

    Each side loses ``int(0.25 * n)`` scores, as in ``scipy.stats.trim_mean`` and
    ``rliable.metrics.aggregate_iqm``.

    Raises:
        ValueError: if there are no scores.
    """
    ordered = np.sort(np.asarray(scores, dtype=float), axis=None)
    if ordered.size == 0:
        raise ValueError("the interquartile mean of no scores is undefined")
    cut = int(0.25 * ordered.size)
    return float(ordered[cut : ordered.size - cut].mean())


def cvar(values: ArrayLike, fraction: float = 0.1) -> float:
    """Conditional value at risk: the mean of the lowest ``fraction`` of values, at least one.

    Raises:
        ValueError: if there are no values, or ``fraction`` is outside (0, 1].
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=None)
    if ordered.size == 0 or not 0 < fraction <= 1:
        raise ValueError(f"cvar needs values and a fraction in (0, 1]; got {fraction}")
    count = math.ceil(fraction * ordered.size - 1e-9)  # 0.1 * 30 is a hair above 3 in floats
    return float(ordered[: max(1, count)].mean())


def bootstrap(
    statistic: Callable[..., float],
    samples: Array | Sequence[Array],
    rng: np.random.Generator,
    reps: int = 2000,
) -> Array:
    """Replicates of ``statistic(*samples)``, resampling each sample on its own along axis 0.

    Args:
        statistic: called with one resampled array per stratum.
        samples: one array, or a sequence of arrays; axis 0 is the training seed.
        rng: source of the resampling.
        reps: number of replicates.

    Returns:
        Shape ``(reps,)``. All NaN if a stratum holds a single seed: one seed carries no information
        about the spread between seeds.

    Raises:
        ValueError: if a stratum is empty or has no axis, or ``reps`` is not positive.
    """
    strata = [samples] if isinstance(samples, np.ndarray) else [np.asarray(s) for s in samples]
    if reps < 1 or not strata or any(s.ndim == 0 or len(s) == 0 for s in strata):
        raise ValueError("bootstrap needs at least one replicate and one seed in each sample")
    if any(len(s) == 1 for s in strata):
        return np.full(reps, np.nan)
    draws = ([s[rng.integers(len(s), size=len(s))] for s in strata] for _ in range(reps))
    return np.array([statistic(*draw) for draw in draws])


def interval(replicates: Array, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap replicates, ``(low, high)``.

    Undefined (NaN) replicates count against both ends, so a few of them widen the interval; where
    they reach an end the interval is unbounded and ``(nan, nan)`` is returned.
    """
    undefined = np.isnan(replicates)
    tail = (1 - level) / 2
    low = np.quantile(np.where(undefined, -np.inf, replicates), tail, method="lower")
    high = np.quantile(np.where(undefined, np.inf, replicates), 1 - tail, method="higher")
    if not (np.isfinite(low) and np.isfinite(high)):
        return math.nan, math.nan
    return float(low), float(high)


def seed_scores(episodes: pd.DataFrame) -> pd.Series:
    """Mean return of each training seed, indexed by cell, evaluation domain and seed (sorted)."""
    keys = [*CELL, "eval_domain", "seed"]
    ordered = episodes.sort_values([*keys, "episode", "return"])  # one order, one rounding
    return ordered.groupby(keys, sort=True)["return"].mean()


def summarize(episodes: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """One row per cell and evaluation domain, in the order of the episodes, with the columns of ``summary.csv``.

    ``iqm``, its 95 % interval, ``mean``, ``std`` (ddof 1) and ``worst_seed`` are over the seeds'
    mean returns; ``cvar10`` is over all episodes pooled; ``episodes`` counts rows.
    """
    keys = [*CELL, "eval_domain"]
    scores = seed_scores(episodes)
    rows = []
    for key, group in episodes.groupby(keys, sort=True):
        seeds = scores.loc[key].to_numpy()
        low, high = interval(bootstrap(iqm, seeds, random_stream(seed, *key)))
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"n_seeds": len(seeds), "episodes": len(group)}
            | {"iqm": iqm(seeds), "iqm_low": low, "iqm_high": high, "mean": float(seeds.mean())}
            | {"std": float(seeds.std(ddof=1)) if len(seeds) > 1 else math.nan}
            | {"worst_seed": float(seeds.min()), "cvar10": cvar(group["return"])}
        )
    return in_order_of(episodes, pd.DataFrame(rows, columns=SUMMARY_COLUMNS))


def gaps(episodes: pd.DataFrame, source: str, target: str, seed: int = 0) -> pd.DataFrame:
    """What each cell loses between ``source`` and ``target``; one row per cell judged in both.

    Only seeds evaluated in both domains count. All values are IQMs over seeds, in units of return:

    - ``gap``: of the per-seed differences source - target (paired); ``relative_gap`` is a fraction
      of ``source_iqm``, NaN unless that is positive;
    - ``won_back``: ST - ST_none, the return in the target beyond that of the same setting trained
      in ``source`` with randomization ``none`` (the baseline); of a setting without such a cell,
      beyond the only one of its figure and horizon;
    - ``share_closed``: (ST - ST_none) / (TT - ST_none), with TT the cell trained in ``target``
      with randomization ``none`` (the oracle), found likewise, as a fraction. The cells are resampled
      independently. It is NaN for the baseline and for cells trained in ``target``, where a
      reference cell is missing, and where the oracle is not better than the baseline.

    ``*_low`` and ``*_high`` are 95 % intervals. The frame is empty if source and target coincide.
    """
    pairs = {} if source == target else _pairs(episodes, source, target)
    rows = []
    for key, pair in pairs.items():
        cell = dict(zip(CELL, key, strict=True))
        baseline, oracle = (plain_cell(pairs, cell, domain) for domain in (source, target))
        row = cell | {"n_seeds": len(pair)} | _loss(pair, (seed, *key))
        if baseline not in (None, key) and cell["train_domain"] != target:
            row |= _gain(pair, pairs[baseline], None if oracle is None else pairs[oracle], (seed, *key))
        rows.append(row)
    return in_order_of(episodes, pd.DataFrame(rows, columns=GAP_COLUMNS))


def plain_cell(keys: Collection[Key], cell: Mapping[str, object], domain: str) -> Key | None:
    """Of the cells ``keys`` the one trained in ``domain`` without randomisation that ``cell`` is measured by."""
    wanted = {**cell, "randomization": "none", "train_domain": domain}
    if (own := tuple(wanted.values())) in keys:
        return own
    free = ("pipeline", "agent", "steps")
    others = [key for key in keys if all(k == w or n in free for (n, w), k in zip(wanted.items(), key, strict=True))]
    return others[0] if len(others) == 1 else None


def _loss(pair: Array, stream: tuple[Any, ...]) -> dict[str, Any]:
    difference = pair[:, 0] - pair[:, 1]
    in_source, gap = iqm(pair[:, 0]), iqm(difference)
    low, high = interval(bootstrap(iqm, difference, random_stream(*stream, "gap")))
    relative = gap / in_source if in_source > 0 else math.nan
    row = {"source_iqm": in_source, "target_iqm": iqm(pair[:, 1]), "gap": gap}
    return row | {"gap_low": low, "gap_high": high, "relative_gap": relative}


def _gain(pair: Array, baseline: Array, oracle: Array | None, stream: tuple[Any, ...]) -> dict[str, Any]:
    samples = [pair[:, 1], baseline[:, 1]]
    low, high = interval(bootstrap(_advantage, samples, random_stream(*stream, "won_back")))
    gain = {"won_back": _advantage(*samples), "won_back_low": low, "won_back_high": high}
    if oracle is not None:
        samples.append(oracle[:, 1])
        low, high = interval(bootstrap(_share, samples, random_stream(*stream, "share")))
        gain |= {"share_closed": _share(*samples), "share_low": low, "share_high": high}
    return gain


def _pairs(episodes: pd.DataFrame, source: str, target: str) -> dict[Key, Array]:
    """Per cell the scores ``(n_seeds, 2)`` in source and target, of seeds evaluated in both."""
    wide = seed_scores(episodes).unstack("eval_domain")
    if not {source, target} <= set(wide.columns):
        return {}
    both = wide[[source, target]].dropna()
    return {key: group.to_numpy(dtype=float) for key, group in both.groupby(CELL, sort=True)}


def _advantage(in_target: Array, baseline: Array) -> float:
    return iqm(in_target) - iqm(baseline)


def _share(in_target: Array, baseline: Array, oracle: Array) -> float:
    to_close = iqm(oracle) - iqm(baseline)
    return (iqm(in_target) - iqm(baseline)) / to_close if to_close > 0 else math.nan


def random_stream(seed: int, *key: object) -> np.random.Generator:
    """The generator of one bootstrap."""
    return np.random.default_rng([seed, *"|".join(map(str, key)).encode()])


def in_order_of(episodes: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Sort cells by setting, training domain and randomization, each as ``episodes`` first has it: a study's order."""
    levels = [level for level in (SETTING, ["train_domain"], ["randomization"], ["eval_domain"]) if level[0] in frame]
    places = [
        pd.MultiIndex.from_frame(episodes[level].drop_duplicates()).get_indexer(pd.MultiIndex.from_frame(frame[level]))
        for level in levels
    ]
    return frame.iloc[np.lexsort(places[::-1])].reset_index(drop=True)
