"""Pinhole cameras: from points in the world to points in the image.

Camera axes are MuJoCo's and Blender's: x right, y up, looking along −z. Pixel coordinates are COCO's, MMPose's and
OpenCV's: x right, y down, the centre of the first pixel at (0, 0).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """One camera, or ``n`` of one image size."""

    position: Array
    """In the world, m: ``(..., 3)``."""
    rotation: Array
    """Its axes as columns, in the world: ``(..., 3, 3)``."""
    fovy: Array
    """Angle from the image's lower to its upper edge, degrees: ``(...)``."""
    width: int
    height: int

    @property
    def focal(self) -> Array:
        """Focal length in pixels, ``(...)``; the pixels are square."""
        return np.asarray(self.height / 2 / np.tan(np.radians(self.fovy) / 2))

    @property
    def intrinsics(self) -> Array:
        """OpenCV's matrix ``(..., 3, 3)``: ``[[f, 0, cx], [0, f, cy], [0, 0, 1]]``."""
        matrix = np.zeros((*self.focal.shape, 3, 3))
        matrix[..., 0, 0] = matrix[..., 1, 1] = self.focal
        matrix[..., 0, 2], matrix[..., 1, 2] = (self.width - 1) / 2, (self.height - 1) / 2
        matrix[..., 2, 2] = 1.0
        return matrix

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels ``(..., k, 2)`` and depths ``(..., k)`` in m of world points ``(..., k, 3)``.

        A point that is not in front of the camera has a depth of 0 or less, and NaN as its pixel.
        """
        local = np.einsum("...ji,...kj->...ki", self.rotation, points - self.position[..., None, :])
        depth = -local[..., 2]
        divisor = np.where(depth > 0, depth, np.nan)[..., None]
        centre = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        scale = self.focal[..., None, None] * np.array([1.0, -1.0])
        return centre + scale * local[..., :2] / divisor, depth

    def held(self, offset: tuple[float, float, float], turn: Array, zoom: float) -> "Camera":
        """One camera as it is when it is held otherwise than it should be.

        Args:
            offset: along its own axes (right, up, back), m.
            turn: its new axes as columns ``(3, 3)``, in its own.
            zoom: focal length over the nominal one.
        """
        tangent = np.tan(np.radians(self.fovy) / 2) / zoom
        return replace(
            self,
            position=self.position + self.rotation @ np.array(offset),
            rotation=self.rotation @ turn,
            fovy=np.degrees(2 * np.arctan(tangent)),
        )

    def inside(self, pixels: Array) -> npt.NDArray[np.bool_]:
        """Which pixels ``(..., k, 2)`` lie in the image, whose edges are half a pixel outside the outer centres."""
        x, y = pixels[..., 0], pixels[..., 1]
        return np.asarray((x >= -0.5) & (x < self.width - 0.5) & (y >= -0.5) & (y < self.height - 0.5))
