"""The pose of one image from points whose places are known."""

from __future__ import annotations

from typing import NamedTuple

import cv2
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

MIN_POINTS = 6  # of the three that a pose needs, so that some can contradict
INLIER_PX = 3.0
NOISE_PX = 1.0  # of a corner that is followed
_ITERATIONS = 10
SHRINK = 0.35  # of the width of the weights, a step
_RANSAC_ROUNDS = 200
_MIN_DEPTH = 1e-3


class PoseEstimate(NamedTuple):
    """
    A pose and how well the points agree with it.

    Parameters
    ----------
    cam_from_map : (4, 4).
    inliers : (N,) bool, points within INLIER_PX of where they should be.
    errors_px : (N,) distance of each point in the image.
    information : (6, 6) inverse covariance of a motion of the camera in its own frame, by the
        spread of the inliers' errors.
    """

    cam_from_map: Float64Array
    inliers: NDArray[np.bool_]
    errors_px: Float64Array
    information: Float64Array


def estimate_pose(
    points: Float64Array,
    pixels: Float64Array,
    intrinsics: Float64Array,
    start: Float64Array,
    doubt: Float64Array,
) -> PoseEstimate | None:
    """
    Return the pose that explains where points of the map are seen.

    Parameters
    ----------
    points : (N, 3) in the map's frame.
    pixels : (N, 2).
    intrinsics : (3, 3).
    start : (4, 4) cam_from_map, such as that of the image before.
    doubt : (N, 3) by how much each point may lie elsewhere in the map, one standard deviation,
        along the ray that it was first seen on.

    Returns
    -------
    PoseEstimate, or None where there are too few points or no pose explains them.
    """
    if len(points) < MIN_POINTS:
        return None
    best = refine_pose(points, pixels, intrinsics, start, doubt)
    if np.count_nonzero(best.inliers) < 0.7 * len(points):
        sampled = _sample_pose(points, pixels, intrinsics)
        if sampled is not None:
            other = refine_pose(points, pixels, intrinsics, sampled, doubt)
            if np.count_nonzero(other.inliers) > np.count_nonzero(best.inliers):
                best = other
    return best if np.count_nonzero(best.inliers) >= MIN_POINTS else None


def refine_pose(
    points: Float64Array,
    pixels: Float64Array,
    intrinsics: Float64Array,
    cam_from_map: Float64Array,
    doubt: Float64Array,
) -> PoseEstimate:
    """
    Return the pose near `cam_from_map` that explains the points best; arguments as above.

    Notes
    -----
    Gauss-Newton with Geman-McClure's weights, whose width shrinks from the median error at the
    start to twice the noise, so that a start some dozen pixels off still converges.
    """
    pose = cam_from_map
    errors, rows = _linearize(points, pixels, intrinsics, pose)
    for step in range(_ITERATIONS):
        along, shrink = _doubted(points, doubt, intrinsics, pose)
        white = _whitened(errors[..., None], along, shrink)[..., 0]
        white_rows = _whitened(rows, along, shrink)
        distance = np.linalg.norm(white, axis=1)
        width = max(2.0, 3.0 * float(np.median(distance)) * SHRINK**step)
        weight = (width**2 / (width**2 + distance**2)) ** 2
        weighted = (white_rows * weight[:, None, None]).reshape(-1, 6)
        hessian = weighted.T @ white_rows.reshape(-1, 6)
        gradient = weighted.T @ white.reshape(-1)
        damped = hessian + 1e-6 * np.trace(hessian) * np.eye(6) + 1e-9 * np.eye(6)
        change = -np.linalg.solve(damped, gradient)
        pose = moved(pose, change)
        errors, rows = _linearize(points, pixels, intrinsics, pose)
        if width <= 2.0 and float(np.abs(change).max()) < 1e-5:
            break
    along, shrink = _doubted(points, doubt, intrinsics, pose)
    distance = np.linalg.norm(_whitened(errors[..., None], along, shrink)[..., 0], axis=1)
    inliers = distance < INLIER_PX / NOISE_PX
    distance_px = np.linalg.norm(errors, axis=1)
    return PoseEstimate(
        pose, inliers, distance_px, _information(_whitened(rows, along, shrink), inliers)
    )


def _doubted(
    points: Float64Array, doubt: Float64Array, intrinsics: Float64Array, pose: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """
    Return in which direction of the image a point may lie, and what that makes of errors.

    The covariance of an error is NOISE_PX^2 I + e e^T, where e is what the doubt about the point's
    place makes in the image: much along the line on which a guessed point moves, nothing across.

    Returns
    -------
    along : (N, 2), of length 1.
    shrink : (N,) in [0, 1), how much less an error counts along it.
    """
    x, y, z = (points @ pose[:3, :3].T + pose[:3, 3]).T
    dx, dy, dz = (doubt @ pose[:3, :3].T).T
    z = np.maximum(z, _MIN_DEPTH)
    shift = np.stack(
        [intrinsics[0, 0] * (dx - x / z * dz) / z, intrinsics[1, 1] * (dy - y / z * dz) / z],
        axis=1,
    )
    length = np.linalg.norm(shift, axis=1)
    along = shift / np.maximum(length, 1e-9)[:, None]
    return along, 1.0 - NOISE_PX / np.hypot(NOISE_PX, length)


def _whitened(values: Float64Array, along: Float64Array, shrink: Float64Array) -> Float64Array:
    """
    Return errors, or their derivatives, (N, 2, M), with a deviation of 1 in each direction.

    That is (I - shrink along along^T) / NOISE_PX times the values, spelt out: numpy is slow at
    many small products.
    """
    a, b = along[:, 0, None], along[:, 1, None]
    less = shrink[:, None] * (a * values[:, 0] + b * values[:, 1])
    white: Float64Array = np.stack((values[:, 0] - a * less, values[:, 1] - b * less), axis=1)
    white /= NOISE_PX
    return white


def _linearize(
    points: Float64Array, pixels: Float64Array, intrinsics: Float64Array, pose: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the errors (N, 2) in pixels and their derivatives (N, 2, 6) by a motion."""
    x, y, z = (points @ pose[:3, :3].T + pose[:3, 3]).T
    behind = z < _MIN_DEPTH
    z = np.where(behind, _MIN_DEPTH, z)
    focal_x, focal_y = intrinsics[0, 0], intrinsics[1, 1]
    u, v, zero = x / z, y / z, np.zeros_like(z)
    errors = np.stack(
        [focal_x * u + intrinsics[0, 2] - pixels[:, 0],
         focal_y * v + intrinsics[1, 2] - pixels[:, 1]], axis=1,
    )  # fmt: skip
    errors[behind] = 1e4
    first = focal_x * np.stack([1 / z, zero, -u / z, -u * v, 1 + u * u, -v], axis=1)
    second = focal_y * np.stack([zero, 1 / z, -v / z, -1 - v * v, u * v, u], axis=1)
    return errors, np.stack([first, second], axis=1)


def _information(rows: Float64Array, inliers: NDArray[np.bool_]) -> Float64Array:
    """Return the inverse covariance of the pose by the inliers' whitened rows."""
    seen = rows[inliers].reshape(-1, 6)
    information: Float64Array = seen.T @ seen
    return information


def _sample_pose(
    points: Float64Array, pixels: Float64Array, intrinsics: Float64Array
) -> Float64Array | None:
    """Return the pose that most points agree with, from samples of them; None = there is none."""
    cv2.setRNGSeed(0)  # so that the same images give the same poses
    try:
        found, rotation, translation, inliers = cv2.solvePnPRansac(
            points, pixels, intrinsics, None, iterationsCount=_RANSAC_ROUNDS,
            reprojectionError=2 * INLIER_PX, flags=cv2.SOLVEPNP_SQPNP,
        )  # fmt: skip
    except cv2.error:  # degenerate samples
        return None
    if not found or inliers is None or not np.isfinite(rotation).all():
        return None
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(rotation)[0]
    pose[:3, 3] = translation[:, 0]
    return pose
