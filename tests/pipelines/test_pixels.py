"""Stacks of frames: what an observation holds, at the beginning, in the middle and at the end of an episode."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

import envs
from envs.film import Film
from envs.frames import Frames
from experiments.checkpoints import pack, unpack
from pipelines.pixels import PixelsPipeline


def simulations(num_envs: int = 2, **options: Any) -> envs.BatchedEnv:
    return envs.make_vec("hopper", num_envs, "source", num_threads=1, **options)


def actions(count: int, num_envs: int = 2, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (count, num_envs, 3)).astype(np.float32)


def frames_of(env: envs.BatchedEnv, pipeline: PixelsPipeline) -> npt.NDArray[np.uint8]:
    """What each simulation looks like now, channels first."""
    frames = Frames(Film(env.model, env.num_envs, pipeline.camera, pipeline.size, pipeline.gray))
    seen = frames.draw(env.shot()).transpose(0, 3, 1, 2)
    frames.close()
    return seen


@pytest.mark.parametrize(("gray", "stack", "camera"), [(True, 1, "rail"), (True, 3, "track"), (False, 2, "rail")])
def test_an_observation_is_the_last_frames(gray: bool, stack: int, camera: str) -> None:
    pipeline = PixelsPipeline(size=40, gray=gray, stack=stack, camera=camera, critic="pixels")
    twin: Any = simulations()
    env: Any = pipeline.wrap(simulations(), "pixels", 0)
    channels = 1 if gray else 3
    assert env.observation_space.shape == (stack * channels, 40, 40)
    assert is_image_space(env.observation_space)
    assert is_image_space_channels_first(env.observation_space)
    twin.reset()
    seen = [frames_of(twin, pipeline)] * stack
    np.testing.assert_array_equal(env.reset(), np.concatenate(seen[-stack:], axis=1))
    before = None
    for action in actions(4):
        twin.step(action)
        seen.append(frames_of(twin, pipeline))
        observations = env.step(action)[0]
        np.testing.assert_array_equal(observations, np.concatenate(seen[-stack:], axis=1))
        if before is not None:  # SB3 keeps the last one
            np.testing.assert_array_equal(before[0], before[1])
        before = observations, observations.copy()
    env.close()


def test_an_episode_ends_with_its_last_frame_and_begins_with_its_first() -> None:
    pipeline = PixelsPipeline(size=40, critic="state")
    twin: Any = simulations(horizon=3)
    env = pipeline.wrap(simulations(horizon=3), "pixels", 0)
    first: Any = env.reset()
    np.testing.assert_array_equal(first["state"], twin.reset())
    seen = [first["pixels"][:, -1:]]
    for action in actions(3):
        states, _, dones, infos = twin.step(action)
        observations: Any
        observations, _, _, ours = env.step(action)
        seen.append(observations["pixels"][:, -1:])
        np.testing.assert_array_equal(observations["state"], states)
    assert dones.all()
    ended = Frames(Film(twin.model, 2, "rail", 40, gray=True))
    assert twin.ended is not None
    last = ended.draw(twin.ended).transpose(0, 3, 1, 2)
    ended.close()
    now = frames_of(twin, pipeline)
    for i in range(2):
        terminal = ours[i]["terminal_observation"]
        np.testing.assert_array_equal(terminal["state"], infos[i]["terminal_observation"])
        np.testing.assert_array_equal(terminal["pixels"], np.concatenate((seen[1][i], seen[2][i], last[i])))
        np.testing.assert_array_equal(observations["pixels"][i], np.repeat(now[i], 3, axis=0))
        assert (last[i] != now[i]).any()
    env.close()


def test_it_continues_from_a_checkpoint() -> None:
    def act(env: Any, seed: int) -> list[Any]:
        return [env.step(action)[0] for action in actions(7, seed=seed)]

    env: Any
    again: Any
    env, again = (PixelsPipeline(size=36, critic="pixels").wrap(simulations(horizon=5), "pixels", 0) for _ in range(2))
    env.reset()
    act(env, 0)
    tensors: dict[str, Any] = {}
    saved = unpack(json.loads(json.dumps(pack([env.venv.state_dict(), env.state_dict()], tensors))), tensors)
    wanted = act(env, 1)
    again.reset()
    again.venv.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    np.testing.assert_array_equal(act(again, 1), wanted)
    env.close()
    again.close()


def test_looks_are_drawn_for_training_alone() -> None:
    plain, drawn = PixelsPipeline(), PixelsPipeline(appearance=True)
    assert (plain.training_sight, drawn.training_sight) == ("pixels", "appearance")
    assert plain.sights[0] == drawn.sights[0] == "pixels"
    pictures: list[Any] = []
    for pipeline, sight, seed in (
        (plain, "pixels", 0),
        (drawn, "pixels", 0),
        (drawn, "appearance", 0),
        (drawn, "appearance", 0),
        (drawn, "appearance", 1),
    ):
        env = pipeline.wrap(simulations(), sight, seed)
        seen: Any = env.reset()
        pictures.append(seen["pixels"][:, -1])
        env.close()
    np.testing.assert_array_equal(pictures[1], pictures[0])
    np.testing.assert_array_equal(pictures[3], pictures[2])
    for a, b in ((0, 2), (2, 4)):
        assert np.abs(pictures[a].astype(int) - pictures[b]).mean() > 5
    assert np.abs(pictures[2][0].astype(int) - pictures[2][1]).mean() > 5


def test_more_looks_than_there_are_textures_are_refused_before_anything_is_drawn() -> None:
    """Of MuJoCo's 1000 the hopper has 3, and a look takes 9: floor, backdrop, four links and three distractors."""
    PixelsPipeline(size=40).wrap(simulations(110), "appearance", 0).close()
    PixelsPipeline(size=40).wrap(simulations(111), "pixels", 0).close()
    message = r"^looks of 111 environments; MuJoCo has textures for 110 of this figure at most$"
    with pytest.raises(ValueError, match=message):
        PixelsPipeline(size=40).wrap(simulations(111), "appearance", 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": "drone"}, "unknown camera 'drone'; accepted: track, rail"),
        ({"encoder": "vgg"}, "unknown encoder 'vgg'; accepted: nature, impala"),
        ({"critic": "pose"}, "unknown critic 'pose'; accepted: pixels, state"),
        ({"size": 0}, "size is 0; it must be from 1 to 4096 px"),
        ({"stack": 0}, "stack is 0; it must be from 1 to 16"),
        ({"size": 40, "shift": 20}, "shift is 20; it must be 0 or more, and below half of the size"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        PixelsPipeline(**changes)


def test_the_last_actions_are_told_and_forgotten_at_a_reset() -> None:
    env: Any = PixelsPipeline(size=40, stack=2, supervised=True).wrap(simulations(horizon=3), "pixels", 0)
    assert list(env.observation_space.spaces) == ["actions", "pixels", "state"]
    assert env.observation_space["actions"].shape == (6,)
    first = env.reset()
    np.testing.assert_array_equal(first["actions"], np.zeros((2, 6)))
    taken = actions(4)
    for step in range(2):
        seen = env.step(taken[step])[0]["actions"]
        before = taken[step - 1] if step else np.zeros((2, 3))
        np.testing.assert_array_equal(seen, np.concatenate([before, taken[step]], axis=1))
    kept = seen.copy()
    observations, _, dones, infos = env.step(taken[2])
    assert dones.all()
    np.testing.assert_array_equal(seen, kept)  # SB3 keeps the last one
    for i in range(2):
        end = infos[i]["terminal_observation"]
        np.testing.assert_array_equal(end["actions"], np.concatenate([taken[1, i], taken[2, i]]))
    np.testing.assert_array_equal(observations["actions"], np.zeros((2, 6)))
    env.step(taken[3])
    other: Any = PixelsPipeline(size=40, stack=2, supervised=True).wrap(simulations(horizon=3), "pixels", 0)
    tensors: dict[str, Any] = {}
    other.load_state_dict(unpack(pack(env.state_dict(), tensors), tensors))
    np.testing.assert_array_equal(other.actions, env.actions)
    env.close()


@pytest.mark.parametrize("changes", [{"critic": "pixels"}, {"shift": 2}])
def test_what_an_encoder_cannot_be_fitted_with(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^supervised is true; accepted with it: critic state"):
        PixelsPipeline(supervised=True, **changes)
