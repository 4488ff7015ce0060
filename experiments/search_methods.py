"""Optuna's samplers and pruners by name, with everything that is random made from a seed."""

from collections.abc import Callable

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

CHECKS = 20
"""How often a trial that trains as long as any is compared with others."""
STARTUP = 5
"""Trials that end unpruned before others are compared with them."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "tpe_multivariate": lambda seed: TPESampler(seed=seed, multivariate=True),
    "random": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed, warn_independent_sampling=False),
    "nsgaii": lambda seed: NSGAIISampler(seed=seed),
}
"""Each takes a seed."""

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": lambda longest: NopPruner(),
    # The first fifth of the longest training tells little.
    "median": lambda longest: MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=longest // 5),
    "percentile": lambda longest: PercentilePruner(25.0, n_startup_trials=STARTUP, n_warmup_steps=longest // 5),
    "halving": lambda longest: SuccessiveHalvingPruner(min_resource=max(1, longest // 9), reduction_factor=3),
    "hyperband": lambda longest: HyperbandPruner(max(1, longest // 9), longest, reduction_factor=3),
}
"""Each takes the environment steps of the longest training: a trial's steps are its resource."""
