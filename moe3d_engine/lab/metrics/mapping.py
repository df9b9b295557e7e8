"""
What flying points do to a robot's map: a fused surface, free space, a costmap.

Constants are those of others where there are any: Depth Anything 3's benchmark for fusion, Nav2's
obstacle layer for heights and cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

VOXEL_M = 4 / 512  # DA3, 7-Scenes; other scenes need other voxels
TRUNCATION_VOXELS = 5.12  # .04 m at that voxel
FREE_MARGIN = 0.03  # of the depth; a point must lie this far before the surface to violate
CELL_M = 0.05
OBSTACLE_HEIGHTS_M = (0.1, 2.0)  # above the floor; Nav2 takes 0 to 2, and 0 would be the floor
DENOISE_CELLS = 2  # least group of Nav2's denoise layer, eight neighbours


class CostmapErrors(NamedTuple):
    """Shares of the cells that the truth sees."""

    false_positive: float  # occupied by the prediction, of the cells that are free
    false_negative: float  # free in the prediction, of the cells that are occupied


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


def costmap_errors(
    points_floor: Float64Array, gt_points_floor: Float64Array, *, denoise: bool = False
) -> CostmapErrors:
    """
    Compare the obstacles that two clouds put on a floor plan of 5 cm cells.

    Parameters
    ----------
    points_floor, gt_points_floor : (N, 3), (M, 3) in metres, z up, the floor at z = 0.
    denoise : whether to drop single occupied cells of the prediction, as Nav2's denoise layer.

    Returns
    -------
    CostmapErrors
        Judged on the cells in which the truth has any point, floor included; NaN without such.
    """
    _check_points(points_floor)
    _check_points(gt_points_floor)
    both = np.concatenate([points_floor, gt_points_floor])[:, :2]
    origin = np.floor(both.min(0) / CELL_M).astype(np.int64)
    shape = tuple(np.floor(both.max(0) / CELL_M).astype(np.int64) - origin + 1)

    def cells(points: Float64Array) -> NDArray[np.bool_]:
        grid = np.zeros(shape, bool)
        grid[tuple((np.floor(points[:, :2] / CELL_M).astype(np.int64) - origin).T)] = True
        return grid

    low, high = OBSTACLE_HEIGHTS_M
    occupied, occupied_gt = (
        cells(points[(points[:, 2] >= low) & (points[:, 2] <= high)])
        for points in (points_floor, gt_points_floor)
    )
    if denoise:
        groups, _ = label(occupied, structure=np.ones((3, 3)))
        occupied &= np.bincount(groups.ravel())[groups] >= DENOISE_CELLS
    free_gt = cells(gt_points_floor) & ~occupied_gt

    def share(wrong: NDArray[np.bool_], judged: NDArray[np.bool_]) -> float:
        return float(wrong[judged].mean()) if judged.any() else float('nan')

    return CostmapErrors(share(occupied, free_gt), share(~occupied, occupied_gt))


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


def _check_points(points: Float64Array) -> None:
    """Raise ShapeError unless `points` is a finite, not empty (N, 3)."""
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ShapeError(f'A cloud has shape (N, 3) with N >= 1; got {points.shape}.')
    if not np.isfinite(points).all():
        raise ShapeError('A cloud holds NaN or Inf. Leave out pixels without depth first.')
