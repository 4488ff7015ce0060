"""Training the learned state estimator in simulation: simulated keypoint errors, nothing is rendered."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from experiments.dataset import POLICIES
from experiments.files import write_with
from experiments.pose_config import BATCH, CHUNK, LearnedConfig
from experiments.rollouts import Rollouts, roll_out
from vision.chain import wrap
from vision.learned import ANGLES, FIGURE, Facts, Network, read, reference, save_network
from vision.reconstruct import View, check_frame

Array = npt.NDArray[np.float64]

DT = 0.008
"""Of the hopper's environment step, s."""
HIDDEN_SHARE = 0.005
"""Of keypoints that are hidden in training, so that the network knows what that looks like."""
HUBER = 1.0
"""Spreads from which on an error counts linearly: keypoint errors have outliers."""


class Errors(Protocol):
    """What a keypoint estimator makes of true keypoints, for ``n`` environments."""

    def reset(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> None:
        """A new episode begins in environments ``ids``."""

    def update(self, keypoints: Array, /) -> tuple[Array, Array]:
        """Keypoints ``(n, k, 2)``, px, and confidences ``(n, k)``, of the true ones ``(n, k, 2)``."""


MakeErrors = Callable[[int, int], Errors]
"""Errors for a number of environments, from a seed."""


def fit_learned(
    config: LearnedConfig,
    camera: str,
    size: int,
    file: Path,
    make_errors: MakeErrors,
    policies: Sequence[Path] = (POLICIES / FIGURE,),
    progress: Callable[[int, float], object] = lambda epoch, loss: None,
) -> None:
    """Train an estimator and write it to ``file``.

    Args:
        config: how to train.
        camera: that it is for: track or rail.
        size: edge of the camera's images, px.
        file: to write, for :class:`vision.learned.Learned`.
        make_errors: the keypoint errors to learn under.
        policies: run directories, or folders of them: who acts in the simulations.
        progress: called with the number of finished epochs and the last one's mean loss.

    Raises:
        ValueError: an unknown camera, or no policy of the figure.
    """
    # Each simulation is one sequence; a batch takes some of them at once.
    count = BATCH * max(1, round(config.frames / BATCH / 2000))
    rollouts, view = roll_out(FIGURE, policies, camera, size, count, config.frames // count, config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Network(config.hidden)
    _train(network, config, rollouts, view, make_errors, progress)
    content = save_network(network, Facts(FIGURE, camera, view, DT, config.hidden))
    write_with(file, lambda temporary: temporary.write_bytes(content))


def _seen(rollouts: Rollouts, errors: Errors) -> Iterator[tuple[npt.NDArray[np.bool_], Array, Array, Array]]:
    """Frame by frame: where episodes start, keypoints and confidences with errors, and actions."""
    for starts, true, actions in zip(rollouts.starts, rollouts.keypoints, rollouts.actions, strict=True):
        errors.reset(np.flatnonzero(starts))
        yield starts, *errors.update(true), actions


def _prepare(rollouts: Rollouts, view: View, errors: Errors, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Inputs ``(t, n, features)``, and what has to be added to the reading ``(t, n, entries)``."""
    last = np.empty_like(rollouts.keypoints[0])
    inputs, targets = [], []
    for (starts, seen, weights, actions), true in zip(_seen(rollouts, errors), rollouts.observations, strict=True):
        last[starts] = reference(view)
        weights = np.where(rng.random(weights.shape) < HIDDEN_SHARE, 0.0, weights)
        points, weights = check_frame(view, len(starts), seen, weights, actions)
        points = np.where(weights[..., None] > 0, points, last)
        features, reading = read(view, last, points, weights, actions, DT)
        missing = true - reading
        missing[:, ANGLES] = wrap(missing[:, ANGLES])
        inputs.append(torch.as_tensor(features, dtype=torch.float32))
        targets.append(torch.as_tensor(missing, dtype=torch.float32))
        last = points.copy()
    return torch.stack(inputs), torch.stack(targets)


def _train(
    network: Network,
    config: LearnedConfig,
    rollouts: Rollouts,
    view: View,
    make_errors: MakeErrors,
    progress: Callable[[int, float], object],
) -> None:
    rng = np.random.default_rng(config.seed)
    steps, count = rollouts.starts.shape
    keep = torch.as_tensor(~rollouts.starts, dtype=torch.float32)
    chunks = range(0, steps, CHUNK)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    updates = config.epochs * len(chunks) * (count // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, updates)
    for epoch in range(config.epochs):
        errors = make_errors(count, int(rng.integers(2**31)))
        inputs, targets = _prepare(rollouts, view, errors, rng)
        if epoch == 0:
            for buffer, values in ((network.mean, inputs.mean((0, 1))), (network.deviation, inputs.std((0, 1)))):
                buffer.copy_(values)
            network.spread.copy_(targets.std((0, 1)))
        targets /= network.spread
        losses = []
        for batch in torch.as_tensor(rng.permutation(count)).split(BATCH):
            memory = torch.zeros(BATCH, config.hidden)
            for start in chunks:
                part = slice(start, start + CHUNK)
                found, memory = network(inputs[part, batch], memory.detach(), keep[part, batch])
                loss = nn.functional.huber_loss(found, targets[part, batch], delta=HUBER)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
        progress(epoch + 1, float(np.mean(losses)))
