"""SimOpt: move the distribution towards parameters under which the policy's trajectories look like the target's.

Chebotar et al., "Closing the Sim-to-Real Loop: Adapting Simulation Randomization with Real World Experience", 2019,
arXiv:1810.05687. The update is relative entropy policy search (Peters, Mülling and Altun 2010): samples are weighted by
``exp(-cost / temperature)``, the temperature minimising REPS's dual for a bound on the divergence, and a Gaussian is
fitted to the weighted samples. Here the Gaussian is diagonal, as what training draws is independent; and because the
dual bounds the weights' divergence and not the fitted Gaussian's, the step is shortened until the latter keeps it too.
"""

import numpy as np
import numpy.typing as npt

from randomization.identification import MAX_STD, MIN_STD, Array, Gaussian

MAX_KL = 1.0
"""Nats of one update."""
SAMPLES = 64
"""Parameters that each update simulates."""
UPDATES = 5
"""Of the distribution after each round, all with that round's trajectories."""
STEPS = 50
"""Of a trajectory that count: later ones of a hopper differ for any parameters."""


def discrepancy(simulated: Array, real: Array, running: npt.NDArray[np.bool_], scale: Array) -> Array:
    """How far trajectories are apart: the mean over steps of the distances |.|₁ + |.|₂², in units of ``scale``.

    Args:
        simulated: ``(m, e, t, d)``, of ``m`` parameters.
        real: ``(e, t, d)``, the target's.
        running: ``(e, t)``, which of its steps there were.
        scale: ``(d,)``.

    Returns:
        ``(m,)``.
    """
    away = np.clip((simulated - real) / scale, -1e3, 1e3)
    distance = np.abs(away).sum(axis=-1) + (away**2).sum(axis=-1)
    return np.asarray((distance * running).sum(axis=(1, 2)) / running.sum())


def divergence(new: Gaussian, old: Gaussian) -> float:
    """Kullback-Leibler divergence of ``new`` from ``old`` in nats, as if neither were cut off."""
    ratio = (new.std / old.std) ** 2
    return float(0.5 * np.sum(ratio + ((new.mean - old.mean) / old.std) ** 2 - 1 - np.log(ratio)))


def weights(costs: Array, max_kl: float = MAX_KL) -> Array:
    """REPS's weights ``(m,)`` of samples of these costs; they diverge from equal ones by ``max_kl`` at most."""
    away = costs - costs.min()
    spread = away.max()
    if spread == 0:
        return np.full(len(costs), 1 / len(costs))
    away = away / spread

    def dual(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float(temperature * (max_kl + np.log(np.mean(np.exp(-away / temperature)))))

    from scipy.optimize import minimize_scalar  # half a second to load, which other methods need not wait for

    best = minimize_scalar(dual, bounds=(-8.0, 8.0), method="bounded", options={"xatol": 1e-6}).x
    found = np.exp(-away / np.exp(best))
    return np.asarray(found / found.sum())


def update(old: Gaussian, samples: Array, costs: Array, max_kl: float = MAX_KL) -> Gaussian:
    """The distribution after one step on ``samples`` ``(m, p)`` of it and their ``costs`` ``(m,)``."""
    chosen = weights(costs, max_kl)[:, None]
    mean = (chosen * samples).sum(axis=0)
    std = np.sqrt((chosen * (samples - mean) ** 2).sum(axis=0))

    def step(share: float) -> Gaussian:
        moved = old.mean + share * (mean - old.mean), old.std + share * (std - old.std)
        return Gaussian(np.clip(moved[0], 0, 1), np.clip(moved[1], MIN_STD, MAX_STD))

    share = 1.0
    while divergence(step(share), old) > max_kl:
        share *= 0.9
    return step(share)
