"""Products of independent Beta distributions on (0, 1): closed forms, and their gradients.

Distributions are given by ``theta`` ``(2 n,)``, the logarithms of the ``n`` first and then of the ``n`` second shape
parameters; gradients ``(2 n,)`` are with respect to it. All in float64: between wide Betas the KL divergence is a small
difference of large terms, which in float32 comes out negative and stops a solver.

Entropy and KL divergence by the digamma function as in https://en.wikipedia.org/wiki/Beta_distribution.
"""

import numpy as np
from scipy.special import betaincinv, betaln, polygamma, psi

from randomization.distributions import Array


def shapes(theta: Array) -> tuple[Array, Array]:
    """First and second shape parameters ``(n,)``."""
    both: Array = np.exp(np.asarray(theta, np.float64))
    return both[: len(both) // 2], both[len(both) // 2 :]


def quantile(theta: Array, u: Array) -> Array:
    """Values below which fractions ``u`` ``(n, k)`` of each distribution lie, strictly between 0 and 1."""
    a, b = shapes(theta)
    inside = np.finfo(np.float64).eps  # at 0 and 1 themselves a density has no logarithm
    return np.asarray(np.clip(betaincinv(a[:, None], b[:, None], u), inside, 1 - inside))


def log_density(theta: Array, x: Array) -> Array:
    """Of the points ``x`` ``(n, k)``, summed over the distributions: ``(k,)`` nats."""
    a, b = (shape[:, None] for shape in shapes(theta))
    terms = (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b)
    return np.asarray(terms.sum(axis=0))


def log_density_gradient(theta: Array, x: Array) -> Array:
    """Of :func:`log_density`: ``(2 n, k)``."""
    a, b = (shape[:, None] for shape in shapes(theta))
    return np.concatenate((a * (np.log(x) - psi(a) + psi(a + b)), b * (np.log1p(-x) - psi(b) + psi(a + b))))


def entropy(theta: Array) -> float:
    """Differential entropy in nats; 0 is its maximum, where all are uniform."""
    a, b = shapes(theta)
    return float(np.sum(betaln(a, b) - (a - 1) * psi(a) - (b - 1) * psi(b) + (a + b - 2) * psi(a + b)))


def entropy_gradient(theta: Array) -> Array:
    """Of :func:`entropy`."""
    a, b = shapes(theta)
    both = (a + b - 2) * polygamma(1, a + b)
    return np.concatenate((a * (both - (a - 1) * polygamma(1, a)), b * (both - (b - 1) * polygamma(1, b))))


def divergence(old: Array, new: Array) -> float:
    """KL(old || new) in nats: the mean of log(old / new) under ``old``."""
    (a, b), (c, d) = shapes(old), shapes(new)
    terms = betaln(c, d) - betaln(a, b) + (a - c) * psi(a) + (b - d) * psi(b) + (c + d - a - b) * psi(a + b)
    return float(np.sum(terms))


def divergence_gradient(old: Array, new: Array) -> Array:
    """Of :func:`divergence`, with respect to ``new``."""
    (a, b), (c, d) = shapes(old), shapes(new)
    here, there = psi(c + d), psi(a + b)
    return np.concatenate((c * (psi(c) - here - psi(a) + there), d * (psi(d) - here - psi(b) + there)))
