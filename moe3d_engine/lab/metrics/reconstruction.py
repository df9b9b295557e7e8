"""Point clouds against ground truth: alignment, accuracy, completeness, normal consistency."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.types import Float64Array
import numpy as np
from scipy.spatial import cKDTree

NORMAL_NEIGHBORS = 30  # the point itself included, as Open3D's estimate_normals counts
ICP_ITERATIONS = 30
BLOCK = 100_000  # points whose neighbours are in memory at once
ICP_RELATIVE_CHANGE = 1e-6  # of fitness and of inlier RMSE; both below: settled


class Similarity(NamedTuple):
    """target = scale * rotation @ source + translation."""

    scale: float
    rotation: Float64Array  # (3, 3), determinant +1
    translation: Float64Array  # (3,)

    def apply(self, points: Float64Array) -> Float64Array:
        """Return points (..., 3) in the target's frame."""
        moved: Float64Array = self.scale * points @ self.rotation.T + self.translation
        return moved


class ReconstructionMetrics(NamedTuple):
    """Distances in the unit of the points; `nc_*` is NaN without normals."""

    acc_mean: float
    acc_median: float
    comp_mean: float
    comp_median: float
    nc_mean: float
    nc_median: float


class FScore(NamedTuple):
    """Shares of points that are near the other cloud, and their harmonic mean."""

    precision: float
    recall: float
    f_score: float


def umeyama(source: Float64Array, target: Float64Array) -> Similarity:
    """
    Return the similarity that brings corresponding points together, least squares.

    Parameters
    ----------
    source, target : (N, 3), N >= 3, not all on one line.

    Raises
    ------
    ShapeError
        If the shapes differ or there are fewer than three points.

    Notes
    -----
    Umeyama 1991, equations 34 to 43. A mirror image gets the best proper rotation.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    _check_cloud(source, 3)
    if source.shape != target.shape:
        raise ShapeError(
            f'Corresponding points have one shape (N, 3); got {source.shape} and {target.shape}.'
        )
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred = source - source_mean
    covariance = (target - target_mean).T @ centred / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    variance = np.mean(np.sum(centred**2, axis=1))
    scale = float(np.sum(singular * signs) / variance)
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def refine_icp(
    source: Float64Array, target: Float64Array, max_distance: float = 0.1
) -> Float64Array:
    """
    Return the rigid motion (4, 4) that point-to-point ICP finds from the identity.

    Parameters
    ----------
    source, target : (N, 3), (M, 3), in one unit.
    max_distance : farther neighbours are no correspondences.

    Notes
    -----
    Criteria of Open3D's `registration_icp`: 30 iterations, or both fitness and inlier RMSE change
    by less than 1e-6 of their value.
    """
    _check_cloud(source, 3)
    _check_cloud(target, 3)
    tree = cKDTree(target)
    target_from_source = np.eye(4)
    points, previous = source, (0.0, 0.0)
    for iteration in range(ICP_ITERATIONS + 1):
        distance, nearest = tree.query(points, distance_upper_bound=max_distance)
        inlier = np.isfinite(distance)
        if inlier.sum() < 3:
            break
        quality = (inlier.mean(), float(np.sqrt(np.mean(distance[inlier] ** 2))))
        change = max(abs(a - b) for a, b in zip(quality, previous, strict=True))
        if iteration == ICP_ITERATIONS or (iteration and change < ICP_RELATIVE_CHANGE):
            break
        previous = quality
        step = _rigid(points[inlier], target[nearest[inlier]])
        points = transform_points(step, points)
        target_from_source = step @ target_from_source
    return target_from_source


def estimate_normals(points: Float64Array) -> Float64Array:
    """
    Return unit normals (N, 3): the least direction of each point's 30 nearest, of any sign.

    Parameters
    ----------
    points : (N, 3), N >= 3.
    """
    _check_cloud(points, 3)
    neighbors = min(NORMAL_NEIGHBORS, len(points))
    tree = cKDTree(points)
    normals = np.empty(points.shape, np.float64)
    for start in range(0, len(points), BLOCK):
        block = slice(start, start + BLOCK)
        _, nearest = tree.query(points[block], k=neighbors)
        groups = points[nearest] - points[nearest].mean(1, keepdims=True)
        covariance = np.einsum('nki,nkj->nij', groups, groups)
        normals[block] = np.linalg.eigh(covariance)[1][:, :, 0]
    return normals


def reconstruction_metrics(
    pred_points: Float64Array,
    gt_points: Float64Array,
    pred_normals: Float64Array | None = None,
    gt_normals: Float64Array | None = None,
) -> ReconstructionMetrics:
    """
    Compare two aligned clouds.

    Parameters
    ----------
    pred_points, gt_points : (N, 3), (M, 3), in one frame and unit.
    pred_normals, gt_normals : unit normals of the points, of any sign; both or none.

    Returns
    -------
    ReconstructionMetrics
        Acc: distance of predicted points to the nearest true one; Comp: the other way round; NC:
        |cosine| between the normals of both kinds of pairs, means and medians averaged.

    Raises
    ------
    ShapeError
        If a cloud is empty or normals do not belong to the points.

    Notes
    -----
    As Spann3R, CUT3R and Pi3 compute them (their metric files are equal): no cap on distances.
    """
    _check_cloud(pred_points, 1)
    _check_cloud(gt_points, 1)
    accuracy, nearest_gt = cKDTree(gt_points).query(pred_points)
    completeness, nearest_pred = cKDTree(pred_points).query(gt_points)
    nc_mean = nc_median = float('nan')
    if pred_normals is not None and gt_normals is not None:
        if pred_normals.shape != pred_points.shape or gt_normals.shape != gt_points.shape:
            raise ShapeError(
                f'Each point has a normal; got points {pred_points.shape}, {gt_points.shape} and '
                f'normals {pred_normals.shape}, {gt_normals.shape}.'
            )
        cosines = (
            np.abs(np.sum(gt_normals[nearest_gt] * pred_normals, axis=1)),
            np.abs(np.sum(gt_normals * pred_normals[nearest_pred], axis=1)),
        )
        nc_mean = float(np.mean([cosine.mean() for cosine in cosines]))
        nc_median = float(np.mean([np.median(cosine) for cosine in cosines]))
    return ReconstructionMetrics(
        float(accuracy.mean()),
        float(np.median(accuracy)),
        float(completeness.mean()),
        float(np.median(completeness)),
        nc_mean,
        nc_median,
    )


def f_score(pred_points: Float64Array, gt_points: Float64Array, threshold: float = 0.05) -> FScore:
    """
    Return precision, recall and F-score at a distance in the unit of the points.

    Parameters
    ----------
    pred_points, gt_points : (N, 3), (M, 3).
    threshold : a point counts as right if the other cloud is nearer than this.
    """
    _check_cloud(pred_points, 1)
    _check_cloud(gt_points, 1)
    precision = float(np.mean(cKDTree(gt_points).query(pred_points)[0] < threshold))
    recall = float(np.mean(cKDTree(pred_points).query(gt_points)[0] < threshold))
    total = precision + recall
    return FScore(precision, recall, 2 * precision * recall / total if total else 0.0)


def _rigid(source: Float64Array, target: Float64Array) -> Float64Array:
    """Return the rigid motion (4, 4) of corresponding points: Umeyama's without scale."""
    similarity = umeyama(source, target)
    motion = np.eye(4)
    motion[:3, :3] = similarity.rotation
    motion[:3, 3] = target.mean(0) - similarity.rotation @ source.mean(0)
    return motion


def _check_cloud(points: Float64Array, least: int) -> None:
    """Raise ShapeError unless `points` is (N, 3) with at least `least` finite rows."""
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < least:
        raise ShapeError(
            f'A cloud has shape (N, 3) with N >= {least}; got {points.shape}. Leave out pixels '
            'without depth first.'
        )
    if not np.isfinite(points).all():
        raise ShapeError('A cloud holds NaN or Inf. Leave out pixels without depth first.')
