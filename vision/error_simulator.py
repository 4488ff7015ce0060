"""Keypoints as an estimator would report them, from the true ones: for many environments at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.error_model import ErrorModel, channels, log_size

Array = npt.NDArray[np.float64]

_MEMORY = ("last", "z", "dropped", "held", "queue", "fresh")


class ErrorSimulator:
    """Draws from an :class:`ErrorModel` along the episodes of ``n`` environments.

    Environment ``i`` has a generator of its own, so that what it sees does not depend on how many others there are.

    Args:
        model: what to draw from.
        num_envs: ``n``.
        seed: of the draws, 0 or more.

    Raises:
        ValueError: no environment, or a negative seed.
    """

    def __init__(self, model: ErrorModel, num_envs: int, seed: int) -> None:
        if num_envs < 1 or seed < 0:
            raise ValueError(f"num_envs is {num_envs} and seed {seed}; accepted: 1 or more, and 0 or more")
        k = len(model.reach)
        self.model = model
        self._rngs = [np.random.default_rng((seed, i)) for i in range(num_envs)]
        self._last = np.zeros((num_envs, k, 2))
        self._z = np.zeros((num_envs, 3 * k))
        self._dropped = np.zeros((num_envs, k), bool)
        self._held = np.zeros((num_envs, k), np.int64)  # row of model.gross
        self._queue = np.zeros((model.latency + 1, num_envs, k, 3))  # the newest frame first
        self._fresh = np.ones(num_envs, bool)
        self._first_row = np.searchsorted(model.gross[:, 0], np.arange(k))
        self._rows = np.searchsorted(model.gross[:, 0], np.arange(k), side="right") - self._first_row
        usual = model.enter + model.leave
        self._share = np.divide(model.enter, usual, out=np.zeros(k), where=usual > 0)

    def reset(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> None:
        """Forget environments ``ids``: their next frame is the first of an episode.

        Raises:
            ValueError: not numbers of environments.
        """
        found = np.asarray(ids)
        count = len(self._fresh)
        # A mask would be taken for environments 0 and 1.
        if found.size and (found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= count):
            raise ValueError(f"ids are {found.tolist()}; accepted: numbers of environments from 0 to {count - 1}")
        self._fresh[found.astype(np.intp)] = True

    def update(self, keypoints: Array) -> tuple[Array, Array]:
        """One more frame of every environment.

        A keypoint that is late shows the episode's first frame until a later one is due.

        Args:
            keypoints: the true ones ``(n, k, 2)``, px.

        Returns:
            Reported keypoints ``(n, k, 2)``, px, and confidences ``(n, k)`` from 0 to 1.

        Raises:
            ValueError: another shape, or a keypoint that is not finite.
        """
        true = np.asarray(keypoints, np.float64)
        if true.shape != self._last.shape or not np.isfinite(true).all():
            raise ValueError(
                f"keypoints have the shape {true.shape} or are not finite; accepted: finite, {self._last.shape}"
            )
        n, k = true.shape[:2]
        uniform = np.array([rng.random(1 + 3 * k) for rng in self._rngs])
        errors, logits = self._usual(true, uniform[:, 0])
        self._drop(*uniform[:, 1:].reshape(n, 3, k).transpose(1, 0, 2))
        seen = np.concatenate((true + errors, 1 / (1 + np.exp(-logits))[..., None]), axis=2)
        if self._dropped.any():
            rows = self.model.gross[self._held[self._dropped]]
            seen[self._dropped] = rows[:, 1:]
            seen[self._dropped, :2] += true[self._dropped]
        self._last = true.copy()
        self._queue[1:] = self._queue[:-1].copy()
        self._queue[0] = seen
        self._queue[:, self._fresh] = seen[self._fresh]
        self._fresh[:] = False
        late = self._queue[-1]
        return late[..., :2].copy(), late[..., 2].copy()

    def _usual(self, true: Array, uniform: Array) -> tuple[Array, Array]:
        """Errors ``(n, k, 2)``, px, and logits of the confidences ``(n, k)`` without drop-outs."""
        model, (n, k) = self.model, true.shape[:2]
        moved = np.sqrt(((true - self._last) ** 2).sum(axis=2))
        phi = model.correlation * np.exp(-model.decay * channels(moved))
        phi[self._fresh] = 0.0
        drawn = model.innovations[(uniform * len(model.innovations)).astype(np.int64)]
        self._z = phi * self._z + np.sqrt(1 - phi**2) * drawn
        mean, deviation = model.moments(true)
        values = mean + deviation * self._z
        sizes = log_size(self._z[:, : 2 * k].reshape(n, k, 2))
        return values[:, : 2 * k].reshape(n, k, 2), values[:, 2 * k :] + model.size_weight * sizes

    def _drop(self, change: Array, keep: Array, choice: Array) -> None:
        """Move the chains of drop-outs by one frame, with uniform numbers ``(n, k)`` each."""
        model, fresh = self.model, self._fresh[:, None]
        before = self._dropped & ~fresh
        self._dropped = np.where(before, change >= model.leave, change < np.where(fresh, self._share, model.enter))
        drawn = self._first_row + (choice * self._rows).astype(np.int64)
        self._held = np.where(before & (keep < model.hold), self._held, drawn)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue as if never interrupted: arrays and plain values."""
        memory = {name: getattr(self, f"_{name}").copy() for name in _MEMORY}
        return memory | {"rngs": [rng.bit_generator.state for rng in self._rngs]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of a simulator of the same model and size."""
        for name in _MEMORY:
            getattr(self, f"_{name}")[...] = state[name]
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
