"""What a camera's sensor does to light: exposure, colour shift, blur, noise, gamma, and the JPEG that is kept."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Range = tuple[float, float]


@dataclass(frozen=True)
class Sensor:
    """One drawn sensor."""

    gains: tuple[float, float, float]
    """Of red, green and blue."""
    blur: float
    """Standard deviation of the optics' blur, pixels."""
    shot: float
    """Noise that grows with the light: standard deviation at full light, in units of full light."""
    read: float
    """Noise that is always there, in units of full light."""
    gamma: float
    """Exponent on the sRGB values."""
    quality: int
    """Of the JPEG, 1 to 100."""
    seed: int
    """Of the noise."""


@dataclass(frozen=True)
class SensorConfig:
    """Ranges of uniform draws."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    exposure: Range = (0.7, 1.4)
    """Gain of all colours."""
    color: float = 0.1
    """Half-width of each colour's own gain around 1."""
    blur: Range = (0.0, 0.8)
    """Standard deviation of the optics' blur, pixels."""
    shot: Range = (0.0, 0.04)
    """Noise that grows with the light, at full light, in units of full light."""
    read: Range = (0.0, 0.02)
    """Noise that is always there, in units of full light."""
    gamma: Range = (0.8, 1.25)
    """Exponent on the sRGB values."""
    quality: tuple[int, int] = (70, 98)
    """Of the JPEG."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("exposure", 0.01, 100.0),
            ("blur", 0.0, 50.0),
            ("shot", 0.0, 1.0),
            ("read", 0.0, 1.0),
            ("gamma", 0.1, 10.0),
            ("quality", 1, 100),
        ):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(f"{name} is from {low} to {high}; it must be ordered and from {least} to {most}")
        if not 0 <= self.color < 1:
            raise ValueError(f"color is {self.color}; it must be at least 0 and below 1")


def sample_sensor(config: SensorConfig, rng: np.random.Generator) -> Sensor:
    """Draw one sensor."""
    exposure = rng.uniform(*config.exposure)
    red, green, blue = exposure * rng.uniform(1 - config.color, 1 + config.color, 3)
    return Sensor(
        gains=(float(red), float(green), float(blue)),
        blur=float(rng.uniform(*config.blur)),
        shot=float(rng.uniform(*config.shot)),
        read=float(rng.uniform(*config.read)),
        gamma=float(rng.uniform(*config.gamma)),
        quality=int(rng.integers(config.quality[0], config.quality[1] + 1)),
        seed=int(rng.integers(2**31)),
    )


_VALUES = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_linear(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Linear light from 0 to 1 of an sRGB image (IEC 61966-2-1)."""
    return np.asarray(_LINEAR[image], np.float32)


def to_srgb(linear: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """The sRGB curve (IEC 61966-2-1) on linear light from 0 to 1."""
    light = np.asarray(linear, np.float32)
    curve = 1.055 * np.maximum(light, 1e-8) ** (1 / 2.4) - 0.055
    return np.where(light <= 0.0031308, 12.92 * light, curve)


def expose(sensor: Sensor, light: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The picture ``(h, w, 3)`` that the sensor takes of linear light ``(h, w, 3)``, before it is compressed."""
    rng = np.random.default_rng(sensor.seed)
    image = light * np.array(sensor.gains, np.float32)
    if sensor.blur > 0.1:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sensor.blur), np.float32)
    image = np.maximum(image, 0)
    deviation = np.sqrt(sensor.shot**2 * image + sensor.read**2)
    image = np.clip(image + deviation * rng.standard_normal(image.shape, np.float32), 0, 1)
    return np.asarray(to_srgb(image) ** sensor.gamma * 255 + 0.5, np.uint8)


def compress(sensor: Sensor, image: npt.NDArray[np.uint8]) -> bytes:
    """The picture as a JPEG file."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])
    return bytes(data)
