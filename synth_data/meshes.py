"""Triangles and quadrangles of MuJoCo's shapes, in the frame that MuJoCo gives each of them."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mesh = tuple[Array, list[tuple[int, ...]]]
"""Vertices ``(n, 3)`` in m, and the faces' vertex indices, counter-clockwise seen from outside."""

SEGMENTS = 48  # around an axis: a circle of 5 cm deviates by 0.1 mm
RINGS = 12  # from the equator to a pole


def revolve(profile: Array) -> Mesh:
    """The surface that ``profile`` ``(m, 2)`` of (radius, z), from top to bottom, makes around the z axis.

    It must begin and end on the axis.
    """
    angles = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    rings = [np.column_stack((r * circle, np.full(SEGMENTS, z))) for r, z in profile[1:-1]]
    vertices = np.concatenate(([[0, 0, profile[0, 1]]], *rings, [[0, 0, profile[-1, 1]]]))
    faces: list[tuple[int, ...]] = []
    last, bottom = 1 + (len(rings) - 1) * SEGMENTS, len(vertices) - 1
    for i in range(SEGMENTS):
        j = (i + 1) % SEGMENTS
        faces.append((0, 1 + i, 1 + j))
        for start in range(1, last, SEGMENTS):
            faces.append((start + i, start + SEGMENTS + i, start + SEGMENTS + j, start + j))
        faces.append((bottom, last + j, last + i))
    return vertices, faces


def capsule(radius: float, half_length: float) -> Mesh:
    """A cylinder along z with half spheres on its ends; ``half_length`` reaches to the centre of each."""
    angles = np.linspace(0, np.pi / 2, RINGS + 1)
    cap = radius * np.stack((np.sin(angles), np.cos(angles)), axis=1)
    up = np.array([0, half_length])
    return revolve(np.concatenate((cap + up, (cap * [1, -1])[::-1] - up)))


def ellipsoid(radii: tuple[float, float, float]) -> Mesh:
    """An ellipsoid with its axes along x, y and z."""
    angles = np.linspace(0, np.pi, 2 * RINGS + 1)
    vertices, faces = revolve(np.stack((np.sin(angles), np.cos(angles)), axis=1))
    return vertices * radii, faces


def cylinder(radius: float, half_length: float) -> Mesh:
    """A cylinder along z."""
    return revolve(np.array([[0, half_length], [radius, half_length], [radius, -half_length], [0, -half_length]]))


def cone(radius: float, half_length: float) -> Mesh:
    """A cone with its tip up."""
    return revolve(np.array([[0, half_length], [radius, -half_length], [0, -half_length]]))


def box(halves: tuple[float, float, float]) -> Mesh:
    """A box with its edges along x, y and z."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    faces: list[tuple[int, ...]] = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners * halves, faces


def plane(half_x: float, half_y: float) -> Mesh:
    """A rectangle in z = 0 that faces up."""
    corners = [[-half_x, -half_y, 0], [half_x, -half_y, 0], [half_x, half_y, 0], [-half_x, half_y, 0]]
    return np.array(corners, float), [(0, 1, 2, 3)]
