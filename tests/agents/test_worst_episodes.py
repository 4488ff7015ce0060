"""Which rows of a rollout are learned from, and that the others leave no trace in the update."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from agents import rollout_steps
from agents.on_policy import PPO
from agents.worst_episodes import kept_rows, worst_rows


def test_the_worst_share_of_whole_episodes_is_kept() -> None:
    """Rollout of 10 steps, episodes of 8 at most: those that began in the first three steps are compared."""
    ended = [(1, 0, 3.0), (3, 2, 1.0), (4, 1, 7.0), (7, 0, 9.0), (7, 3, 5.0), (9, 1, -2.0), (9, 2, 0.0)]
    # Compared: environment 0 steps 0-1 (3) and 2-7 (9), 1 steps 0-4 (7), 2 steps 0-3 (1), 3 steps 0-7 (5).
    keep, limit = worst_rows(ended, (10, 4), horizon=8, epsilon=0.4)
    expected = np.zeros((10, 4), bool)
    expected[0:4, 2] = True
    expected[0:2, 0] = True
    np.testing.assert_array_equal(keep, expected)
    assert limit == 3
    assert worst_rows(ended, (10, 4), 8, 0.41)[1] == 5
    everything, limit = worst_rows(ended, (10, 4), 8, 1.0)
    assert limit == 9
    assert everything.sum() == 8 + 5 + 4 + 8
    worst, limit = worst_rows(ended, (10, 4), 8, 1e-9)
    assert (worst.sum(), limit) == (4, 1)


def test_ties_are_kept_together() -> None:
    ended = [(0, 0, 1.0), (0, 1, 1.0), (0, 2, 2.0)]
    keep, _ = worst_rows(ended, (1, 3), 1, 0.1)
    assert keep.tolist() == [[True, True, False]]


def filled(buffer: Any) -> Any:
    """Every value of the buffer differs."""
    rng = np.random.default_rng(0)
    for _ in range(buffer.buffer_size):
        space = buffer.observation_space
        obs: Any = rng.normal(size=(2, 3)).astype(np.float32)
        if isinstance(space, spaces.Dict):
            entries: Any = space.items()
            obs = {name: rng.normal(size=(2, *entry.shape)).astype(np.float32) for name, entry in entries}
        value, log_prob = (torch.as_tensor(rng.normal(size=2)) for _ in range(2))
        buffer.add(obs, rng.normal(size=(2, 1)), rng.normal(size=2), np.zeros(2), value, log_prob)
    buffer.compute_returns_and_advantage(torch.zeros(2), np.ones(2, bool))
    return buffer


ACTIONS = spaces.Box(-1, 1, (1,))
VECTOR = spaces.Box(-9, 9, (3,))


def test_kept_rows_hold_what_the_whole_buffer_held() -> None:
    buffer = filled(RolloutBuffer(4, VECTOR, ACTIONS, "cpu", n_envs=2))
    keep = np.zeros((4, 2), bool)
    keep[[0, 1, 3], [1, 0, 1]] = True
    kept = kept_rows(buffer, keep)
    places = [(1, 0), (0, 1), (3, 1)]  # environment by environment
    (batch,) = kept.get()
    order = [int(np.flatnonzero(batch.old_values.numpy() == buffer.values[place])[0]) for place in places]
    assert sorted(order) == [0, 1, 2]
    for row, place in zip(order, places, strict=True):
        np.testing.assert_array_equal(batch.observations[row], buffer.observations[place])
        np.testing.assert_array_equal(batch.actions[row], buffer.actions[place])
        assert batch.advantages[row] == buffer.advantages[place]
        assert batch.returns[row] == buffer.returns[place]
        assert batch.old_log_prob[row] == buffer.log_probs[place]


def test_kept_rows_of_a_dict_of_observations() -> None:
    space = spaces.Dict({"state": VECTOR, "seen": spaces.Box(-9, 9, (2, 2))})
    buffer = filled(DictRolloutBuffer(4, space, ACTIONS, "cpu", n_envs=2))
    keep = np.zeros((4, 2), bool)
    keep[2, 1] = True
    batch: Any
    (batch,) = kept_rows(buffer, keep).get()
    for name in ("state", "seen"):
        np.testing.assert_array_equal(batch.observations[name][0], buffer.observations[name][2, 1])


class Counted(gymnasium.Env[Any, Any]):
    """Episodes of 4 steps that earn what their environment's number says, whatever is done."""

    observation_space = VECTOR
    action_space = ACTIONS

    def __init__(self, number: int) -> None:
        self.number, self.step_count, self.resets = number, 0, 0
        self.rng = np.random.default_rng(number)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        self.step_count, self.resets = 0, self.resets + 1
        return self.rng.normal(size=3).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.step_count += 1
        return self.rng.normal(size=3).astype(np.float32), float(self.number), self.step_count == 4, False, {}


def make() -> PPO:
    env = DummyVecEnv([lambda number=number: Monitor(Counted(number)) for number in range(4)])  # type: ignore[misc]
    return PPO("MlpPolicy", env, n_steps=6, batch_size=24, n_epochs=2, seed=1, device="cpu")


class Spoil(BaseCallback):
    """Changes rows of the rollout before it is learned from."""

    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.rows = rows

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.locals["rollout_buffer"]
        for array in (buffer.advantages, buffer.returns, buffer.observations, buffer.actions):
            array[self.rows] += 1.0


def weights(rows: Any, epsilon: float | None = 0.25, warmup: float = 0.0, steps: int = 24) -> torch.Tensor:
    """The policy after training on a rollout with spoilt ``rows`` (a pair of indices), in one vector."""
    agent = make()
    if epsilon is not None:
        agent.learn_from_worst(epsilon, warmup, horizon=4)
    agent.learn(steps, Spoil(rows))
    return torch.nn.utils.parameters_to_vector(agent.policy.parameters()).detach()


NOTHING = (slice(0, 0), slice(0, 0))


def test_only_the_worst_episodes_contribute_to_the_gradient() -> None:
    """Of four environments the first earns least: its four first rows are all that the update may depend on."""
    untouched = weights(NOTHING)
    for rows in ((slice(None), slice(1, 4)), (slice(4, 6), 0)):
        assert torch.equal(weights(rows), untouched)
    for row in range(4):
        assert not torch.equal(weights((row, 0)), untouched)


def test_half_the_episodes_are_two_environments() -> None:
    untouched = weights(NOTHING, epsilon=0.5)
    assert torch.equal(weights((slice(None), slice(2, 4)), epsilon=0.5), untouched)
    assert not torch.equal(weights((2, 1), epsilon=0.5), untouched)


def test_during_warmup_every_row_counts_as_without() -> None:
    untouched = weights(NOTHING, epsilon=None)
    assert torch.equal(weights(NOTHING, warmup=1.0), untouched)
    assert not torch.equal(weights((5, 3), warmup=1.0), untouched)
    assert not torch.equal(weights(NOTHING, warmup=0.0), untouched)


def test_the_warmup_is_a_share_of_the_training() -> None:
    """Of three updates, the second and third, at two thirds and the end, leave out episodes."""
    agent = make()
    agent.learn_from_worst(0.25, 0.5, horizon=4)
    learned = []
    kept = []

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            learned.append(self.logger.name_to_value.get("randomization/rows_learned_from"))

        def _on_training_end(self) -> None:
            kept.append(self.logger.name_to_value["randomization/worst_return"])
            learned.append(self.logger.name_to_value["randomization/rows_learned_from"])

    agent.learn(72, Watch())
    assert learned[1] in (None, 0.0)
    assert learned[2:] == pytest.approx([4 / 24, 4 / 24])
    assert kept == [0.0]


def test_all_episodes_begin_anew_with_each_rollout() -> None:
    agent = make()
    agent.learn_from_worst(0.25, 0.0, horizon=4)
    agent.learn(48)
    env: Any = agent.get_env()
    # One reset at the start, one after each rollout, and one where the first episode of a rollout has ended.
    assert [each.unwrapped.resets for each in env.envs] == [1 + 2 + 2] * 4
    assert agent._last_episode_starts.all()  # type: ignore[union-attr]  # set by learning


def test_rollouts_shorter_than_an_episode_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^n_steps is 6; whole episodes are compared: accepted: 7 or more$"):
        make().learn_from_worst(0.1, 0.0, horizon=7)


@pytest.mark.parametrize(
    ("horizon", "num_envs", "batch", "steps"),
    [(500, 32, 512, 512), (1000, 64, 512, 1000), (7, 3, 4, 8), (50, 1, 8, 56)],
)
def test_rollouts_hold_whole_episodes_and_fill_their_batches(
    horizon: int, num_envs: int, batch: int, steps: int
) -> None:
    assert rollout_steps(horizon, num_envs, batch) == steps
    assert steps * num_envs % batch == 0
