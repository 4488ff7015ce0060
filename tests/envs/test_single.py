"""The Gymnasium face: both checkers, rendering, and one contract for every registered figure."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import envs

REGISTERED = {
    figure: f"simgap/{''.join(word.capitalize() for word in figure.split('_'))}-v0" for figure in envs.FIGURES
}
# Contact forces are zero where nothing touches, which is most of them most of the time.
SENSED: dict[str, dict[str, Any]] = {"ant": {"contact_forces": "none"}}
# Checkers find an unbounded observation space suspicious, and motors that take more than ±1; Gymnasium's own have both.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*A Box observation space m(in|ax)imum value is -?infinity:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*recommend (you to use|using) a symmetric and normalized:UserWarning"),
]


def make(figure: str, **options: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(REGISTERED[figure], **options)


def random_episode(figure: str, seed: int, steps: int = 200, **options: Any) -> list[Any]:
    """Every transition of ``steps`` random actions with resets, seeded once."""
    env = make(figure, **options)
    env.action_space.seed(seed)
    seen: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        seen.append(env.step(env.action_space.sample()))
        if seen[-1][2] or seen[-1][3]:
            seen.append(env.reset())
    return seen


def observations(seen: list[Any]) -> Any:
    return np.stack([transition[0] for transition in seen])


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_gymnasium_check_env(figure: str) -> None:
    env = make(figure, domain="target", horizon=500, render_mode="rgb_array")
    gymnasium_check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_sb3_check_env(figure: str) -> None:
    env = make(figure, domain="target", horizon=500, render_mode="rgb_array")
    sb3_check_env(env)
    env.close()


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_the_same_seed_and_actions_give_the_same_transitions(figure: str) -> None:
    np.testing.assert_equal(random_episode(figure, 5), random_episode(figure, 5))


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_the_start_depends_on_the_seed_and_varies(figure: str) -> None:
    env = make(figure, **SENSED.get(figure, {}))
    starts = [env.reset(seed=seed)[0] for seed in (1, 2, 1)]
    assert (starts[0] != starts[1]).all()
    np.testing.assert_array_equal(starts[0], starts[2])
    assert (env.reset()[0] != starts[2]).all()


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_no_entry_of_the_observation_is_constant(figure: str) -> None:
    assert (np.ptp(observations(random_episode(figure, 0, **SENSED.get(figure, {}))), axis=0) > 1e-3).all()


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_observations_share_no_memory(figure: str) -> None:
    seen = [transition[0] for transition in random_episode(figure, 0, steps=20)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(seen) for b in seen[:i])


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_writing_to_an_observation_does_not_reach_the_simulation(figure: str) -> None:
    env, untouched = make(figure), make(figure)
    env.reset(seed=0)[0][:] = np.nan
    untouched.reset(seed=0)
    action = env.action_space.sample()
    np.testing.assert_array_equal(env.step(action)[0], untouched.step(action)[0])


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_the_spaces_are_those_of_the_batched_environment(figure: str) -> None:
    env, batched = make(figure), envs.make_vec(figure, 1, num_threads=1)
    assert env.observation_space == batched.observation_space
    assert env.action_space == batched.action_space
    assert all(env.observation_space.contains(observation) for observation in observations(random_episode(figure, 3)))


@pytest.mark.parametrize(
    ("figure", "fps"),
    [("hopper", 125), ("inverted_pendulum", 25), ("walker2d", 125), ("half_cheetah", 20), ("ant", 20)],
)
def test_figures_have_the_spaces_of_gymnasiums(
    figure: str, fps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Gymnasium's way of compiling the half cheetah writes a warning there
    ours, theirs = make(figure), gymnasium.make(REGISTERED[figure].split("/")[1].replace("v0", "v5"))
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.unwrapped.metadata["render_fps"] == theirs.unwrapped.metadata["render_fps"] == fps


def test_keyword_arguments_pass_through_gymnasium() -> None:
    env: Any = make("hopper", domain="source, torso_mass+1", horizon=7, mass_only=True).unwrapped
    assert isinstance(env, envs.SingleEnv)
    assert (env.horizon, env.model.body("torso").mass[0]) == (7, 3.534)
    np.testing.assert_array_equal(
        env.model.body_inertia, envs.domain_model(envs.task_of("hopper"), "nominal").body_inertia
    )


def test_options_of_the_task_pass_through_gymnasium() -> None:
    env: Any = make("ant", contact_forces="all", forward_reward_weight=2, horizon=7).unwrapped
    assert env.task == envs.task_of("ant[contact_forces=all, forward_reward_weight=2]")
    assert (env.horizon, env.observation_space.shape) == (7, (111,))


def test_an_episode_is_truncated_at_the_horizon() -> None:
    env = make("hopper", horizon=4)
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(np.zeros(3, np.float32))[2:4] for _ in range(4)] == 3 * [(False, False)] + [(False, True)]


def test_diverged_physics_ends_the_episode(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo appends its warnings to a file in the working directory
    env: Any = make("hopper").unwrapped
    before = env.reset(seed=0)[0]
    env.data.qfrc_applied[0] = np.nan
    observation, reward, terminated, truncated, info = env.step(np.zeros(3, np.float32))
    np.testing.assert_array_equal(observation, before)
    assert (reward, terminated, truncated, info["diverged"]) == (0.0, True, False, True)
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(np.zeros(3, np.float32))
    assert (terminated, info["diverged"]) == (False, False)
    assert reward > 0.9


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_frames_show_the_figure_moving(figure: str) -> None:
    env = make(figure, render_mode="rgb_array")
    env.reset(seed=0)
    first: Any = env.render()
    assert (first.shape, first.dtype) == ((480, 480, 3), np.uint8)
    assert first.std() > 10
    for _ in range(8):
        env.step(env.action_space.sample())
    moved: Any = env.render()
    assert (first != moved).any(axis=2).mean() > 0.01
    env.close()


@pytest.mark.parametrize("figure", envs.FIGURES)
def test_rendering_changes_no_result(figure: str) -> None:
    seen = []
    for rendered in (True, False):
        env = make(figure, render_mode="rgb_array")
        env.reset(seed=0)
        env.action_space.seed(0)
        path = []
        for _ in range(10):
            path.append(env.step(env.action_space.sample()))
            if rendered and len(path) == 3:
                env.render()
        env.close()
        seen.append(path)
    np.testing.assert_equal(seen[0], seen[1])


def test_without_a_render_mode_there_is_no_frame() -> None:
    env = envs.make("hopper")
    env.reset(seed=0)
    assert env.render() is None
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"render_mode": "human"}, r"^render_mode is 'human'; accepted: None, 'rgb_array'$"),
        ({"horizon": 0}, r"^horizon is 0; it must be 1 or more$"),
        ({"domain": "mars"}, r"^domain 'mars': cannot read 'mars' "),
        ({"figure": "hoper"}, r"^unknown figure 'hoper'; accepted: hopper, "),
        ({"speed": 1}, r"^figure 'hopper': unknown option 'speed' \(accepted: control_cost_weight, "),
        ({"figure": "hopper[minimum_speed=1]", "minimum_speed": 1}, r": option minimum_speed is given twice$"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make(**{"figure": "hopper", **options})
