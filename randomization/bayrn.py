"""BayRn: Bayesian optimisation of the distribution's parameters on the return in the target.

Muratore et al., "Data-efficient Domain Randomization with Bayesian Optimization", 2021, arXiv:2003.02471. A Gaussian
process models the return that a policy earns in the target, given the mean and deviation of each parameter that it was
trained with. The process and what it proposes next are Optuna's ``GPSampler``.

Unlike there, one policy trains on through all proposals (:mod:`experiments.rounds`) where the paper trains one for
each: a run costs what any other does, but later proposals profit from earlier training, and what is kept in the end is
the one of the highest return seen, not of the highest mean that the process predicts.
"""

import logging
from collections.abc import Sequence

import numpy as np

from randomization.identification import MAX_STD, MIN_STD, Array, Gaussian

FEWEST_ROUNDS = 3
"""With two there is one look, and nothing to choose from."""
RANDOM = 2
"""Proposals after the first that are drawn at random: the process needs something to go by."""


def start(nominal: Array) -> Array:
    """The first point ``(2 p,)``: around the nominal parameters, with a deviation in the middle."""
    return np.concatenate((nominal, np.full(len(nominal), 0.5)))


def propose(tried: Sequence[tuple[Array, float]], seed: int) -> Array:
    """The point to try next: in ``(0, 1)``, the means and then the deviations' logarithms.

    Args:
        tried: points and the returns in the target that came of them, at least one.
        seed: of the optimisation; the same tries and seed give the same point.
    """
    import optuna
    from optuna.distributions import FloatDistribution

    optuna.logging.set_verbosity(logging.WARNING)
    names = [f"x{i}" for i in range(len(tried[0][0]))]
    space: dict[str, optuna.distributions.BaseDistribution] = {name: FloatDistribution(0, 1) for name in names}
    sampler = optuna.samplers.GPSampler(seed=seed * 1000 + len(tried), n_startup_trials=1 + RANDOM)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for point, value in tried:
        parameters = dict(zip(names, map(float, point), strict=True))
        study.add_trial(optuna.trial.create_trial(params=parameters, distributions=space, value=float(value)))
    trial = study.ask(space)
    return np.array([trial.params[name] for name in names])


def best(tried: Sequence[tuple[Array, float]]) -> Array:
    """The point that earned most so far."""
    return max(tried, key=lambda pair: pair[1])[0]


def gaussian(point: Array) -> Gaussian:
    """The distribution that a point stands for."""
    mean, spread = np.split(point, 2)
    return Gaussian(mean.copy(), MIN_STD * (MAX_STD / MIN_STD) ** spread)
