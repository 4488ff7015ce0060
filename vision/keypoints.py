"""The keypoints of each figure: one definition for labels, training, metrics and reconstruction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Keypoints:
    """Named points fixed to the bodies of one figure."""

    names: tuple[str, ...]
    bodies: tuple[str, ...]
    """The MuJoCo body that carries each point."""
    offsets: tuple[tuple[float, float, float], ...]
    """Each point in its body's frame, m."""
    skeleton: tuple[tuple[int, int], ...]
    """Pairs of points that a link joins."""
    sigmas: tuple[float, ...]
    """Spread of each point in COCO's similarity (OKS), in units of the figure's size."""

    def locate(self, bodies: Sequence[str], xpos: Array, xmat: Array) -> Array:
        """World positions, m.

        Args:
            bodies: names of the bodies that follow, as in the compiled model.
            xpos: their positions ``(..., bodies, 3)``, m.
            xmat: their rotations ``(..., bodies, 3, 3)`` or ``(..., bodies, 9)``.

        Returns:
            ``(..., keypoints, 3)``.

        Raises:
            ValueError: a body that carries a keypoint is missing.
        """
        missing = sorted(set(self.bodies) - set(bodies))
        if missing:
            raise ValueError(f"no body {', '.join(missing)} for the keypoints; the model has {', '.join(bodies)}")
        carriers = [list(bodies).index(body) for body in self.bodies]
        rotations = xmat.reshape(*xpos.shape[:-1], 3, 3)[..., carriers, :, :]
        return np.asarray(xpos[..., carriers, :] + np.einsum("...kij,kj->...ki", rotations, np.array(self.offsets)))


KEYPOINTS: dict[str, Keypoints] = {
    # The ends of the torso's and the foot's axis, and the three joints between them.
    "hopper": Keypoints(
        names=("torso_top", "waist", "knee", "ankle", "foot_tip"),
        bodies=("torso", "torso", "thigh", "leg", "foot"),
        offsets=((0, 0, 0.2), (0, 0, -0.2), (0, 0, -0.45), (0, 0, -0.25), (0.13, 0, 0.1)),
        skeleton=((0, 1), (1, 2), (2, 3), (3, 4)),
        sigmas=(0.1,) * 5,
    ),
}


def keypoints_of(figure: str) -> Keypoints:
    """The figure's keypoints.

    Raises:
        ValueError: none are defined.
    """
    if figure not in KEYPOINTS:
        raise ValueError(f"no keypoints for figure {figure!r}; accepted: {', '.join(KEYPOINTS)}")
    return KEYPOINTS[figure]
