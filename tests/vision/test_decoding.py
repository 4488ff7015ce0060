"""Decoding is exact for the Gaussian that networks are trained on, and does not jump from cell to cell."""

import math

import numpy as np
import pytest
import torch

from vision.decoding import soft_argmax, soft_argmax_of_axes

SIGMA = 1.5


def gaussians(centres: torch.Tensor) -> torch.Tensor:
    """Logits ``(1, k, 24, 32)`` of Gaussians around ``(k, 2)``, cells."""
    x, y = (torch.arange(size, dtype=torch.float32) - centres[:, i, None] for i, size in ((0, 32), (1, 24)))
    return -(x[:, None] ** 2 + y[..., None] ** 2)[None] / (2 * SIGMA**2)


def test_a_gaussian_is_found_between_cells() -> None:
    centres = torch.stack((torch.linspace(10, 12, 41), torch.linspace(13, 11.5, 41)), dim=1)
    points, scores = soft_argmax(gaussians(centres))
    torch.testing.assert_close(points[0], centres, atol=2e-3, rtol=0)
    torch.testing.assert_close(scores, torch.ones(1, 41), atol=1e-3, rtol=0)


@pytest.mark.parametrize("noise", [2**-9, 2**-7])
def test_rounded_logits_move_a_point_by_little(noise: float) -> None:
    """Half way between cells a rounding decides which is the peak, and with it where the window lies."""
    centres = torch.tensor([[10.5, 12.5]]).repeat(64, 1)
    generator = torch.Generator().manual_seed(0)
    logits = gaussians(centres)
    rounded = logits * (1 + noise * (2 * torch.rand(logits.shape, generator=generator) - 1))
    points, _ = soft_argmax(rounded)
    assert (points - centres).abs().max() < 0.05  # 0.2 px


def test_a_far_second_peak_moves_nothing_and_lowers_the_score() -> None:
    near, far = gaussians(torch.tensor([[8.0, 8.0], [24.0, 16.0]]))[0]
    points, scores = soft_argmax(torch.logaddexp(near, far + math.log(0.25))[None, None])
    np.testing.assert_allclose(points[0, 0], [8.0, 8.0], atol=0.02)
    assert float(scores[0, 0]) == pytest.approx(0.8, abs=0.01)


def test_positions_scale_with_gradients() -> None:
    logits = gaussians(torch.tensor([[10.3, 10.0]])).requires_grad_()
    points, _ = soft_argmax(logits)
    points[0, 0, 0].backward()
    assert logits.grad is not None
    # More probability to the right moves the point to the right.
    assert logits.grad[0, 0, 10, 12] > 0 > logits.grad[0, 0, 10, 8]


def test_axes_are_decoded_alike() -> None:
    bins = torch.arange(100, dtype=torch.float32)
    across, down = (-((bins - place) ** 2) / (2 * 5.0**2) for place in (40.3, 61.7))
    points, scores = soft_argmax_of_axes(across[None, None], down[None, None], window=18)
    np.testing.assert_allclose(points[0, 0], [40.3, 61.7], atol=0.05)
    assert scores[0, 0] > 0.99
