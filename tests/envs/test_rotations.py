"""Euler angles mean what SciPy means by them: lower case about turned axes, upper case about fixed ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from envs.rotations import from_euler


@pytest.mark.parametrize(("axes", "scipys"), [("xyz", "XYZ"), ("XYZ", "xyz"), ("zyx", "ZYX")])
def test_turns_follow_one_another(axes: str, scipys: str) -> None:
    angles = (0.3, -0.2, 2.5)
    np.testing.assert_allclose(from_euler(angles, axes), Rotation.from_euler(scipys, angles).as_matrix(), atol=1e-12)
