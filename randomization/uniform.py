"""Domain randomisation from distributions that never change; uniform ones unless told otherwise."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from randomization.distributions import Array
from randomization.parameters import Draw


class FixedRandomizer:
    """Independent draws, each a function of (seed, environment, episode) and of nothing else."""

    def __init__(self, draws: Sequence[Draw], seed: int) -> None:
        """``draws`` must name each parameter once.

        Raises:
            ValueError: there is nothing to draw, or a parameter twice.
        """
        names = [draw.name for draw in draws]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if not draws or repeated:
            problem = f"{', '.join(repeated)} drawn twice" if repeated else "nothing to draw"
            raise ValueError(f"randomisation: {problem}; name each physical parameter once")
        self.draws = tuple(draws)
        self.seed = seed

    def bounds(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Smallest and largest operand of each (parameter, operation)."""
        return {(draw.name, draw.operation): draw.distribution.support for draw in self.draws}

    def sample(self, keys: npt.NDArray[np.int64]) -> dict[tuple[str, str], Array]:
        """Operands ``(n,)`` for ``keys`` ``(n, 2)`` of (environment, episode)."""
        # One packed row for each draw: where NumPy fears that a strided array overlaps its result it computes powers
        # without SIMD, to another last bit, and whether it does depends on where the allocator put the two.
        u = np.empty((len(self.draws), len(keys)))
        for i, (env, episode) in enumerate(keys):
            u[:, i] = np.random.default_rng((self.seed, int(env), int(episode))).random(len(self.draws))
        return {(draw.name, draw.operation): draw.distribution.quantile(u[j]) for j, draw in enumerate(self.draws)}

    def observe(self, parameters: Mapping[str, Array], returns: Array) -> None:
        """Fixed distributions learn nothing."""
