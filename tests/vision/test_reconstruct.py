"""What every estimator of motion owes: MuJoCo's states from its own keypoints, in the observation's order and units."""

from collections.abc import Callable

import numpy as np
import pytest

from vision.camera import Array
from vision.chain import wrap
from vision.chain_filter import ChainFilter
from vision.reconstruct import View
from vision.two_frame import TwoFrame

Make = type[TwoFrame] | type[ChainFilter]
both = pytest.mark.parametrize("make", [TwoFrame, ChainFilter])
cameras = pytest.mark.parametrize("camera", ["track", "rail"])

RAIL = View(224, 224, 1.0)
REST = np.array([0, 1.25, 0, 0, 0, 0])
DT = 0.008
ANGLES, RATES = slice(1, 5), slice(7, 11)


@both
@pytest.mark.parametrize("size", [(224, 224), (320, 180), (180, 320)])
def test_any_pose_comes_back_from_one_frame(make: Make, size: tuple[int, int], pixels: Callable[..., Array]) -> None:
    rng = np.random.default_rng(0)
    qpos = np.concatenate((rng.uniform([-9, 1], [9, 1.4], (50, 2)), rng.uniform(-3.1, 3.1, (50, 4))), axis=1)
    found = make(View(*size, elevation=1.0), 50).update(pixels(qpos, size=size), np.ones((50, 5)), np.zeros((50, 3)))
    np.testing.assert_allclose(found[:, 0], qpos[:, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(wrap(found[:, ANGLES] - qpos[:, 2:]), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 5:], 0, atol=1e-6)


@both
@cameras
def test_the_reference_pose_is_where_angles_are_zero(
    make: Make, camera: str, views: dict[str, View], pixels: Callable[..., Array]
) -> None:
    found = make(views[camera], 1).update(pixels(REST[None], camera), np.ones((1, 5)), np.zeros((1, 3)))
    # The foot of the reference pose is 4 cm above the floor, where TwoFrame puts it.
    height = 1.21 if (make, camera) == (TwoFrame, "track") else 1.25
    np.testing.assert_allclose(found, [[height, *[0] * 10]], atol=1e-9)


@both
def test_links_turn_through_half_a_turn_at_their_own_rate(
    make: Make, pixels: Callable[..., Array], follow: Callable[..., Array]
) -> None:
    rates = np.array([4.0, -3.0, 5.0, -7.0])
    time = np.arange(400)[:, None] * DT
    qpos = np.concatenate((np.zeros((400, 1)), np.full((400, 1), 1.25), rates * time), axis=1)[:, None]
    found = follow(make(RAIL, 1), pixels(qpos, still=True))
    np.testing.assert_allclose(wrap(found[200:, 0, ANGLES] - qpos[200:, 0, 2:]), 0, atol=1e-3)
    np.testing.assert_allclose(found[200:, 0, RATES] - rates, 0, atol=1e-1)
    assert (np.abs(found[..., ANGLES]) <= np.pi).all()
    assert (np.abs(np.diff(found[:, 0, ANGLES], axis=0)).max(axis=0) > 6).all()  # each went over the edge


@both
def test_a_hidden_camera_motion_is_known_in_stance_and_carried_through_flight(
    make: Make, pixels: Callable[..., Array], follow: Callable[..., Array]
) -> None:
    standing, flying = np.tile(REST - [0, 0.06, 0, 0, 0, 0], (150, 1, 1)), np.tile(REST, (20, 1, 1))
    passing = np.minimum(np.arange(170), 149)[:, None] * DT  # 1 m/s past a standing body, then beside a flying one
    found = follow(make(RAIL, 1), pixels(np.concatenate((standing, flying)), shift=passing))
    np.testing.assert_allclose(found[100:150, 0, 5], 0, atol=1e-6 if make is TwoFrame else 0.01)
    np.testing.assert_allclose(found[165:, 0, 5], 1, atol=1e-6 if make is TwoFrame else 0.05)


@both
@cameras
def test_rows_do_not_depend_on_one_another(
    make: Make, camera: str, views: dict[str, View], noisy: dict[str, Array], follow: Callable[..., Array]
) -> None:
    frames = np.concatenate((noisy[camera][:60], noisy[camera][60:120]), axis=1)
    together = follow(make(views[camera], 8), frames)
    for i in range(8):
        np.testing.assert_array_equal(follow(make(views[camera], 1), frames[:, i : i + 1])[:, 0], together[:, i])


@both
@cameras
def test_a_reset_is_a_fresh_start_of_that_environment_alone(
    make: Make, camera: str, views: dict[str, View], noisy: dict[str, Array], follow: Callable[..., Array]
) -> None:
    frames = noisy[camera][:80]
    undisturbed = follow(make(views[camera], 4), frames)
    estimator = make(views[camera], 4)
    follow(estimator, frames[:40])
    estimator.reset(np.array([1, 3]))
    after = follow(estimator, frames[40:])
    np.testing.assert_array_equal(after[:, [0, 2]], undisturbed[40:, [0, 2]])
    np.testing.assert_array_equal(after[:, [1, 3]], follow(make(views[camera], 4), frames[40:])[:, [1, 3]])
    estimator.reset([])


@both
@cameras
def test_a_restored_estimator_continues_bit_for_bit(
    make: Make, camera: str, views: dict[str, View], noisy: dict[str, Array], follow: Callable[..., Array]
) -> None:
    frames = noisy[camera][:80]
    first, second = make(views[camera], 4), make(views[camera], 4)
    follow(first, frames[:40])
    first.reset([2])
    state = first.state()
    expected = follow(first, frames[40:])  # does not change the copy
    follow(second, frames[60:])
    second.restore(state)
    np.testing.assert_array_equal(follow(second, frames[40:]), expected)
    second.restore(state)  # nor did that
    np.testing.assert_array_equal(follow(second, frames[40:]), expected)


@both
def test_the_state_of_another_estimator_is_refused(make: Make) -> None:
    estimator = make(RAIL, 2)
    before = estimator.state()
    name = next(iter(before))
    wide = {key: value.astype(np.float32) for key, value in before.items()}
    for wrong in ({}, {**before, "more": np.zeros(2)}, make(RAIL, 3).state(), wide):
        with pytest.raises(
            ValueError, match=rf"^the estimator's state has \{{.*\}}; accepted: \{{'{name}': '.*\)'\}}$"
        ):
            estimator.restore(wrong)
    for key, value in estimator.state().items():
        np.testing.assert_array_equal(value, before[key])


@both
@cameras
@pytest.mark.parametrize("way", ["confidence 0", "NaN", "infinite", "far outside"])
def test_points_that_are_not_seen_are_predicted(
    make: Make, camera: str, way: str, views: dict[str, View], seen: dict[str, Array], follow: Callable[..., Array]
) -> None:
    frames, weights = seen[camera].copy(), np.ones(seen[camera].shape[:-1])
    hidden = np.random.default_rng(1).random(weights.shape) < 0.1
    hidden[100:105] = True
    garbage = {"confidence 0": 50.0, "NaN": np.nan, "infinite": -np.inf, "far outside": 1e300}[way]
    frames[hidden, 1] = garbage
    if way == "confidence 0":
        weights[hidden] = 0
    found = follow(make(views[camera], 4), frames, weights)
    whole = follow(make(views[camera], 4), seen[camera])
    assert np.isfinite(found).all()
    difference = wrap(found[..., ANGLES] - whole[..., ANGLES])
    assert (np.sqrt((difference**2).mean(axis=(0, 1))) < 0.1).all()
    assert (np.abs(difference[110:][~hidden[110:].any(axis=-1)]) < 0.1).all()


@both
@cameras
def test_an_episode_in_which_nothing_was_seen_yet_is_the_reference_pose(
    make: Make, camera: str, views: dict[str, View]
) -> None:
    found = make(views[camera], 2).update(np.full((2, 5, 2), np.nan), np.ones((2, 5)), np.zeros((2, 3)))
    np.testing.assert_allclose(found[:, 0], 1.21 if (make, camera) == (TwoFrame, "track") else 1.25, atol=1e-9)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-9)


@both
def test_a_frame_after_a_second_without_any_is_believed(
    make: Make, seen: dict[str, Array], follow: Callable[..., Array]
) -> None:
    frames, weights = seen["rail"], np.ones(seen["rail"].shape[:-1])
    weights[60:185] = 0
    found = follow(make(RAIL, 4), frames, weights)
    whole = follow(make(RAIL, 4), frames)
    np.testing.assert_allclose(wrap(found[185:, :, ANGLES] - whole[185:, :, ANGLES]), 0, atol=0.05)
    np.testing.assert_allclose(found[220:, :, RATES], whole[220:, :, RATES], atol=0.1)


@both
@pytest.mark.parametrize(
    ("keypoints", "confidences", "actions", "message"),
    [
        ((2, 4, 2), np.ones((2, 5)), (2, 3), r"^keypoints have the shape \(2, 4, 2\); accepted: \(2, 5, 2\)$"),
        ((3, 5, 2), np.ones((3, 5)), (2, 3), r"^keypoints have the shape \(3, 5, 2\); accepted: \(2, 5, 2\)$"),
        ((2, 5, 2), np.ones((2, 5, 1)), (2, 3), r"^confidences have the shape \(2, 5, 1\); accepted: \(2, 5\)$"),
        ((2, 5, 2), np.ones((2, 5)), (3,), r"^actions have the shape \(3,\); accepted: \(2, 3\)$"),
        ((2, 5, 2), np.full((2, 5), np.nan), (2, 3), r"^a confidence is nan; accepted: finite numbers of 0 or more$"),
        ((2, 5, 2), np.full((2, 5), -0.5), (2, 3), r"^a confidence is -0\.5; accepted: finite numbers of 0 or more$"),
    ],
)
def test_frames_that_are_none_are_refused(
    make: Make, keypoints: tuple[int, ...], confidences: Array, actions: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(RAIL, 2).update(np.zeros(keypoints), confidences, np.zeros(actions))


@both
@pytest.mark.parametrize("ids", [[2], [-1], [0.0], [True, False]])
def test_a_reset_of_what_is_no_environment_is_refused(make: Make, ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^ids are \[.*\]; accepted: numbers of environments from 0 to 1$"):
        make(RAIL, 2).reset(ids)


@both
@pytest.mark.parametrize(("num_envs", "dt"), [(0, 0.008), (1, 0.0), (1, np.nan)])
def test_impossible_sizes_are_refused(make: Make, num_envs: int, dt: float) -> None:
    with pytest.raises(ValueError, match=r"^num_envs is .* and dt .*; accepted: 1 or more, and above 0 s$"):
        make(RAIL, num_envs, dt)


def test_impossible_views_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fovy=180.* is impossible; accepted: sizes and distance above 0, fovy betw"):
        View(224, 224, None, fovy=180)
    with pytest.raises(ValueError, match=r"^elevation is nan; accepted: a height in m, or None$"):
        View(224, 224, np.nan)
