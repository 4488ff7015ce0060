"""Fitting an :class:`ErrorModel` to what an estimator did on whole episodes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vision.error_model import Array, ErrorModel, channels, directions, kernels, log_size

Mask = npt.NDArray[np.bool_]
Triple = tuple[Array, Array, Array]

GROSS = 8.0
"""An error further than so many median distances from the median error is a drop-out: no bell curve gets there."""
LOW = 0.5
"""So is a confidence below this share of the keypoint's median."""
POSES = 64
"""Kernels at most."""
RIDGE, VARIANCE_RIDGE = 4.0, 20.0
"""Penalties; by errors of episodes and of policies left out. Smaller ones lose on policies that were not seen."""
CORRELATIONS = np.r_[np.linspace(0.0, 0.98, 50), 0.99, 0.995]
DECAYS = np.array([0.0, *np.geomspace(0.01, 5.0, 18)])
"""1/px."""
ENOUGH = 20
"""Pairs of consecutive frames without any drop-out, at least."""
ROWS = 4096
"""Innovations that are kept at most."""
EDGE = 1e-3
"""Confidences are cut to this distance from 0 and 1 before their logit is taken."""


class TooFewFrames(ValueError):
    """The estimator sees too little of the figure for a model of its errors."""


def fit_error_model(episodes: Sequence[Triple]) -> ErrorModel:
    """Fit the model; its spread, correlation and innovations are of errors on episodes that the mean was not fitted to.

    Args:
        episodes: of each, true keypoints ``(T, k, 2)`` and predicted ones, px, and confidences ``(T, k)``, of
            consecutive frames.

    Raises:
        TooFewFrames: they hold too few without drop-outs.
        ValueError: fewer than two episodes, shapes that do not fit, a value that is not finite, or a confidence outside
            0 to 1.
    """
    check_episodes(episodes)
    if len(episodes) < 2:
        raise ValueError(f"{len(episodes)} episodes; accepted: 2 or more, to judge the fit of one by the others")
    true, predicted, confidences = (np.concatenate(part).astype(np.float64) for part in zip(*episodes, strict=True))
    errors = predicted - true
    k = true.shape[1]
    group = np.repeat(np.arange(len(episodes)), [len(part[0]) for part in episodes])
    follows = np.r_[False, group[1:] == group[:-1]]  # whether the row before is the frame before

    centre = np.median(errors, axis=0)
    reach = GROSS * np.median(np.linalg.norm(errors - centre, axis=2), axis=0)
    low = LOW * np.median(confidences, axis=0)
    # Half a pixel at least: an estimator may be exact most of the time.
    reach = np.maximum(reach, 0.5)
    dropped = (np.linalg.norm(errors - centre, axis=2) > reach) | (confidences < low)
    sound = channels(~dropped)
    pairs = sound & np.r_[sound[:1], sound[:-1]] & follows[:, None]
    whole = pairs.all(axis=1)
    if whole.sum() - np.bincount(group, whole).max() < ENOUGH:
        raise TooFewFrames(f"too few frames without drop-outs; accepted: {ENOUGH} pairs outside any one episode")

    poses = directions(true)
    centres = _spread(poses)
    near, prior = kernels(poses, centres), kernels(centres, centres)
    clipped = np.clip(confidences, EDGE, 1 - EDGE)
    values = np.concatenate((errors.reshape(len(errors), -1), np.log(clipped / (1 - clipped))), axis=1)
    mean, weights, residuals = _regress(near, prior, values, sound, group)
    spread, spread_weights = _regress_variance(near, residuals[:, : 2 * k], sound[:, : 2 * k])
    z = residuals[:, : 2 * k] * np.exp(-(spread + near @ spread_weights) / 2)

    sizes = log_size(z.reshape(-1, k, 2))
    slope = np.zeros(k)
    for point in range(k):
        used = ~dropped[:, point]
        size, rest = sizes[used, point], residuals[used, 2 * k + point]
        deviation = size - size.mean()
        slope[point] = deviation @ rest / max(deviation @ deviation, 1e-12)
        mean[2 * k + point] -= slope[point] * size.mean()
        residuals[:, 2 * k + point] -= slope[point] * (sizes[:, point] - size.mean())
    told, told_weights = _regress_variance(near, residuals[:, 2 * k :], sound[:, 2 * k :])
    z = np.concatenate((z, residuals[:, 2 * k :] * np.exp(-(told + near @ told_weights) / 2)), axis=1)

    moved = channels(np.r_[np.zeros((1, k)), np.linalg.norm(np.diff(true, axis=0), axis=2)])
    before = np.r_[z[:1], z[:-1]]
    correlation, decay = np.transpose(
        [_correlate(*(part[pairs[:, c], c] for part in (z, before, moved))) for c in range(3 * k)]
    )
    phi = correlation * np.exp(-decay * moved)
    innovations = ((z - phi * before) / np.sqrt(1 - phi**2))[whole]
    innovations = innovations[np.linspace(0, len(innovations) - 1, min(ROWS, len(innovations))).astype(int)]
    innovations = (innovations - innovations.mean(axis=0)) / np.maximum(innovations.std(axis=0), 1e-6)
    enter, leave, gross, hold = _drop_outs(dropped, errors, confidences, follows)
    return ErrorModel(
        poses=centres,
        mean=mean,
        mean_weights=weights,
        log_variance=np.r_[spread, told],
        log_variance_weights=np.concatenate((spread_weights, told_weights), axis=1),
        size_weight=slope,
        correlation=correlation,
        decay=decay,
        innovations=innovations,
        centre=centre,
        reach=reach,
        low=low,
        enter=enter,
        leave=leave,
        gross=gross,
        hold=hold,
    )


def check_episodes(episodes: Sequence[Triple]) -> None:
    """Check what :func:`fit_error_model` is given.

    Raises:
        ValueError: as there.
    """
    if not len(episodes):
        raise ValueError("no episode; accepted: one or more")
    k = np.shape(episodes[0][0])[1] if np.ndim(episodes[0][0]) == 3 else 0
    for number, (true, predicted, confidences) in enumerate(episodes):
        shapes = [np.shape(part) for part in (true, predicted, confidences)]
        length = shapes[0][0] if shapes[0] else 0
        if k < 2 or not length or shapes != [(length, k, 2), (length, k, 2), (length, k)]:
            raise ValueError(f"episode {number} has the shapes {shapes}; accepted: (T, k, 2), (T, k, 2) and (T, k)")
        if not all(np.isfinite(part).all() for part in (true, predicted, confidences)):
            raise ValueError(f"episode {number} holds NaN or infinity; accepted: finite pixels and confidences")
        if np.min(confidences) < 0 or np.max(confidences) > 1:
            raise ValueError(f"episode {number}: confidences up to {np.max(confidences)}; accepted: from 0 to 1")


def _spread(poses: Array) -> Array:
    """Rows of ``poses`` that are far from each other: each next one is the farthest from those before."""
    chosen = [0]
    distance = ((poses - poses[0]) ** 2).sum(axis=1)
    while len(chosen) < POSES and distance.max() > 1e-6:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((poses - poses[chosen[-1]]) ** 2).sum(axis=1))
    return poses[chosen]


def _ridge(near: Array, prior: Array, values: Array) -> tuple[float, Array]:
    """Kernel ridge regression on a subset of centres (Rasmussen and Williams, "Gaussian Processes", 2006, 8.3.1)."""
    mean = float(values.mean())
    hessian = near.T @ near + RIDGE * prior + 1e-6 * np.eye(len(prior))
    return mean, np.linalg.solve(hessian, near.T @ (values - mean))


def _regress(
    near: Array, prior: Array, values: Array, sound: Mask, group: npt.NDArray[np.int64]
) -> tuple[Array, Array, Array]:
    """Mean ``(c,)`` and weights ``(m, c)`` of all episodes; residuals of each by a fit to the others."""
    mean, weights = np.zeros(values.shape[1]), np.zeros((near.shape[1], values.shape[1]))
    residuals = np.zeros_like(values)
    for c in range(values.shape[1]):
        used = sound[:, c]
        mean[c], weights[:, c] = _ridge(near[used], prior, values[used, c])
        for episode in range(int(group[-1]) + 1):
            other, own = used & (group != episode), group == episode
            base, slope = _ridge(near[other], prior, values[other, c])
            residuals[own, c] = values[own, c] - base - near[own] @ slope
    return mean, weights, residuals


def _regress_variance(near: Array, residuals: Array, sound: Mask) -> tuple[Array, Array]:
    """Logarithm of the variance: multiplicative heteroscedasticity by scoring (Harvey, Econometrica 44(3), 1976)."""
    count, m = residuals.shape[1], near.shape[1]
    found = np.zeros((m + 1, count))
    penalty = np.diag(np.r_[0.0, np.full(m, VARIANCE_RIDGE)])
    for c in range(count):
        used = sound[:, c]
        design = np.c_[np.ones(used.sum()), near[used]]
        squares = np.maximum(residuals[used, c] ** 2, 1e-12)
        found[0, c] = np.log(squares.mean())
        hessian = design.T @ design / 2 + penalty
        for _ in range(30):
            surprise = squares * np.exp(-design @ found[:, c]) - 1
            found[:, c] += np.linalg.solve(hessian, design.T @ surprise / 2 - penalty @ found[:, c])
    return found[0], found[1:]


def _correlate(now: Array, before: Array, moved: Array) -> tuple[float, float]:
    """The most likely correlation and its decay among those of the grid, were the innovations normal."""
    best = (np.inf, 0.0, 0.0)
    for decay in DECAYS:
        phi = CORRELATIONS[:, None] * np.exp(-decay * moved)
        variance = 1 - phi**2
        surprise = (np.log(variance) + (now - phi * before) ** 2 / variance).mean(axis=1)
        least = int(surprise.argmin())
        best = min(best, (float(surprise[least]), float(CORRELATIONS[least]), float(decay)))
    return best[1:]


def _drop_outs(dropped: Mask, errors: Array, confidences: Array, follows: Mask) -> tuple[Array, Array, Array, float]:
    """Probabilities to enter and to leave ``(k,)``, gross errors ``(g, 4)``, and the probability to hold one."""
    before = np.r_[dropped[:1], dropped[:-1]]
    at, k = follows[:, None], dropped.shape[1]
    changes = [(at & ~before & dropped, at & ~before), (at & before & ~dropped, at & before)]
    enter, leave = (np.where(of.any(0), event.sum(0) / np.maximum(of.sum(0), 1), 0.0) for event, of in changes)
    # One that was never seen to end within an episode ends after a frame.
    leave = np.where(leave > 0, leave, 1.0)
    points, rows = np.nonzero(dropped.T)
    gross = np.column_stack((points, errors[rows, points], confidences[rows, points])).astype(np.float64)
    stays = at & before & dropped
    means = np.array([errors[dropped[:, j], j].mean(axis=0) if dropped[:, j].any() else np.zeros(2) for j in range(k)])
    spread = ((errors - means) ** 2).sum(axis=2)[dropped].sum() / max(int(dropped.sum()), 1)
    steps = ((errors - np.r_[errors[:1], errors[:-1]]) ** 2).sum(axis=2)[stays]
    # Renewing with probability 1 - hold, the mean squared step is 2 (1 - hold) times the variance.
    hold = float(np.clip(1 - steps.mean() / (2 * spread), 0.0, 1.0)) if steps.size and spread > 0 else 0.0
    return enter, leave, gross, hold
