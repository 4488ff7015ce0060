"""From a network's answer to pixels, in torch: the same for validation and in the exported file."""

import torch

WINDOW = 6
"""Cells on each side of a heatmap's peak that count: 4 standard deviations of the target's Gaussian. With 3 its tail
was cut off unevenly, which moved the mean by up to 0.2 px of 4, and where two cells tie for the peak, the last bit
decided between two windows: bfloat16's logits moved 15 of 100 points by more than 0.2 px, with 6 cells 3 of 1000."""


def soft_argmax(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean position of the spatial softmax around its peak.

    Args:
        logits: ``(n, k, h, w)``.

    Returns:
        Cells ``(n, k, 2)``, x and y, and the probability in the window ``(n, k)``.
    """
    n, k, h, w = logits.shape
    probability = logits.float().flatten(2).softmax(dim=2)
    peak = probability.argmax(dim=2)
    x, y = (torch.arange(size, dtype=torch.float32, device=logits.device) for size in (w, h))
    near_x = ((x - (peak % w)[..., None]).abs() <= WINDOW).float()
    near_y = ((y - (peak // w)[..., None]).abs() <= WINDOW).float()
    mass = probability.view(n, k, h, w) * near_y[..., None] * near_x[..., None, :]
    score = mass.sum(dim=(2, 3))
    points = torch.stack(((mass.sum(dim=2) * x).sum(dim=2), (mass.sum(dim=3) * y).sum(dim=2)), dim=2)
    return points / score[..., None], score


def soft_argmax_of_axes(across: torch.Tensor, down: torch.Tensor, window: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for one distribution along each axis (SimCC, https://arxiv.org/abs/2107.03332).

    Args:
        across: logits along x ``(n, k, w)``.
        down: logits along y ``(n, k, h)``.
        window: bins on each side of the peak that count.

    Returns:
        Bins ``(n, k, 2)`` and the product of the two windows' probabilities ``(n, k)``.
    """
    points, scores = [], []
    for logits in (across, down):
        probability = logits.float().softmax(dim=2)
        bins = torch.arange(logits.shape[2], dtype=torch.float32, device=logits.device)
        mass = probability * ((bins - probability.argmax(dim=2)[..., None]).abs() <= window).float()
        score = mass.sum(dim=2)
        points.append((mass * bins).sum(dim=2) / score)
        scores.append(score)
    return torch.stack(points, dim=2), scores[0] * scores[1]
