"""What a batched environment asks of whoever draws its physical parameters."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from envs.task import Array


class Randomizer(Protocol):
    """Who decides the physical parameters of an episode. Keys are ``(environment, episode)`` rows."""

    def bounds(self) -> Mapping[tuple[str, str], tuple[float, float]]:
        """Smallest and largest operand of each ``(parameter, operation)`` that can ever be drawn."""
        ...

    def sample(self, keys: npt.NDArray[np.int64]) -> Mapping[tuple[str, str], Array]:
        """Operands ``(n,)`` of each ``(parameter, operation)`` for ``(n, 2)`` keys."""
        ...

    def observe(self, keys: npt.NDArray[np.int64], parameters: Mapping[str, Array], returns: Array) -> None:
        """Learn from finished episodes: their keys ``(n, 2)``, absolute parameter values and returns, each ``(n,)``."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """What to log of it: of each parameter that moves, ``<parameter>/low`` and ``<parameter>/high`` operands."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it has learned, as arrays and plain values; empty where that is nothing."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        ...
