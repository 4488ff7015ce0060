"""The frame buffer gives the samples of SB3's buffers, bit for bit, in a fraction of their memory."""

import copy
import json
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from numpy.typing import NDArray
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from agents import FrameReplayBuffer, agent_state, load_agent_state, load_random_state
from experiments.checkpoints import pack, unpack

ACTIONS = Box(-1, 1, (2,), np.float32)
KINDS = ("pixels alone", "pixels and state")


def space_of(kind: str, shape: tuple[int, ...]) -> Box | Dict:
    pixels = Box(0, 255, shape, np.uint8)
    if kind == "pixels alone":
        return pixels
    return Dict({"pixels": pixels, "state": Box(-np.inf, np.inf, (5,), np.float32)})


class Scene:
    """Random pictures of one environment, some of them still, in episodes of 1 to ``longest`` steps."""

    def __init__(self, kind: str, stack: int, frame: tuple[int, ...], longest: int, seed: int) -> None:
        self.kind, self.stack, self.frame, self.longest = kind, stack, frame, longest
        self.rng = np.random.default_rng(seed)
        self.last = self.picture()

    def picture(self) -> NDArray[np.uint8]:
        return self.rng.integers(0, 256, self.frame, np.uint8)

    def reset(self) -> Any:
        if self.rng.random() < 0.8:  # else an episode begins with the picture that the one before ended with
            self.last = self.picture()
        self.shown = [self.last] * self.stack
        self.left = int(self.rng.integers(1, self.longest + 1))
        return self.observation()

    def step(self) -> tuple[Any, bool, bool]:
        """Observation, whether the episode is over, whether that is for its length alone."""
        if self.rng.random() < 0.7:
            self.last = self.picture()
        self.shown.append(self.last)
        self.left -= 1
        return self.observation(), self.left == 0, self.left == 0 and self.rng.random() < 0.5

    def observation(self) -> Any:
        pixels = np.concatenate(self.shown[-self.stack :])
        if self.kind == "pixels alone":
            return pixels
        return {"pixels": pixels, "state": self.rng.normal(size=5).astype(np.float32)}


class Stream:
    """What SB3 hands to a replay buffer, step by step, from several scenes."""

    def __init__(self, kind: str, stack: int, frame: tuple[int, ...], n_envs: int, longest: int = 6, seed: int = 0):
        self.scenes = [Scene(kind, stack, frame, longest, seed * 100 + i) for i in range(n_envs)]
        self.rng = np.random.default_rng(seed)
        self.reset()

    def reset(self) -> None:
        self.observations = [scene.reset() for scene in self.scenes]

    def step(self) -> tuple[Any, ...]:
        before, steps = self.observations, [scene.step() for scene in self.scenes]
        after, done, truncated = zip(*steps, strict=True)
        self.observations = [
            scene.reset() if over else observation
            for scene, over, observation in zip(self.scenes, done, after, strict=True)
        ]
        action, reward = self.rng.normal(size=(len(steps), 2)).astype(np.float32), self.rng.normal(size=len(steps))
        infos = [{"TimeLimit.truncated": value} for value in truncated]
        return batch(before), batch(after), action, reward, np.array(done), infos


def batch(observations: Any) -> Any:
    if isinstance(observations[0], dict):
        return {name: np.stack([observation[name] for observation in observations]) for name in observations[0]}
    return np.stack(observations)


def draw(buffer: ReplayBuffer, seed: int, size: int = 64, env: VecNormalize | None = None) -> Any:
    np.random.seed(seed)  # noqa: NPY002  # the generator that SB3 draws from
    return buffer.sample(size, env)


def assert_same(ours: Any, theirs: Any) -> None:
    """Trees of tensors and arrays of the same types, kinds of number and values."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        ours, theirs = list(ours.values()), list(theirs.values())
    if isinstance(ours, list | tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(ours, torch.Tensor | np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    else:
        assert ours == theirs


def pair(kind: str, size: int, shape: tuple[int, ...], stack: int, n_envs: int) -> tuple[FrameReplayBuffer, Any]:
    """Our buffer and SB3's for the same observations."""
    space = space_of(kind, shape)
    sb3 = ReplayBuffer if kind == "pixels alone" else DictReplayBuffer
    ours = FrameReplayBuffer(size, space, ACTIONS, "cpu", n_envs, stack=stack)
    return ours, sb3(size, space, ACTIONS, "cpu", n_envs)  # type: ignore[arg-type]  # a Dict for DictReplayBuffer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rows", "stack", "channels", "n_envs"),
    [(13, 3, 1, 4), (13, 4, 1, 1), (40, 2, 3, 3), (9, 1, 2, 2), (2, 3, 1, 2), (1, 3, 1, 2)],
)
def test_samples_are_those_of_sb3(kind: str, rows: int, stack: int, channels: int, n_envs: int) -> None:
    frame = (channels, 4, 5)
    # One more than a multiple: both round down.
    size = rows * n_envs + n_envs // 2
    ours, theirs = pair(kind, size, (stack * channels, 4, 5), stack, n_envs)
    stream = Stream(kind, stack, frame, n_envs)
    lengths: set[int] = set()
    kinds_of_end: set[bool] = set()
    length = np.zeros(n_envs, int)
    for step in range(150):
        transition = stream.step()
        ours.add(*transition)
        theirs.add(*transition)
        assert (ours.pos, ours.full, ours.size()) == (theirs.pos, theirs.full, theirs.size())
        assert_same(draw(ours, step), draw(theirs, step))
        length += 1
        *_, done, infos = transition
        lengths.update(length[done].tolist())
        kinds_of_end.update(info["TimeLimit.truncated"] for info, over in zip(infos, done, strict=True) if over)
        length[done] = 0
    assert lengths == {1, 2, 3, 4, 5, 6}
    assert kinds_of_end == {False, True}
    assert theirs.buffer_size == rows  # so the ring went round three times or more


def test_ends_by_the_clock_are_ends_if_timeouts_are_not_handled() -> None:
    space, options = space_of("pixels alone", (2, 4, 4)), {"handle_timeout_termination": False}
    ours = FrameReplayBuffer(150, space, ACTIONS, "cpu", 3, stack=2, **options)
    theirs = ReplayBuffer(150, space, ACTIONS, "cpu", 3, **options)
    handled, _ = pair("pixels alone", 150, (2, 4, 4), 2, 3)
    stream = Stream("pixels alone", 2, (1, 4, 4), 3)
    for _ in range(50):
        transition = stream.step()
        for buffer in (ours, theirs, handled):
            buffer.add(*transition)
    assert_same(draw(ours, 0), draw(theirs, 0))
    assert draw(ours, 0).dones.sum() > draw(handled, 0).dones.sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_environments_that_are_reset_amid_an_episode_keep_its_last_frame(kind: str) -> None:
    ours, theirs = pair(kind, 60, (3, 4, 4), 3, 2)
    stream = Stream(kind, 3, (1, 4, 4), 2, longest=1000)  # no episode ends by itself
    for step in range(90):
        transition = stream.step()
        assert not transition[4].any()
        ours.add(*transition)
        theirs.add(*transition)
        assert_same(draw(ours, step), draw(theirs, step))
        if step % 7 == 0:  # as SB3 does at each call of learn()
            stream.reset()


def test_rewards_and_states_are_normalised_as_by_sb3() -> None:
    ours, theirs = pair("pixels and state", 40, (3, 36, 36), 3, 2)
    stream = Stream("pixels and state", 3, (1, 36, 36), 2)
    for _ in range(15):
        transition = stream.step()
        ours.add(*transition)
        theirs.add(*transition)
    env = VecNormalize(DummyVecEnv([lambda: Pictures("pixels and state", 0)] * 2), norm_obs_keys=["state"])
    env.obs_rms["state"].mean += 3.0
    env.ret_rms.var = np.array(4.0)
    assert_same(draw(ours, 0, env=env), draw(theirs, 0, env=env))
    plain = draw(theirs, 0)
    assert (draw(ours, 0, env=env).observations["state"] < plain.observations["state"] - 2).all()
    assert (draw(ours, 0, env=env).rewards.abs() < plain.rewards.abs()).all()


def arrays_of(buffer: ReplayBuffer) -> int:
    """Bytes in a buffer's arrays."""
    total = 0
    for value in vars(buffer).values():
        for array in value.values() if isinstance(value, dict) else (value,):
            total += array.nbytes if isinstance(array, np.ndarray) else 0
    return total


@pytest.mark.parametrize("stack", [1, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_takes_its_own_size_once(kind: str, stack: int) -> None:
    rows, n_envs, frame = 200, 2, 40 * 40
    ours, theirs = pair(kind, rows * n_envs, (stack, 40, 40), stack, n_envs)
    assert ours.frames.nbytes == (rows + stack) * n_envs * frame
    frames_of_sb3 = 2 * stack * rows * n_envs * frame
    assert arrays_of(theirs) > frames_of_sb3
    # All else: two states of 5 numbers, an action of 2, reward, done, timeout, age and slot, of 4 bytes each.
    others = rows * n_envs * 4 * (7 + 10 * (kind == "pixels and state"))
    assert arrays_of(ours) == ours.frames.nbytes + others
    assert arrays_of(ours) / arrays_of(theirs) == pytest.approx(1 / (2 * stack), rel=0.06)


def test_frames_that_ended_episodes_go_with_their_transitions() -> None:
    ours, _ = pair("pixels alone", 40, (3, 4, 4), 3, 2)
    for longest in (1, 3):
        stream, ends = Stream("pixels alone", 3, (1, 4, 4), 2, longest, seed=longest), []
        for _ in range(300):
            transition = stream.step()
            fresh = batch(stream.observations)[:, -1] != transition[1][:, -1]
            ends.append((transition[4] & fresh.any(axis=(1, 2))).sum())
            first = ours.size() == 0
            ours.add(*transition)
            assert len(ours.end_frames) <= (0 if first else 2 * 40 + 2)
        # Of the 20 rows, the newest has its next frame in the ring still.
        assert (ours.end_slots >= 0).sum() == sum(ends[-20:-1])
    assert 5 < sum(ends[-20:-1]) < 35


def through_a_checkpoint(tree: Any) -> Any:
    arrays: dict[str, NDArray[Any]] = {}
    data = json.loads(json.dumps(pack(tree, arrays)))
    return unpack(data, {name: array.copy() for name, array in arrays.items()})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("steps", "full"), [(0, False), (1, False), (11, False), (12, True), (31, True), (61, True)])
def test_a_restored_buffer_continues_bit_identically(kind: str, steps: int, full: bool) -> None:
    whole, theirs = pair(kind, 36, (3, 4, 4), 3, 3)
    fresh, used = (pair(kind, 36, (3, 4, 4), 3, 3)[0] for _ in range(2))
    other, stream = Stream(kind, 3, (1, 4, 4), 3, seed=9), Stream(kind, 3, (1, 4, 4), 3)
    for _ in range(17):
        used.add(*other.step())
    for _ in range(steps):
        transition = stream.step()
        whole.add(*transition)
        theirs.add(*transition)
    state = whole.state_dict()
    assert whole.full is full
    assert np.shares_memory(state["frames"], whole.frames)
    assert len(state["frames"]) == (15 if full else steps + 1)  # only what was written is kept
    assert (len(state["end_frames"]) > 0) == (steps > 1)
    for restored in (fresh, used):
        restored.load_state_dict(through_a_checkpoint(state))
        assert_same(restored.state_dict(), state)
    for step in range(40):
        transition = stream.step()
        for buffer in (whole, fresh, used, theirs):
            buffer.add(*transition)
        assert_same(draw(fresh, step), draw(theirs, step))
        assert_same(draw(used, step), draw(theirs, step))
        assert_same(fresh.state_dict(), whole.state_dict())


@pytest.mark.parametrize(
    ("size", "shape", "stack", "n_envs"),
    [(60, (3, 4, 4), 3, 2), (40, (3, 4, 5), 3, 2), (40, (3, 4, 4), 1, 2), (40, (3, 4, 4), 3, 4)],
)
def test_the_state_of_another_buffer_is_refused(size: int, shape: tuple[int, ...], stack: int, n_envs: int) -> None:
    ours, _ = pair("pixels alone", 40, (3, 4, 4), 3, 2)
    other, _ = pair("pixels alone", size, shape, stack, n_envs)
    with pytest.raises(ValueError, match=r"^frames of shape \[.*\] do not fit a buffer of \[23, 2, 1, 4, 4\]$"):
        ours.load_state_dict(through_a_checkpoint(other.state_dict()))


def test_a_buffer_that_was_reset_is_empty_and_fills_anew() -> None:
    ours, theirs = pair("pixels alone", 36, (3, 4, 4), 3, 3)
    fresh, _ = pair("pixels alone", 36, (3, 4, 4), 3, 3)
    other, stream = Stream("pixels alone", 3, (1, 4, 4), 3, seed=9), Stream("pixels alone", 3, (1, 4, 4), 3)
    for _ in range(17):
        ours.add(*other.step())
    ours.reset()
    assert ours.size() == 0
    assert not (ours.end_slots >= 0).any()
    for step in range(11):  # not full: all that was written is in the state
        transition = stream.step()
        for buffer in (ours, fresh, theirs):
            buffer.add(*transition)
        assert_same(draw(ours, step), draw(theirs, step))
        assert_same(ours.state_dict(), fresh.state_dict())


def newest_first(transition: tuple[Any, ...]) -> tuple[Any, ...]:
    obs, next_obs, *rest = transition
    return obs[:, ::-1], next_obs[:, ::-1], *rest


def padded_with_black(transition: tuple[Any, ...]) -> tuple[Any, ...]:
    obs, *rest = transition
    first = (obs == obs[:, -1:]).all(axis=(1, 2, 3))
    obs = obs.copy()
    obs[first, :-1] = 0
    return obs, *rest


def unstacked_at_the_end(transition: tuple[Any, ...]) -> tuple[Any, ...]:
    obs, next_obs, action, reward, done, infos = transition
    next_obs = next_obs.copy()
    next_obs[done] = next_obs[done, -1:]
    return obs, next_obs, action, reward, done, infos


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (newest_first, "next observation"),
        (padded_with_black, "observation"),
        (unstacked_at_the_end, "next observation"),
    ],
)
def test_stacks_that_are_made_in_another_way_are_refused(change: Any, name: str) -> None:
    ours, _ = pair("pixels alone", 200, (3, 4, 4), 3, 1)
    stream = Stream("pixels alone", 3, (1, 4, 4), 1)
    for _ in range(20):
        ours.add(*stream.step())
    message = (
        f"^{name} of environment 0 does not go on from the one before; accepted: the last 3 frames, oldest first, "
        "and after a reset the first frame 3 times$"
    )
    changed = [change(stream.step()) for _ in range(20)]
    with pytest.raises(ValueError, match=message):
        ours.extend(*zip(*changed, strict=True))


def test_the_environment_of_a_wrong_stack_is_named() -> None:
    ours, _ = pair("pixels alone", 200, (3, 4, 4), 3, 4)
    obs, next_obs, *rest = Stream("pixels alone", 3, (1, 4, 4), 4).step()
    next_obs[2, 0, 0, 0] ^= 1
    with pytest.raises(ValueError, match=r"^next observation of environment 2 does not go on"):
        ours.add(obs, next_obs, *rest)


_PIXELS, _STATE = Box(0, 255, (3, 4, 4), np.uint8), Box(-1, 1, (5,), np.float32)


@pytest.mark.parametrize(
    "space",
    [
        Box(0, 1, (3, 4, 4), np.float32),
        Box(0, 255, (3, 4), np.uint8),
        Discrete(3),
        Dict({"pixels": _PIXELS}),
        Dict({"pixels": _STATE, "state": _STATE}),
        Dict({"pixels": _PIXELS, "state": Box(-1, 1, (5, 1), np.float32)}),
        Dict({"pixels": _PIXELS, "state": Box(0, 9, (5,), np.int64)}),
        Dict({"pixels": _PIXELS, "state": _STATE, "goal": _STATE}),
    ],
    ids=str,
)
def test_other_observation_spaces_are_refused(space: Any) -> None:
    with pytest.raises(ValueError, match=r"^observation space is .*; accepted: Box\(uint8, \(stack \* channels, "):
        FrameReplayBuffer(10, space, ACTIONS, "cpu", stack=3)


@pytest.mark.parametrize("stack", [0, -3, 2, 4])
def test_a_stack_that_does_not_divide_the_first_axis_is_refused(stack: int) -> None:
    message = rf"^stack is {stack} for pixels of shape \(3, 4, 4\); it must be a divisor of 3$"
    with pytest.raises(ValueError, match=message):
        FrameReplayBuffer(10, _PIXELS, ACTIONS, "cpu", stack=stack)


def test_sb3s_own_saving_of_memory_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^optimize_memory_usage is True; a FrameReplayBuffer accepts False"):
        FrameReplayBuffer(10, _PIXELS, ACTIONS, "cpu", optimize_memory_usage=True, stack=3)


class Pictures(gymnasium.Env[Any, Any]):
    """A scene for SB3, with a reward for small actions."""

    action_space = ACTIONS

    def __init__(self, kind: str, seed: int) -> None:
        self.observation_space = space_of(kind, (3, 36, 36))
        self.scene = Scene(kind, 3, (1, 36, 36), 6, seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.scene.reset(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, over, truncated = self.scene.step()
        return observation, -float(np.square(action).sum()), over and not truncated, truncated, {}


def make_sac(kind: str, env: DummyVecEnv, buffer: type[ReplayBuffer] | None, seed: int = 0) -> SAC:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    env.action_space.seed(seed)
    extractor = {"features_dim": 8} if kind == "pixels alone" else {"cnn_output_dim": 8}
    agent = SAC(
        "CnnPolicy" if kind == "pixels alone" else "MultiInputPolicy",
        env,
        learning_starts=12,
        batch_size=8,
        buffer_size=48,
        replay_buffer_class=buffer,
        replay_buffer_kwargs={"stack": 3} if buffer is FrameReplayBuffer else None,
        policy_kwargs={"net_arch": [8], "features_extractor_kwargs": extractor},
        device="cpu",
    )
    agent.action_space.seed(seed)
    agent.set_logger(Logger(None, []))
    return agent


def make_pictures(kind: str) -> DummyVecEnv:
    return DummyVecEnv([lambda seed=seed: Pictures(kind, seed) for seed in range(3)])  # type: ignore[misc]  # a lambda


class Snapshot(BaseCallback):
    """Copies the agent's state and the environments at the start of the rollout after ``steps``."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.state: dict[str, Any] = {}

    def _on_rollout_start(self) -> None:
        if self.num_timesteps == self.steps:
            self.state = through_a_checkpoint(agent_state(self.model))
            self.env = copy.deepcopy(self.training_env)

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize("kind", KINDS)
def test_sac_learns_the_same_from_it_as_from_sb3s_buffer(kind: str) -> None:
    parameters = []
    for buffer in (FrameReplayBuffer, None):
        agent = make_sac(kind, make_pictures(kind), buffer)
        initial = copy.deepcopy(agent.get_parameters()["policy"])
        agent.learn(45).learn(30)  # the second call resets the environments amid their episodes
        parameters.append(agent.get_parameters()["policy"])
    assert isinstance(agent.replay_buffer, DictReplayBuffer if kind == "pixels and state" else ReplayBuffer)
    assert_same(*parameters)
    assert not torch.equal(parameters[0]["actor.mu.weight"], initial["actor.mu.weight"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [30, 60])
def test_sac_that_was_interrupted_continues_bit_identically(kind: str, steps: int) -> None:
    whole, snapshot = make_sac(kind, make_pictures(kind), FrameReplayBuffer), Snapshot(steps)
    whole.learn(90, snapshot)
    assert isinstance(whole.replay_buffer, FrameReplayBuffer)

    restored = make_sac(kind, snapshot.env, FrameReplayBuffer, seed=5)  # type: ignore[arg-type]  # is a DummyVecEnv
    load_agent_state(restored, snapshot.state)
    load_random_state(restored, snapshot.state)
    assert_same(through_a_checkpoint(agent_state(restored)["replay"]), snapshot.state["replay"])
    restored.learn(90 - steps, reset_num_timesteps=False)
    assert isinstance(restored.replay_buffer, FrameReplayBuffer)
    assert_same(restored.replay_buffer.state_dict(), whole.replay_buffer.state_dict())
    assert_same(restored.get_parameters()["policy"], whole.get_parameters()["policy"])
