"""Networks that turn camera frames into features, by name."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from torch import nn


@dataclass(frozen=True)
class ImageOptions:
    """How an agent reads images."""

    encoder: str = "nature"
    """Name in ``ENCODERS``."""
    shift: int = 0
    """Pixels of :func:`random_shift`, in training mode alone."""
    stack: int = 1
    """Frames in an observation, of which a replay buffer keeps each once."""
    mixed_precision: bool = False
    """The encoder's layers run in bfloat16; weights and gradients stay float32."""
    supervised: bool = False
    """The encoder is fitted to the true state, see :mod:`agents.supervised`; for PPO."""


VECTORS = ImageOptions()
"""Where there are no images."""


def random_shift(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Each image moved by whole pixels, at random and by at most ``pixels`` along either axis.

    What moves in repeats the border: a pad and a crop, as in DrQ (Kostrikov et al. 2020, arXiv:2004.13649). All
    channels of an image, so all frames of a stack, move alike. The moves come from PyTorch's global generator of
    the images' device, which checkpoints carry.

    Args:
        images: (batch, channels, height, width).
        pixels: 0 draws nothing and returns ``images``.
    """
    if pixels == 0:
        return images
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, 4 * [pixels], mode="replicate")
    down, right = torch.randint(0, 2 * pixels + 1, (2, count), device=images.device)
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)  # every possible crop: a view, no copy
    return crops[torch.arange(count, device=images.device), :, down, right]


class Encoder(BaseFeaturesExtractor, ABC):
    """Frames of shape (batch, channels, height, width) to (batch, features) in float32.

    Frames are uint8, or floats from 0 to 1.
    """

    FEATURES: ClassVar[int]
    """Length of what comes out where nothing else is asked for."""
    SMALLEST: ClassVar[int]
    """Pixels of height and width below which the layers have nothing left."""
    ORTHOGONAL: ClassVar[bool]
    """Whether SB3's orthogonal initialisation for PPO, with a gain of the root of 2, suits the layers."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        shift: int = 0,
        mixed_precision: bool = False,
        features_dim: int = 0,
    ) -> None:
        """Common part of every encoder.

        Args:
            observation_space: uint8 Box of (channels, height, width).
            shift: pixels of :func:`random_shift`, in training mode alone.
            mixed_precision: layers run in bfloat16, weights and gradients stay float32.
            features_dim: length of what comes out; 0 takes the encoder's own.

        Raises:
            ValueError: not a space of images, images that are too small, or a negative ``shift``.
        """
        if not is_image_space(observation_space) or observation_space.shape is None:
            raise ValueError(f"an encoder cannot see {observation_space}; accepted: uint8 images from 0 to 255")
        if min(observation_space.shape[1:]) < self.SMALLEST:
            found, low = "{} x {}".format(*observation_space.shape[1:]), self.SMALLEST
            raise ValueError(
                f"images of {found} pixels are too small for {type(self).__name__}; accepted: {low} x {low}"
            )
        if shift < 0:
            raise ValueError(f"shift is {shift}; it must be 0 pixels or more")
        super().__init__(observation_space, features_dim or self.FEATURES)
        self.shift, self.mixed_precision = shift, mixed_precision

    @abstractmethod
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """The layers themselves."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Features of ``observations``; in training mode, of randomly shifted ones."""
        images = random_shift(observations, self.shift) if self.training else observations
        if self.mixed_precision:
            images = images.contiguous(memory_format=torch.channels_last)  # 1.4 times as fast on a CPU
        if images.dtype == torch.uint8:
            images = images.to(torch.bfloat16 if self.mixed_precision else torch.float32) / 255
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.mixed_precision):
            features = self.encode(images)
        return features.float()


class Nature(Encoder, NatureCNN):
    """The three convolutions of DQN (Mnih et al. 2015), as Stable-Baselines3 has them."""

    FEATURES = 512
    SMALLEST = 36
    ORTHOGONAL = True

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, features)."""
        return NatureCNN.forward(self, images)


class Impala(Encoder):
    """The residual network of IMPALA (Espeholt et al. 2018, arXiv:1802.01561, figure 3, the large one)."""

    FEATURES = 256
    SMALLEST = 1
    # Each residual block would double the variance: features 27 times as long as Nature's, and PPO collapses.
    ORTHOGONAL = False
    CHANNELS = (16, 32, 32)

    def __init__(self, observation_space: spaces.Space[Any], **options: Any) -> None:
        """As :class:`Encoder`."""
        super().__init__(observation_space, **options)
        assert observation_space.shape is not None
        channels, height, width = observation_space.shape
        layers: list[nn.Module] = []
        for wider in self.CHANNELS:
            layers += [
                nn.Conv2d(channels, wider, kernel_size=3, padding=1),
                nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
                _Residual(wider),
                _Residual(wider),
            ]
            channels, height, width = wider, (height + 1) // 2, (width + 1) // 2
        linear = nn.Linear(channels * height * width, self.features_dim)
        self.layers = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), linear, nn.ReLU())

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, features)."""
        features: torch.Tensor = self.layers(images)
        return features


class _Residual(nn.Module):
    """What comes in, plus two convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, kernel_size=3, padding=1) for _ in range(2))
        self.layers = nn.Sequential(nn.ReLU(), first, nn.ReLU(), second)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = inputs + self.layers(inputs)
        return outputs


ENCODERS: dict[str, type[Encoder]] = {"nature": Nature, "impala": Impala}


def encoder_named(name: str) -> type[Encoder]:
    """The encoder in ``ENCODERS``.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown encoder {name!r}; accepted: {', '.join(ENCODERS)}")
    return ENCODERS[name]
