"""Meshes enclose the volumes of the shapes, are closed, and face outwards."""

from collections import Counter

import numpy as np
import pytest

from synth_data import meshes
from synth_data.meshes import SEGMENTS, Mesh

# A circle's polygon has this share of its area.
POLYGON = np.sin(2 * np.pi / SEGMENTS) / (2 * np.pi / SEGMENTS)
SHAPES: dict[str, tuple[Mesh, float, tuple[float, float, float]]] = {
    "box": (meshes.box((0.2, 0.3, 0.5)), 8 * 0.2 * 0.3 * 0.5, (0.2, 0.3, 0.5)),
    "sphere": (meshes.ellipsoid((0.3,) * 3), 4 / 3 * np.pi * 0.3**3, (0.3, 0.3, 0.3)),
    "ellipsoid": (meshes.ellipsoid((0.2, 0.5, 0.3)), 4 / 3 * np.pi * 0.2 * 0.5 * 0.3, (0.2, 0.5, 0.3)),
    "capsule": (meshes.capsule(0.05, 0.2), np.pi * 0.05**2 * (0.4 + 4 / 3 * 0.05), (0.05, 0.05, 0.25)),
    "cylinder": (meshes.cylinder(0.1, 0.4), np.pi * 0.1**2 * 0.8, (0.1, 0.1, 0.4)),
    "cone": (meshes.cone(0.1, 0.4), np.pi * 0.1**2 * 0.8 / 3, (0.1, 0.1, 0.4)),
}
each_shape = pytest.mark.parametrize(("mesh", "volume", "halves"), SHAPES.values(), ids=SHAPES)


def enclosed(mesh: Mesh) -> float:
    """Volume by the divergence theorem: positive if the faces turn counter-clockwise seen from outside."""
    vertices, faces = mesh
    triangles = np.array([(face[0], face[i], face[i + 1]) for face in faces for i in range(1, len(face) - 1)])
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@each_shape
def test_a_mesh_encloses_the_shapes_volume(mesh: Mesh, volume: float, halves: tuple[float, float, float]) -> None:
    assert 0.99 * volume < enclosed(mesh) < volume * (1 + 1e-12)


@pytest.mark.parametrize(("name", "share"), [("box", 1.0), ("cylinder", POLYGON), ("cone", POLYGON)])
def test_where_only_the_circle_is_approximated_the_volume_is_the_polygons(name: str, share: float) -> None:
    mesh, volume, _ = SHAPES[name]
    np.testing.assert_allclose(enclosed(mesh), share * volume, rtol=1e-12)


@each_shape
def test_a_mesh_is_closed(mesh: Mesh, volume: float, halves: tuple[float, float, float]) -> None:
    edges = Counter((face[i - 1], face[i]) for face in mesh[1] for i in range(len(face)))
    assert set(edges.values()) == {1}
    assert {(b, a) for a, b in edges} == set(edges)
    assert {vertex for edge in edges for vertex in edge} == set(range(len(mesh[0])))
    assert len(mesh[0]) - len(edges) // 2 + len(mesh[1]) == 2  # Euler: it is one sphere


@each_shape
def test_a_mesh_reaches_as_far_as_the_shape(mesh: Mesh, volume: float, halves: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(mesh[0].max(axis=0), halves, rtol=1e-12)
    np.testing.assert_allclose(mesh[0].min(axis=0), -np.array(halves), rtol=1e-12)


def test_vertices_lie_on_the_shapes_surface() -> None:
    vertices, _ = meshes.capsule(0.05, 0.2)
    axis = np.clip(vertices[:, 2], -0.2, 0.2)
    np.testing.assert_allclose(np.hypot(np.hypot(*vertices.T[:2]), vertices[:, 2] - axis), 0.05, rtol=1e-12)
    vertices, _ = meshes.ellipsoid((0.2, 0.5, 0.3))
    np.testing.assert_allclose(np.linalg.norm(vertices / (0.2, 0.5, 0.3), axis=1), 1, rtol=1e-12)


def test_a_cones_tip_is_up() -> None:
    vertices, _ = meshes.cone(0.1, 0.4)
    np.testing.assert_array_equal(vertices[vertices[:, 2] > 0], [[0, 0, 0.4]])


def test_a_capsules_circle_deviates_by_a_tenth_of_a_millimetre() -> None:
    vertices, _ = meshes.capsule(0.05, 0.2)
    ring = vertices[np.isclose(vertices[:, 2], 0.2), :2]
    middles = (ring + np.roll(ring, 1, axis=0)) / 2
    assert len(ring) == SEGMENTS
    np.testing.assert_allclose(0.05 - np.hypot(*middles.T), 1e-4, atol=2e-5)


def test_a_plane_faces_up() -> None:
    vertices, ((a, b, c, _),) = meshes.plane(3, 2)
    np.testing.assert_array_equal(np.cross(vertices[b] - vertices[a], vertices[c] - vertices[b]), [0, 0, 24])
    np.testing.assert_array_equal(vertices[:, 2], 0)
    np.testing.assert_array_equal(vertices.mean(axis=0), 0)
