"""DROPO: the distribution under which logged transitions of the target are most likely.

Tiboni, Arndt and Kyrki, "DROPO: Sim-to-Real Transfer with Offline Domain Randomization", 2022, arXiv:2201.08434. The
simulator is put into each logged state and takes the logged action under sampled parameters; the next states that come
of it are summarised by a Gaussian (their mean and covariance, plus epsilon on the diagonal), in which the logged next
state has a likelihood. CMA-ES seeks the mean and standard deviation of each parameter that maximise its product.

Here all transitions share the same sampled parameters, made of the same uniform numbers for every candidate. That
leaves each transition's Gaussian what it is and lets one batch of simulations serve all transitions and candidates.
States are counted in units of ``scale``, so that epsilon means the same for metres and radians per second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from randomization.identification import MAX_STD, MIN_STD, Array, Gaussian, Predict

EPSILON = 1e-4
"""Variance added to every entry: a hundredth of a state's usual change, squared."""
SAMPLES = 20
"""Sampled parameters of each candidate. A full covariance, as in the paper, is of full rank only for states of fewer
entries (a hopper's has 12, an ant's 29); the default is its diagonal."""
TRANSITIONS = 100
"""Of a log, at most: more cost time and hardly move the fit of a handful of parameters."""
GENERATIONS = 30
_FAR = 1e6  # scales; a simulation that diverged


@dataclass(frozen=True)
class DropoFit:
    """What DROPO found."""

    distribution: Gaussian
    log_likelihood: float
    """Of all transitions, at the end."""
    start: float
    """The same of the distribution that the search began with."""
    simulated_steps: int


def log_likelihood(
    predicted: Array, observed: Array, epsilon: float = EPSILON, covariance: Literal["diagonal", "full"] = "diagonal"
) -> Array:
    """Sum over transitions of the logarithm of the observed next states' likelihood.

    Args:
        predicted: ``(..., k, n, d)`` next states of ``k`` sampled parameters, in units of the scale.
        observed: ``(n, d)``, likewise.
        epsilon: added to the diagonal of the covariance.
        covariance: of the ``k`` next states; one that is full takes more of them than ``d``.
    """
    mean = predicted.mean(axis=-3)
    away = observed - mean
    size = observed.shape[-1]
    if covariance == "diagonal":
        variance = predicted.var(axis=-3, ddof=1) + epsilon
        distance, logdet = (away**2 / variance).sum(axis=-1), np.log(variance).sum(axis=-1)
    else:
        centred = predicted - mean[..., None, :, :]
        matrix = np.einsum("...knd,...kne->...nde", centred, centred) / (predicted.shape[-3] - 1)
        matrix = matrix + epsilon * np.eye(size)
        solved = np.linalg.solve(matrix, away[..., None])[..., 0]
        distance, logdet = (away * solved).sum(axis=-1), np.linalg.slogdet(matrix)[1]
    return np.asarray(-0.5 * (distance + logdet + size * np.log(2 * np.pi)).sum(axis=-1))


def fit(
    predict: Predict,
    next_states: Array,
    scale: Array,
    start: Array,
    seed: int,
    covariance: Literal["diagonal", "full"] = "diagonal",
    generations: int = GENERATIONS,
    progress: Callable[[int, int], None] | None = None,
) -> DropoFit:
    """Seek the most likely distribution with CMA-ES.

    Args:
        predict: next states for parameters in unit coordinates.
        next_states: ``(n, d)``, as logged.
        scale: ``(d,)``, the unit of each entry.
        start: ``(p,)`` mean that the search begins with.
        seed: of the search and of the sampled parameters.
        covariance: of predicted next states.
        generations: of CMA-ES.
        progress: called with generations done and in all.

    Raises:
        ValueError: the covariance is full, but states have too many entries for it.
    """
    from cmaes import CMA

    size, entries = len(start), next_states.shape[-1]
    if covariance == "full" and entries >= SAMPLES:
        raise ValueError(f"covariance full: states have {entries} entries; accepted: fewer than {SAMPLES}, or diagonal")
    from scipy.stats import qmc  # half a second to load, which other methods need not wait for

    uniform = qmc.LatinHypercube(size, rng=np.random.default_rng(seed)).random(SAMPLES)
    observed = next_states / scale

    def score(candidates: list[Gaussian]) -> Array:
        parameters = np.concatenate([candidate.quantile(uniform) for candidate in candidates])
        found = predict(parameters) / scale
        found = np.clip(found, observed - _FAR, observed + _FAR)
        return log_likelihood(found.reshape(len(candidates), SAMPLES, *observed.shape), observed, covariance=covariance)

    search = CMA(
        mean=np.concatenate((start, np.full(size, 0.6))), sigma=0.2, bounds=np.array([[0.0, 1.0]] * 2 * size), seed=seed
    )
    first = best = _gaussian(search.mean)
    at_start = highest = float(score([first])[0])
    simulations = SAMPLES
    for generation in range(generations):
        asked = [search.ask() for _ in range(search.population_size)]
        scores = score([_gaussian(point) for point in asked])
        simulations += SAMPLES * len(asked)
        search.tell([(point, -float(value)) for point, value in zip(asked, scores, strict=True)])
        top = int(np.argmax(scores))
        if scores[top] > highest:
            best, highest = _gaussian(asked[top]), float(scores[top])
        if progress is not None:
            progress(generation + 1, generations)
    return DropoFit(best, highest, at_start, simulations * len(observed))


def _gaussian(point: Array) -> Gaussian:
    """A point of the search: means, then the logarithms of deviations from the least to the greatest."""
    mean, spread = np.split(point, 2)
    return Gaussian(mean.copy(), MIN_STD * (MAX_STD / MIN_STD) ** spread)
