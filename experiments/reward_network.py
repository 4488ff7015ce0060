"""A network that predicts the reward of a step from the observation and the action."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from experiments.files import write_with
from experiments.reward_config import RewardConfig
from experiments.transitions import Transitions

Array = npt.NDArray[Any]

HELD_OUT = 0.2
"""Share of the episodes of each kind of policy that the network does not learn from."""
CHUNK = 65_536
"""Steps that are predicted at a time."""


class RewardNetwork(nn.Module):
    """A perceptron on standardised observations and actions; what it says is scaled back to rewards."""

    def __init__(self, inputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.mean: Tensor
        self.deviation: Tensor
        self.scale: Tensor
        for name, values in (
            ("mean", torch.zeros(inputs)),
            ("deviation", torch.ones(inputs)),
            ("scale", torch.tensor([0.0, 1.0])),
        ):
            self.register_buffer(name, values)

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardised rewards ``(m,)`` of observations and actions side by side, ``(m, inputs)``."""
        found: Tensor = self.layers((inputs - self.mean) / self.deviation)
        return found.squeeze(1)

    def predict(self, observations: Array, actions: Array) -> Array:
        """Rewards ``(m,)`` of unnormalised observations ``(m, entries)`` and actions ``(m, actuators)``."""
        inputs = _side_by_side(observations, actions)
        with torch.no_grad():
            parts = [self(part) for part in inputs.split(CHUNK)]
        return np.asarray(torch.cat(parts) * self.scale[1] + self.scale[0], np.float64)


def _side_by_side(observations: Array, actions: Array) -> Tensor:
    return torch.as_tensor(np.concatenate((observations, actions), axis=1), dtype=torch.float32)


def held_out(data: Transitions, seed: int) -> npt.NDArray[np.bool_]:
    """Which steps are of held-out episodes, ``(m,)``: whole episodes, at least one of each kind.

    Raises:
        ValueError: there is but one episode of a kind.
    """
    rng = np.random.default_rng([seed, 2])
    chosen: list[Array] = []
    for kind in np.unique(data.kinds):
        episodes = np.unique(data.episodes[data.kinds == kind])
        if len(episodes) < 2:
            raise ValueError(
                "one episode of a kind of policy cannot be learned from and judged on; accepted: more points"
            )
        chosen.append(rng.permutation(episodes)[: max(1, round(HELD_OUT * len(episodes)))])
    return np.isin(data.episodes, np.concatenate(chosen))


def fit_network(
    config: RewardConfig, data: Transitions, tell: Callable[[int, float], object] = lambda epoch, loss: None
) -> RewardNetwork:
    """Fit a network to the steps that are not held out, by their squared error; the same for the same seed.

    ``tell`` is called with the number of epochs done and the last one's mean loss, in variances of the reward.
    """
    learned = ~held_out(data, config.seed)
    inputs = _side_by_side(data.observations[learned], data.actions[learned])
    rewards = torch.as_tensor(data.rewards[learned])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = RewardNetwork(inputs.shape[1], config.hidden)
    deviation = inputs.std(0)
    network.mean.copy_(inputs.mean(0))
    network.deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.ones(())))
    network.scale.copy_(torch.stack((rewards.mean(), rewards.std().clamp(min=1e-6))))
    targets = (rewards - network.scale[0]) / network.scale[1]
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.Adam(network.parameters())
    updates = config.epochs * -(-len(targets) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, updates)
    for epoch in range(config.epochs):
        losses = []
        for rows in torch.randperm(len(targets), generator=generator).split(config.batch_size):
            loss = nn.functional.mse_loss(network(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        tell(epoch + 1, float(np.mean(losses)))
    return network


def save_network(network: RewardNetwork, file: Path) -> None:
    """Write its tensors as safetensors."""
    write_with(file, lambda temporary: safetensors.torch.save_file(network.state_dict(), temporary))


def load_network(file: Path, hidden: Sequence[int]) -> RewardNetwork:
    """Read what :func:`save_network` wrote.

    Raises:
        ValueError: the file is damaged, or of other widths.
    """
    try:
        state = safetensors.torch.load_file(file)
        network = RewardNetwork(len(state["mean"]), hidden)
        network.load_state_dict(state)
    except (safetensors.SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(f"{file}: cannot be read ({' '.join(str(error).split())}); remove it to fit anew") from None
    return network


def quality(true: Array, predicted: Array) -> dict[str, float]:
    """R², RMSE, and the standard deviation of the ``(m,)`` true rewards; R² is NaN where they are all equal."""
    errors, spread = np.square(predicted - true).mean(), np.var(true)
    return {
        "r2": float(1 - errors / spread) if spread > 0 else float("nan"),
        "rmse": float(np.sqrt(errors)),
        "deviation": float(np.sqrt(spread)),
    }
