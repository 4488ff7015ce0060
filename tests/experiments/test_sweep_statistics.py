import math

import numpy as np
import pandas as pd
import pytest

from experiments.sweep_statistics import curve, policy_scores, robustness_radius, summarize_sweep

SHIFTS = np.linspace(-1.5, 3.0, 19)
FACTORS = np.linspace(0.5, 2.0, 7)


def test_the_radius_of_a_tent_is_where_it_has_lost_a_tenth() -> None:
    tent = 1000 * (1 - 0.2 * np.abs(SHIFTS))
    assert robustness_radius(1000, tent, [SHIFTS], [0.0]) == pytest.approx(0.5)
    assert robustness_radius(1000, tent, [SHIFTS], [0.0], kept=0.8) == pytest.approx(1.0)


def test_the_radius_looks_to_both_sides_and_lies_between_cells() -> None:
    steep_left = np.where(SHIFTS < 0, 1000 * (1 + 0.5 * SHIFTS), 1000 * (1 - 0.1 * SHIFTS))
    assert robustness_radius(1000, steep_left, [SHIFTS], [0.0]) == pytest.approx(0.2)
    right_only = SHIFTS[SHIFTS >= 0]
    assert robustness_radius(1000, 1000 * (1 - 0.1 * right_only), [right_only], [0.0]) == pytest.approx(1.0)


def test_the_radius_ends_at_a_dip_however_good_it_is_beyond() -> None:
    returns = np.full(19, 1000.0)
    returns[10] = 0.0  # a shift of 1, between cells at 0.75 and 1.25
    assert robustness_radius(1000, returns, [SHIFTS], [0.0]) == pytest.approx(0.75 + 0.1 * 0.25)


def test_the_radius_of_a_flat_map_is_the_grids_end() -> None:
    assert robustness_radius(1000, np.full(19, 950.0), [SHIFTS], [0.0]) == 3.0
    assert robustness_radius(1000, np.full((19, 7), 950.0), [SHIFTS, FACTORS], [0.0, 1.0]) == 1.0


def test_the_radius_of_two_axes_is_a_share_of_the_grids_reach() -> None:
    x, y = np.meshgrid(SHIFTS / 3.0, FACTORS - 1.0, indexing="ij")
    pyramid = 1000 * (1 - 0.2 * np.maximum(np.abs(x), np.abs(y)))
    assert robustness_radius(1000, pyramid, [SHIFTS, FACTORS], [0.0, 1.0]) == pytest.approx(0.5)
    sloped = 1000 * (1 - 0.1 * np.abs(x) - 0.3 * np.abs(y))  # lowest at the corner of each rectangle
    assert robustness_radius(1000, sloped, [SHIFTS, FACTORS], [0.0, 1.0]) == pytest.approx(0.25)


def test_the_radius_is_undefined_without_a_base_in_the_grid_or_a_positive_return() -> None:
    flat = np.full(19, 950.0)
    assert math.isnan(robustness_radius(1000, flat, [SHIFTS], [5.0]))
    assert math.isnan(robustness_radius(-10, flat, [SHIFTS], [0.0]))
    assert robustness_radius(2000, flat, [SHIFTS], [0.0]) == 0.0


def test_a_policys_numbers_by_hand() -> None:
    axis = np.array([-1.0, 0.0, 1.0, 2.0])
    scores = policy_scores(100.0, np.array([80.0, 100.0, 90.0, 10.0]), [axis], [0.0])
    assert scores == pytest.approx({"nominal": 100, "mean": 70, "cvar10": 10, "worst": 10, "radius": 0.5})


def test_cvar_is_over_the_worst_tenth_of_cells() -> None:
    axis = np.arange(20.0)
    assert policy_scores(1.0, np.arange(20.0), [axis], [0.0])["cvar10"] == 0.5


def test_a_curve_is_the_iqm_and_its_band_covers_the_means_of_normal_seeds() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal([0.0, 100.0], [1.0, 10.0], (40, 2))
    middle, low, high = curve(scores, ["m"])
    ordered = np.sort(scores, axis=0)
    assert middle == pytest.approx(ordered[10:30].mean(axis=0))
    width = (high - low) / (2 * 1.96 / np.sqrt(40))
    assert width == pytest.approx([1.0, 10.0], rel=0.35)  # the IQM's error is a little above the mean's
    assert curve(scores, ["m"])[1].tolist() == low.tolist()
    assert np.isnan(curve(scores[:1], ["m"])[1]).all()


def sweep_rows(method: str, returns: list[list[float]]) -> list[dict[str, object]]:
    cell = {"study": "s", "figure": "hopper", "horizon": 500, "pipeline": "state", "randomization": method}
    cell |= {"agent": "ppo", "steps": 1, "train_domain": "source"}
    return [
        {**cell, "seed": seed, "cell": number, "return": value}
        for seed, values in enumerate(returns)
        for number, value in enumerate(values)
    ]


def test_a_method_is_the_iqm_of_its_policies_own_numbers() -> None:
    rows = sweep_rows("none", [[100, 80, 100, 60], [120, 50, 120, 90]]) + sweep_rows("wide", [[90, 90, 90, 90]])
    none, wide = summarize_sweep(pd.DataFrame(rows), [np.array([-1.0, 0.0, 1.0])], [0.0])
    assert (none["randomization"], none["n_seeds"]) == ("none", 2)
    # Each policy's own worst cell, 60 and 50, though the weakest cell on average is the first.
    assert (none["nominal"], none["worst"], none["weakest"]) == (110.0, 55.0, 1)
    assert none["curve"].tolist() == [65.0, 110.0, 75.0]
    assert none["worst_low"] == 50.0
    assert none["worst_high"] == 60.0
    assert (wide["worst"], wide["radius"]) == (90.0, 1.0)
    assert math.isnan(wide["worst_low"])
