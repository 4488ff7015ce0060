"""What an observation with history holds, step by step."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines import HistoryEnv, HistoryPipeline
from tests.pipelines.test_privileged import NAMES, simulations, written

OBSERVATION, ACTION = 11, 3
PAIR = OBSERVATION + ACTION


def acted(seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (3, ACTION)).astype(np.float32)


def parts(vector: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What is observed now ``(11,)``, and the pairs ``(length, 14)``."""
    return vector[:OBSERVATION], vector[OBSERVATION:].reshape(-1, PAIR)


@pytest.mark.parametrize("length", [1, 4])
def test_it_holds_the_last_pairs_oldest_first_and_zeros_from_before_the_episode(length: int) -> None:
    env = simulations(horizon=6)
    seen = HistoryPipeline(length=length).wrap(env, "state", 0)
    assert seen.observation_space.shape == (OBSERVATION + length * PAIR,)
    observations: Any = seen.reset()
    lived: list[npt.NDArray[np.float64]] = []  # pairs of simulation 0 in this episode
    for step in range(14):
        now, pairs = parts(observations[0])
        np.testing.assert_array_equal(now, env.task.observe(env._state)[0])
        known = lived[-length:]
        np.testing.assert_array_equal(pairs, [np.zeros(PAIR)] * (length - len(known)) + known)
        actions = acted(step)
        lived.append(np.concatenate([now, actions[0]]))
        observations, _, dones, infos = seen.step(actions)
        if dones[0]:
            last, pairs = parts(infos[0]["terminal_observation"])
            known = lived[-length:]
            np.testing.assert_array_equal(pairs, [np.zeros(PAIR)] * (length - len(known)) + known)
            assert np.abs(last - observations[0, :OBSERVATION]).max() > 1e-3
            lived = []
    assert 0 < len(lived) < 6


def test_only_environments_that_end_forget() -> None:
    """Friction, masses and starts differ, so under the same actions one hopper falls before another."""
    env = simulations(8, horizon=1000)
    seen = HistoryPipeline(length=2).wrap(env, "state", 0)
    assert isinstance(seen, HistoryEnv)
    seen.reset()
    for step in range(200):
        _, _, dones, _ = seen.step(np.tile(acted(step)[:1], (8, 1)))
        forgotten = (seen.pairs == 0).all(axis=(1, 2))
        np.testing.assert_array_equal(forgotten, dones)
        if 0 < dones.sum() < 8:
            return
    raise AssertionError("no step in which some fell and others did not")


def test_the_critic_sees_state_and_parameters_and_the_actor_the_history_alone() -> None:
    env = simulations(horizon=3)
    seen = HistoryPipeline(length=2, critic="parameters", parameters=NAMES).wrap(env, "state", 0)
    plain = HistoryPipeline(length=2).wrap(simulations(horizon=3), "state", 0)
    observations: Any = seen.reset()
    alone: Any = plain.reset()
    for step in range(7):
        np.testing.assert_array_equal(observations["history"], alone)
        np.testing.assert_array_equal(observations["state"][:, :OBSERVATION], alone[:, :OBSERVATION])
        before = written(env)
        np.testing.assert_allclose(observations["state"][:, OBSERVATION:], before, rtol=1e-12)
        observations, _, dones, infos = seen.step(acted(step))
        alone, _, _, other = plain.step(acted(step))
        for i in np.flatnonzero(dones):
            ended, same = infos[i]["terminal_observation"], other[i]["terminal_observation"]
            np.testing.assert_array_equal(ended["history"], same)
            np.testing.assert_allclose(ended["state"], [*same[:OBSERVATION], *before[i]], rtol=1e-12)


def test_a_critic_may_see_more_than_an_actor_without_history() -> None:
    seen: Any = HistoryPipeline(length=0, critic="parameters", parameters=NAMES).wrap(simulations(), "state", 0)
    seen.reset()
    observations, _, _, _ = seen.step(acted(0))
    np.testing.assert_array_equal(observations["history"], observations["state"][:, :OBSERVATION])


def test_it_continues_from_a_checkpoint() -> None:
    def make() -> tuple[Any, Any]:
        env = simulations(horizon=5)
        return env, HistoryPipeline(length=3).wrap(env, "state", 0)

    env, seen = make()
    seen.reset()
    for step in range(7):
        seen.step(acted(step))
    saved = env.state_dict(), seen.state_dict()
    expected = [seen.step(acted(step))[0] for step in range(7, 14)]
    env, seen = make()
    seen.reset()
    env.load_state_dict(saved[0])
    seen.load_state_dict(saved[1])
    np.testing.assert_array_equal([seen.step(acted(step))[0] for step in range(7, 14)], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 0}, r"^length is 0; it must be from 1 to 256 with critic same$"),
        ({"length": 257, "critic": "parameters"}, r"^length is 257; it must be from 0 to 256 with critic parameters$"),
        ({"critic": "state"}, r"^unknown critic 'state'; accepted: same, parameters$"),
        ({"parameters": NAMES}, r"^parameters are given, but the critic sees the same as the actor; accepted: none$"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HistoryPipeline(**changes)
