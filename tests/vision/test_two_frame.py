"""Differences of two frames are mean velocities between them."""

from collections.abc import Callable

import numpy as np

from vision.camera import Array
from vision.reconstruct import View
from vision.two_frame import TwoFrame

DT = 0.008


def test_two_frames_are_differenced(
    states: Array, truth: Array, seen: dict[str, Array], views: dict[str, View], follow: Callable[..., Array]
) -> None:
    found = follow(TwoFrame(views["rail"], 4), seen["rail"])
    moved = np.clip(np.diff(states[..., :6], axis=0) / DT, -10, 10)
    np.testing.assert_allclose(found[..., :5], states[..., 1:6], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1:, :, 6:], moved[..., 1:], rtol=0, atol=1e-6)
    # A mean over the frame is not the velocity at its end, but no further from it than the frame's own change is.
    error, change = (np.sqrt((x**2).mean(axis=(0, 1))) for x in (found - truth, np.diff(truth, axis=0)))
    assert (error[6:] < change[6:]).all()


def test_a_rate_is_the_mean_over_the_frames_that_were_not_seen(
    seen: dict[str, Array], views: dict[str, View], states: Array, follow: Callable[..., Array]
) -> None:
    weights = np.ones(seen["rail"].shape[:-1])
    weights[20:24] = 0
    found = follow(TwoFrame(views["rail"], 4), seen["rail"][:25], weights[:25])
    np.testing.assert_array_equal(found[20:24], np.broadcast_to(found[19], (4, 4, 11)))
    mean = (states[24, :, 2:6] - states[19, :, 2:6]) / (5 * DT)
    np.testing.assert_allclose(found[24, :, 7:], np.clip(mean, -10, 10), rtol=0, atol=1e-6)


def test_a_camera_that_follows_sees_the_foot_on_the_floor(
    seen: dict[str, Array], views: dict[str, View], states: Array, follow: Callable[..., Array]
) -> None:
    found = follow(TwoFrame(views["track"], 4), seen["track"])
    height = states[..., 1]
    assert (found[..., 0] < height + 0.1).all()  # the simulator's floor gives way by as much
    assert (height - found[..., 0]).max() > 0.1  # in flight
