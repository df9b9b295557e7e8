"""Coloured clouds of a reconstruction, and PLY and PCD files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import UInt8Array
import numpy as np

_PLY_VERTEX = np.dtype([
    ('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('red', 'u1'), ('green', 'u1'), ('blue', 'u1'),
])  # fmt: skip
_PLY_HEADER = """ply
format binary_little_endian 1.0
comment written by moe3d
element vertex {count}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
"""
_PCD_POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4')])
_PCD_HEADER = """# .PCD v0.7 - written by moe3d
VERSION 0.7
FIELDS x y z rgb
SIZE 4 4 4 4
TYPE F F F F
COUNT 1 1 1 1
WIDTH {count}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {count}
DATA binary
"""


def fuse_cloud(reconstruction: Reconstruction) -> tuple[Float32Array, UInt8Array]:
    """
    Return the points of all published views that have a finite depth.

    Returns
    -------
    points_world : (N, 3) float32 in the unit of the depth; the world is the first view's camera.
    colors : (N, 3) uint8, RGB.
    """
    points_cam = unproject_depth(reconstruction.depth, reconstruction.intrinsics)
    world_from_cam = invert_rigid(reconstruction.cam_from_world)
    points, colors = [], []
    for slot, index in enumerate(reconstruction.published):
        valid = np.isfinite(reconstruction.depth[slot])
        points.append(transform_points(world_from_cam[index], points_cam[slot][valid]))
        colors.append(reconstruction.image[slot][valid])
    return np.concatenate(points), np.concatenate(colors)


def is_own_ply(path: Path) -> bool:
    """Return whether a file is a cloud of `write_ply`."""
    start = _PLY_HEADER.partition('element')[0].encode('ascii')
    with path.open('rb') as file:
        return file.read(len(start)) == start


def write_ply(path: Path, points: Float32Array, colors: UInt8Array) -> None:
    """
    Write a coloured cloud as binary little-endian PLY.

    Parameters
    ----------
    path : the file; its folder must exist.
    points : (N, 3), finite.
    colors : (N, 3) uint8, RGB.

    Raises
    ------
    ShapeError
        If the shapes differ or are not (N, 3).
    """
    _check_cloud(points, colors)
    vertices = np.empty(len(points), _PLY_VERTEX)
    for axis, name in enumerate(('x', 'y', 'z')):
        vertices[name] = points[:, axis]
    for channel, name in enumerate(('red', 'green', 'blue')):
        vertices[name] = colors[:, channel]
    with path.open('wb') as file:
        file.write(_PLY_HEADER.format(count=len(points)).encode('ascii'))
        file.write(vertices.tobytes())


def write_pcd(path: Path, points: Float32Array, colors: UInt8Array) -> None:
    """
    Write a coloured cloud as binary PCD 0.7, as PCL and Open3D read it.

    Parameters
    ----------
    path : the file; its folder must exist.
    points : (N, 3), finite.
    colors : (N, 3) uint8, RGB; packed as 0x00rrggbb in the bits of a float, as PCL does.

    Raises
    ------
    ShapeError
        If the shapes differ or are not (N, 3).
    """
    _check_cloud(points, colors)
    values = np.empty(len(points), _PCD_POINT)
    for axis, name in enumerate(('x', 'y', 'z')):
        values[name] = points[:, axis]
    values['rgb'] = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    with path.open('wb') as file:
        file.write(_PCD_HEADER.format(count=len(points)).encode('ascii'))
        file.write(values.tobytes())


def _check_cloud(points: Float32Array, colors: UInt8Array) -> None:
    """Raise ShapeError unless there is one colour per point."""
    if points.shape != colors.shape or points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(
            f'A cloud is points (N, 3) and colors (N, 3); got {points.shape} and {colors.shape}.'
        )


CLOUD_WRITERS: dict[str, Callable[[Path, Float32Array, UInt8Array], None]] = {
    'ply': write_ply,
    'pcd': write_pcd,
}
