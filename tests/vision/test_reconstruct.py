"""MuJoCo's states come back from its own keypoints, in the observation's order, signs and units."""

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from envs.hopper import Hopper
from envs.render import Camera as Mount
from envs.task import load_model
from experiments.evaluate import load_trained
from experiments.run import open_run
from vision.camera import Array, Camera
from vision.keypoints import keypoints_of
from vision.reconstruct import GRAVITY, STIFFNESS, ChainFilter, Estimator, TwoFrame, View

MODEL = load_model(Hopper())
BODIES = [MODEL.body(i).name for i in range(MODEL.nbody)]
REST = np.array([0, 1.25, 0, 0, 0, 0])
DT = 0.008
ANGLES, RATES = slice(1, 5), slice(7, 11)
VIEWS = {"track": View(224, 224, None), "rail": View(224, 224, 1.0)}
Make = Callable[[View, int], Estimator]
both = pytest.mark.parametrize("make", [TwoFrame, ChainFilter])
cameras = pytest.mark.parametrize("camera", VIEWS)


def pixels(qpos: Array, camera: str = "rail", shift: Array | float = 0.0, size: tuple[int, int] = (224, 224)) -> Array:
    """Keypoints ``(..., 5, 2)`` of positions ``(..., 6)``, through a camera that is ``shift`` m further along x."""
    mount, data = Mount(MODEL, camera), mujoco.MjData(MODEL)
    found = []
    shifts = np.broadcast_to(shift, qpos.shape[:-1]).ravel()
    for row, x in zip(qpos.reshape(-1, 6), shifts, strict=True):
        data.qpos[:] = row
        mujoco.mj_forward(MODEL, data)
        mount.place(data)
        position, rotation = data.cam_xpos[mount.id] + [x, 0, 0], data.cam_xmat[mount.id].reshape(3, 3)
        seen = Camera(position, rotation, np.array(MODEL.cam_fovy[mount.id]), *size)
        found.append(seen.project(keypoints_of("hopper").locate(BODIES, data.xpos, data.xmat))[0])
    return np.array(found).reshape(*qpos.shape[:-1], 5, 2)


def follow(estimator: Estimator, frames: Array, confidences: Array | None = None) -> Array:
    """Observations ``(steps, n, 11)`` of keypoints ``(steps, n, 5, 2)``."""
    weights = np.ones(frames.shape[:-1]) if confidences is None else confidences
    return np.array([estimator.update(*frame) for frame in zip(frames, weights, strict=True)])


def wrapped(angles: Array) -> Array:
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi)


def rmse(errors: Array) -> Array:
    return np.asarray(np.sqrt((errors**2).mean(axis=(0, 1))))


@pytest.fixture(scope="module")
def states() -> Array:
    """A hopping policy's first 250 steps in four simulations: ``(250, 4, 12)``."""
    good = Path(__file__).parents[2] / "results/pretrained/policies/hopper/good"
    policy = load_trained(open_run(good), "source", 4, num_threads=1)
    observations = policy.env.reset()
    found = []
    for _ in range(250):
        found.append(policy.simulation.states())
        actions, _ = policy.agent.predict(observations, deterministic=True)  # type: ignore[arg-type]
        observations, _, dones, _ = policy.env.step(actions)
        assert not dones.any()
    return np.array(found)


@pytest.fixture(scope="module")
def seen(states: Array) -> dict[str, Array]:
    return {camera: pixels(states[..., :6], camera) for camera in VIEWS}


def truth(states: Array) -> Array:
    return np.concatenate((states[..., 1:6], np.clip(states[..., 6:], -10, 10)), axis=-1)


def noisy(frames: Array, deviation: float = 0.5) -> Array:
    return np.asarray(frames + np.random.default_rng(0).normal(0, deviation, frames.shape))


@both
@pytest.mark.parametrize("size", [(224, 224), (320, 180), (180, 320)])
def test_any_pose_comes_back_from_one_frame(make: Make, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    qpos = np.concatenate((rng.uniform([-9, 1], [9, 1.4], (50, 2)), rng.uniform(-3.1, 3.1, (50, 4))), axis=1)
    found = make(View(*size, elevation=1.0), 50).update(pixels(qpos, size=size), np.ones((50, 5)))
    np.testing.assert_allclose(found[:, 0], qpos[:, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(wrapped(found[:, ANGLES] - qpos[:, 2:]), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 5:], 0, atol=1e-6)


@both
@cameras
def test_the_reference_pose_is_where_angles_are_zero(make: Make, camera: str) -> None:
    found = make(VIEWS[camera], 1).update(pixels(REST[None], camera), np.ones((1, 5)))
    # The foot of the reference pose is 4 cm above the floor, where TwoFrame puts it.
    height = 1.21 if (make, camera) == (TwoFrame, "track") else 1.25
    np.testing.assert_allclose(found, [[height, *[0] * 10]], atol=1e-9)


def test_two_frames_are_differenced(states: Array, seen: dict[str, Array]) -> None:
    found = follow(TwoFrame(VIEWS["rail"], 4), seen["rail"])
    moved = np.clip(np.diff(states[..., :6], axis=0) / DT, -10, 10)
    np.testing.assert_allclose(found[..., :5], states[..., 1:6], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1:, :, 6:], moved[..., 1:], rtol=0, atol=1e-6)
    # A mean over the frame is not the velocity at its end, but no further from it than the frame's own change is.
    change = rmse(np.diff(truth(states), axis=0))
    assert (rmse(found - truth(states))[6:] < change[6:]).all()


@cameras
def test_the_filter_follows_noiseless_keypoints(states: Array, seen: dict[str, Array], camera: str) -> None:
    errors = rmse(follow(ChainFilter(VIEWS[camera], 4), seen[camera]) - truth(states))
    assert (errors[ANGLES] < 0.015).all()
    # It takes 0.5 px of noise to be there, so it smooths what changes from frame to frame: rounded up from measured.
    assert (errors[RATES] < [0.8, 1.2, 1.4, 1.7]).all()


@both
def test_links_turn_through_half_a_turn_at_their_own_rate(make: Make) -> None:
    rates = np.array([4.0, -3.0, 5.0, -7.0])
    time = np.arange(400)[:, None] * DT
    qpos = np.concatenate((np.zeros((400, 1)), np.full((400, 1), 1.25), rates * time), axis=1)[:, None]
    shift = -pixels_shift(qpos)
    found = follow(make(VIEWS["rail"], 1), pixels(qpos, shift=shift))
    np.testing.assert_allclose(wrapped(found[200:, 0, ANGLES] - qpos[200:, 0, 2:]), 0, atol=1e-3)
    np.testing.assert_allclose(found[200:, 0, RATES] - rates, 0, atol=1e-1)
    assert (np.abs(found[..., ANGLES]) <= np.pi).all()
    assert (np.abs(np.diff(found[:, 0, ANGLES], axis=0)).max(axis=0) > 6).all()  # each went over the edge


def pixels_shift(qpos: Array) -> Array:
    """How far the camera of MuJoCo is along x, so that a test can keep it at 0."""
    data, found = mujoco.MjData(MODEL), []
    for row in qpos.reshape(-1, 6):
        data.qpos[:] = row
        mujoco.mj_forward(MODEL, data)
        found.append(data.cam_xpos[0, 0])
    return np.array(found).reshape(qpos.shape[:-1])


@cameras
def test_with_half_a_pixel_of_noise_the_filters_rates_are_twice_as_good(
    states: Array, seen: dict[str, Array], camera: str
) -> None:
    frames = noisy(seen[camera])
    two, filtered = (rmse(follow(make(VIEWS[camera], 4), frames) - truth(states)) for make in (TwoFrame, ChainFilter))
    assert (filtered[RATES] < two[RATES] / 2).all()
    assert (filtered[ANGLES] < two[ANGLES]).all()
    assert filtered[5] < two[5] / 1.5
    assert filtered[0] < (0.005 if camera == "rail" else two[0] / 1.5)


@both
def test_a_hidden_camera_motion_is_known_in_stance_and_carried_through_flight(make: Make) -> None:
    standing, flying = np.tile(REST - [0, 0.06, 0, 0, 0, 0], (150, 1, 1)), np.tile(REST, (20, 1, 1))
    passing = np.minimum(np.arange(170), 149)[:, None] * DT  # 1 m/s past a standing body, then beside a flying one
    found = follow(make(VIEWS["rail"], 1), pixels(np.concatenate((standing, flying)), shift=passing))
    np.testing.assert_allclose(found[100:150, 0, 5], 0, atol=1e-6 if make is TwoFrame else 0.01)
    np.testing.assert_allclose(found[165:, 0, 5], 1, atol=1e-6 if make is TwoFrame else 0.05)


def test_unseen_height_falls_freely_until_the_floor_carries_it() -> None:
    found = follow(ChainFilter(VIEWS["track"], 1), pixels(np.tile(REST, (300, 1, 1)), "track"))
    time = np.arange(10) * DT
    np.testing.assert_allclose(found[:10, 0, 0], 1.25 - GRAVITY * time**2 / 2, atol=1e-3)
    np.testing.assert_allclose(found[:10, 0, 6], -GRAVITY * time, atol=1e-9)
    np.testing.assert_allclose(found[-1, 0, [0, 6]], [1.21 - GRAVITY / STIFFNESS, 0], atol=1e-6)


@both
@cameras
def test_rows_do_not_depend_on_one_another(make: Make, camera: str, seen: dict[str, Array]) -> None:
    frames = np.concatenate((noisy(seen[camera][:60]), noisy(seen[camera][60:120], 1.0)), axis=1)
    together = follow(make(VIEWS[camera], 8), frames)
    for i in range(8):
        np.testing.assert_array_equal(follow(make(VIEWS[camera], 1), frames[:, i : i + 1])[:, 0], together[:, i])


@both
@cameras
def test_a_reset_is_a_fresh_start_of_that_environment_alone(make: Make, camera: str, seen: dict[str, Array]) -> None:
    frames = noisy(seen[camera][:80])
    undisturbed = follow(make(VIEWS[camera], 4), frames)
    estimator = make(VIEWS[camera], 4)
    follow(estimator, frames[:40])
    estimator.reset(np.array([1, 3]))
    after = follow(estimator, frames[40:])
    np.testing.assert_array_equal(after[:, [0, 2]], undisturbed[40:, [0, 2]])
    np.testing.assert_array_equal(after[:, [1, 3]], follow(make(VIEWS[camera], 4), frames[40:])[:, [1, 3]])
    estimator.reset([])


@both
@cameras
@pytest.mark.parametrize("way", ["confidence 0", "NaN", "infinite", "far outside"])
def test_points_that_are_not_seen_are_predicted(make: Make, camera: str, way: str, seen: dict[str, Array]) -> None:
    frames, weights = seen[camera].copy(), np.ones(seen[camera].shape[:-1])
    hidden = np.random.default_rng(1).random(weights.shape) < 0.1
    hidden[100:105] = True
    garbage = {"confidence 0": 50.0, "NaN": np.nan, "infinite": -np.inf, "far outside": 1e300}[way]
    frames[hidden, 1] = garbage
    if way == "confidence 0":
        weights[hidden] = 0
    found = follow(make(VIEWS[camera], 4), frames, weights)
    whole = follow(make(VIEWS[camera], 4), seen[camera])
    assert np.isfinite(found).all()
    difference = wrapped(found[..., ANGLES] - whole[..., ANGLES])
    assert (rmse(difference) < 0.1).all()
    assert (np.abs(difference[110:][~hidden[110:].any(axis=-1)]) < 0.1).all()


@both
@cameras
def test_an_episode_in_which_nothing_was_seen_yet_is_the_reference_pose(make: Make, camera: str) -> None:
    found = make(VIEWS[camera], 2).update(np.full((2, 5, 2), np.nan), np.ones((2, 5)))
    np.testing.assert_allclose(found[:, 0], 1.21 if (make, camera) == (TwoFrame, "track") else 1.25, atol=1e-9)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-9)


@both
def test_a_frame_after_a_second_without_any_is_believed(make: Make, seen: dict[str, Array]) -> None:
    frames, weights = seen["rail"], np.ones(seen["rail"].shape[:-1])
    weights[60:185] = 0
    found = follow(make(VIEWS["rail"], 4), frames, weights)
    whole = follow(make(VIEWS["rail"], 4), frames)
    np.testing.assert_allclose(wrapped(found[185:, :, ANGLES] - whole[185:, :, ANGLES]), 0, atol=0.05)
    np.testing.assert_allclose(found[220:, :, RATES], whole[220:, :, RATES], atol=0.1)


@both
def test_velocities_are_clipped_as_the_observation_is(make: Make) -> None:
    qpos = np.tile(REST, (30, 1, 1))
    qpos[:, 0, 5] = 20 * DT * np.arange(30)
    found = follow(make(VIEWS["rail"], 1), pixels(qpos))
    assert found[-1, 0, 10] == 10


@both
@pytest.mark.parametrize(
    ("keypoints", "confidences", "message"),
    [
        ((2, 4, 2), np.ones((2, 5)), r"^keypoints have the shape \(2, 4, 2\); accepted: \(2, 5, 2\)$"),
        ((3, 5, 2), np.ones((3, 5)), r"^keypoints have the shape \(3, 5, 2\); accepted: \(2, 5, 2\)$"),
        ((2, 5, 2), np.ones((2, 5, 1)), r"^confidences have the shape \(2, 5, 1\); accepted: \(2, 5\)$"),
        ((2, 5, 2), np.full((2, 5), np.nan), r"^a confidence is nan; accepted: finite numbers of 0 or more$"),
        ((2, 5, 2), np.full((2, 5), -0.5), r"^a confidence is -0\.5; accepted: finite numbers of 0 or more$"),
    ],
)
def test_frames_that_are_none_are_refused(
    make: Make, keypoints: tuple[int, ...], confidences: Array, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(VIEWS["rail"], 2).update(np.zeros(keypoints), confidences)


@both
@pytest.mark.parametrize("ids", [[2], [-1], [0.0], [True, False]])
def test_a_reset_of_what_is_no_environment_is_refused(make: Make, ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^ids are \[.*\]; accepted: numbers of environments from 0 to 1$"):
        make(VIEWS["rail"], 2).reset(ids)


@pytest.mark.parametrize("estimator", [TwoFrame, ChainFilter])
@pytest.mark.parametrize(("num_envs", "dt"), [(0, 0.008), (1, 0.0), (1, np.nan)])
def test_impossible_sizes_are_refused(estimator: type[TwoFrame] | type[ChainFilter], num_envs: int, dt: float) -> None:
    with pytest.raises(ValueError, match=r"^num_envs is .* and dt .*; accepted: 1 or more, and above 0 s$"):
        estimator(VIEWS["rail"], num_envs, dt)


def test_impossible_views_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fovy=180.* is impossible; accepted: sizes and distance above 0, fovy betw"):
        View(224, 224, None, fovy=180)
    with pytest.raises(ValueError, match=r"^elevation is nan; accepted: a height in m, or None$"):
        View(224, 224, np.nan)
