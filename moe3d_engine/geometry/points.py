"""Depth maps to points, and points between frames."""

from __future__ import annotations

from typing import TypeVar

from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

_ONE = int(np.float32(1.0).view(np.int32))  # floats above 0 are in the order of their bits
_DOUBT_BITS = 30  # of _ONE

Points = TypeVar('Points', Float32Array, Float64Array)


def unproject_depth(depth: Float32Array, intrinsics: Float64Array) -> Float32Array:
    """
    Lift depth maps to points in the cameras' frames.

    Parameters
    ----------
    depth : (P, H, W) along optical z; NaN = unknown, +Inf = beyond range.
    intrinsics : (P, 3, 3) in pixels of these depth maps, zero skew.

    Returns
    -------
    (P, H, W, 3) float32 in the unit of `depth`; NaN where `depth` is not finite.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    """
    if depth.ndim != 3 or intrinsics.shape != (len(depth), 3, 3):
        raise ShapeError(
            f'Unprojection takes depth (P, H, W) and intrinsics (P, 3, 3); got {depth.shape} and '
            f'{intrinsics.shape}.'
        )
    _, height, width = depth.shape
    focal_x, focal_y = intrinsics[:, 0, 0, None], intrinsics[:, 1, 1, None]
    ray_x = ((np.arange(width) - intrinsics[:, 0, 2, None]) / focal_x).astype(np.float32)
    ray_y = ((np.arange(height) - intrinsics[:, 1, 2, None]) / focal_y).astype(np.float32)
    points = np.empty((*depth.shape, 3), np.float32)
    points[..., 2] = np.where(np.isfinite(depth), depth, np.float32(np.nan))
    np.multiply(points[..., 2], ray_x[:, None, :], out=points[..., 0])
    np.multiply(points[..., 2], ray_y[:, :, None], out=points[..., 1])
    return points


def lift_pixels(
    pixels: Float32Array | Float64Array, depth: Float64Array, intrinsics: Float64Array
) -> Float64Array:
    """
    Lift single pixels to points (N, 3) in the camera's frame.

    Parameters
    ----------
    pixels : (N, 2), u and v.
    depth : (N,) along optical z.
    intrinsics : (3, 3) in these pixels.
    """
    rays = np.c_[pixels, np.ones(len(pixels))] @ np.linalg.inv(intrinsics).T
    points: Float64Array = rays * depth[:, None]
    return points


def project_points(points: Float64Array, intrinsics: Float64Array) -> Float64Array:
    """Return pixels (..., 2) of points (..., 3); what lies behind the camera lands anywhere."""
    with np.errstate(divide='ignore', invalid='ignore'):
        flat = points[..., :2] / points[..., 2:]
        pixels: Float64Array = flat * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
    return pixels


def move_pixels(pixels: Float32Array | Float64Array, a_from_b: Float64Array) -> Float64Array:
    """Move pixels (N, 2) of image b to image a, which shows a part of it in another size."""
    moved: Float64Array = pixels * a_from_b[[0, 1], [0, 1]] + a_from_b[:2, 2]
    return moved


def transform_points(a_from_b: Float64Array, points_b: Points) -> Points:
    """Move (..., 3) points from frame b to frame a by a (4, 4) rigid transform, in their type."""
    rotation = a_from_b[:3, :3].T.astype(points_b.dtype)
    moved: Points = points_b @ rotation + a_from_b[:3, 3].astype(points_b.dtype)
    return moved


def best_in_voxels(
    points: Float32Array, confidence: Float32Array, voxel: float
) -> NDArray[np.int64]:
    """
    Return one point of each cube that holds any: the one of the highest confidence.

    Parameters
    ----------
    points : (N, 3), finite.
    confidence : (N,) in [0, 1].
    voxel : side of the cubes, in the unit of the points; cubes begin at the origin.

    Returns
    -------
    (M,) indices into `points`, cube by cube.
    """
    if not len(points):
        return np.empty(0, np.int64)
    floors = np.floor(np.ascontiguousarray(points.T) / np.float32(voxel))
    x, y, z = (axis.astype(np.int64) - int(axis.min()) for axis in floors)
    extent_x, extent_y, extent_z = (int(axis.max()) + 1 for axis in (x, y, z))
    doubt = _ONE - np.ascontiguousarray(confidence, np.float32).view(np.int32)
    if extent_x * extent_y * extent_z < 2 ** (63 - _DOUBT_BITS):  # cube and doubt fit one number
        keys = ((x * extent_y + y) * extent_z + z) << _DOUBT_BITS | doubt
        order = np.argsort(keys)
        cube = keys[order] >> _DOUBT_BITS
        is_new = cube[1:] != cube[:-1]
    else:
        order = np.lexsort((doubt, x, y, z))
        before, after = order[:-1], order[1:]
        is_new = (x[before] != x[after]) | (y[before] != y[after]) | (z[before] != z[after])
    best: NDArray[np.int64] = order[np.append(True, is_new)]
    return best
