"""Learning by imitation: a student acts on what it sees, and a teacher says what the true state would ask for.

DAgger (Ross, Gordon and Bagnell 2011, arXiv:1011.0686): every state that the student comes to is kept with the
teacher's action, and the student is fitted to all of them. It is an off-policy algorithm whose replay buffer holds the
teacher's actions in the place of those that were taken.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from agents.asymmetric import STATE

Actions = npt.NDArray[np.float32]
Teacher = Callable[[npt.NDArray[np.float64]], Actions]
"""Actions ``(n, actuators)`` in true, unnormalised states ``(n, entries)``."""

ACTOR = ("mlp_extractor.policy_net.", "action_net.")
"""Layers between what an actor-critic policy sees and its mean action."""


class DAgger(OffPolicyAlgorithm):
    """The mean action of an actor-critic policy, fitted to a teacher's by its squared error; the critic is left alone.

    Observations are mappings with the true ``state``, which only the teacher is shown, and what the student sees.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": ActorCriticPolicy}
    LOSS: ClassVar[str] = "imitation_loss"
    """What the logs call it."""
    teacher: Teacher | None = None
    """Who says what to do; to be set before learning."""

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv,
        learning_rate: float | Schedule = 1e-3,
        buffer_size: int = 200_000,
        batch_size: int = 256,
        train_freq: int = 32,
        gradient_steps: int = 32,
        teacher_steps: int = 0,
        noise: float = 0.1,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        """As SB3's off-policy algorithms, and:

        ``teacher_steps``: over so many first steps the teacher takes a share of the actions that falls from 1 to 0.
        ``noise``: standard deviation of what is added to the student's actions, in half ranges of the actuators.
        """
        super().__init__(
            policy,
            env,
            learning_rate,
            buffer_size,
            learning_starts=0,
            batch_size=batch_size,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            seed=seed,
            sde_support=False,
            support_multi_env=True,
        )
        self.teacher_steps, self.noise = teacher_steps, noise
        if _init_setup_model:
            self._setup_model()

    def _sample_action(
        self, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> tuple[Actions, Actions]:
        """What is done, and what the replay buffer keeps: the teacher's action."""
        assert self.teacher is not None, "a teacher is set before learning"
        # SB3 keeps the original ones up to date only where they differ.
        there: Any = self._last_obs if self._vec_normalize_env is None else self._last_original_obs
        label = self.policy.scale_action(self.teacher(there[STATE]))
        label = np.clip(label, -1, 1)
        found, _ = self.predict(self._last_obs, deterministic=True)  # type: ignore[arg-type]  # is there by now
        taken = self.policy.scale_action(found) + self.noise * np.random.standard_normal(label.shape)  # noqa: NPY002
        share = 1 - self.num_timesteps / self.teacher_steps if self.teacher_steps else 0.0
        taught = np.random.random(n_envs) < share  # noqa: NPY002  # SB3's generator, which checkpoints carry
        taken = np.where(taught[:, None], label, np.clip(taken, -1, 1)).astype(np.float32)
        return self.policy.unscale_action(taken), label

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Fit the student to its teacher."""
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            loss = self.loss(batch.observations, batch.actions)
            self.policy.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
            self.policy.optimizer.step()
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record(f"train/{self.LOSS}", float(np.mean(losses)))

    def loss(self, observations: Any, actions: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the student's actions against the teacher's, in half ranges of the actuators."""
        assert isinstance(self.policy, ActorCriticPolicy)
        space: Any = self.action_space
        low, high = (torch.as_tensor(bound, device=self.device) for bound in (space.low, space.high))
        found: Any = self.policy.get_distribution(observations)
        mean = found.distribution.mean
        return torch.nn.functional.mse_loss(2 * (mean - low) / (high - low) - 1, actions)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "teacher"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []


def inherit(student: DAgger, policy: dict[str, torch.Tensor]) -> list[str]:
    """Start a student from its teacher's actor where the two have layers of the same name and shape.

    Returns:
        The names of what was taken over.
    """
    own = {name: t.shape for name, t in student.policy.state_dict().items() if name.startswith(ACTOR)}
    theirs = {name: tensor for name, tensor in policy.items() if name.startswith(ACTOR)}
    if own != {name: tensor.shape for name, tensor in theirs.items()}:  # a part of an actor is none
        return []
    student.policy.load_state_dict(theirs, strict=False)
    return sorted(theirs)
