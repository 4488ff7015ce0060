"""Population searches judge episodes: what nobody judges plays no more, and nothing learns from it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

import envs
from agents import AgentConfig, Normalizer, make_agent, normalize
from agents.watched import WatchedMoments, watched
from randomization import FixedRandomizer, parse_draw
from tests.agents.test_ars import Countdown

SEARCHES: list[tuple[str, dict[str, Any]]] = [
    ("cem", {"sigma": 0.5, "policy_kwargs": {"net_arch": [8]}}),
    ("ars", {"n_delta": 4, "n_eval_episodes": 2, "delta_std": 0.5}),  # 16 episodes in 6 simulations: the last two wait
]


class Listening(FixedRandomizer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__([parse_draw("torso_mass * uniform(0.5, 2)")], seed=4)
        self.told: list[tuple[int, int, float]] = []

    def observe(
        self, keys: npt.NDArray[np.int64], parameters: Mapping[str, npt.NDArray[np.float64]], returns: Any
    ) -> None:
        self.told += [(int(env), int(episode), float(r)) for (env, episode), r in zip(keys, returns, strict=True)]


class Judged(BaseCallback):
    """Keeps the returns of each generation."""

    def __init__(self) -> None:
        super().__init__()
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.returns += [episode["r"] for episode in self.model.ep_info_buffer or ()]


def searched(name: str, given: dict[str, Any], num_threads: int = 1) -> tuple[Any, Normalizer, Listening, list[float]]:
    randomizer = Listening()
    env = envs.make_vec("hopper", 6, "source", 60, seed=3, num_threads=num_threads, randomizer=randomizer)
    config = AgentConfig(name, given).resolved()
    normalizer = normalize(config, env, training=True)
    assert isinstance(normalizer, Normalizer)
    agent: Any = make_agent(config, normalizer, seed=0)
    agent.set_logger(Logger(None, []))
    judged = Judged()
    agent.learn(900, judged)
    return agent, normalizer, randomizer, judged.returns


@pytest.mark.parametrize(("name", "given"), SEARCHES)
def test_the_randomizer_is_told_of_the_judged_episodes_and_the_normaliser_of_their_observations(
    name: str, given: dict[str, Any]
) -> None:
    agent, normalizer, randomizer, returns = searched(name, given)
    assert len(returns) > 20
    told = sorted(each[2] for each in randomizer.told)
    np.testing.assert_allclose(told, sorted(returns), atol=1e-4)  # the normaliser hands rewards on in float32
    assert len({each[:2] for each in randomizer.told}) == len(returns)
    # One observation after each step that counts, one at the start of each episode, and six of SB3's reset before them.
    seen = agent.num_timesteps + len(returns) + 6
    assert normalizer.observation_moments.count == pytest.approx(seen, abs=1e-3)
    assert agent.num_timesteps < 0.9 * 60 * len(returns)  # they fall, at different times


@pytest.mark.parametrize(("name", "given"), SEARCHES)
def test_threads_change_nothing(name: str, given: dict[str, Any]) -> None:
    one, two = (searched(name, given, num_threads=n) for n in (1, 2))
    assert one[2].told == two[2].told
    np.testing.assert_equal(one[1].state_dict(), two[1].state_dict())


def test_moments_are_of_the_watched_rows() -> None:
    env = envs.make_vec("hopper", 4, num_threads=1)
    assert watched(env) is env.watched
    moments = WatchedMoments((2,), watched(env))
    rows = np.random.default_rng(0).normal(size=(2, 4, 2))
    moments.update(rows[0])
    env.watched[[0, 3]] = False
    moments.update(rows[1])
    seen = np.concatenate([rows[0], rows[1][1:3]])
    np.testing.assert_allclose(moments.mean, seen.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(moments.var, seen.var(axis=0), atol=1e-3)


def test_an_environment_that_knows_none_stops_nothing() -> None:
    assert watched(DummyVecEnv([lambda: Countdown(2)] * 3)).tolist() == [True, True, True]
