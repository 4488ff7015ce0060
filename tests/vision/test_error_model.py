"""Errors that are known: the fit finds what they were made of, and the simulator makes them again."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vision.error_check import compare
from vision.error_fit import Triple, fit_error_model
from vision.error_model import Array, ErrorModel, directions, load_error_model, log_size
from vision.error_simulator import ErrorSimulator

K = 3
CORRELATION, DECAY = 0.9, 0.1
"""Of every error; the figure's joints move by some 2 px in a frame."""
SIGMA = np.array([1.0, 0.5, 2.0])
"""Of each keypoint in x and y, px."""
ENTER, LEAVE = 0.02, 0.25
"""Of the last keypoint; the others never drop out."""
FAR = np.array([40.0, -30.0])


def walk(rng: np.random.Generator, length: int) -> Array:
    """Two links of 40 px that swing about each other, ``(length, 3, 2)``, px."""
    phase = rng.uniform(0, 2 * np.pi, 2)
    t = np.arange(length)
    angles = np.stack((0.8 * np.sin(t / 17 + phase[0]), 1.5 + np.sin(t / 11 + phase[1])), axis=1)
    links = 40 * np.stack((np.cos(angles), np.sin(angles)), axis=2)
    base = 60 + np.stack((20 * np.sin(t / 13), 5 * np.cos(t / 13)), axis=1)[:, None]
    return np.concatenate((base, base + links.cumsum(axis=1)), axis=1)


def bias(true: Array) -> Array:
    """A smooth function of the pose: the second keypoint's x errs with the sine of the first link, px."""
    found = np.zeros_like(true)
    found[..., 1, 0] = 3 * directions(true)[:, 1]
    found[..., 0, 1] = 1.5
    return found


def make(rng: np.random.Generator, length: int, drop_outs: bool = True) -> Triple:
    true = walk(rng, length)
    moved = np.r_[np.zeros((1, K)), np.linalg.norm(np.diff(true, axis=0), axis=2)]
    phi = CORRELATION * np.exp(-DECAY * moved)
    # Heavy tails (Student's t with 6 degrees of freedom, variance 1); x and y of a keypoint share half their variance.
    drawn = rng.standard_t(6, (length, K, 2)) / np.sqrt(1.5)
    drawn[..., 1] = (drawn[..., 0] + drawn[..., 1]) / np.sqrt(2)
    z = drawn.copy()
    for t in range(1, length):
        z[t] = phi[t, :, None] * z[t - 1] + np.sqrt(1 - phi[t, :, None] ** 2) * drawn[t]
    errors = bias(true) + SIGMA[:, None] * z
    confidences = 1 / (1 + np.exp(-2 + 0.4 * log_size(z) - 0.2 * rng.normal(size=(length, K))))
    dropped = False
    for t in range(length if drop_outs else 0):
        dropped = rng.random() < (1 - LEAVE if dropped else ENTER)
        if dropped:
            errors[t, 2] = FAR + rng.normal(size=2)
            confidences[t, 2] = 0.1 + 0.05 * rng.random()
    return true, true + errors, confidences


@pytest.fixture(scope="module")
def data() -> list[Triple]:
    rng = np.random.default_rng(0)
    return [make(rng, 1500) for _ in range(8)]


@pytest.fixture(scope="module")
def model(data: list[Triple]) -> ErrorModel:
    return fit_error_model(data[:5])


@pytest.fixture(scope="module")
def report(model: ErrorModel, data: list[Triple]) -> dict[str, Any]:
    return compare(model, data[5:], seed=1)


def plain(**changes: Any) -> ErrorModel:
    """Two keypoints: x of the first is off by 1 px and y of the second spreads by 2 px, without memory."""
    signs = np.array([[1.0, -1, 1, -1, 1, -1], [-1, 1, -1, 1, -1, 1]])
    parts: dict[str, Any] = {
        "poses": np.array([[1.0, 0.0]]),
        "mean": np.array([1.0, 0, 0, 0, 0, 0]),
        "mean_weights": np.zeros((1, 6)),
        "log_variance": np.log([1e-12, 1e-12, 1e-12, 4.0, 1e-12, 1e-12]),
        "log_variance_weights": np.zeros((1, 6)),
        "size_weight": np.zeros(2),
        "correlation": np.zeros(6),
        "decay": np.zeros(6),
        "innovations": signs,
        "centre": np.zeros((2, 2)),
        "reach": np.full(2, 10.0),
        "low": np.full(2, 0.1),
        "enter": np.zeros(2),
        "leave": np.ones(2),
        "gross": np.zeros((0, 4)),
        "hold": 0.0,
    }
    return ErrorModel(**{**parts, **changes})


def still(count: int, places: npt.ArrayLike = ((10.0, 10), (20, 10))) -> Array:
    return np.tile(np.array(places, float), (count, 1, 1))


def test_the_bias_is_found(model: ErrorModel) -> None:
    true = walk(np.random.default_rng(9), 300)
    mean = model.moments(true)[0][:, : 2 * K].reshape(-1, K, 2)
    assert np.sqrt(((mean - bias(true)) ** 2).mean(axis=(0, 2))) == pytest.approx([0.0, 0.0, 0.0], abs=0.3)
    assert np.corrcoef(mean[:, 1, 0], bias(true)[:, 1, 0])[0, 1] > 0.99


def test_spread_and_memory_are_found(model: ErrorModel) -> None:
    deviation = model.moments(walk(np.random.default_rng(9), 300))[1][:, : 2 * K].mean(axis=0)
    np.testing.assert_allclose(deviation, np.repeat(SIGMA, 2), rtol=0.08)
    for moved in (0.5, 2.0, 4.0):  # px: what counts is their product, along the distances that there are
        phi = (model.correlation * np.exp(-model.decay * moved))[: 2 * K]
        np.testing.assert_allclose(phi, CORRELATION * np.exp(-DECAY * moved), atol=0.06)


def test_what_the_confidence_says_of_the_error_is_found(model: ErrorModel) -> None:
    np.testing.assert_allclose(model.size_weight, -0.4, atol=0.03)


def test_the_correlation_of_x_and_y_is_found(model: ErrorModel) -> None:
    found = np.corrcoef(model.innovations.T)
    np.testing.assert_allclose([found[0, 1], found[2, 3], found[4, 5]], np.sqrt(0.5), atol=0.05)
    assert abs(found[0, 2]) < 0.05


def test_drop_outs_are_found(model: ErrorModel) -> None:
    np.testing.assert_array_equal(model.enter[:2], 0)
    assert model.enter[2] == pytest.approx(ENTER, rel=0.25)
    assert model.leave[2] == pytest.approx(LEAVE, rel=0.25)
    np.testing.assert_allclose(model.gross.mean(axis=0)[:3], [2, *FAR], atol=0.3)
    assert model.hold < 0.15  # each frame's gross error was drawn anew


def test_the_simulation_agrees_with_errors_that_were_left_out(report: dict[str, Any]) -> None:
    for real, simulated in zip(report["real"], report["simulated"], strict=True):
        np.testing.assert_allclose(simulated["quantiles"][:3], real["quantiles"][:3], rtol=0.1)
        np.testing.assert_allclose(simulated["std"], real["std"], rtol=0.12)
        np.testing.assert_allclose(simulated["mean"], real["mean"], atol=0.6)
        np.testing.assert_allclose(simulated["autocorrelation"], real["autocorrelation"], atol=0.12)
        np.testing.assert_allclose(simulated["confidence"], real["confidence"], atol=0.06)
        assert simulated["confidence_correlation"] == pytest.approx(real["confidence_correlation"], abs=0.08)
    last = [report[which][2] for which in ("real", "simulated")]
    assert last[0]["drop_rate"] == pytest.approx(ENTER / (ENTER + LEAVE), rel=0.2)
    assert last[1]["drop_rate"] == pytest.approx(last[0]["drop_rate"], rel=0.3)
    assert last[1]["drop_length"] == pytest.approx(1 / LEAVE, rel=0.25)


def test_the_bias_of_each_pose_is_compared(report: dict[str, Any]) -> None:
    real, simulated = (np.array(report[which][1]["pose_bias"])[:, 0] for which in ("real", "simulated"))
    assert np.ptp(real) > 3  # px: it is ±3 px times the sine of up to 0.8 rad
    np.testing.assert_allclose(simulated, real, atol=0.5)


def test_a_report_is_plain_numbers(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report)) == report


def test_far_from_every_pose_the_constants_hold() -> None:
    model = plain(mean_weights=np.full((1, 6), 5.0))
    assert model.moments(still(1))[0][0] == pytest.approx([6.0, 5, 5, 5, 5, 5])
    assert model.moments(still(1, ((20, 10), (10, 10))))[0][0] == pytest.approx([1.0, 0, 0, 0, 0, 0], abs=0.01)


def test_the_simulator_adds_what_the_model_says() -> None:
    simulator = ErrorSimulator(plain(), 2000, seed=0)
    points, confidences = simulator.update(still(2000))
    errors = points - still(2000)
    np.testing.assert_allclose(errors[:, 0], np.tile([1.0, 0], (2000, 1)), atol=1e-5)
    assert set(np.round(errors[:, 1, 1]).tolist()) == {-2.0, 2.0}
    assert (errors[:, 1, 1] > 0).mean() == pytest.approx(0.5, abs=0.04)
    np.testing.assert_allclose(confidences, 0.5, atol=1e-5)


def test_the_memory_fades_with_the_distance_moved_alone() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, 6))
    drawn = (drawn - drawn.mean(axis=0)) / drawn.std(axis=0)
    model = plain(
        mean=np.zeros(6),
        log_variance=np.zeros(6),
        innovations=drawn,
        correlation=np.full(6, 0.9),
        decay=np.full(6, 0.2),
    )
    simulator = ErrorSimulator(model, 4000, seed=0)
    before = simulator.update(still(4000))[0] - still(4000)
    moved = still(4000, ((10, 10), (23, 14)))  # the second by 5 px
    after = simulator.update(moved)[0] - moved
    found = [np.corrcoef(before[:, k, axis], after[:, k, axis])[0, 1] for k in (0, 1) for axis in (0, 1)]
    np.testing.assert_allclose(found, [0.9, 0.9, 0.9 * np.exp(-1), 0.9 * np.exp(-1)], atol=0.05)
    for errors in (before, after):  # stationary from the first frame on
        np.testing.assert_allclose(errors.std(axis=0), 1.0, atol=0.05)


DROPS = {
    "enter": np.array([0.1, 0.0]),
    "leave": np.array([0.3, 1.0]),
    "gross": np.array([[0.0, 30, 0, 0.05], [0, 0, 50, 0.01]]),
}


@pytest.mark.parametrize("hold", [0.0, 0.8])
def test_drop_outs_are_a_chain_of_two_states(hold: float) -> None:
    simulator = ErrorSimulator(plain(**DROPS, hold=hold), 400, seed=0)
    frames = [simulator.update(still(400)) for _ in range(60)]
    dropped = np.array([confidences[:, 0] < 0.1 for _, confidences in frames])
    assert dropped[0].mean() == pytest.approx(0.25, abs=0.06)  # the stationary share at once
    assert dropped.mean() == pytest.approx(0.25, abs=0.02)
    assert (dropped[1:] & ~dropped[:-1]).sum() / (~dropped[:-1]).sum() == pytest.approx(0.1, abs=0.01)
    errors = np.array([points[:, 0] for points, _ in frames]) - still(1)[0, 0]
    kinds = errors[..., 0] > 25
    np.testing.assert_allclose(errors[dropped & kinds], np.tile([30.0, 0], ((dropped & kinds).sum(), 1)))
    np.testing.assert_allclose(errors[dropped & ~kinds], np.tile([0.0, 50], ((dropped & ~kinds).sum(), 1)))
    lasting = dropped[1:] & dropped[:-1]
    assert (kinds[1:] == kinds[:-1])[lasting].mean() == pytest.approx(hold + (1 - hold) / 2, abs=0.03)
    assert not any((confidences[:, 1] < 0.1).any() for _, confidences in frames)


def test_the_keypoints_come_late() -> None:
    late, prompt = (ErrorSimulator(plain(latency=latency), 2, seed=3) for latency in (2, 0))
    shown, now = [], []
    for step in range(6):
        if step == 4:
            late.reset([1])
            prompt.reset([1])
        true = still(2) + step
        shown.append(np.concatenate([part.reshape(2, -1) for part in late.update(true)], axis=1))
        now.append(np.concatenate([part.reshape(2, -1) for part in prompt.update(true)], axis=1))
    np.testing.assert_array_equal([frame[0] for frame in shown], [now[i][0] for i in (0, 0, 0, 1, 2, 3)])
    np.testing.assert_array_equal([frame[1] for frame in shown], [now[i][1] for i in (0, 0, 0, 1, 4, 4)])


def run(simulator: ErrorSimulator, true: Array) -> tuple[list[Array], list[Array]]:
    points, confidences = zip(*(simulator.update(frame) for frame in true), strict=True)
    return list(points), list(confidences)


def test_draws_depend_on_seed_and_environment_alone(model: ErrorModel, data: list[Triple]) -> None:
    true = np.repeat(data[0][0][:20, None], 4, axis=1)
    first, again, other = (run(ErrorSimulator(model, 4, seed), true) for seed in (0, 0, 1))
    few = run(ErrorSimulator(model, 2, 0), true[:, :2])
    for one, two, three, part in zip(first, again, other, few, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)
        np.testing.assert_allclose(np.array(one)[:, :2], part, rtol=1e-12)  # sums of another order


def test_a_reset_forgets(model: ErrorModel, data: list[Triple]) -> None:
    """After a reset, the frame is that of a simulator with the same generator and no memory."""
    true = np.repeat(data[0][0][:20, None], 3, axis=1)
    simulator, blank = ErrorSimulator(model, 3, 0), ErrorSimulator(model, 3, 0)
    empty = blank.state_dict()
    run(simulator, true)
    blank.load_state_dict({**empty, "rngs": simulator.state_dict()["rngs"]})
    simulator.reset([0, 2])
    (points, _), (expected, _) = run(simulator, true[:1]), run(blank, true[:1])
    np.testing.assert_array_equal(points[0][[0, 2]], expected[0][[0, 2]])
    assert not np.array_equal(points[0][1], expected[0][1])


def test_a_simulator_continues_bit_for_bit(model: ErrorModel, data: list[Triple]) -> None:
    model = dataclasses.replace(model, latency=1)
    true = np.repeat(data[0][0][:30, None], 3, axis=1)
    simulator = ErrorSimulator(model, 3, 0)
    run(simulator, true[:15])
    state = simulator.state_dict()
    expected = run(simulator, true[15:])
    other = ErrorSimulator(model, 3, 7)
    other.load_state_dict(state)
    for one, two in zip(run(other, true[15:]), expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_file_holds_the_whole_model(tmp_path: Path, model: ErrorModel) -> None:
    model = dataclasses.replace(model, latency=2)
    model.save(tmp_path / "errors.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["errors.npz"]
    read = load_error_model(tmp_path / "errors.npz")
    for field in dataclasses.fields(ErrorModel):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(model, field.name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hold": np.array(1.5)}, "hold is 1.5; accepted: from 0 to 1"),
        ({"latency": np.array(-1)}, "latency is -1; accepted: 0 or more"),
        ({"latency": np.array(0.5)}, "latency is float64 of shape"),
        ({"mean": np.zeros(5)}, r"mean is float64 of shape \(5,\); accepted: finite float64 of shape \(6,\)"),
        ({"mean": np.full(6, np.nan)}, "mean is float64"),
        ({"decay": np.full(6, -1.0)}, "decay is"),
        ({"innovations": np.zeros((0, 6))}, "2 keypoints, 0 innovations"),
        ({"enter": np.array([0.5, 0.0])}, "a keypoint drops out, but"),
        ({"gross": np.array([[2.0, 0, 0, 0.5]])}, "gross: keypoints"),
        ({"gross": np.array([[0.0, 0, 0, 1.5]])}, "gross: confidences"),
        ({"poses": np.array("text")}, "poses"),
        ({"centre": np.array([[{}]], object)}, "Object arrays cannot be loaded"),
        ({"stranger": np.zeros(1)}, "holds "),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    parts = {field.name: getattr(plain(), field.name) for field in dataclasses.fields(ErrorModel)}
    np.savez(tmp_path / "errors.npz", **{**parts, **changes})
    with pytest.raises(ValueError, match=rf"errors\.npz: not an error model .*{message}") as caught:
        load_error_model(tmp_path / "errors.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive", b"\x93NUMPY\x01\x00", None])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "errors.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"errors\.npz: not an error model"):
        load_error_model(tmp_path / "errors.npz")


def test_a_lone_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "errors.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"errors\.npy: not an error model"):
        load_error_model(tmp_path / "errors.npy")


@pytest.mark.parametrize(
    ("episodes", "message"),
    [
        ([], "no episode; accepted: one or more"),
        ([(still(9), still(9), np.ones((9, 2)))], "1 episodes; accepted: 2 or more"),
        ([(still(9), still(8), np.ones((9, 2)))] * 2, "episode 0 has the shapes"),
        ([(still(9), still(9) * np.nan, np.ones((9, 2)))] * 2, "episode 0 holds NaN"),
        ([(still(9), still(9), np.full((9, 2), 1.2))] * 2, "episode 0: confidences up to 1.2; accepted: from 0 to 1"),
        ([(still(9), still(9), np.ones((9, 2)))] * 2, "too few frames without drop-outs"),
    ],
)
def test_impossible_data_are_refused(episodes: list[Triple], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_error_model(episodes)


def test_an_estimator_without_errors_has_none() -> None:
    episodes = [(walk(np.random.default_rng(i), 50),) * 2 + (np.full((50, K), 0.75),) for i in range(3)]
    model = fit_error_model(episodes)
    true = still(4, ((10, 10), (50, 10), (50, 50)))
    points, confidences = ErrorSimulator(model, 4, 0).update(true)
    np.testing.assert_allclose(points, true, atol=1e-5)
    np.testing.assert_allclose(confidences, 0.75, atol=1e-5)


def test_impossible_requests_are_refused(model: ErrorModel) -> None:
    with pytest.raises(ValueError, match="num_envs is 0 and seed 0"):
        ErrorSimulator(plain(), 0, 0)
    with pytest.raises(ValueError, match="num_envs is 1 and seed -1"):
        ErrorSimulator(plain(), 1, -1)
    simulator = ErrorSimulator(plain(), 2, 0)
    for ids in ([2], [-1], [0.5], [True, False]):
        with pytest.raises(ValueError, match="accepted: numbers of environments from 0 to 1"):
            simulator.reset(ids)  # type: ignore[arg-type]
    for bad in (still(3), still(2) * np.nan):
        with pytest.raises(ValueError, match="accepted: finite"):
            simulator.update(bad)
    with pytest.raises(ValueError, match="episodes of 2 keypoints; accepted: 3"):
        compare(model, [(still(9), still(9), np.ones((9, 2)))], 0)
