"""The metrics against closed forms, loops, and chains whose angles are known."""

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vision.metrics import KeypointMetrics, measure_keypoints

Array = npt.NDArray[np.float64]
CHAIN = ((0, 1), (1, 2), (2, 3), (3, 4))


def random_case(seed: int, count: int = 40, spread: float = 3.0) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 224, (count, 5, 2))
    return true + rng.normal(0, spread, true.shape), true, rng.integers(0, 3, (count, 5))


def at_distances(distances: list[float]) -> KeypointMetrics:
    """One visible keypoint a picture, so far from the truth."""
    predicted = np.array([[[distance * 0.6, distance * 0.8]] for distance in distances])
    return measure_keypoints(predicted, np.zeros_like(predicted), np.full(predicted.shape[:2], 2), ())


def chain(angles: list[float], lengths: tuple[float, ...] = (20, 30, 25, 10)) -> Array:
    """Points ``(1, 5, 2)`` of a chain whose links point in these directions, degrees."""
    steps = [
        [length * math.cos(math.radians(a)), length * math.sin(math.radians(a))]
        for a, length in zip(angles, lengths, strict=True)
    ]
    return np.asarray(100 + np.concatenate((np.zeros((1, 2)), np.cumsum(steps, axis=0)))[None])


def degrees(predicted: Array, true: Array, flags: Any = None) -> tuple[float, ...]:
    flags = np.full(true.shape[:2], 2) if flags is None else np.asarray(flags)
    return measure_keypoints(predicted, true, flags, CHAIN).degrees


@pytest.mark.parametrize("seed", range(3))
def test_errors_equal_a_loop_over_every_point(seed: int) -> None:
    predicted, true, flags = random_case(seed)
    found = measure_keypoints(predicted, true, flags, CHAIN)
    chosen: dict[Any, list[float]] = {key: [] for key in ("overall", 1, 2, "k0", "k1", "k2", "k3", "k4")}
    for i in range(len(true)):
        for k in range(5):
            if flags[i, k] > 0:
                error = math.dist(predicted[i, k], true[i, k])
                for key in ("overall", int(flags[i, k]), f"k{k}"):
                    chosen[key].append(error)
    parts = [found.overall, found.hidden, found.visible, *found.keypoints]
    for errors, part in zip(chosen.values(), parts, strict=True):
        ordered = sorted(errors)
        place = 0.95 * (len(ordered) - 1)
        low = int(place)
        p95 = ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        assert part.count == len(errors)
        np.testing.assert_allclose((part.mean, part.median, part.p95), (sum(errors) / len(errors), middle, p95))
    for reach, share in ((1, found.pck_1), (2, found.pck_2), (5, found.pck_5)):
        assert share == pytest.approx(sum(error <= reach for error in chosen["overall"]) / found.overall.count)


def test_errors_on_a_whole_number_of_pixels() -> None:
    found = at_distances([0, 1, 2, 5, 10])
    np.testing.assert_allclose((found.overall.mean, found.overall.median, found.overall.p95), (3.6, 2, 9))
    assert (found.pck_1, found.pck_2, found.pck_5) == (0.4, 0.6, 0.8)  # a point at the limit is within it
    assert found.auc == pytest.approx((1 + 0.8 + 0.6 + 0 + 0) / 5)


@pytest.mark.parametrize(("distance", "area"), [(0, 1), (2.5, 0.5), (4, 0.2), (5, 0), (1e6, 0)])
def test_the_area_of_one_points_curve_is_what_lies_right_of_its_step(distance: float, area: float) -> None:
    assert at_distances([distance]).auc == pytest.approx(area)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_equals_a_dense_sum_under_the_curve(seed: int) -> None:
    predicted, true, flags = random_case(seed)
    errors = np.linalg.norm(predicted - true, axis=2)[flags > 0]
    steps = 5 * (np.arange(20_000) + 0.5) / 20_000
    curve = np.searchsorted(np.sort(errors), steps, side="right") / len(errors)
    assert measure_keypoints(predicted, true, flags, CHAIN).auc == pytest.approx(curve.mean(), abs=1e-4)


def test_errors_spread_evenly_have_the_areas_closed_form() -> None:
    count = 1000
    found = at_distances([10 * (i + 0.5) / count for i in range(count)])  # uniform on 0 to 10 px: PCK(t) = t / 10
    np.testing.assert_allclose((found.pck_1, found.pck_2, found.pck_5), (0.1, 0.2, 0.5))
    assert found.auc == pytest.approx(0.25)


def test_points_outside_the_image_count_nowhere() -> None:
    predicted, true, flags = random_case(0)
    moved_true, moved_predicted = true.copy(), predicted.copy()
    moved_true[flags == 0] = np.nan
    moved_predicted[flags == 0] = -1e3
    assert measure_keypoints(moved_predicted, moved_true, flags, CHAIN) == measure_keypoints(
        predicted, true, flags, CHAIN
    )


def test_a_turned_figure_is_wrong_in_its_first_link_only() -> None:
    true = [80.0, 70, 110, 10]
    found = degrees(chain([angle + 7 for angle in true]), chain(true))
    np.testing.assert_allclose(found, (7, 0, 0, 0), atol=1e-9)


@pytest.mark.parametrize("joint", range(1, 4))
def test_a_bent_joint_is_wrong_alone(joint: int) -> None:
    true = [80.0, 70, 110, 10]
    bent = [angle + 12 * (link >= joint) for link, angle in enumerate(true)]
    np.testing.assert_allclose(degrees(chain(bent), chain(true)), np.eye(4)[joint] * 12, atol=1e-9)


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([179.0, 0, 0, 0], [-179.0, 0, 0, 0], (2, 2, 0, 0)),  # the first link on either side of ±180
        ([0.0, 178, 178, 178], [0.0, -177, -177, -177], (0, 5, 0, 0)),  # a joint's angle on either side
        ([170.0, -170, 0, 0], [-170.0, 170, 0, 0], (20, 40, 20, 0)),  # both
        ([0.0, 180, 180, 180], [0.0, 0, 0, 0], (0, 180, 0, 0)),  # no error is more than half a turn
    ],
)
def test_angles_are_wrapped(predicted: list[float], true: list[float], expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(degrees(chain(predicted), chain(true)), expected, atol=1e-9)


def test_angles_equal_wrapped_differences_of_arc_tangents() -> None:
    predicted, true, flags = random_case(4, spread=60)
    found = degrees(predicted, true, flags)

    def absolute(points: Array, a: int, b: int) -> float:
        return math.atan2(points[b, 1] - points[a, 1], points[b, 0] - points[a, 0])

    for link in range(4):
        errors = []
        for i in range(len(true)):
            first = max(link - 1, 0)
            if not flags[i, first : link + 2].all():
                continue
            turned = []
            for points in (predicted[i], true[i]):
                turned.append(absolute(points, link, link + 1) - (absolute(points, link - 1, link) if link else 0))
            difference = (turned[0] - turned[1]) % (2 * math.pi)
            errors.append(math.degrees(min(difference, 2 * math.pi - difference)))
        assert found[link] == pytest.approx(sum(errors) / len(errors))


def test_angles_depend_neither_on_length_nor_on_place() -> None:
    true = [80.0, 70, 110, 10]
    np.testing.assert_allclose(degrees(chain(true, (1, 200, 3, 4)) - 50, chain(true)), 0, atol=1e-9)


def test_an_angle_counts_where_all_of_its_keypoints_do() -> None:
    true, wrong = chain([0.0, 0, 0, 0]), chain([10.0, 30, 60, 100])
    np.testing.assert_allclose(degrees(wrong, true), (10, 20, 30, 40))
    found = degrees(wrong, true, [[2, 2, 1, 1, 0]])
    np.testing.assert_allclose(found, (10, 20, 30, np.nan))
    found = degrees(wrong, true, [[0, 2, 2, 2, 2]])
    np.testing.assert_allclose(found, (np.nan, np.nan, 30, 40))


def test_a_link_without_length_is_never_right() -> None:
    straight = chain([0.0, 0, 0, 0])
    shrunk = straight.copy()
    shrunk[:, 2] = shrunk[:, 1]
    np.testing.assert_allclose(degrees(shrunk, straight), (0, 180, 180, 0), atol=1e-9)
    np.testing.assert_allclose(degrees(straight, shrunk), (0, np.nan, np.nan, 0), atol=1e-9)


def test_branches_hang_on_the_link_that_they_touch_first() -> None:
    skeleton = ((0, 1), (1, 2), (1, 3))  # a trunk and two legs
    true = np.array([[[0.0, 0], [0, 10], [5, 20], [-5, 20]]])
    predicted = true.copy()
    predicted[0, 3] = [-10, 10]  # the second leg is level
    found = measure_keypoints(predicted, true, np.full((1, 4), 2), skeleton).degrees
    np.testing.assert_allclose(found, (0, 0, 90 - math.degrees(math.atan2(5, 10))), atol=1e-9)


def test_what_has_no_points_is_not_a_number() -> None:
    predicted, true, flags = random_case(0)
    flags[:] = 2
    flags[:, 3] = 0
    found = measure_keypoints(predicted, true, flags, CHAIN)
    for part in (found.hidden, found.keypoints[3]):
        assert part.count == 0
        assert all(map(math.isnan, (part.mean, part.median, part.p95)))
    assert [math.isnan(angle) for angle in found.degrees] == [False, False, True, True]
    nothing = measure_keypoints(np.zeros((0, 5, 2)), np.zeros((0, 5, 2)), np.zeros((0, 5)), CHAIN)
    assert nothing.overall.count == 0
    assert all(map(math.isnan, (nothing.pck_1, nothing.auc, *nothing.degrees, nothing.overall.mean)))


def test_the_dictionary_goes_through_json_unchanged() -> None:
    given = measure_keypoints(*random_case(0), CHAIN).to_dict()
    assert json.loads(json.dumps(given)) == given
    assert set(given) == {
        *("overall", "visible", "hidden", "keypoints", "pck_1", "pck_2", "pck_5", "auc", "degrees"),
    }
    assert set(given["overall"]) == {"count", "mean", "median", "p95"}
    assert (len(given["keypoints"]), len(given["degrees"])) == (5, 4)


@pytest.mark.parametrize(
    "shapes",
    [
        ((4, 5, 2), (4, 5, 2), (4, 4)),
        ((4, 5, 2), (3, 5, 2), (4, 5)),
        ((4, 5, 3), (4, 5, 3), (4, 5)),
        ((5, 2), (5, 2), (5,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    predicted, true, flags = (np.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"^predicted, true and flags have shapes .*; accepted: \(n, k, 2\), ") as got:
        measure_keypoints(predicted, true, flags, CHAIN)
    assert str(shapes[0]) in str(got.value)
    assert "\n" not in str(got.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_no_numbers_are_refused_wherever_they_are(value: float) -> None:
    predicted, true, flags = random_case(0)
    flags[3, 2] = 0
    predicted[3, 2, 1] = value
    with pytest.raises(ValueError, match=r"^predicted keypoint 2 of picture 3 is \[.*\]; accepted: finite pixels$"):
        measure_keypoints(predicted, true, flags, CHAIN)


def test_a_counted_truth_that_is_no_number_is_refused() -> None:
    predicted, true, flags = random_case(0)
    flags[1, 0], true[1, 0] = 1, np.nan
    with pytest.raises(ValueError, match=r"^true keypoint 0 of picture 1 is \[nan, nan\]; accepted: finite pixels$"):
        measure_keypoints(predicted, true, flags, CHAIN)


@pytest.mark.parametrize("flag", [3, -1, 0.5, np.nan])
def test_other_flags_are_refused(flag: float) -> None:
    predicted, true, flags = random_case(0)
    others = flags.astype(float)
    others[2, 1] = flag
    with pytest.raises(ValueError, match=rf"^flags hold {flag}.*; accepted: 0 \(outside the image\), 1 \(hidden\), 2"):
        measure_keypoints(predicted, true, others, CHAIN)


@pytest.mark.parametrize(
    ("skeleton", "message"),
    [
        (((0, 5),), r"skeleton: link \(0, 5\); accepted: two different keypoints of 0 to 4"),
        (((-1, 0),), r"skeleton: link \(-1, 0\); accepted: two different keypoints of 0 to 4"),
        (((0, 0),), r"skeleton: link \(0, 0\); accepted: two different keypoints of 0 to 4"),
        (((0, 1), (2, 3)), r"skeleton: link \(2, 3\) touches no earlier link; accepted: one that does"),
    ],
)
def test_another_skeleton_is_refused(skeleton: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        measure_keypoints(*random_case(0), skeleton)
