"""Rotations in MuJoCo's own arithmetic."""

from collections.abc import Sequence

import mujoco
import numpy as np
import numpy.typing as npt


def from_euler(angles: Sequence[float], axes: str) -> npt.NDArray[np.float64]:
    """The matrix ``(3, 3)`` of three turns, rad, one after another.

    ``axes`` is for example ``xyz`` for turns about the axes as turned so far, or ``XYZ`` for turns about those that
    stay, as in MuJoCo's ``eulerseq``.
    """
    turn, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_euler2Quat(turn, np.asarray(angles, np.float64), axes)
    mujoco.mju_quat2Mat(matrix, turn)
    return matrix.reshape(3, 3)
