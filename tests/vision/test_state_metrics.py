import numpy as np
import pytest

from vision.state_metrics import ENTRIES, measure_states


def test_a_constant_error_is_itself() -> None:
    true = np.tile(np.arange(4.0)[:, None], (1, 11))  # variance 1.25
    error = np.linspace(-0.5, 0.5, 11)
    found = measure_states(true + error, true)
    np.testing.assert_allclose(found.rmse, np.abs(error), atol=1e-15)
    np.testing.assert_allclose(found.mae, np.abs(error), atol=1e-15)
    np.testing.assert_allclose(found.r2, 1 - error**2 / 1.25)


def test_measures_of_unequal_errors() -> None:
    true = np.zeros((4, 11))
    true[:, 5] = 1.0, 1.0, -1.0, -1.0
    estimated = true.copy()
    estimated[0, 5] += 2.0
    found = measure_states(estimated, true).to_dict()
    assert found["rmse"]["velocity_x"] == 1.0
    assert found["mae"]["velocity_x"] == 0.5
    assert found["r2"]["velocity_x"] == 0.0
    assert np.isnan(found["r2"]["height"])
    assert tuple(found["rmse"]) == ENTRIES


def test_the_mean_explains_nothing_and_the_truth_everything() -> None:
    true = np.random.default_rng(0).normal(size=(50, 11))
    np.testing.assert_allclose(measure_states(np.tile(true.mean(axis=0), (50, 1)), true).r2, 0, atol=1e-12)
    assert measure_states(true, true).r2 == (1.0,) * 11


def test_angles_err_the_short_way_round() -> None:
    true, estimated = np.zeros((1, 11)), np.full((1, 11), 2 * np.pi - 0.1)
    mae = measure_states(estimated, true).mae
    np.testing.assert_allclose(mae[1:5], 0.1)
    np.testing.assert_allclose([mae[0], *mae[5:]], 2 * np.pi - 0.1)


@pytest.mark.parametrize("shapes", [((3, 11), (4, 11)), ((3, 10), (3, 10)), ((0, 11), (0, 11)), ((11,), (11,))])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"^estimated and true have shapes .*; accepted: \(m, 11\) for both, m of 1"):
        measure_states(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_numbers_that_are_not_finite_are_named() -> None:
    estimated = np.zeros((3, 11))
    estimated[2, 6] = np.nan
    with pytest.raises(ValueError, match=r"^estimated velocity_z of row 2 is nan; accepted: finite numbers$"):
        measure_states(estimated, np.zeros((3, 11)))
