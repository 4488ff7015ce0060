"""Learning from the worst episodes of a rollout, and from those alone.

EPOpt (Rajeswaran et al., ICLR 2017, https://arxiv.org/abs/1610.01283, algorithm 1) samples one trajectory for each
draw of the dynamics and updates the policy on those whose return is at most the epsilon percentile. Here all
simulations begin a new episode with every rollout, and a rollout is at least as long as an episode may be. Only
episodes that begin early enough to end within it whatever happens are compared: counting later ones where they failed
in time would make failures seem frequent.
"""

from math import ceil, gcd
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

Rows = npt.NDArray[np.bool_]
"""Which rows of a rollout count, ``(steps, environments)``."""
_COLUMNS = ("observations", "actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages")


class WorstEpisodes(OnPolicyAlgorithm):
    """Leaves out all but the worst episodes of a rollout once told to."""

    epsilon: float | None = None
    """Share of the episodes that is learned from; None learns from every row, whole episodes or not."""

    def learn_from_worst(self, epsilon: float, warmup: float, horizon: int) -> None:
        """Learn from the share ``epsilon`` of the episodes with the lowest returns.

        Args:
            epsilon: of the episodes that are compared; at least one is kept.
            warmup: share of the training in which every row counts first.
            horizon: the longest episode, steps.

        Raises:
            ValueError: a rollout is shorter than an episode may be.
        """
        if self.n_steps < horizon:
            raise ValueError(f"n_steps is {self.n_steps}; whole episodes are compared: accepted: {horizon} or more")
        self.epsilon, self._warmup, self._horizon = epsilon, warmup, horizon

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """As SB3's; where episodes are compared, all begin anew afterwards."""
        self._collected = rollout_buffer
        self._ended: list[tuple[int, int, float]] = []
        goes_on = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        if self.epsilon is not None and goes_on:
            # After the rollout, not before it: a checkpoint between the two then holds the new episodes.
            self._last_obs = env.reset()  # type: ignore[assignment]  # SB3 assigns what it steps to, too
            self._last_episode_starts = np.ones(env.num_envs, bool)
        return goes_on

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: npt.NDArray[Any] | None = None) -> None:
        super()._update_info_buffer(infos, dones)
        if self.epsilon is not None and dones is not None:
            # Called before the step is added, so that its row is the buffer's next.
            self._ended += [(self._collected.pos, i, infos[i]["episode"]["r"]) for i in np.flatnonzero(dones)]

    def train(self) -> None:
        """Learn from the rollout, or from the worst of it."""
        if self.epsilon is None or 1 - self._current_progress_remaining <= self._warmup:
            super().train()
            return
        whole = self.rollout_buffer
        keep, limit = worst_rows(self._ended, (self.n_steps, self.n_envs), self._horizon, self.epsilon)
        self.rollout_buffer = kept_rows(whole, keep)
        try:
            super().train()
        finally:
            self.rollout_buffer = whole
        self.logger.record("randomization/worst_return", limit)
        self.logger.record("randomization/rows_learned_from", float(keep.mean()))


def worst_rows(
    ended: list[tuple[int, int, float]], shape: tuple[int, int], horizon: int, epsilon: float
) -> tuple[Rows, float]:
    """The rows of the worst episodes of a rollout that all environments began anew.

    Args:
        ended: last row, environment and return of every episode that ended, in the order of their ends.
        shape: steps and environments of the rollout.
        horizon: the longest episode, steps.
        epsilon: share of the compared episodes to keep; at least one, and all that earned as much as the best of them.

    Returns:
        The rows, and the highest return that is kept.
    """
    compared: list[tuple[int, int, int, float]] = []
    starts = [0] * shape[1]
    for last, env, earned in ended:
        if starts[env] <= shape[0] - horizon:
            compared.append((starts[env], last, env, earned))
        starts[env] = last + 1
    returns = sorted(earned for *_, earned in compared)
    limit = returns[ceil(epsilon * len(returns)) - 1]
    keep = np.zeros(shape, bool)
    for first, last, env, earned in compared:
        keep[first : last + 1, env] = earned <= limit
    return keep, limit


def kept_rows(buffer: RolloutBuffer, keep: Rows) -> RolloutBuffer:
    """A full buffer of the same kind that holds some rows of ``buffer``, as if of one environment."""
    rows = np.flatnonzero(buffer.swap_and_flatten(keep))

    def chosen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return buffer.swap_and_flatten(array)[rows].reshape(len(rows), 1, *array.shape[2:])

    kept = type(buffer)(
        len(rows), buffer.observation_space, buffer.action_space, buffer.device, buffer.gae_lambda, buffer.gamma
    )
    for name in _COLUMNS:
        column = getattr(buffer, name)
        values = {key: chosen(entry) for key, entry in column.items()} if isinstance(column, dict) else chosen(column)
        setattr(kept, name, values)
    kept.pos, kept.full = len(rows), True
    return kept


def rollout_steps(horizon: int, num_envs: int, batch_size: int) -> int:
    """The shortest rollout, in steps of each environment, that holds whole episodes and fills its batches."""
    unit = batch_size // gcd(batch_size, num_envs)
    return ceil(horizon / unit) * unit
