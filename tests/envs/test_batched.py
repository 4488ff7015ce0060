"""The batched environment: reproducible, interruptible, honest about failures, and a sound SB3 VecEnv."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

import envs
from randomization import FixedRandomizer, parse_draw

DRAWS = (
    "thigh_mass * uniform(0.7, 1.3)",
    "leg_inertia * uniform(0.5, 1.5)",
    "foot_friction + uniform(-0.5, 0.5)",
    "leg_joint_damping * loguniform(0.5, 2)",
    "thigh_joint_gear * uniform(0.8, 1.2)",
    "gravity = truncnormal(9.81, 1, 8, 11)",
)


def make(num_envs: int, *args: Any, **options: Any) -> Any:
    """A hopper batch on one thread; untyped, since SB3 annotates observations that could be dictionaries."""
    return envs.make_vec("hopper", num_envs, *args, **{"num_threads": 1, **options})


def randomizer() -> FixedRandomizer:
    return FixedRandomizer([parse_draw(draw) for draw in DRAWS], seed=4)


def random_actions(steps: int, num_envs: int = 5) -> npt.NDArray[np.float32]:
    return np.random.default_rng(2).uniform(-1, 1, (steps, num_envs, 3)).astype(np.float32)


def played(env: Any, actions: npt.NDArray[np.float32]) -> list[Any]:
    """Everything that each step returned, and the physical parameters behind it."""
    return [(*env.step(action), copy.deepcopy(env.parameters)) for action in actions]


def assert_same(ours: list[Any], theirs: list[Any], columns: slice = slice(None)) -> None:
    assert len(ours) == len(theirs)
    for (*arrays, infos, parameters), (*expected, expected_infos, expected_parameters) in zip(
        ours, theirs, strict=True
    ):
        for array, other in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, other[columns])
        np.testing.assert_equal(infos, expected_infos[columns])
        np.testing.assert_equal(parameters, {name: value[columns] for name, value in expected_parameters.items()})


@pytest.mark.parametrize("num_threads", [2, 3])
def test_threads_change_nothing(num_threads: int) -> None:
    runs = []
    for threads in (1, num_threads):
        env = make(5, "source", horizon=30, seed=7, num_threads=threads, randomizer=randomizer())
        env.reset()
        runs.append(played(env, random_actions(120)))
    assert_same(runs[0], runs[1])


def test_the_number_of_environments_changes_nothing() -> None:
    runs = []
    for num_envs in (2, 5):
        env = make(num_envs, horizon=30, seed=7, randomizer=randomizer())
        env.reset()
        runs.append(played(env, random_actions(120)[:, :num_envs]))
    assert_same(runs[0], runs[1], slice(2))


@pytest.mark.parametrize("randomized", [False, True])
@pytest.mark.parametrize("steps", [0, 37])
def test_a_saved_state_continues_as_if_never_interrupted(steps: int, randomized: bool) -> None:
    def make_env(seed: int) -> Any:
        drawn = randomizer() if randomized else None
        return make(3, "target", horizon=25, seed=seed, randomizer=drawn)

    actions = random_actions(137)[:, :3]
    env = make_env(seed=7)
    env.reset()
    played(env, actions[:steps])
    saved = copy.deepcopy(env.state_dict())
    uninterrupted = played(env, actions[steps:])

    fresh = make_env(seed=99)  # its own seed must not matter any more
    fresh.load_state_dict(saved)
    assert_same(played(fresh, actions[steps:]), uninterrupted)

    used = make_env(seed=99)  # nor what it did before
    used.reset()
    played(used, actions[:50])
    used.load_state_dict(saved)
    assert_same(played(used, actions[steps:]), uninterrupted)


def test_saving_a_state_takes_a_copy() -> None:
    env = make(2, randomizer=randomizer())
    env.reset()
    saved = env.state_dict()
    before = copy.deepcopy(saved)
    played(env, random_actions(40)[:, :2])
    np.testing.assert_equal(saved, before)


@pytest.mark.parametrize(
    ("field", "value"), [("qvel", 1e12), ("qpos", -1e12), ("qfrc_applied", np.nan), ("qfrc_applied", np.inf)]
)
def test_diverged_physics_ends_the_episode_and_never_reaches_the_learner(
    field: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo appends its warnings to a file in the working directory
    actions = random_actions(10)[:, :3]
    env, undisturbed = (make(3, seed=3) for _ in range(2))
    for each in (env, undisturbed):
        each.reset()
    earned = sum(step[1][1] for step in played(env, actions[:4]))
    played(undisturbed, actions[:4])
    env.batch.bind(field)[1] = value
    observations, rewards, dones, infos = env.step(actions[4])
    expected = undisturbed.step(actions[4])

    assert dones.tolist() == [False, True, False]
    assert rewards[1] == 0.0
    assert infos[1].pop("episode") == {"r": earned, "l": 5}
    terminal = infos[1].pop("terminal_observation")
    assert np.isfinite(terminal).all()
    np.testing.assert_array_equal(infos[1].pop("terminal_true"), terminal)
    assert infos == [{}, {"TimeLimit.truncated": False, "diverged": True}, {}]
    assert env.diverged_episodes == 1
    np.testing.assert_allclose(observations[1], [1.25] + 10 * [0], atol=5e-3)  # the next episode's start
    for row in (0, 2):
        np.testing.assert_array_equal(observations[row], expected[0][row])
        assert rewards[row] == expected[1][row]
    for action in actions[5:]:
        observations, rewards, dones, _ = env.step(action)
        expected = undisturbed.step(action)
        np.testing.assert_array_equal(observations[[0, 2]], expected[0][[0, 2]])
        assert np.isfinite(observations).all()
        assert rewards[1] > 0.5  # the simulation is sound again
    assert env.diverged_episodes == 1
    assert env.state_dict()["diverged_episodes"] == 1


def test_nothing_of_a_diverged_simulation_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env, fresh = (make(2, randomizer=randomizer()) for _ in range(2))
    env.reset()
    env.batch.bind("qfrc_applied")[0] = np.nan
    assert env.step(np.zeros((2, 3), np.float32))[2].tolist() == [True, False]
    fresh.load_state_dict(env.state_dict())
    actions = random_actions(60, 2)
    assert_same(played(env, actions), played(fresh, actions))


def test_the_terminal_observation_of_diverged_physics_is_the_last_sound_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = make(2)
    env.reset()
    last = env.step(np.zeros((2, 3), np.float32))[0]
    env.batch.bind("qfrc_applied")[0] = np.nan
    infos = env.step(np.zeros((2, 3), np.float32))[3]
    np.testing.assert_array_equal(infos[0]["terminal_observation"], last[0])


def test_diverged_physics_at_the_horizon_is_not_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = make(2, horizon=1)
    env.reset()
    env.batch.bind("qfrc_applied")[0] = np.nan
    infos = env.step(np.zeros((2, 3), np.float32))[3]
    assert [(info["diverged"], info["TimeLimit.truncated"]) for info in infos] == [(True, False), (False, True)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_actions_that_are_not_finite_are_refused(value: float) -> None:
    env = make(2)
    env.reset()
    before = env.state_dict()
    actions = np.zeros((2, 3), np.float32)
    actions[1, 2] = value
    with pytest.raises(ValueError, match=r"^action of environment 1 is not finite: \[0.0, 0.0, -?(nan|inf)\]$"):
        env.step(actions)
    np.testing.assert_equal(env.state_dict(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0; it must be 1 or more"),
        ({"num_envs": -3}, "num_envs is -3; it must be 1 or more"),
        ({"horizon": 0}, "horizon is 0; it must be 1 or more"),
        ({"num_threads": -1}, r"num_threads is -1; it must be 0 \(all cores\) or more"),
    ],
)
def test_impossible_counts_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(**{"num_envs": 1, **options})


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(ValueError, match=rf"^unknown figure 'hoper'; accepted: {', '.join(envs.FIGURES)}$"):
        envs.make_vec("hoper", 1)


def test_a_finished_episode_brings_its_return_length_and_last_observation() -> None:
    env = make(4, horizon=12, seed=1)
    env.reset()
    returns, lengths, causes = np.zeros(4), np.zeros(4, int), set()
    for action in random_actions(200, 4):
        rewards, dones, infos = env.step(action)[1:]
        returns += rewards
        lengths += 1
        for i in range(4):
            if not dones[i]:
                assert infos[i] == {}
                continue
            assert infos[i]["episode"] == {"r": returns[i], "l": lengths[i]}
            height, pitch = infos[i]["terminal_observation"][:2]
            upright = bool(height > 0.7 and abs(pitch) < 0.2)
            assert infos[i]["TimeLimit.truncated"] is upright
            if upright:
                assert lengths[i] == 12
            causes.add(upright)
            returns[i] = lengths[i] = 0
    assert causes == {True, False}


def test_a_seed_counts_from_the_next_reset_on() -> None:
    env = make(3, seed=5)
    first, second = env.reset(), env.reset()
    assert not np.array_equal(first, second)
    assert env.seed(5) == [5, 6, 7]
    env.step(np.zeros((3, 3), np.float32))
    np.testing.assert_array_equal(env.reset(), first)
    np.testing.assert_array_equal(env.reset(), second)
    np.testing.assert_array_equal(make(2, seed=6).reset(), first[1:])


def test_attributes_are_shared_and_read_only() -> None:
    env = make(3, horizon=77)
    assert env.get_attr("horizon") == [77, 77, 77]
    assert env.get_attr("horizon", indices=[0, 2]) == [77, 77]
    assert env.get_attr("render_mode", indices=1) == ["rgb_array"]
    with pytest.raises(NotImplementedError, match=r"^horizon: a BatchedEnv is configured when it is made"):
        env.set_attr("horizon", 1)
    with pytest.raises(NotImplementedError, match=r"^reset: a BatchedEnv has no object per simulation"):
        env.env_method("reset")


def test_episode_statistics_are_built_in_so_sb3_adds_no_monitor() -> None:
    env = make(2)
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.env_is_wrapped(VecMonitor, indices=[1]) == [True]
    assert env.env_is_wrapped(VecNormalize) == [False, False]


def test_what_a_step_returned_is_never_written_again() -> None:
    env = make(2, horizon=3)
    kept: list[Any] = [env.reset()]
    copies = copy.deepcopy(kept)
    for action in random_actions(7, 2):
        kept.append(env.step(action))
        copies.append(copy.deepcopy(kept[-1]))
    np.testing.assert_equal(kept, copies)


def test_writing_to_what_a_step_returned_does_not_reach_the_simulation() -> None:
    env, untouched = (make(2) for _ in range(2))
    env.reset()[:] = 0.0
    untouched.reset()
    for action in random_actions(5, 2):
        observations, rewards, _, _ = env.step(action)
        expected = untouched.step(action)
        np.testing.assert_array_equal(observations, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        observations[:] = np.nan
        rewards[:] = np.nan


def ants(seed: int = 0) -> Any:
    draws = FixedRandomizer([parse_draw("torso_mass * uniform(0.5, 2)")], seed=4)
    return envs.make_vec("ant", 3, "target", horizon=25, seed=seed, num_threads=1, randomizer=draws)


def test_an_ant_continues_from_its_saved_state_with_where_its_torso_was() -> None:
    actions = np.random.default_rng(2).uniform(-1, 1, (60, 3, 8)).astype(np.float32)
    env, fresh = ants(), ants(seed=99)
    env.reset()
    played(env, actions[:31])
    saved = copy.deepcopy(env.state_dict())
    uninterrupted = played(env, actions[31:])
    fresh.load_state_dict(saved)
    assert_same(played(fresh, actions[31:]), uninterrupted)
    assert any(np.abs(step[0][:, 27:]).max() > 0 for step in uninterrupted)  # feet touched the floor


def test_contact_forces_are_the_same_for_any_number_of_threads() -> None:
    actions = np.random.default_rng(2).uniform(-1, 1, (40, 3, 8)).astype(np.float32)
    runs = []
    for threads in (1, 2):
        env = envs.make_vec("ant", 3, horizon=25, seed=1, num_threads=threads)
        env.reset()
        runs.append(played(env, actions))
    assert_same(runs[0], runs[1])


def test_a_diverged_ant_keeps_its_last_contact_forces_and_begins_anew_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env: Any = envs.make_vec("ant", 2, seed=1, num_threads=1)
    env.reset()
    for _ in range(20):
        last = env.step(np.zeros((2, 8), np.float32))[0]
    assert np.abs(last[0, 27:]).max() > 0
    env.batch.bind("qfrc_applied")[0] = np.nan
    observations, rewards, dones, infos = env.step(np.zeros((2, 8), np.float32))
    np.testing.assert_array_equal(infos[0]["terminal_observation"], last[0])
    assert (rewards[0], dones.tolist()) == (0.0, [True, False])
    np.testing.assert_array_equal(observations[0, 27:], np.zeros(78))
    assert np.isfinite(env.step(np.zeros((2, 8), np.float32))[0]).all()


def test_what_nobody_watches_stands_still_and_changes_nothing_for_the_others() -> None:
    env, all_watched = make(4, seed=3), make(4, seed=3)
    env.reset()
    all_watched.reset()
    env.watched[[1, 3]] = False
    before = env.states()
    for action in random_actions(20, 4):
        observations, rewards, _, _ = env.step(action)
        expected = all_watched.step(action)
        np.testing.assert_array_equal(observations[[0, 2]], expected[0][[0, 2]])
        np.testing.assert_array_equal(rewards[[0, 2]], expected[1][[0, 2]])
    np.testing.assert_array_equal(env.states()[[1, 3]], before[[1, 3]])
    assert not np.array_equal(env.states()[0], before[0])


def test_an_episode_that_nobody_watches_does_not_run_out() -> None:
    env = make(2, horizon=3)
    env.reset()
    env.watched[1] = False
    dones = [env.step(np.zeros((2, 3), np.float32))[2].tolist() for _ in range(4)]
    assert dones == [[False, False], [False, False], [True, False], [False, False]]


def test_what_nobody_watches_does_not_fall_where_it_begins() -> None:
    env: Any = envs.make_vec("hopper[reset_noise=3]", 2, seed=3, num_threads=1)
    env.reset()
    assert env.task.terminated(env._state).all()
    env.watched[1] = False
    assert env.step(np.zeros((2, 3), np.float32))[2].tolist() == [True, False]


def test_repeated_starts_are_those_of_the_first_simulations() -> None:
    env = make(7, seed=5)
    env.repeat_starts(3)
    starts = np.asarray(env.reset())
    np.testing.assert_array_equal(starts, np.asarray(make(3, seed=5).reset())[[0, 1, 2, 0, 1, 2, 0]])
    with pytest.raises(
        ValueError, match=r"^repeat_starts comes after a reset; accepted: before the first one, or after"
    ):
        env.repeat_starts(3)
    env.seed(5)
    env.repeat_starts(3)
    np.testing.assert_array_equal(env.reset(), starts)
