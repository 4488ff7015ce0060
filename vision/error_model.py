"""How a keypoint estimator errs: a model of its errors and confidences along an episode.

An estimator that looks at single pictures errs by a function of the picture, so a standing figure shows no noise but a
constant error. The model says so: of each keypoint's errors in x and y, in px, and of its confidence's logit,

    value_t = m(pose_t) + s(pose_t) z_t,   z_t = phi_t z_(t-1) + sqrt(1 - phi_t²) e_t,   phi_t = a exp(-b d_t),

where ``d_t`` is how far the keypoint has moved in the image since the last frame. The mean ``m`` and the logarithm of
the variance ``s²`` are kernel ridge regressions on the links' directions: far from every pose of the data they fall
back to constants instead of running away. The ``e_t`` of all keypoints are drawn together from those of the data, so
that tails and correlations between keypoints are theirs. To the confidence's mean a multiple of the error's size is
added. Drop-outs (gross errors, or confidences far below the usual) are a Markov chain of two states for each keypoint,
their errors and confidences drawn from those of the data; each frame keeps the last one with the probability ``hold``.
"""

import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)

WIDTH = 0.5
"""Standard deviation of a kernel over the links' directions: 0.5 is one link turned by 29 degrees."""
SIZE_FLOOR = 0.1
"""Added to the squared size of a standardised error before its logarithm is taken."""


@dataclass(frozen=True)
class ErrorModel:
    """Parameters for ``k`` keypoints and ``c = 3 k`` channels: x and y of each keypoint, then the confidences.

    Raises:
        ValueError: shapes that do not fit each other, or an impossible value.
    """

    poses: Array
    """Directions of the links of ``m`` poses, the kernels' centres: ``(m, 2 (k - 1))``."""
    mean: Array
    """Of each channel far from every pose ``(c,)``: px, and the confidence's logit."""
    mean_weights: Array
    """``(m, c)``."""
    log_variance: Array
    """Of each channel far from every pose, ``(c,)``."""
    log_variance_weights: Array
    """``(m, c)``."""
    size_weight: Array
    """Change of the confidence's logit for each e-fold of the squared standardised error, ``(k,)``."""
    correlation: Array
    """``a``: of a keypoint that does not move, with the last frame, ``(c,)``."""
    decay: Array
    """``b``: how fast that is lost, 1/px, ``(c,)``."""
    innovations: Array
    """Of the data, with mean 0 and variance 1 (0 where the data never vary), ``(rows, c)``."""
    centre: Array
    """Median error, px, ``(k, 2)``."""
    reach: Array
    """Distance from the median error beyond which an error is gross, px, ``(k,)``."""
    low: Array
    """A confidence below this is a drop-out too, ``(k,)``."""
    enter: Array
    """Probability for a frame that a drop-out begins, ``(k,)``."""
    leave: Array
    """Probability for a frame that it ends, ``(k,)``."""
    gross: Array
    """Keypoint, error in x and y (px), and confidence of each dropped keypoint of the data, by keypoint, ``(g, 4)``."""
    hold: float
    """Probability that a drop-out keeps its error and confidence for another frame."""
    latency: int = 0
    """Frames that the keypoints come late."""

    def __post_init__(self) -> None:
        sized = self.reach, self.poses, self.innovations, self.gross
        k, m, rows, g = (len(part) if np.ndim(part) else 0 for part in sized)
        c = 3 * k
        wanted: dict[str, tuple[int, ...]] = {"poses": (m, 2 * (k - 1)), "mean_weights": (m, c), "centre": (k, 2)}
        wanted["log_variance_weights"] = m, c
        wanted.update(dict.fromkeys(("mean", "log_variance", "correlation", "decay"), (c,)))
        wanted.update(dict.fromkeys(("size_weight", "reach", "low", "enter", "leave"), (k,)))
        wanted.update({"innovations": (rows, c), "gross": (g, 4), "hold": ()})
        for name, shape in wanted.items():
            value = np.asarray(getattr(self, name))
            if value.shape != shape or value.dtype != np.float64 or not np.isfinite(value).all():
                raise ValueError(
                    f"{name} is {value.dtype} of shape {value.shape}; accepted: finite float64 of shape {shape}"
                )
        if k < 2 or not rows:
            raise ValueError(f"{k} keypoints, {rows} innovations; accepted: 2 and 1 or more")
        for name in ("correlation", "low", "enter", "leave", "hold"):
            value = np.asarray(getattr(self, name))
            if ((value < 0) | (value > 1)).any():
                raise ValueError(f"{name} is {value.tolist()}; accepted: from 0 to 1")
        for name in ("decay", "reach", "latency"):
            if (np.asarray(getattr(self, name)) < 0).any():
                raise ValueError(f"{name} is {np.asarray(getattr(self, name)).tolist()}; accepted: 0 or more")
        points = self.gross[:, 0]
        if (np.diff(points) < 0).any() or not np.isin(points, np.arange(k)).all():
            raise ValueError(f"gross: keypoints {points.tolist()}; accepted: numbers from 0 to {k - 1}, ascending")
        if ((self.gross[:, 3] < 0) | (self.gross[:, 3] > 1)).any():
            raise ValueError(f"gross: confidences up to {self.gross[:, 3].max()}; accepted: from 0 to 1")
        if not np.isin(np.flatnonzero(self.enter > 0), points).all() or ((self.enter > 0) & (self.leave == 0)).any():
            raise ValueError("a keypoint drops out, but never comes back or has no gross errors; accepted: both")

    def is_gross(self, errors: Array, confidences: Array) -> npt.NDArray[np.bool_]:
        """Which errors ``(..., k, 2)`` with confidences ``(..., k)`` are drop-outs, ``(..., k)``."""
        far = np.linalg.norm(errors - self.centre, axis=-1) > self.reach
        return np.asarray(far | (confidences < self.low))

    def moments(self, keypoints: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of each channel ``(n, c)`` at true keypoints ``(n, k, 2)``, px."""
        near = kernels(directions(keypoints), self.poses)
        mean = self.mean + near @ self.mean_weights
        return mean, np.exp((self.log_variance + near @ self.log_variance_weights) / 2)

    def save(self, path: Path) -> None:
        """Write a NumPy archive, whole or not at all."""
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.npz")
        try:
            np.savez(temporary, **{part.name: getattr(self, part.name) for part in fields(self)})
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_error_model(path: Path) -> ErrorModel:
    """Read what :meth:`ErrorModel.save` wrote; no code in the file is run.

    Raises:
        ValueError: not such a file, or a damaged one.
    """
    names = {part.name for part in fields(ErrorModel)}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if set(archive.files) != names:
                raise ValueError(f"holds {', '.join(sorted(archive.files)) or 'nothing'}")
            parts = {name: archive[name] for name in names}
        latency = parts.pop("latency")
        if latency.shape != () or latency.dtype.kind != "i":
            raise ValueError(f"latency is {latency.dtype} of shape {latency.shape}; accepted: a whole number")
        hold = parts.pop("hold")
        if hold.shape != ():
            raise ValueError(f"hold has the shape {hold.shape}; accepted: one number")
        return ErrorModel(**parts, hold=float(hold), latency=int(latency))
    except (OSError, EOFError, ValueError, TypeError, AttributeError, IndexError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not an error model ({reason}); accepted: one that fit_error_model made") from None


def directions(keypoints: Array) -> Array:
    """Cosine and sine of links from each keypoint ``(n, k, 2)`` to the next; 0 without length: ``(n, 2 (k - 1))``."""
    links = keypoints[:, 1:] - keypoints[:, :-1]
    lengths = np.sqrt((links**2).sum(axis=2, keepdims=True))
    return np.asarray((links / np.where(lengths > 0, lengths, 1.0)).reshape(len(keypoints), -1))


def kernels(poses: Array, centres: Array) -> Array:
    """Closeness of poses ``(n, f)`` to centres ``(m, f)``, from 0 to 1: ``(n, m)``."""
    squares = (poses**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * poses @ centres.T
    return np.asarray(np.exp(-np.maximum(squares, 0.0) / (2 * WIDTH**2)))


def log_size(errors: Array) -> Array:
    """Logarithm of the squared size of standardised errors ``(..., k, 2)``: ``(..., k)``."""
    return np.asarray(np.log(SIZE_FLOOR + (errors**2).sum(axis=-1) / 2))


def channels(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """A value of each keypoint ``(n, k)`` for each channel of it, ``(n, 3 k)``."""
    return np.concatenate((np.repeat(values, 2, axis=1), values), axis=1)
