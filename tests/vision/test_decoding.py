"""Positions from heatmaps, against closed forms."""

import numpy as np
import pytest
import torch

from vision.decoding import soft_argmax, soft_argmax_of_axes


def gaussian(x: float, y: float, size: int = 32, sigma: float = 1.5) -> torch.Tensor:
    """Log-density of a Gaussian as logits ``(1, 1, size, size)``."""
    cells = torch.arange(size, dtype=torch.float32)
    across, down = -((cells - x) ** 2) / (2 * sigma**2), -((cells - y) ** 2) / (2 * sigma**2)
    return (down[:, None] + across[None, :])[None, None]


@pytest.mark.parametrize(("x", "y"), [(10.0, 20.0), (10.25, 19.6), (15.5, 7.49)])
def test_a_gaussians_centre_is_found_between_cells(x: float, y: float) -> None:
    points, scores = soft_argmax(gaussian(x, y))
    # A window of 3.3 deviations cuts off little: 0.02 cells are 0.08 px.
    np.testing.assert_allclose(points[0, 0], [x, y], atol=0.02)
    assert scores[0, 0] > 0.99


def test_a_far_second_peak_moves_nothing_and_lowers_the_score() -> None:
    logits = torch.logaddexp(gaussian(10.0, 10.0), gaussian(25.0, 25.0) + np.log(0.25))
    points, scores = soft_argmax(logits)
    np.testing.assert_allclose(points[0, 0], [10.0, 10.0], atol=0.02)
    assert float(scores[0, 0]) == pytest.approx(0.8, abs=0.01)


def test_positions_scale_with_gradients() -> None:
    logits = gaussian(10.3, 10.0).requires_grad_()
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
