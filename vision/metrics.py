"""How far predicted keypoints are from the true ones, in pixels and in degrees."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

OUTSIDE, HIDDEN, VISIBLE = 0, 1, 2  # COCO's flags
REACH = 5.0
"""Upper end of the PCK curve whose area is taken, px."""


@dataclass(frozen=True)
class Errors:
    """Distances between prediction and truth over some of the keypoints, px; NaN where there are none."""

    count: int
    """How many keypoints."""
    mean: float
    median: float
    p95: float
    """Linear interpolation between the two nearest, as NumPy does."""


@dataclass(frozen=True)
class KeypointMetrics:
    """What predicted keypoints are worth. Points outside the image count nowhere; NaN is for what has no points."""

    overall: Errors
    visible: Errors
    hidden: Errors
    keypoints: tuple[Errors, ...]
    """Each keypoint alone, in their order."""
    pck_1: float
    """Share of keypoints no further than 1 px from the truth."""
    pck_2: float
    pck_5: float
    auc: float
    """Area under the share of keypoints within t px for t from 0 to 5, over 5: 0 to 1."""
    degrees: tuple[float, ...]
    """Mean absolute error of each link's angle, in the skeleton's order, degrees: the first link's in the image, each
    later one's to the link that it hangs on."""

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries and lists of plain numbers; NaN stays NaN, which Python's JSON reads and writes."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def measure_keypoints(
    predicted: npt.NDArray[Any], true: npt.NDArray[Any], flags: npt.NDArray[Any], skeleton: tuple[tuple[int, int], ...]
) -> KeypointMetrics:
    """Compare ``n`` pictures' keypoints with the truth.

    PCK(t) is the share of counted keypoints whose error e is at most t. Its area from 0 to T = 5 px, over T, is taken
    exactly: a point adds ``max(T - e, 0)`` to the integral, so it is the mean of ``max(1 - e / T, 0)``.

    Args:
        predicted: pixels ``(n, k, 2)``.
        true: pixels ``(n, k, 2)``; never read where the flag is 0.
        flags: COCO's ``(n, k)``: 0 outside the image, 1 hidden, 2 visible.
        skeleton: pairs of keypoints that a link joins; each but the first shares a keypoint with an earlier one. An
            angle counts where all of its keypoints do.

    Raises:
        ValueError: shapes that do not fit, other flags, a position that is not finite, or another skeleton.
    """
    predicted, true, flags = np.asarray(predicted, np.float64), np.asarray(true, np.float64), np.asarray(flags)
    if (
        predicted.ndim != 3
        or predicted.shape[2] != 2
        or (true.shape, flags.shape)
        != (
            predicted.shape,
            predicted.shape[:2],
        )
    ):
        raise ValueError(
            f"predicted, true and flags have shapes {predicted.shape}, {true.shape} and {flags.shape}; "
            "accepted: (n, k, 2), (n, k, 2) and (n, k)"
        )
    if not (known := np.isin(flags, (OUTSIDE, HIDDEN, VISIBLE))).all():
        raise ValueError(f"flags hold {flags[~known][0]}; accepted: 0 (outside the image), 1 (hidden), 2 (visible)")
    counted = flags != OUTSIDE
    for name, pixels, used in (("predicted", predicted, np.ones_like(counted)), ("true", true, counted)):
        bad = np.argwhere(used & ~np.isfinite(pixels).all(axis=2))
        if len(bad):
            picture, point = bad[0]
            raise ValueError(
                f"{name} keypoint {point} of picture {picture} is {pixels[picture, point].tolist()}; "
                "accepted: finite pixels"
            )
    above = _parents(skeleton, predicted.shape[1])
    distances = np.linalg.norm(predicted - np.where(counted[..., None], true, 0.0), axis=2)
    errors = distances[counted]
    return KeypointMetrics(
        overall=_errors(errors),
        visible=_errors(distances[flags == VISIBLE]),
        hidden=_errors(distances[flags == HIDDEN]),
        keypoints=tuple(_errors(distances[counted[:, point], point]) for point in range(predicted.shape[1])),
        pck_1=_mean(errors <= 1),
        pck_2=_mean(errors <= 2),
        pck_5=_mean(errors <= 5),
        auc=_mean(np.maximum(1 - errors / REACH, 0)),
        degrees=tuple(
            _degrees(predicted, true, counted, skeleton[link], None if parent is None else skeleton[parent])
            for link, parent in enumerate(above)
        ),
    )


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _errors(errors: Array) -> Errors:
    if not errors.size:
        return Errors(0, *[float("nan")] * 3)
    return Errors(errors.size, _mean(errors), float(np.median(errors)), float(np.percentile(errors, 95)))


def _parents(skeleton: tuple[tuple[int, int], ...], count: int) -> list[int | None]:
    """The first earlier link that each link shares a keypoint with; none for the first link."""
    above: list[int | None] = []
    for link, pair in enumerate(skeleton):
        if len(set(pair)) != 2 or not all(0 <= point < count for point in pair):
            raise ValueError(f"skeleton: link {tuple(pair)}; accepted: two different keypoints of 0 to {count - 1}")
        touching = [earlier for earlier in range(link) if set(skeleton[earlier]) & set(pair)]
        if link and not touching:
            raise ValueError(f"skeleton: link {tuple(pair)} touches no earlier link; accepted: one that does")
        above.append(touching[0] if link else None)
    return above


def _degrees(
    predicted: Array,
    true: Array,
    counted: npt.NDArray[np.bool_],
    link: tuple[int, int],
    parent: tuple[int, int] | None,
) -> float:
    """Mean absolute error of one angle.

    A predicted link without length points nowhere and counts as 180 degrees; a true one does not count.
    """
    ends = [*link, *(parent or ())]
    used = counted[:, ends].all(axis=1)
    given, wanted = _turn(predicted[used], link, parent), _turn(true[used], link, parent)
    # The angle of a product of directions needs no unwrapping: it is within a half turn by itself.
    errors = np.where(given == 0, 180.0, np.degrees(np.abs(np.angle(given * wanted.conj()))))
    return _mean(errors[wanted != 0])


def _turn(points: Array, link: tuple[int, int], parent: tuple[int, int] | None) -> npt.NDArray[np.complex128]:
    """The link's angle, to its parent's if it has one, as a direction in the complex plane; 0 where there is none."""
    direction = _direction(points, link)
    return direction if parent is None else np.asarray(direction * _direction(points, parent).conj())


def _direction(points: Array, link: tuple[int, int]) -> npt.NDArray[np.complex128]:
    along = points[:, link[1]] - points[:, link[0]]
    length = np.linalg.norm(along, axis=1)
    unit = along / np.where(length > 0, length, 1.0)[:, None]
    return np.asarray(unit[:, 0] + 1j * unit[:, 1])
