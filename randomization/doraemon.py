"""DORAEMON: the widest distribution under which the policy still succeeds often enough.

Tiboni et al., "Domain Randomization via Entropy Maximization", ICLR 2024, https://arxiv.org/abs/2311.01885. Every
parameter is drawn from a Beta distribution over its largest range. After some episodes the distribution of the highest
entropy is looked for, subject to an estimated success rate of at least ``alpha`` and to a KL divergence from the
current one of at most ``kl``. The estimate weights each episode's success by the ratio of the new density to that which
the episode was drawn from. Where no distribution within reach is good enough, the one of the highest estimate is taken.
As in the authors' code (https://github.com/gabrieletiboni/doraemon) the divergence is KL(current || new), both shape
parameters start at 100, and nothing moves before the success rate has first reached ``alpha``.
:mod:`randomization.doraemon_step` solves the problem.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from randomization import betas
from randomization.distributions import Array
from randomization.doraemon_step import Episodes, step
from randomization.parameters import Draw
from randomization.ranges import nominal_positions
from randomization.uniform import Keys, keyed_uniforms, named_once, operands, supports

WAITING, WIDENED, RETREATED, REFUSED = 0, 1, 2, -1
"""What the last step was: success never reached alpha yet; entropy raised; success raised, since alpha was out of
reach; or the solver found nothing better that satisfies the constraints."""
SHOWN = (0.05, 0.95)
"""Quantiles that are logged of each parameter."""


@dataclass(frozen=True)
class DoraemonConfig:
    """When and how far the distribution moves. The draws are the largest ranges."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  # read by pydantic, never written

    alpha: float = 0.5
    """Success rate that must be kept."""
    success: float = 0.7
    """Return from which an episode is a success, as a share of the reference return."""
    kl: float = 0.1
    """Largest KL divergence of a step, nats."""
    episodes: int = 100
    """Episodes between two steps."""
    concentration: float = 200.0
    """Sum of the two shape parameters at the start: the larger, the narrower around nominal."""

    def __post_init__(self) -> None:
        for key, sound, accepted in (
            ("alpha", 0 < self.alpha < 1, "above 0 and below 1"),
            ("success", 0 < self.success < np.inf, "above 0"),
            ("kl", 0 < self.kl < np.inf, "above 0"),
            ("episodes", self.episodes >= 2, "2 or more"),
            ("concentration", 2 < self.concentration < np.inf, "above 2"),
        ):
            if not sound:
                raise ValueError(f"doraemon.{key} is {getattr(self, key):g}; it must be {accepted}")


class Doraemon:
    """Draws from Beta distributions that widen while the policy succeeds."""

    def __init__(self, draws: Sequence[Draw], seed: int, config: DoraemonConfig, reference_return: float) -> None:
        """``draws`` are the largest ranges, ``reference_return`` is what success is a share of.

        Raises:
            ValueError: a parameter is drawn twice, or a draw is no range with nominal well inside it.
        """
        self.draws, self.seed, self.config = named_once(draws), seed, config
        self.success_return = config.success * reference_return
        nominal = nominal_positions(self.draws, "doraemon")
        start = config.concentration * np.concatenate((nominal, 1 - nominal))
        for draw, place, smallest in zip(self.draws, nominal, np.minimum(*np.split(start, 2)), strict=True):
            if smallest < 1:
                raise ValueError(
                    f"doraemon: nominal is at {place:.3g} of the range of {draw.name}; accepted: from "
                    f"{1 / config.concentration:.3g} to {1 - 1 / config.concentration:.3g}, or a larger concentration"
                )
        self.theta: Array = np.log(start)
        self._narrowest = float(np.log(1.1 * start.max()))  # above the start, so that it does not begin at a limit
        self._reached = False
        self._pending: dict[int, tuple[Array, float]] = {}
        """By environment: where its episode was drawn, and the logarithm of the density there."""
        self._ended: list[tuple[Array, float, bool]] = []
        self._last = {"entropy": betas.entropy(self.theta)}

    def bounds(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Smallest and largest operand of each (parameter, operation) that can ever be drawn."""
        return supports(self.draws)

    def sample(self, keys: Keys) -> dict[tuple[str, str], Array]:
        """Operands ``(n,)`` for ``keys`` ``(n, 2)`` of (environment, episode), given the distribution of now."""
        positions = betas.quantile(self.theta, keyed_uniforms(self.seed, keys, len(self.draws)))
        densities = betas.log_density(self.theta, positions)
        for i, env in enumerate(keys[:, 0].tolist()):
            self._pending[env] = positions[:, i].copy(), float(densities[i])
        return operands(self.draws, positions)

    def observe(self, keys: Keys, parameters: Mapping[str, Array], returns: Array) -> None:
        """Move the distribution once enough episodes have ended, whichever distribution they were drawn from."""
        for env, earned in zip(keys[:, 0].tolist(), returns.tolist(), strict=True):
            if env in self._pending:
                self._ended.append((*self._pending.pop(env), earned >= self.success_return))
            if len(self._ended) == self.config.episodes:
                self._step()
                self._ended.clear()

    def _step(self) -> None:
        positions, densities, successes = zip(*self._ended, strict=True)
        episodes = Episodes(np.stack(positions, axis=1), np.array(densities), np.array(successes, np.float64))
        before, kind, status = self.theta, WAITING, 0
        rate = float(np.mean(successes))
        self._reached = self._reached or rate >= self.config.alpha
        if self._reached:
            found = step(before, episodes, self.config.alpha, self.config.kl, self._narrowest)
            self.theta, status = found.theta, found.status
            kind = (WIDENED if found.feasible else RETREATED) if found.accepted else REFUSED
        self._last = {
            "entropy": betas.entropy(self.theta),
            "success": rate,
            "estimated_success": episodes.success(self.theta),
            "effective_sample_size": episodes.effective_size(self.theta),
            "kl": betas.divergence(before, self.theta),
            "solver_status": status,
            "step_kind": kind,
        }

    def metrics(self) -> dict[str, float]:
        """5 and 95 % quantiles as operands, and of the last step: entropy and KL divergence in nats, success rates as
        counted and as estimated for the new distribution, effective sample size, scipy's status and the step's kind."""
        found: dict[str, float] = dict(self._last)
        shown = betas.quantile(self.theta, np.tile(SHOWN, (len(self.draws), 1)))
        for (name, _), operand in operands(self.draws, shown).items():
            found[f"{name}/low"], found[f"{name}/high"] = operand.tolist()
        return found

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue: arrays and plain values."""
        return {
            "theta": self.theta.copy(),
            "reached": self._reached,
            "environments": list(self._pending),
            "pending": _packed(list(self._pending.values())),
            "ended": _packed([(place, density) for place, density, _ in self._ended]),
            "successes": [success for *_, success in self._ended],
            "last": dict(self._last),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict` of the same configuration."""
        self.theta = np.asarray(state["theta"], np.float64).reshape(self.theta.shape)
        self._reached = bool(state["reached"])
        self._pending = dict(zip(state["environments"], _unpacked(state["pending"]), strict=True))
        ended = _unpacked(state["ended"])
        self._ended = [(*pair, success) for pair, success in zip(ended, state["successes"], strict=True)]
        self._last = dict(state["last"])


def _packed(pairs: list[tuple[Array, float]]) -> Array | None:
    """One row for each place and density, which a checkpoint holds as one array."""
    return np.array([[*place, density] for place, density in pairs]) if pairs else None


def _unpacked(rows: Array | None) -> list[tuple[Array, float]]:
    return [] if rows is None else [(row[:-1].copy(), float(row[-1])) for row in rows]
