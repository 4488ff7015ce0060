"""Charts of an estimator's errors. Every function returns a ``matplotlib.figure.Figure``."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from experiments.overlays import mark_keypoints
from experiments.plots import GRID, INK, PALETTE, SMALL, SOFT, TEXT
from vision.error_check import LAGS, QUANTILES
from vision.keypoints import Keypoints
from vision.state_metrics import ENTRIES, UNITS

Array = npt.NDArray[np.float64]


def _style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL - 1, colors=INK)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)


def error_chart(errors: Mapping[str, Array]) -> Figure:
    """Share of keypoints within a distance, for each kind of picture: errors in px by its name."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    _style(axes)
    for (name, values), color in zip(errors.items(), PALETTE, strict=False):
        ordered = np.sort(values)
        axes.plot(ordered, np.arange(1, len(ordered) + 1) / len(ordered) * 100, color=color, lw=2, label=name)
    for goal, share in ((0.5, 50), (1.5, 95)):
        axes.plot([goal], [share], marker="o", ms=9, mfc="none", mec=INK, ls="none")
        axes.annotate("goal", (goal, share), (6, -14), textcoords="offset points", fontsize=SMALL, color=SOFT)
    axes.set_xlim(0, 4)
    axes.set_ylim(0, 101)
    axes.set_xlabel("error of a keypoint, px", fontsize=TEXT, color=INK)
    axes.set_ylabel("keypoints within, %", fontsize=TEXT, color=INK)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    return figure


def episode_chart(true: Array, estimates: Mapping[str, Array], dt: float) -> Figure:
    """All entries of the observation over one episode, true ``(t, 11)`` and as each estimator has them."""
    figure = Figure(figsize=(11, 12), layout="constrained")
    panels = np.ravel(figure.subplots(6, 2, sharex=True))
    seconds = np.arange(len(true)) * dt
    for entry, axes in enumerate(panels[: len(ENTRIES)]):
        _style(axes)
        for (name, values), color in zip(estimates.items(), PALETTE[1:], strict=False):
            axes.plot(seconds, values[:, entry], color=color, lw=1.2, label=name)
        axes.plot(seconds, true[:, entry], color=INK, lw=1.6, label="original", zorder=1)
        axes.set_title(f"{ENTRIES[entry].replace('_', ' ')}, {UNITS[entry]}", fontsize=TEXT, loc="left", color=INK)
        low, high = true[:, entry].min(), true[:, entry].max()
        room = 0.5 * max(high - low, 0.02)
        axes.set_ylim(low - room, high + room)  # a bad estimate may leave the panel
    panels[-1].set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(handles, labels, fontsize=TEXT, frameon=False, loc="center left")
    for axes in panels[-3:-1]:
        axes.set_xlabel("s", fontsize=TEXT, color=INK)
        axes.tick_params(labelbottom=True)
    return figure


def pictures(
    images: Sequence[npt.NDArray[np.uint8]],
    predicted: Array,
    confidences: Array,
    keypoints: Keypoints,
    columns: int,
    zoom: int = 2,
) -> npt.NDArray[np.uint8]:
    """A sheet of RGB pictures with the keypoints that the estimator found, joined along the skeleton.

    They are ``(m, k, 2)``, px, and their confidences ``(m, k)``.
    """
    drawn = []
    for image, points, certain in zip(images, predicted, confidences, strict=True):
        canvas = np.asarray(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC), np.uint8)
        mark_keypoints(canvas, (points + 0.5) * zoom - 0.5, certain, keypoints)
        drawn.append(canvas)
    rows = [np.concatenate(drawn[i : i + columns], axis=1) for i in range(0, len(drawn), columns)]
    return np.concatenate(rows, axis=0)


def agreement_chart(checks: Mapping[str, Mapping[str, Any]], keypoints: Keypoints) -> Figure:
    """Quantiles and autocorrelation of real (points) and simulated errors (lines), by camera; see ``error_check``."""
    figure = Figure(figsize=(11, 3.4 * len(checks)), layout="constrained")
    rows = figure.subplots(len(checks), 2, squeeze=False)
    shares = [100 * quantile for quantile in QUANTILES]
    for (camera, check), (left, right) in zip(checks.items(), rows, strict=True):
        for name, real, simulated, color in zip(
            keypoints.names, check["real"], check["simulated"], PALETTE, strict=False
        ):
            left.plot(shares, simulated["quantiles"], color=color, lw=1.5, label=name)
            left.plot(shares, real["quantiles"], "o", color=color)
            right.plot(LAGS, np.mean(simulated["autocorrelation"], axis=1), color=color, lw=1.5)
            right.plot(LAGS, np.mean(real["autocorrelation"], axis=1), "o", color=color)
        left.set_title(f"{camera}: error of a keypoint, px, not exceeded by % of frames", fontsize=TEXT, loc="left")
        right.set_title(f"{camera}: correlation with the error some frames later", fontsize=TEXT, loc="left")
        left.set_xticks(shares)
        left.legend(fontsize=SMALL, frameon=False, title="lines simulated, points real", title_fontsize=SMALL)
        right.set_xticks(LAGS)
        for axes in (left, right):
            _style(axes)
    return figure
