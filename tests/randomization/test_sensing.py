"""The sensor's steps, each against its formula."""

from dataclasses import replace
from math import erf
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from randomization.sensing import Sensor, SensorConfig, compress, expose, sample_sensor, to_srgb

IDEAL = Sensor(gains=(1.0, 1.0, 1.0), blur=0.0, shot=0.0, read=0.0, gamma=1.0, quality=95, seed=0)
Light = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def even(value: float, size: int = 200) -> Light:
    return np.full((size, size, 3), value, np.float32)


def srgb(linear: Floats) -> Floats:
    """IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def linear(image: npt.NDArray[np.uint8]) -> Floats:
    """The inverse of it."""
    value = image / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def test_the_srgb_curve() -> None:
    light = np.array([0.0, 0.001, 0.0031308, 0.21404114, 0.5, 1.0])
    expected = [0.0, 0.01292, 0.04044994, 0.5, 0.73535698, 1.0]
    np.testing.assert_allclose(to_srgb(light), expected, rtol=1e-6, atol=1e-7)
    steps = np.linspace(0, 1, 10_001)
    np.testing.assert_allclose(to_srgb(steps), srgb(steps), rtol=1e-5)
    assert (np.diff(to_srgb(steps)) > 0).all()


def test_an_ideal_sensor_takes_the_srgb_of_the_light() -> None:
    light = np.random.default_rng(0).uniform(0, 1, (50, 50, 3)).astype(np.float32)
    image = expose(IDEAL, light)
    assert image.dtype == np.uint8
    assert np.abs(image - 255 * srgb(light.astype(float))).max() < 0.501


def test_light_out_of_range_is_cut_off() -> None:
    for value, expected in ((0.0, 0), (1.0, 255), (7.0, 255), (-1.0, 0)):
        np.testing.assert_array_equal(expose(IDEAL, even(value, 4)), np.full((4, 4, 3), expected))


@pytest.mark.parametrize(("light", "shot", "read"), [(0.4, 0.04, 0.02), (0.4, 0.0, 0.02), (0.1, 0.1, 0.0)])
def test_noise_has_the_deviation_of_its_formula(light: float, shot: float, read: float) -> None:
    seen = linear(expose(replace(IDEAL, shot=shot, read=read), even(light)))
    expected = np.sqrt(shot**2 * light + read**2)
    assert abs(seen.mean() - light) < 5 * expected / np.sqrt(seen.size)
    assert abs(seen.std() / expected - 1) < 0.02


def test_noise_is_independent_between_pixels_and_colors() -> None:
    seen = linear(expose(replace(IDEAL, read=0.02), even(0.4))) - 0.4
    for other in (seen[..., [1, 2, 0]], np.roll(seen, 1, axis=0), np.roll(seen, 1, axis=1)):
        assert abs(np.corrcoef(seen.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(seen.size)


def test_noise_is_a_function_of_its_seed() -> None:
    noisy = replace(IDEAL, read=0.1)
    np.testing.assert_array_equal(expose(noisy, even(0.4)), expose(noisy, even(0.4)))
    assert (expose(noisy, even(0.4)) != expose(replace(noisy, seed=1), even(0.4))).mean() > 0.9


def test_each_color_has_its_gain() -> None:
    image = expose(replace(IDEAL, gains=(0.5, 1.5, 3.0)), even(0.2, 4))
    np.testing.assert_array_equal(image[0, 0], np.round(255 * srgb(np.array([0.1, 0.3, 0.6]))))


@pytest.mark.parametrize("gamma", [0.8, 1.25])
def test_gamma_is_an_exponent_on_srgb(gamma: float) -> None:
    image = expose(replace(IDEAL, gamma=gamma), even(0.2, 4))
    np.testing.assert_array_equal(image, np.full((4, 4, 3), round(255 * float(srgb(np.array(0.2))) ** gamma)))


@pytest.mark.parametrize("blur", [0.8, 1.5, 3.0])
def test_blur_makes_an_edge_a_gaussian_integral(blur: float) -> None:
    light = even(0.0, 40)
    light[:, 20:] = 0.5
    seen = linear(expose(replace(IDEAL, blur=blur), light))
    expected = [0.25 * (1 + erf((x - 19.5) / blur / np.sqrt(2))) for x in range(40)]
    np.testing.assert_allclose(seen, np.broadcast_to(np.array(expected)[:, None], (40, 40, 3)), atol=0.02)


def test_a_jpeg_decodes_near_the_picture() -> None:
    x = np.linspace(0, 255, 64)
    image = np.stack((np.tile(x, (64, 1)), np.full((64, 64), 30), np.tile(x[::-1, None], 64)), axis=2).astype(np.uint8)
    errors, sizes = [], []
    for quality in (98, 50, 10):
        data = compress(replace(IDEAL, quality=quality), image)
        assert data[:3] == b"\xff\xd8\xff"
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        errors.append(np.abs(decoded[..., ::-1].astype(float) - image).mean())
        sizes.append(len(data))
    assert errors[0] < 2
    assert errors[0] < errors[1] < errors[2]
    assert sizes[0] > sizes[1] > sizes[2]


def test_draws_stay_in_their_ranges_and_follow_the_generator() -> None:
    config = SensorConfig(exposure=(1, 2), color=0.1, blur=(1, 2), quality=(80, 82))
    one, two = ([sample_sensor(config, rng) for _ in range(300)] for rng in map(np.random.default_rng, (0, 0)))
    assert one == two
    assert {sensor.quality for sensor in one} == {80, 81, 82}
    for name in ("blur", "shot", "read", "gamma"):
        low, high = getattr(config, name)
        values = [getattr(sensor, name) for sensor in one]
        np.testing.assert_allclose([min(values), max(values)], [low, high], atol=0.05 * (high - low))
        assert low <= min(values) <= max(values) <= high
    gains = np.array([sensor.gains for sensor in one])
    assert 0.9 <= gains.min() < 1 < 2 < gains.max() <= 2.2
    assert (gains.max(axis=1) / gains.min(axis=1)).max() <= 1.1 / 0.9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"exposure": (0.0, 1.0)}, r"^exposure is from 0.0 to 1.0; it must be ordered and from 0.01 to 100.0$"),
        ({"blur": (1.0, 0.5)}, r"^blur is from 1.0 to 0.5; it must be ordered and from 0.0 to 50.0$"),
        ({"shot": (0.0, float("nan"))}, r"^shot is from 0.0 to nan; it must be ordered and from 0.0 to 1.0$"),
        ({"read": (-0.1, 0.5)}, r"^read is from -0.1 to 0.5; it must be"),
        ({"gamma": (1.0, float("inf"))}, r"^gamma is from 1.0 to inf; it must be ordered and from 0.1 to 10.0$"),
        ({"quality": (0, 100)}, r"^quality is from 0 to 100; it must be ordered and from 1 to 100$"),
        ({"color": 1.0}, r"^color is 1.0; it must be at least 0 and below 1$"),
        ({"color": float("nan")}, r"^color is nan; it must be"),
    ],
)
def test_bad_configurations_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SensorConfig(**given)
