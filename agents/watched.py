"""Simulations that somebody looks at: the others stand still, and teach a normaliser nothing."""

from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def watched(env: VecEnv) -> Mask:
    """Whether each simulation is looked at, ``(num_envs,)``, to be written to.

    Of an environment that has no such array it is one that stops nothing.
    """
    found: Mask = env.get_attr("watched")[0] if env.has_attr("watched") else np.ones(env.num_envs, bool)
    return found


class WatchedMoments(RunningMeanStd):
    """Running mean and variance of what the watched simulations show."""

    def __init__(self, shape: tuple[int, ...], mask: Mask) -> None:
        """``mask`` is what :func:`watched` returns, and is shared."""
        super().__init__(shape=shape)
        self.mask = mask

    def update(self, arr: Array) -> None:
        """Take in observations ``(num_envs, *shape)``."""
        super().update(arr if self.mask.all() else arr[self.mask])
