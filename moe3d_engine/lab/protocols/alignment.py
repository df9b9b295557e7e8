"""Predicted point maps moved onto the true ones, as the reference codes do."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.lab.metrics.depth_metrics import lower_median
from moe3d_engine.lab.metrics.reconstruction import Similarity
from moe3d_engine.lab.metrics.reconstruction import umeyama
from moe3d_engine.lab.protocols.maps import PointMaps
from moe3d_engine.types import Float64Array
import numpy as np

SCALE_LIMITS = (1e-3, 1e3)  # of a predicted cloud's size, as CUT3R clips it


def align_maps(maps: PointMaps, alignment: str, world_from_first: Float64Array) -> PointMaps:
    """
    Return the maps with predicted points in the data set's world.

    Parameters
    ----------
    maps : predicted points in the first camera's frame; at least three pixels have both
        points, and those count.
    alignment : `umeyama` (least squares, Sim(3)) or `scale_shift_cut3r`.
    world_from_first : (4, 4), the true pose of the first camera.
    """
    both = np.isfinite(maps.points[..., 0]) & np.isfinite(maps.points_gt[..., 0])
    points = maps.points.astype(np.float64)
    points_gt = maps.points_gt.astype(np.float64)
    if alignment == 'umeyama':
        aligned = umeyama(points[both], points_gt[both]).apply(points)
    else:
        first_from_world = invert_rigid(world_from_first)
        true_in_first = transform_points(first_from_world, points_gt)
        scale, source_z, target_z = scale_shift(points[both], true_in_first[both])
        in_first = (points - [0, 0, source_z]) * scale + [0, 0, target_z]
        aligned = transform_points(world_from_first, in_first)
    return maps._replace(points=aligned.astype(np.float32))


def moved_cameras(cam_from_world: Float64Array, similarity: Similarity) -> Float64Array:
    """
    Return the cameras in the world to which a similarity moves theirs.

    Parameters
    ----------
    cam_from_world : (V, 4, 4); the cameras' own coordinates grow by the similarity's scale.
    similarity : from the cameras' world to the other one.
    """
    moved = np.tile(np.eye(4), (len(cam_from_world), 1, 1))
    rotation = cam_from_world[:, :3, :3] @ similarity.rotation.T
    moved[:, :3, :3] = rotation
    moved[:, :3, 3] = (
        similarity.scale * cam_from_world[:, :3, 3] - rotation @ similarity.translation
    )
    return moved


def scale_shift(source: Float64Array, target: Float64Array) -> tuple[float, float, float]:
    """
    Return CUT3R's alignment of points in the first camera's frame.

    Parameters
    ----------
    source, target : (N, 3), predicted and true points of the same pixels.

    Returns
    -------
    Scale s and the lower medians of z of both, such that
    (source - (0, 0, source_z)) * s + (0, 0, target_z) is near target.

    Notes
    -----
    The size of a cloud is the median distance from its median per axis, after its z is shifted;
    the shift does not change it.
    """
    target_size, source_size = _size(target), _size(source)
    scale = target_size / min(max(source_size, SCALE_LIMITS[0]), SCALE_LIMITS[1])
    return scale, lower_median(source[:, 2]), lower_median(target[:, 2])


def _size(points: Float64Array) -> float:
    """Return the median distance from the median per axis, with lower medians."""
    center = [lower_median(points[:, axis]) for axis in range(3)]
    return lower_median(np.linalg.norm(points - center, axis=1))
