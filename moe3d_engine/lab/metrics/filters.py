"""
The classic removals of flying points, which learn nothing, as scores and as masks.

A score is larger the more suspicious a pixel or point is, +Inf where the filter always removes
it, and NaN where there is none; `keep_at` cuts any of them at the same share of retained pixels,
so that filters compare fairly. The masks keep the parameters of the filters' originals; True =
remove.
"""

from __future__ import annotations

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

DA3_CONFIDENCE = 1.05
DA3_PERCENTILES = (40, 90)
ALIASING = 0.03


def depth_edge_score(depth: Float32Array, size_px: int = 3) -> Float64Array:
    """
    Return the relative span of depth around each pixel, (max - min) / depth.

    Parameters
    ----------
    depth : (..., H, W); pixels that are not finite or not above 0 are unknown and left out.
    size_px : side of the window, odd.

    Returns
    -------
    (..., H, W), NaN where the pixel itself is unknown. It is `depth_map_edge` of utils3d.
    """
    known = _known(depth)
    lowest, highest = _extremes(known, size_px)
    score: Float64Array = (highest - lowest) / known
    return score


def depth_edge_mask(depth: Float32Array, rtol: float, size_px: int = 3) -> NDArray[np.bool_]:
    """Return where the relative span of depth around a pixel exceeds `rtol` (MoGe: 0.04)."""
    return depth_edge_score(depth, size_px) > rtol


def depth_aliasing_mask(depth: Float32Array, rtol: float = ALIASING) -> NDArray[np.bool_]:
    """
    Return where depth is near neither the farthest nor the nearest of the 3x3 pixels around.

    Parameters
    ----------
    depth : as for `depth_edge_score`.
    rtol : a pixel is near what differs from it by at most this share of its depth.

    Returns
    -------
    (..., H, W), False where depth is unknown. It is `depth_map_aliasing` of utils3d. Depth that
    blends two surfaces is aliased, but so is a surface that is seen at a grazing angle.
    """
    known = _known(depth)
    lowest, highest = _extremes(known, 3)
    aliased: NDArray[np.bool_] = np.minimum(highest - known, known - lowest) / known > rtol
    return aliased


def sor_score(points: Float32Array, nb_neighbors: int) -> Float64Array:
    """
    Return the mean distance to the nearest points: statistical outlier removal.

    Parameters
    ----------
    points : (..., 3) in one frame; rows that are not finite are no points.
    nb_neighbors : how many, the point itself included, as Open3D counts.

    Returns
    -------
    (...) in the unit of the points, NaN for what is no point.

    Raises
    ------
    ConfigError
        If `nb_neighbors` is below 1.
    ShapeError
        If `points` is not (..., 3).
    """
    if nb_neighbors < 1:
        raise ConfigError(f'nb_neighbors must be at least 1; got {nb_neighbors}.')
    score, known, cloud = _finite_points(points)
    if len(cloud):
        nearest = np.arange(1, min(nb_neighbors, len(cloud)) + 1)
        score[known] = cKDTree(cloud).query(cloud, k=nearest)[0].mean(axis=1)
    return score


def ror_score(points: Float32Array, radius: float) -> Float64Array:
    """
    Return minus the number of points within a radius: radius outlier removal.

    Parameters
    ----------
    points : (..., 3) in one frame; rows that are not finite are no points.
    radius : in the unit of the points.

    Returns
    -------
    (...), at most -1 because a point counts itself, as in Open3D; NaN for what is no point.

    Raises
    ------
    ConfigError
        If `radius` is not positive.
    ShapeError
        If `points` is not (..., 3).
    """
    if not radius > 0:
        raise ConfigError(f'radius must be positive; got {radius}.')
    score, known, cloud = _finite_points(points)
    if len(cloud):
        counts = cKDTree(cloud).query_ball_point(cloud, radius, return_length=True)
        score[known] = -np.asarray(counts, np.float64)
    return score


def statistical_outliers(
    points: Float32Array, nb_neighbors: int, std_ratio: float
) -> NDArray[np.bool_]:
    """
    Return what Open3D's `remove_statistical_outlier` removes, and all that is no point.

    Parameters
    ----------
    points, nb_neighbors : as for `sor_score`.
    std_ratio : standard deviations above the mean score from which on a point is an outlier.

    Returns
    -------
    (...) bool. Points on top of all their neighbours (score 0) are outliers, too.
    """
    score = sor_score(points, nb_neighbors)
    finite = score[np.isfinite(score)]
    if finite.size < 2:
        return np.ones(score.shape, np.bool_)
    squares = np.where(finite > 0, (finite - finite.mean()) ** 2, 0.0)
    limit = finite.mean() + std_ratio * np.sqrt(squares.sum() / (finite.size - 1))
    inliers: NDArray[np.bool_] = (score > 0) & (score < limit)
    return ~inliers


def radius_outliers(points: Float32Array, nb_points: int, radius: float) -> NDArray[np.bool_]:
    """
    Return what Open3D's `remove_radius_outlier` removes, and all that is no point.

    Parameters
    ----------
    points, radius : as for `ror_score`.
    nb_points : a point stays if more than these lie within the radius, itself included.
    """
    return ~(-ror_score(points, radius) > nb_points)


def confidence_score(confidence: Float32Array) -> Float64Array:
    """Return minus the confidence: VGGT's filter, which keeps the most confident percentile."""
    return -confidence.astype(np.float64)


def da3_score(confidence: Float32Array) -> Float64Array:
    """
    Return minus the confidence, +Inf below Depth Anything 3's floor min(1.05, p90).

    Parameters
    ----------
    confidence : of all views that are filtered together, from 1 up as the network gives it; p90
        is its percentile. NaN = no pixel, such as sky.

    Returns
    -------
    Of the same shape. `keep_at` with the share q keeps confidence from max(p(1 - q), floor) on,
    which is the filter's own threshold with another lower percentile; so it ranks pixels as
    VGGT's filter does, and differs from it where it would have to keep pixels below the floor.
    """
    score: Float64Array = np.where(
        confidence < _da3_limits(confidence)[0], np.inf, confidence_score(confidence)
    )
    return score


def da3_confidence_mask(confidence: Float32Array) -> NDArray[np.bool_]:
    """
    Return what Depth Anything 3's export removes: confidence below min(max(1.05, p40), p90).

    Parameters
    ----------
    confidence : as for `da3_score`; what is not finite is removed.
    """
    return ~(np.isfinite(confidence) & (confidence >= max(_da3_limits(confidence))))


def _da3_limits(confidence: Float32Array) -> tuple[float, float]:
    """Return the floor min(1.05, p90) and p40 of what is finite; NaN without any."""
    known = confidence[np.isfinite(confidence)].astype(np.float64)
    if not known.size:
        return np.nan, np.nan
    lower, upper = np.percentile(known, DA3_PERCENTILES).tolist()
    return min(DA3_CONFIDENCE, upper), lower


def shadow_score(points: Float32Array) -> Float64Array:
    """
    Return minus the distance of each pixel's tangent plane from the camera: PCL's ShadowPoints.

    Parameters
    ----------
    points : (..., H, W, 3) in the camera's frame; not finite = unknown.

    Returns
    -------
    (..., H, W), NaN where the pixel or a neighbour is unknown. A plane that is seen edge-on, as
    the curtain between two surfaces is, passes near the camera. PCL removes below .1 m.
    """
    if points.ndim < 3 or points.shape[-1] != 3:
        raise ShapeError(f'Points have shape (..., H, W, 3); got {points.shape}.')
    cloud = np.where(np.isfinite(points), points, np.nan).astype(np.float64)
    widths = [(0, 0)] * (cloud.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    around = np.pad(cloud, widths, mode='edge')
    across = around[..., 1:-1, 2:, :] - around[..., 1:-1, :-2, :]
    down = around[..., 2:, 1:-1, :] - around[..., :-2, 1:-1, :]
    normal = np.cross(across, down)
    length = np.linalg.norm(normal, axis=-1)
    with np.errstate(invalid='ignore', divide='ignore'):
        distance: Float64Array = np.abs(np.sum(normal * cloud, axis=-1)) / length
    return -distance


def keep_at(score: Float64Array, share: float) -> NDArray[np.bool_]:
    """
    Keep the least suspicious pixels.

    Parameters
    ----------
    score : any shape; NaN or -Inf = no pixel, +Inf = never kept.
    share : of the pixels to keep, in [0, 1].

    Returns
    -------
    Mask of the same shape with round(share * n) True of n pixels, fewer if the finite scores do
    not suffice: the smallest scores, of equal ones those that come first in C order.

    Raises
    ------
    ConfigError
        If `share` is outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ConfigError(f'share is a part of the pixels in [0, 1]; got {share}.')
    flat = np.where(np.isneginf(score), np.nan, score).ravel()
    number = round(share * np.count_nonzero(~np.isnan(flat)))
    keep = np.zeros(flat.size, np.bool_)
    keep[np.argsort(flat, kind='stable')[:number]] = True  # NaN comes last
    return (keep & np.isfinite(flat)).reshape(score.shape)


def _known(depth: Float32Array) -> Float64Array:
    """Return depth with NaN where it is unknown."""
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float64)


def _extremes(values: Float64Array, size_px: int) -> tuple[Float64Array, Float64Array]:
    """Return the extremes over square windows; they pass over NaN."""
    lowest, highest = values, values
    for shifted in _shifted(values, size_px):
        lowest, highest = np.fmin(lowest, shifted), np.fmax(highest, shifted)
    return lowest, highest


def _shifted(values: Float64Array, size_px: int) -> list[Float64Array]:
    """Return views (..., H, W) of what lies at each place of a square window; NaN outside."""
    if size_px < 1 or size_px % 2 == 0:
        raise ConfigError(f'A window has an odd side in pixels; got {size_px}.')
    height, width = values.shape[-2:]
    margin = [(0, 0)] * (values.ndim - 2) + [(size_px // 2, size_px // 2)] * 2
    around = np.pad(values, margin, constant_values=np.nan)
    corners = [(y, x) for y in range(size_px) for x in range(size_px)]
    return [around[..., y : y + height, x : x + width] for y, x in corners]


def _finite_points(points: Float32Array) -> tuple[Float64Array, NDArray[np.bool_], Float64Array]:
    """Return scores (...) of NaN, the mask (...) of finite points and these points (N, 3)."""
    if points.ndim < 2 or points.shape[-1] != 3:
        raise ShapeError(f'Points have shape (..., 3); got {points.shape}.')
    known = np.asarray(np.isfinite(points).all(axis=-1))
    return np.full(known.shape, np.nan), known, points[known].astype(np.float64)
