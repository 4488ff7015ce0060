"""One step of DORAEMON: the constrained optimisation over Beta distributions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from randomization import betas
from randomization.distributions import Array

FARTHEST = 1.0
"""How much a step may change a logarithm of a shape parameter at most; keeps trial points where weights are finite."""
SLACK = 1e-4
"""What a solution may miss a constraint by, in success rate or nats; as in the authors' code."""
NOTHING = 1e-9
"""A difference of entropy, in nats, that is none."""


@dataclass(frozen=True)
class Episodes:
    """What finished episodes tell."""

    positions: Array
    """Where they were drawn, ``(parameters, k)``, each in (0, 1)."""
    log_densities: Array
    """Of the distributions that they were drawn from, there, ``(k,)`` nats."""
    successes: Array
    """1 or 0, ``(k,)``."""

    def weights(self, theta: Array) -> Array:
        """Importance ratios ``(k,)`` of the distribution ``theta`` to those that the episodes were drawn from."""
        return np.asarray(np.exp(betas.log_density(theta, self.positions) - self.log_densities))

    def success(self, theta: Array) -> float:
        """Estimated success rate under ``theta``: the mean of weight times success."""
        return float(np.mean(self.weights(theta) * self.successes))

    def success_gradient(self, theta: Array) -> Array:
        """Of :meth:`success`, with respect to ``theta``."""
        weighted = self.weights(theta) * self.successes
        return np.asarray(betas.log_density_gradient(theta, self.positions) @ weighted / len(weighted))

    def effective_size(self, theta: Array) -> float:
        """Kish's effective sample size of the weights: (Σw)² / Σw², from 1 to the number of episodes."""
        weights = self.weights(theta)
        return float(weights.sum() ** 2 / (weights**2).sum())


@dataclass(frozen=True)
class Step:
    """Where a step ends."""

    theta: Array
    accepted: bool
    """Whether it satisfies the constraints and is better than where it began; otherwise it stays there."""
    feasible: bool
    """Whether the success rate was within reach; otherwise the step raised it as far as it could."""
    status: int
    """scipy's: 0 when the solver converged."""


def step(theta: Array, episodes: Episodes, alpha: float, kl: float, highest: float) -> Step:
    """The distribution of the highest entropy that is near ``theta`` and succeeds often enough.

    Args:
        theta: the current distribution, as :mod:`randomization.betas` has it.
        episodes: what the success rate is estimated from.
        alpha: success rate to keep.
        kl: largest divergence from ``theta``, nats.
        highest: largest logarithm of a shape parameter; the smallest is 0, where the range is drawn from uniformly.
    """
    near = {
        "type": "ineq",
        "fun": lambda x: kl - betas.divergence(theta, x),
        "jac": lambda x: -betas.divergence_gradient(theta, x),
    }
    succeeds = {
        "type": "ineq",
        "fun": lambda x: episodes.success(x) - alpha,
        "jac": lambda x: episodes.success_gradient(x),
    }
    limits = list(zip(np.maximum(theta - FARTHEST, 0), np.minimum(theta + FARTHEST, highest), strict=True))
    start, status = theta, 0
    if episodes.success(theta) < alpha:
        better, status = _maximise(episodes.success, episodes.success_gradient, theta, [near], limits)
        raised = betas.divergence(theta, better) <= kl + SLACK and episodes.success(better) > episodes.success(theta)
        if not raised or episodes.success(better) < alpha:
            return Step(better if raised else theta, raised, False, status)
        start = better
    widest, status = _maximise(betas.entropy, betas.entropy_gradient, start, [near, succeeds], limits)
    sound = betas.divergence(theta, widest) <= kl + SLACK and episodes.success(widest) >= alpha - SLACK
    gain = betas.entropy(widest) - betas.entropy(start)
    if sound and gain >= -NOTHING:  # where nothing wider is allowed, staying is the solution
        return Step(widest if gain > 0 else start, True, True, status)
    return Step(start, start is not theta, True, status)


def _maximise(
    value: Callable[[Array], float],
    gradient: Callable[[Array], Array],
    start: Array,
    constraints: list[dict[str, Any]],
    limits: list[tuple[float, float]],
) -> tuple[Array, int]:
    """Where SLSQP ends, and its status. That it did not converge is no reason to refuse the point, nor is it one to
    trust the point that it did: the caller looks."""
    from scipy.optimize import minimize  # half a second to load, which other methods need not wait for

    result = minimize(
        lambda x: -value(x),
        start,
        jac=lambda x: -gradient(x),
        method="SLSQP",
        bounds=limits,
        constraints=constraints,
        options={"ftol": 1e-9, "maxiter": 200},
    )
    return np.clip(result.x, *np.transpose(limits)), int(result.status)
