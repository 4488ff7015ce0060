"""Decoding is exact for the Gaussian that networks are trained on, and does not jump from cell to cell."""

import pytest
import torch

from vision.decoding import soft_argmax

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
