"""System identification on a hopper's log, and its intervals against linear regression."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from randomization import sysid


def test_a_hoppers_parameters_are_recovered(known: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = sysid.fit(known.predict, known.next_states, known.scale, known.search.nominal)
    np.testing.assert_allclose(found.distribution.mean, known.truth, atol=2e-3)  # of the range
    np.testing.assert_array_equal(found.distribution.std, 0)
    assert found.residual < 0.01 * found.start
    assert capsys.readouterr().out == ""


def test_a_parameter_without_effect_stays_and_has_no_interval() -> None:
    observed = np.linspace(1, 2, 20)[:, None] * 0.3
    found = sysid.fit(
        lambda unit: unit[:, :1, None] * np.linspace(1, 2, 20)[:, None], observed, np.ones(1), np.array([0.5, 0.7])
    )
    np.testing.assert_allclose(found.distribution.mean, [0.3, 0.7], atol=1e-6)
    assert np.isinf(found.half_width[1])


def test_of_a_linear_system_the_intervals_are_those_of_regression() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(50, 2))
    observed = (inputs @ [0.3, 0.6] + rng.normal(0, 0.05, 50))[:, None]
    found = sysid.fit(lambda unit: (unit @ inputs.T)[:, :, None], observed, np.ones(1), np.array([0.5, 0.5]))
    solution, residues, *_ = np.linalg.lstsq(inputs, observed[:, 0], rcond=None)
    np.testing.assert_allclose(found.distribution.mean, solution, atol=1e-6)
    covariance = residues[0] / 48 * np.linalg.inv(inputs.T @ inputs)
    np.testing.assert_allclose(found.half_width, t.ppf(0.975, 48) * np.sqrt(np.diag(covariance)), rtol=1e-4)
