"""The filter smooths what two frames do not, and infers a height that no image shows."""

from collections.abc import Callable

import numpy as np
import pytest

from vision.camera import Array
from vision.chain import GRAVITY
from vision.chain_filter import STIFFNESS, ChainFilter
from vision.reconstruct import View
from vision.two_frame import TwoFrame

cameras = pytest.mark.parametrize("camera", ["track", "rail"])

REST = np.array([0, 1.25, 0, 0, 0, 0])
DT = 0.008
ANGLES, RATES = slice(1, 5), slice(7, 11)


def rmse(errors: Array) -> Array:
    return np.asarray(np.sqrt((errors**2).mean(axis=(0, 1))))


@cameras
def test_noiseless_keypoints_are_followed(
    camera: str, truth: Array, seen: dict[str, Array], views: dict[str, View], follow: Callable[..., Array]
) -> None:
    errors = rmse(follow(ChainFilter(views[camera], 4), seen[camera]) - truth)
    assert (errors[ANGLES] < 0.015).all()
    # It takes 0.5 px of noise to be there, so it smooths what changes from frame to frame: rounded up from measured.
    assert (errors[RATES] < [0.8, 1.2, 1.4, 1.7]).all()


@cameras
def test_with_half_a_pixel_of_noise_rates_are_twice_as_good(
    camera: str, truth: Array, noisy: dict[str, Array], views: dict[str, View], follow: Callable[..., Array]
) -> None:
    two, filtered = (rmse(follow(make(views[camera], 4), noisy[camera]) - truth) for make in (TwoFrame, ChainFilter))
    assert (filtered[RATES] < two[RATES] / 2).all()
    assert (filtered[ANGLES] < two[ANGLES]).all()
    assert filtered[5] < two[5] / 1.5
    assert filtered[0] < (0.005 if camera == "rail" else two[0] / 1.5)


def test_unseen_height_falls_freely_until_the_floor_carries_it(
    views: dict[str, View], pixels: Callable[..., Array], follow: Callable[..., Array]
) -> None:
    found = follow(ChainFilter(views["track"], 1), pixels(np.tile(REST, (300, 1, 1)), "track"))
    time = np.arange(10) * DT
    np.testing.assert_allclose(found[:10, 0, 0], 1.25 - GRAVITY * time**2 / 2, atol=1e-3)
    np.testing.assert_allclose(found[:10, 0, 6], -GRAVITY * time, atol=1e-9)
    np.testing.assert_allclose(found[-1, 0, [0, 6]], [1.21 - GRAVITY / STIFFNESS, 0], atol=1e-6)
