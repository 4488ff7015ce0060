"""REINFORCE (Williams 1992, doi:10.1007/BF00992696) with no, a whitening or a learned baseline.

A rollout is ``n_steps`` steps of every simulation; episodes go on from one rollout to the next. The weight of an
action's log-probability is the discounted sum of the rewards from it to the end of its episode or of the rollout:

- An episode that terminates in the rollout counts to its end.
- One that is cut, by the time limit or by the rollout's end, counts to the cut, and with ``baseline: learned`` the
  baseline's estimate of what would have followed is added. The other two add nothing, so their gradient is that of
  the rewards within rollouts: ``n_steps`` should be several times ``1 / (1 - gamma)``.

The baseline is taken off these weights: nothing (``none``), their mean, which also divides them by their deviation
(``whiten``), or the value network's estimate (``learned``).
"""

from typing import Any, ClassVar

import torch
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import explained_variance

from agents.exploration import Exploration

BASELINES = ("none", "whiten", "learned")


class REINFORCE(Exploration):
    """Monte-Carlo policy gradient: one step of the optimiser for each rollout, over all of it."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
    }

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 512,
        gamma: float = 0.99,
        baseline: str = "learned",
        batch_size: int = 512,
        n_critic_updates: int = 10,
        ent_coef: float = 0.0,
        max_grad_norm: float = 0.5,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        """As SB3's on-policy algorithms, and:

        ``baseline``: one of ``BASELINES``.
        ``n_critic_updates``: how often a learned baseline is fitted to a rollout, in batches of ``batch_size``.

        Raises:
            ValueError: an unknown baseline.
        """
        if baseline not in BASELINES:
            raise ValueError(f"unknown baseline {baseline!r}; accepted: {', '.join(BASELINES)}")
        super().__init__(
            policy,
            env,
            learning_rate,
            n_steps,
            gamma,
            gae_lambda=1.0,  # Monte-Carlo: advantages are returns less values
            ent_coef=ent_coef,
            vf_coef=0.0,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )
        self.baseline, self.batch_size, self.n_critic_updates = baseline, batch_size, n_critic_updates

    def _setup_model(self) -> None:
        super()._setup_model()
        # Never fitted but where the baseline is learned: there it values everything at 0, which leaves the returns
        # as they are and adds nothing behind a cut.
        torch.nn.init.zeros_(self.policy.value_net.weight)
        torch.nn.init.zeros_(self.policy.value_net.bias)

    def train(self) -> None:
        """One step along the gradient of the policy, then the baseline's fit."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        batch = next(iter(self.rollout_buffer.get(batch_size=None)))
        _, log_prob, entropy = self.policy.evaluate_actions(batch.observations, batch.actions)
        weights = batch.advantages
        if self.baseline == "whiten":
            weights = (weights - weights.mean()) / (weights.std() + 1e-8)
        policy_loss = -(weights * log_prob).mean()
        entropy = -log_prob if entropy is None else entropy
        self._step(policy_loss - self.ent_coef * entropy.mean())
        self.logger.record("train/policy_loss", policy_loss.item())
        if self.baseline == "learned":
            self._fit_baseline()
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.finish_update()

    def _fit_baseline(self) -> None:
        """Regression of the value network on the rollout's returns."""
        buffer = self.rollout_buffer
        # What the policy shares with the value network, an encoder, stays the policy's.
        own = {id(p) for name, p in self.policy.named_parameters() if "value_net" in name or "vf_" in name}
        losses = []
        for _ in range(self.n_critic_updates):
            for batch in buffer.get(self.batch_size):
                values = self.policy.predict_values(batch.observations).flatten()
                loss = torch.nn.functional.mse_loss(values, batch.returns)
                self._step(loss, own)
                losses.append(loss.item())
        self.logger.record("train/value_loss", sum(losses) / len(losses))
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        self.logger.record("train/explained_variance", float(explained))

    def _step(self, loss: torch.Tensor, only: set[int] | None = None) -> None:
        self.policy.optimizer.zero_grad()
        loss.backward()
        for parameter in self.policy.parameters():
            if only is not None and id(parameter) not in only:
                parameter.grad = None
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
