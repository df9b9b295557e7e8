"""Triangle meshes with normals and texture coordinates in metres: the shapes of every scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray

_CREASE_COSINE = 0.75  # a lathe's neighbouring segments share normals above this


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """
    A triangle mesh, z up; shapes that stand on something have their base at z = 0.

    Parameters
    ----------
    vertices : (N, 3) metres.
    normals : (N, 3) unit shading normals.
    uvs : (N, 2) texture coordinates in metres on the surface.
    faces : (M, 3) int32.
    """

    vertices: NDArray[Any]
    normals: NDArray[Any]
    uvs: NDArray[Any]
    faces: NDArray[np.int32]

    def moved(self, position: ArrayLike, yaw: float = 0.0) -> Mesh:
        """Return the mesh turned about z by `yaw` and then shifted to `position`."""
        return self.turned(rotation_z(yaw), position)

    def turned(self, rotation: NDArray[Any], position: ArrayLike = (0.0, 0.0, 0.0)) -> Mesh:
        """Return the mesh rotated by a 3x3 matrix and then shifted to `position`."""
        turned = rotation.T
        return Mesh(
            self.vertices @ turned + np.asarray(position),
            self.normals @ turned,
            self.uvs,
            self.faces,
        )


def rotation_z(angle: float) -> Float64Array:
    """Return the rotation about z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def rotation_x(angle: float) -> Float64Array:
    """Return the rotation about x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def rotation_y(angle: float) -> Float64Array:
    """Return the rotation about y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Return one mesh with the faces of all `meshes`."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uvs for m in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=True)]).astype(
            np.int32
        ),
    )


def repeat(mesh: Mesh, rotations: NDArray[Any], positions: NDArray[Any]) -> Mesh:
    """Return one mesh with a copy of `mesh` per (3, 3) rotation (may scale) and position."""
    count, size = len(positions), len(mesh.vertices)
    vertices = np.einsum('kij,nj->kni', rotations, mesh.vertices) + positions[:, None]
    normals = np.einsum('kij,nj->kni', rotations, mesh.normals)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True) + 1e-12
    faces = mesh.faces[None] + (np.arange(count) * size)[:, None, None]
    return Mesh(
        vertices.reshape(-1, 3),
        normals.reshape(-1, 3),
        np.tile(mesh.uvs, (count, 1)),
        faces.reshape(-1, 3).astype(np.int32),
    )


def smooth_normals(vertices: NDArray[Any], faces: NDArray[np.int32]) -> NDArray[Any]:
    """Return area-weighted vertex normals."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for i in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(
                faces[:, i], face_normals[:, axis], minlength=len(vertices)
            )
    return np.asarray(normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12))


def _box_template() -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int32]]:
    """Return corners in [-.5, .5]^3, normals and faces of a cube with 4 vertices per side."""
    corners: list[NDArray[Any]] = []
    normals: list[NDArray[Any]] = []
    faces: list[list[int]] = []
    for axis in range(3):
        for sign in (-1, 1):
            n = np.zeros(3)
            n[axis] = sign
            u = np.roll(np.abs(n), 1)
            v = np.cross(n, u)
            faces += [[len(corners) + i for i in t] for t in ((0, 1, 2), (0, 2, 3))]
            corners += [(n + s * u + t * v) / 2 for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            normals += [n] * 4
    return np.array(corners), np.array(normals), np.array(faces, np.int32)


_BOX_CORNERS, _BOX_NORMALS, _BOX_FACES = _box_template()


def box(size_x: float, size_y: float, size_z: float) -> Mesh:
    """Return a box standing on z = 0, centred on the z axis."""
    vertices = _BOX_CORNERS * (size_x, size_y, size_z)
    uvs = np.empty((24, 2))
    uvs[:8], uvs[8:16], uvs[16:] = vertices[:8, 1:], vertices[8:16, ::2], vertices[16:, :2]
    vertices[:, 2] += size_z / 2
    return Mesh(vertices, _BOX_NORMALS, uvs, _BOX_FACES)


def grid(points: NDArray[Any], closed_normals: NDArray[Any] | None = None) -> Mesh:
    """Return the surface through (R, C, 3) points; texture coordinates follow arc length."""
    rows, cols = points.shape[:2]
    index = np.arange(rows * cols).reshape(rows, cols)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3).astype(np.int32)
    steps_u = np.linalg.norm(np.diff(points, axis=1), axis=2).max(axis=0)
    steps_v = np.linalg.norm(np.diff(points, axis=0), axis=2).max(axis=1)
    u = np.concatenate([[0], np.cumsum(steps_u)])
    v = np.concatenate([[0], np.cumsum(steps_v)])
    uvs = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    vertices = points.reshape(-1, 3)
    if closed_normals is None:
        closed_normals = smooth_normals(vertices, faces)
    return Mesh(vertices, closed_normals.reshape(-1, 3), uvs, faces)


def quad(size_x: float, size_y: float) -> Mesh:
    """Return a flat rectangle at z = 0 that faces up."""
    return Mesh(
        np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * (size_x / 2, size_y / 2, 0),
        np.tile((0.0, 0.0, 1.0), (4, 1)),
        np.array([[0, 0], [size_x, 0], [size_x, size_y], [0, size_y]]),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
    )


def lathe(profile: ArrayLike, segments: int = 20) -> Mesh:
    """Return the surface of revolution of a polyline of (radius, z), outside on its right."""
    r, z = np.asarray(profile, float).T
    tangents = np.stack([np.diff(r), np.diff(z)], axis=1)
    normals = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    first, last = normals.copy(), normals.copy()
    smooth = (normals[1:] * normals[:-1]).sum(axis=1) > _CREASE_COSINE
    mean = normals[1:] + normals[:-1]
    mean /= np.linalg.norm(mean, axis=1, keepdims=True) + 1e-12
    first[1:][smooth] = mean[smooth]
    last[:-1][smooth] = mean[smooth]
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    cos, sin = np.cos(angle), np.sin(angle)
    radii = np.stack([r[:-1], r[1:]], axis=1)[..., None]  # (segment, end, 1)
    heights = np.stack([z[:-1], z[1:]], axis=1)[..., None]
    ends = np.stack([first, last], axis=1)
    points = np.stack([radii * cos, radii * sin, heights + 0 * cos], axis=-1)
    directions = np.stack(
        [ends[..., :1] * cos, ends[..., :1] * sin, ends[..., 1:] + 0 * cos], axis=-1
    )
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(tangents, axis=1))])
    v = np.stack([length[:-1], length[1:]], axis=1)[..., None] + 0 * cos
    u = angle * max(float(r.max()), 1e-3) + 0 * v
    count = len(tangents)
    index = np.arange(count * 2 * (segments + 1)).reshape(count, 2, segments + 1)
    a, b = index[:, 0, :-1], index[:, 0, 1:]
    c, d = index[:, 1, 1:], index[:, 1, :-1]
    faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3).astype(np.int32)
    uvs = np.stack([u, v], axis=-1)
    return Mesh(points.reshape(-1, 3), directions.reshape(-1, 3), uvs.reshape(-1, 2), faces)


def cylinder(radius: float, height: float, segments: int = 16, top_scale: float = 1.0) -> Mesh:
    """Return an upright closed cylinder, or a cone frustum."""
    top = radius * top_scale
    return lathe([(0, 0), (radius, 0), (top, height), (0, height)], segments)


def sphere(radius: float, segments: int = 20) -> Mesh:
    """Return a sphere that rests on z = 0."""
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    return lathe(np.stack([radius * np.cos(t), radius + radius * np.sin(t)], axis=1), segments)


def torus(radius: float, tube_radius: float, segments: int = 24) -> Mesh:
    """Return a torus that lies on z = 0."""
    t = np.linspace(-np.pi, np.pi, 13)
    profile = np.stack(
        [radius + tube_radius * np.cos(t), tube_radius + tube_radius * np.sin(t)], axis=1
    )
    return lathe(profile, segments)


def tube(path: NDArray[Any], radius: float, segments: int = 6) -> Mesh:
    """Return a round tube along (N, 3) points."""
    tangents = np.gradient(path, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True) + 1e-12
    mean = np.abs(tangents).mean(axis=0)
    reference = np.eye(3)[int(np.argmin(mean))]
    side = np.cross(tangents, reference)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-12
    other = np.cross(tangents, side)
    angle = np.linspace(0, 2 * np.pi, segments + 1)[None, :, None]
    normals = np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None]
    return grid(path[:, None] + radius * normals, normals)


def superellipsoid(size: ArrayLike, roundness: tuple[float, float], segments: int = 20) -> Mesh:
    """Return a body between a box (roundness 0.1) and an ellipsoid (1), resting on z = 0."""
    half = np.asarray(size, float) / 2
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)[:, None]
    p = np.linspace(-np.pi, np.pi, segments + 1)[None]

    def power(x: NDArray[Any], e: float) -> NDArray[Any]:
        return np.asarray(np.sign(x) * np.abs(x) ** e)

    e, f = roundness
    ring = power(np.cos(t), e)
    points = np.stack(
        [
            half[0] * ring * power(np.cos(p), f),
            half[1] * ring * power(np.sin(p), f),
            half[2] * (1 + power(np.sin(t), e)) + 0 * p,
        ],
        axis=-1,
    )
    body = grid(points)
    x, y, z = body.vertices.T
    body.uvs[:] = np.stack([x + 0.4 * z, y + z], axis=1)  # no poles in the pattern
    return body


def blob(rng: np.random.Generator, radius: float, segments: int = 18) -> Mesh:
    """Return a random lump (stone, fruit, crumpled thing) that rests on z = 0."""
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)[:, None]
    p = np.linspace(-np.pi, np.pi, segments + 1)[None]
    d = np.stack([np.cos(t) * np.cos(p), np.cos(t) * np.sin(p), np.sin(t) + 0 * p], axis=-1)
    r = np.ones(d.shape[:2])
    for frequency in (1.5, 3.0, 6.0):
        k = rng.normal(size=3) * frequency
        r += 0.22 / frequency * np.sin(d @ k + rng.uniform(0, 6.3)) * rng.uniform(0.3, 1.5)
    points = d * r[..., None] * rng.uniform(0.6, 1.2, 3) * radius
    points[..., 2] -= points[..., 2].min() * 0.95
    return grid(points)


def prism(outline: NDArray[Any], height: float) -> Mesh:
    """Return a convex (N, 2) outline (counter-clockwise) extruded from z = 0 to `height`."""
    count = len(outline)
    following = np.roll(outline, -1, axis=0)
    low, high = np.zeros((count, 1)), np.full((count, 1), height)
    sides = np.stack(
        [
            np.hstack([outline, low]),
            np.hstack([following, low]),
            np.hstack([following, high]),
            np.hstack([outline, high]),
        ],
        axis=1,
    )  # (N, 4, 3)
    edge = following - outline
    length = np.linalg.norm(edge, axis=1)
    normals = np.stack([edge[:, 1], -edge[:, 0], 0 * length], axis=1) / (length[:, None] + 1e-12)
    start = np.cumsum(length) - length
    u = np.stack([start, start + length, start + length, start], axis=1)
    v = np.tile([0.0, 0.0, height, height], (count, 1))
    side_faces = np.array([[0, 1, 2], [0, 2, 3]])[None] + 4 * np.arange(count)[:, None, None]
    fan = np.array([[0, i, i + 1] for i in range(1, count - 1)], np.int32)
    parts = [
        Mesh(
            sides.reshape(-1, 3),
            np.repeat(normals, 4, axis=0),
            np.stack([u, v], axis=-1).reshape(-1, 2),
            side_faces.reshape(-1, 3).astype(np.int32),
        ),
        Mesh(np.hstack([outline, high]), np.tile((0, 0, 1.0), (count, 1)), outline, fan),
        Mesh(np.hstack([outline, low]), np.tile((0, 0, -1.0), (count, 1)), outline, fan[:, ::-1]),
    ]
    return merge(parts)


def leaf(length: float, width: float, bend: float, rows: int = 5) -> Mesh:
    """Return a thin pointed leaf from the origin along +x, bent downwards and folded."""
    t = np.linspace(0, 1, rows)
    half = width / 2 * np.sin(np.pi * np.clip(t * 0.94 + 0.05, 0, 1)) ** 0.8
    x = length * t
    z = -bend * length * t**2
    points = np.stack(
        [
            np.stack([x, -half, z + 0.25 * half], axis=-1),
            np.stack([x, 0 * half, z], axis=-1),
            np.stack([x, half, z + 0.25 * half], axis=-1),
        ],
        axis=1,
    )
    return grid(points)
