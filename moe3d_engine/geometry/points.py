"""Depth maps to points, and points between frames."""

from __future__ import annotations

from typing import TypeVar

from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

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


def transform_points(a_from_b: Float64Array, points_b: Points) -> Points:
    """Move (..., 3) points from frame b to frame a by a (4, 4) rigid transform, in their type."""
    rotation = a_from_b[:3, :3].T.astype(points_b.dtype)
    moved: Points = points_b @ rotation + a_from_b[:3, 3].astype(points_b.dtype)
    return moved
