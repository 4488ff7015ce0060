"""Encoders compute what the papers say, and their augmentation moves images by whole pixels, in training alone."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from torch.nn import functional

from agents.encoders import ENCODERS, Impala, Nature, random_shift


def image_space(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def frames(count: int, *shape: int) -> torch.Tensor:
    """Random images, from a generator of their own."""
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("pixels", "shape"), [(1, (3, 5, 7)), (4, (6, 9, 4)), (8, (2, 3, 3))])
def test_a_shift_is_a_pad_and_a_crop_value_for_value(pixels: int, shape: tuple[int, int, int]) -> None:
    images = frames(20, *shape)
    torch.manual_seed(5)
    found = random_shift(images, pixels)
    torch.manual_seed(5)
    moves = (torch.randint(0, 2 * pixels + 1, (2, 20)) - pixels).T.tolist()
    channels, height, width = shape
    expected = torch.empty_like(images)
    for image, (down, right) in enumerate(moves):
        for channel, y, x in itertools.product(range(channels), range(height), range(width)):
            row, column = min(max(y + down, 0), height - 1), min(max(x + right, 0), width - 1)
            expected[image, channel, y, x] = images[image, channel, row, column]
    assert torch.equal(found, expected)
    assert len(set(map(tuple, moves))) > 5


def test_every_move_is_as_likely_as_every_other() -> None:
    places = torch.arange(49.0).reshape(1, 1, 7, 7).expand(20_000, 1, 7, 7)  # each pixel says where it was
    torch.manual_seed(0)
    centres = random_shift(places, 2)[:, 0, 3, 3].long().numpy()
    expected = [7 * y + x for y in range(1, 6) for x in range(1, 6)]
    found, counts = np.unique(centres, return_counts=True)
    assert found.tolist() == expected
    assert (np.abs(counts - 800) < 5 * np.sqrt(800)).all()


def test_no_shift_draws_nothing() -> None:
    images, before = frames(4, 3, 8, 8), torch.get_rng_state()
    assert random_shift(images, 0) is images
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ENCODERS)
def test_images_move_in_training_alone(name: str) -> None:
    images = frames(6, 3, 40, 40)
    plain, shifted = ENCODERS[name](image_space(3, 40, 40)), ENCODERS[name](image_space(3, 40, 40), shift=3)
    shifted.load_state_dict(plain.state_dict())
    expected = plain(images)
    shifted.eval()
    before = torch.get_rng_state()
    assert torch.equal(shifted(images), expected)
    assert torch.equal(torch.get_rng_state(), before)
    shifted.train()
    torch.manual_seed(3)
    found = shifted(images)
    torch.manual_seed(3)
    assert torch.equal(found, plain(random_shift(images, 3)))
    assert not torch.allclose(found, expected)


def test_nature_is_the_network_of_stable_baselines3() -> None:
    space = image_space(9, 84, 84)
    ours, theirs = Nature(space), NatureCNN(space)
    assert ours.features_dim == theirs.features_dim == 512
    ours.load_state_dict(theirs.state_dict())
    images = frames(3, 9, 84, 84)
    assert torch.equal(ours(images), theirs(images))


def test_impala_is_the_network_of_figure_3() -> None:
    encoder = Impala(image_space(3, 84, 84))
    # Convolutions of each sequence with their biases, then 11 x 11 pixels of 32 channels to 256 features.
    expected = (448 + 4 * 2320) + (4640 + 4 * 9248) + (9248 + 4 * 9248) + (32 * 11 * 11 * 256 + 256)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == expected

    images = frames(2, 3, 84, 84)
    weights = iter(list(encoder.parameters()))

    def convolved(inputs: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(inputs, next(weights), next(weights), padding=1)

    found = images
    for _ in range(3):
        found = functional.max_pool2d(convolved(found), 3, stride=2, padding=1)
        for _ in range(2):
            found = found + convolved(functional.relu(convolved(functional.relu(found))))
    found = functional.relu(functional.linear(functional.relu(found).flatten(1), next(weights), next(weights)))
    assert found.shape == (2, 256)
    torch.testing.assert_close(encoder(images), found)
    assert (found > 0).any()


@pytest.mark.parametrize("name", ENCODERS)
def test_mixed_precision_changes_the_last_digits_alone(name: str) -> None:
    images = frames(4, 3, 40, 40)
    exact = ENCODERS[name](image_space(3, 40, 40))
    mixed = ENCODERS[name](image_space(3, 40, 40), mixed_precision=True)
    mixed.load_state_dict(exact.state_dict())
    gradients = []
    for encoder in (exact, mixed):
        features = encoder(images)
        assert features.dtype == torch.float32
        features.square().sum().backward()
        gradients.append(torch.cat([each.grad.flatten() for each in encoder.parameters() if each.grad is not None]))
    assert gradients[1].dtype == torch.float32
    for value, close in ((exact(images), mixed(images)), gradients):
        assert not torch.equal(close, value)
        assert (close - value).norm() < 0.02 * value.norm()


@pytest.mark.parametrize(
    ("name", "space", "shift", "message"),
    [
        ("nature", image_space(3, 35, 80), 0, r"images of 35 x 80 pixels are too small for Nature; accepted: 36 x 36"),
        ("impala", spaces.Box(-1, 1, (11,)), 0, r"an encoder cannot see Box\(.*; accepted: uint8 images from 0 to 255"),
        ("nature", spaces.Box(0, 1, (3, 84, 84)), 0, r"an encoder cannot see Box\(.*; accepted: uint8 images .*"),
        ("impala", image_space(3, 8, 8), -1, r"shift is -1; it must be 0 pixels or more"),
    ],
)
def test_what_an_encoder_cannot_see_is_refused(name: str, space: Any, shift: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        ENCODERS[name](space, shift=shift)


@pytest.mark.parametrize(("name", "side"), [("nature", 36), ("impala", 1)])
def test_the_smallest_images_are_seen(name: str, side: int) -> None:
    encoder = ENCODERS[name](image_space(1, side, side))
    assert encoder(frames(2, 1, side, side)).shape == (2, encoder.features_dim)
