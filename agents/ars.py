"""Augmented random search (Mania, Guy and Recht 2018, arXiv:1803.07055) on batched simulations.

sb3-contrib plays one candidate after the other, and gives each all simulations. Here every simulation plays one episode
of one candidate, and all candidates act at once.
"""

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import sb3_contrib
import torch
from sb3_contrib.ars.policies import ARSPolicy
from stable_baselines3.common.callbacks import BaseCallback

from agents.population import Population
from agents.watched import watched

Array = npt.NDArray[Any]


class ARS(sb3_contrib.ARS):
    """A generation is ``2 * n_delta * n_eval_episodes`` episodes, each from a new start; it ends with an update.

    Steps count those of episodes that are still played. A simulation whose episode is over, or that has none to play,
    stands still: neither normaliser nor randomizer learns from episodes that nobody judges. Training stops, and saves,
    between two generations.
    """

    policy: ARSPolicy
    weights: Any  # a tensor as long as the policy has parameters

    def set_parameters(self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto") -> None:
        """As SB3's; the search goes on from these weights."""
        super().set_parameters(load_path_or_dict, exact_match, device)
        self.weights = torch.nn.utils.parameters_to_vector(self.policy.parameters()).detach()

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        # sb3-contrib passes the steps of this start alone, with which the schedules of a resumed run would differ.
        super()._update_current_progress_remaining(num_timesteps, self._total_timesteps)

    def _do_one_update(self, callback: BaseCallback, async_eval: Any) -> None:
        callback.on_rollout_start()  # where checkpoints are taken: before the candidates are drawn
        super()._do_one_update(callback, async_eval)

    def evaluate_candidates(
        self, candidate_weights: torch.Tensor, callback: BaseCallback, async_eval: Any
    ) -> torch.Tensor:
        """Sum of the returns of each candidate's episodes, ``(2 * n_delta,)``; weights are a row each."""
        assert self.env is not None
        candidates = torch.arange(self.pop_size).repeat(self.n_eval_episodes)
        scores = torch.zeros(self.pop_size, dtype=torch.float64)
        episodes: deque[dict[str, Any]] = deque()
        for playing in candidates.split(self.env.num_envs):
            returns, lengths = self._play(candidate_weights[playing], callback)
            scores.index_add_(0, playing, torch.as_tensor(returns + self.alive_bonus_offset * lengths))
            episodes.extend({"r": r, "l": n} for r, n in zip(returns.tolist(), lengths.tolist(), strict=True))
        self.ep_info_buffer = episodes  # the log shows the generation's mean
        callback.on_rollout_end()
        return scores.to(candidate_weights)

    def _play(self, weights: torch.Tensor, callback: BaseCallback) -> tuple[Array, Array]:
        """Returns and lengths, ``(n,)`` each, of an episode of each of ``n`` candidates."""
        assert self.env is not None
        count, population = len(weights), Population(self.policy, weights)
        actions = np.zeros((self.env.num_envs, *(self.action_space.shape or ())), np.float32)
        running = np.arange(self.env.num_envs) < count
        returns, lengths = np.zeros(len(running)), np.zeros(len(running), np.int64)
        moving = watched(self.env)
        moving[:] = running
        observations: Any = self.env.reset()
        while running.any():
            actions[:count] = population.act(observations[:count, None])[:, 0]
            observations, rewards, dones, _ = self.env.step(actions)
            returns[running] += rewards[running]
            lengths += running
            self.num_timesteps += int(running.sum())
            callback.update_locals(locals())
            callback.on_step()
            running &= ~dones
            moving[:] = running
        return returns[:count], lengths[:count]
