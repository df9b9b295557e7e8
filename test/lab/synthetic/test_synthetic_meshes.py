"""Shapes are closed, of the right size, and lit from the right side."""

from __future__ import annotations

from moe3d_engine.lab.synthetic.worlds import meshes
import numpy as np
import pytest

RNG = np.random.default_rng(0)
CLOSED = {
    'box': (meshes.box(1, 2, 3), 6.0),
    'cylinder': (meshes.cylinder(0.5, 2.0, 200), np.pi * 0.25 * 2),
    'sphere': (meshes.sphere(1.0, 100), 4 / 3 * np.pi),
    'torus': (meshes.torus(1.0, 0.25, 100), 2 * np.pi**2 * 0.25**2),
    'prism': (meshes.prism(np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]), 2.0), 2.0),
}


def triangles(mesh: meshes.Mesh) -> np.ndarray:
    return mesh.vertices[mesh.faces]


@pytest.mark.parametrize('name', CLOSED)
def test_closed_shape_has_its_volume_by_outward_normals(name: str) -> None:
    mesh, volume = CLOSED[name]
    a, b, c = triangles(mesh).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    normal = mesh.normals[mesh.faces].mean(axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    centre = (a + b + c) / 3
    measured = (area * (centre * normal).sum(axis=1)).sum() / 3  # divergence theorem
    assert measured == pytest.approx(volume, rel=0.08)


@pytest.mark.parametrize(
    'mesh',
    [
        meshes.box(1, 2, 3),
        meshes.cylinder(0.5, 2.0),
        meshes.sphere(1.0),
        meshes.torus(1.0, 0.25),
        meshes.superellipsoid((1, 1, 1), (0.3, 0.3)),
    ],
)
def test_shape_rests_on_the_ground(mesh: meshes.Mesh) -> None:
    assert mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    'mesh',
    [
        meshes.tube(np.array([[0, 0, 0], [0, 0.5, 1], [0, 1, 1.5]]), 0.01),
        meshes.blob(RNG, 0.2),
        meshes.leaf(0.3, 0.05, 0.4),
        meshes.lathe([(0, 0), (0.1, 0), (0.05, 0.3), (0, 0.3)]),
    ],
)
def test_normals_are_unit_and_faces_refer_to_vertices(mesh: meshes.Mesh) -> None:
    used = np.unique(mesh.faces)
    assert used.min() >= 0
    assert used.max() < len(mesh.vertices)
    assert np.isfinite(mesh.vertices).all()
    lengths = np.linalg.norm(mesh.normals, axis=1)
    assert ((np.abs(lengths - 1) < 1e-6) | (lengths < 1e-6)).all()
    assert (lengths > 0.5).mean() > 0.8


def test_box_texture_is_metric_on_every_side() -> None:
    mesh = meshes.box(0.5, 1.5, 2.5)
    corners, uvs = triangles(mesh), mesh.uvs[mesh.faces]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        in_space = np.linalg.norm(corners[:, i] - corners[:, j], axis=1)
        np.testing.assert_allclose(np.linalg.norm(uvs[:, i] - uvs[:, j], axis=1), in_space)


def test_repeat_places_a_copy_per_position() -> None:
    turns = np.stack([np.eye(3), meshes.rotation_z(1.0)])
    copies = meshes.repeat(meshes.box(1, 1, 1), turns, np.array([[0, 0, 0], [5.0, 0, 0]]))
    assert len(copies.faces) == 24
    assert copies.vertices[24:].mean(axis=0) == pytest.approx([5, 0, 0.5])
