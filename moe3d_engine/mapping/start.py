"""The first two keyframes of a map: relative pose from matches alone, length from elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import cv2
from moe3d_engine.mapping.flow import median_parallax_px
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.mapping.sparse_map import measured_motion
from moe3d_engine.mapping.sparse_map import MIN_ANGLE_RAD
from moe3d_engine.mapping.sparse_map import PointState
from moe3d_engine.mapping.sparse_map import SparseMap
from moe3d_engine.mapping.triangulate import nearest_to_rays
from moe3d_engine.mapping.triangulate import rays_in_map
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

MIN_MATCHES = 30
MIN_INLIERS = 0.6  # of the matches
THRESHOLD_PX = 1.0
MAX_TURN_PX = 0.7  # median error that turning on the spot may leave
MIN_LENGTH_M = 0.02  # of odometry, to give the unit
MIN_GUESSES = 12


class Start(NamedTuple):
    """
    How a map begins.

    Parameters
    ----------
    second_from_first : (4, 4) of its first two keyframes.
    unit_known : whether somebody knows the length of the way; else it is 1.
    log_std : deviation of its log, where odometry has said it.
    """

    second_from_first: Float64Array
    unit_known: bool
    log_std: float | None


def start_pose(
    sparse_map: SparseMap,
    first: Keyframe,
    second: Keyframe,
    min_parallax_px: float,
    *,
    by_odometry: bool,
) -> Start | None:
    """
    Return the pose of a map's second keyframe.

    Parameters
    ----------
    sparse_map : has the guessed places of points.
    first, second : keyframes that share corners.
    min_parallax_px : median motion of the points that the turn does not explain.
    by_odometry : whether odometry gives the length, where both have its pose; else the guesses
        do, by the median ratio of depths.

    Returns
    -------
    None where the images do not determine the pose.
    """
    _, one, two = np.intersect1d(first.identities, second.identities, return_indices=True)
    pixels = first.pixels[one], second.pixels[two]
    pose = relative_pose(*pixels, first.intrinsics)
    if pose is None:
        return None
    if median_parallax_px(*pixels, pose[:3, :3], first.intrinsics) < min_parallax_px:
        return None
    measured = measured_motion(first.prior, second.prior, 1.0) if by_odometry else None
    if measured is not None and (length_m := measured.length) >= MIN_LENGTH_M:
        pose[:3, 3] *= length_m
        return Start(pose, unit_known=True, log_std=measured.way_std / length_m)
    length = _length_of_guesses(sparse_map, first, one, pose, pixels)
    if length is not None:
        pose[:3, 3] *= length
    return Start(pose, unit_known=length is not None, log_std=None)


def relative_pose(
    first: Float64Array, second: Float64Array, intrinsics: Float64Array
) -> Float64Array | None:
    """
    Return second_from_first (4, 4) with a translation of length 1, from matches.

    Parameters
    ----------
    first, second : (N, 2) pixels of the same points in two images.
    intrinsics : (3, 3) of both.

    Returns
    -------
    None where there are too few matches, or too few agree.

    Notes
    -----
    Nister's five points (2004) in samples, and the side of the four on which points lie in front.
    """
    found = essential_pose(first, second, intrinsics, MIN_MATCHES)
    if found is None:
        return None
    pose, agree = found
    return pose if np.count_nonzero(agree) >= MIN_INLIERS * len(first) else None


def essential_pose(
    first: Float64Array,
    second: Float64Array,
    intrinsics: Float64Array,
    min_matches: int,
    num_samples: int = 1000,
    farthest: float = 50.0,
) -> tuple[Float64Array, NDArray[np.bool_]] | None:
    """
    Return second_from_first (4, 4), as `relative_pose`, and the matches (N,) that agree with it.

    Parameters
    ----------
    first, second, intrinsics : as `relative_pose`.
    min_matches : with fewer there is no answer.
    num_samples : of five matches, at most.
    farthest : distance of a point, in lengths of the translation, beyond which it does not agree.
    """
    if len(first) < min_matches:
        return None
    cv2.setRNGSeed(0)  # so that the same images give the same poses
    try:
        essential, mask = cv2.findEssentialMat(
            first, second, intrinsics, cv2.USAC_MAGSAC, 0.999, THRESHOLD_PX, num_samples
        )
    except cv2.error:  # degenerate samples
        return None
    if essential is None or essential.shape != (3, 3):
        return None
    recovered = cv2.recoverPose(
        essential, first, second, intrinsics, distanceThresh=farthest, mask=mask.copy()
    )
    _, rotation, translation, agree = recovered[:4]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation[:, 0]
    return pose, agree[:, 0].astype(bool)


def pure_rotation(
    first: Float64Array, second: Float64Array, intrinsics: Float64Array
) -> Float64Array | None:
    """
    Return the rotation second_from_first (3, 3) of a camera that has only turned.

    Parameters
    ----------
    first, second : (N, 2) pixels of the same points in two images.
    intrinsics : (3, 3) of both.

    Returns
    -------
    None where there are too few points, or turning does not explain how they have moved.

    Notes
    -----
    Kabsch's rotation between the rays (1976), weighted anew by the distances that it leaves.
    """
    if len(first) < MIN_MATCHES:
        return None
    inverse = np.linalg.inv(intrinsics).T
    before, after = (np.c_[pixels, np.ones(len(pixels))] @ inverse for pixels in (first, second))
    before /= np.linalg.norm(before, axis=1, keepdims=True)
    after /= np.linalg.norm(after, axis=1, keepdims=True)
    weight = np.ones(len(first))
    for _ in range(5):
        left, _, right = np.linalg.svd((weight[:, None] * after).T @ before)
        mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
        rotation: Float64Array = left @ mirror @ right
        distance_px = intrinsics[0, 0] * np.linalg.norm(after - before @ rotation.T, axis=1)
        weight = 1.0 / (1.0 + (distance_px / THRESHOLD_PX) ** 2) ** 2
    return rotation if float(np.median(distance_px)) < MAX_TURN_PX else None


def _length_of_guesses(
    sparse_map: SparseMap,
    first: Keyframe,
    seen: NDArray[np.intp],
    pose: Float64Array,
    pixels: tuple[Float64Array, Float64Array],
) -> float | None:
    """Return the length by which triangulated depths become the guessed ones; None = too few."""
    count = len(seen)
    intrinsics = np.stack([first.intrinsics, first.intrinsics])
    cameras = np.repeat([0, 1], count)
    centers, rays = rays_in_map(
        np.stack([np.eye(4), pose]), intrinsics, cameras, np.concatenate(pixels)
    )
    places, angle, _ = nearest_to_rays(centers, rays, np.tile(np.arange(count), 2), count)
    guess = sparse_map.points(first.identities[seen])
    guessed = (guess.places @ first.cam_from_map[:3, :3].T + first.cam_from_map[:3, 3])[:, 2]
    used = (guess.states == PointState.GUESSED) & (angle > MIN_ANGLE_RAD)
    used &= (places[:, 2] > 0) & (guessed > 0)
    if np.count_nonzero(used) < MIN_GUESSES:
        return None
    return float(np.exp(np.median(np.log(guessed[used] / places[used, 2]))))
