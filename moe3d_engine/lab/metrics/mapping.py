"""
What flying points do to a robot's map: a fused surface, and points in free space.

Constants of fusion are those of Depth Anything 3's benchmark, cells are those of Nav2's costmaps.
"""

from __future__ import annotations

from collections.abc import Sequence

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

VOXEL_M = 4 / 512  # DA3, 7-Scenes; other scenes need other voxels
TRUNCATION_VOXELS = 5.12  # .04 m at that voxel
FREE_MARGIN = 0.03  # of the depth; a point must lie this far before the surface to violate
CELL_M = 0.05  # Nav2's costmaps


def fuse_depth(
    depth_m: Sequence[Float32Array],
    intrinsics: Sequence[Float64Array],
    cam_from_world: Sequence[Float64Array],
    *,
    voxel_m: float = VOXEL_M,
) -> Float64Array:
    """
    Fuse depth maps into one surface, as a truncated signed distance field does.

    Parameters
    ----------
    depth_m : V maps (H, W) in metres; not finite or not above 0 = unknown.
    intrinsics : V matrices (3, 3) in pixels.
    cam_from_world : V matrices (4, 4).
    voxel_m : side of a voxel; the field is cut 5.12 voxels before and behind the surface.

    Returns
    -------
    (N, 3) centres of the voxels that hold the surface, in the world's frame.

    Notes
    -----
    Curless and Levoy 1996, with equal weights, on the voxels near any measured point only. A
    voxel holds the surface where its mean distance is within half a voxel of 0.
    """
    truncation_m = TRUNCATION_VOXELS * voxel_m
    clouds = [
        _world_points(*view) for view in zip(depth_m, intrinsics, cam_from_world, strict=True)
    ]
    seeds = np.unique(np.floor(np.concatenate(clouds) / voxel_m).astype(np.int64), axis=0)
    around = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing='ij'), -1).reshape(-1, 3)
    voxels = np.unique((seeds[:, None] + around).reshape(-1, 3), axis=0)
    centres = (voxels + 0.5) * voxel_m
    total, weight = np.zeros(len(centres)), np.zeros(len(centres))
    for depth, matrix, pose in zip(depth_m, intrinsics, cam_from_world, strict=True):
        measured, z = _look_up(depth, matrix, pose, centres)
        distance = measured - z
        seen = np.isfinite(distance) & (distance > -truncation_m)
        total[seen] += np.minimum(distance[seen], truncation_m)
        weight[seen] += 1
    mean = np.divide(total, weight, out=np.full(len(total), np.inf), where=weight > 0)
    surface: Float64Array = centres[np.abs(mean) <= voxel_m / 2]
    return surface


def free_space_violation(
    points_cam: Float32Array,
    depth_gt_m: Float32Array,
    intrinsics: Float64Array,
    *,
    voxel_m: float = CELL_M,
) -> float:
    """
    Return the share of points that stand in space that the true depth says is free.

    Parameters
    ----------
    points_cam : (N, 3) in the camera's optical frame, metres.
    depth_gt_m : (H, W) true depth along optical z; not finite = unknown, its rays judge nothing.
    intrinsics : (3, 3) of that depth.
    voxel_m : a point violates if it is nearer than the surface by two of these and by 3 %.

    Returns
    -------
    NaN where no point meets known depth.
    """
    measured, z = _look_up(depth_gt_m, intrinsics, np.eye(4), points_cam.astype(np.float64))
    known = np.isfinite(measured)
    margin = np.maximum(2 * voxel_m, FREE_MARGIN * measured)
    return float(np.mean(measured[known] - z[known] > margin[known])) if known.any() else np.nan


def _world_points(
    depth_m: Float32Array, intrinsics: Float64Array, cam_from_world: Float64Array
) -> Float64Array:
    """Return the points of a depth map in the world's frame, (N, 3)."""
    known = np.where(depth_m > 0, depth_m, np.nan).astype(np.float32)
    points_cam = unproject_depth(known[None], np.asarray(intrinsics)[None])[0].reshape(-1, 3)
    points_cam = points_cam[np.isfinite(points_cam).all(axis=1)]
    return transform_points(invert_rigid(cam_from_world), points_cam.astype(np.float64))


def _look_up(
    depth_m: Float32Array,
    intrinsics: Float64Array,
    cam_from_world: Float64Array,
    points_world: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """Return the depth measured along each point's ray (NaN = none) and the point's own z."""
    points = transform_points(cam_from_world, points_world)
    z = points[:, 2]
    measured = np.full(len(points), np.nan)
    front = np.flatnonzero(z > 0)
    projected = points[front] @ intrinsics.T
    columns, rows = np.rint(projected[:, :2] / projected[:, 2:]).astype(np.int64).T
    height, width = depth_m.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = depth_m[rows[inside], columns[inside]].astype(np.float64)
    measured[front[inside]] = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return measured, z
