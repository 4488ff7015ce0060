"""Automatic domain randomisation: ranges that grow from nominal while the policy copes at their bounds.

OpenAI et al., "Solving Rubik's Cube with a Robot Hand", 2019, https://arxiv.org/abs/1910.07113, algorithm 1: in some
episodes one parameter is set to one of its two bounds while the others are drawn. Once enough such episodes of a bound
have ended, their mean return decides: at or above an upper threshold the bound moves outwards, below a lower one
inwards, and the bound's episodes are forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from randomization.distributions import Array
from randomization.parameters import Draw
from randomization.ranges import nominal_positions
from randomization.uniform import Keys, keyed_uniforms, named_once, operands, supports


@dataclass(frozen=True)
class AutoDRConfig:
    """When and how far the bounds move. The draws are the largest ranges."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    boundary: float = 0.5
    """Share of the episodes that have one parameter at one of its bounds."""
    episodes: int = 20
    """Episodes at a bound whose mean return decides."""
    widen: float = 0.7
    """Mean return from which a bound moves outwards, as a share of the reference return."""
    narrow: float = 0.4
    """Mean return below which it moves inwards, as a share of the reference return."""
    step: float = 0.1
    """How far it moves, as a share of the largest range; a run has a few thousand episodes to move in."""

    def __post_init__(self) -> None:
        for key, sound, accepted in (
            ("boundary", 0 < self.boundary <= 1, "above 0 and at most 1"),
            ("episodes", self.episodes >= 1, "1 or more"),
            ("step", 0 < self.step <= 1, "above 0 and at most 1"),
            ("widen", 0 < self.widen < np.inf, "above 0"),
            ("narrow", 0 <= self.narrow <= self.widen, f"from 0 to widen, {self.widen:g}"),
        ):
            if not sound:
                raise ValueError(f"adr.{key} is {getattr(self, key):g}; it must be {accepted}")


class AutoDR:
    """Draws uniformly between moving bounds, sometimes at one of them.

    Bounds are numbered: those of ``n`` draws below nominal 0 to ``n - 1``, those above ``n`` to ``2 n - 1``.
    """

    def __init__(self, draws: Sequence[Draw], seed: int, config: AutoDRConfig, reference_return: float) -> None:
        """``draws`` are the largest ranges, ``reference_return`` is what the thresholds are shares of.

        Raises:
            ValueError: a parameter is drawn twice, or a draw is no range with nominal in it.
        """
        self.draws, self.seed, self.config = named_once(draws), seed, config
        self.reference_return = reference_return
        self.nominal = nominal_positions(self.draws, "adr")
        self.low, self.high = self.nominal.copy(), self.nominal.copy()
        self._returns: list[list[float]] = [[] for _ in range(2 * len(self.draws))]
        self._testing: dict[int, tuple[int, float]] = {}
        """By environment: the bound that its episode is at, and where that was."""
        self._counts: dict[str, float] = {"widened": 0, "narrowed": 0}

    def bounds(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Smallest and largest operand of each (parameter, operation) that can ever be drawn."""
        return supports(self.draws)

    def sample(self, keys: Keys) -> dict[tuple[str, str], Array]:
        """Operands ``(n,)`` for ``keys`` ``(n, 2)`` of (environment, episode), given where the bounds are now."""
        count = len(self.draws)
        u = keyed_uniforms(self.seed, keys, count + 2)
        positions = self.low[:, None] + u[:count] * (self.high - self.low)[:, None]
        for i, env in enumerate(keys[:, 0].tolist()):
            self._testing.pop(env, None)
            if u[count, i] < self.config.boundary:
                bound = int(u[count + 1, i] * 2 * count)
                place = self._place(bound)
                self._testing[env] = bound, place
                positions[bound % count, i] = place
        return operands(self.draws, positions)

    def observe(self, keys: Keys, parameters: Mapping[str, Array], returns: Array) -> None:
        """Move the bounds by what finished episodes earned at them."""
        for env, earned in zip(keys[:, 0].tolist(), returns.tolist(), strict=True):
            bound, place = self._testing.pop(env, (-1, 0.0))
            if bound < 0 or place != self._place(bound):
                continue  # drawn between the bounds, or at one that has moved meanwhile
            self._returns[bound].append(earned)
            if len(self._returns[bound]) == self.config.episodes:
                self._judge(bound, float(np.mean(self._returns[bound])))
                self._returns[bound].clear()

    def _place(self, bound: int) -> float:
        count = len(self.draws)
        return float(self.low[bound] if bound < count else self.high[bound - count])

    def _judge(self, bound: int, earned: float) -> None:
        self._counts["bound_return"] = earned
        if earned >= self.config.widen * self.reference_return:
            outwards, what = 1, "widened"
        elif earned < self.config.narrow * self.reference_return:
            outwards, what = -1, "narrowed"
        else:
            return
        j, below = bound % len(self.draws), bound < len(self.draws)
        before = self._place(bound)
        # Rounded, so that ten steps of a tenth are one, and the limit is reached rather than approached.
        moved = np.round(before + (-outwards if below else outwards) * self.config.step, 12)
        if below:
            self.low[j] = np.clip(moved, 0, self.nominal[j])
        else:
            self.high[j] = np.clip(moved, self.nominal[j], 1)
        self._counts[what] += self._place(bound) != before

    def metrics(self) -> dict[str, float]:
        """Bounds as operands, their mean distance as a share of the largest range, the last judged mean return, and
        how often a bound has moved either way."""
        found = {"width": float(np.mean(self.high - self.low)), **self._counts}
        for (name, _), operand in operands(self.draws, np.stack((self.low, self.high), axis=1)).items():
            found[f"{name}/low"], found[f"{name}/high"] = operand.tolist()
        return found

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue: arrays and plain values."""
        return {
            "low": self.low.copy(),
            "high": self.high.copy(),
            "returns": [list(returns) for returns in self._returns],
            "testing": dict(self._testing),
            "counts": dict(self._counts),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of the same configuration."""
        self.low[:], self.high[:] = state["low"], state["high"]
        self._returns = [list(returns) for returns in state["returns"]]
        self._testing = {env: (bound, place) for env, (bound, place) in state["testing"].items()}
        self._counts = dict(state["counts"])
