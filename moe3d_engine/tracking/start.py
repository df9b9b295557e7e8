"""The first two keyframes of a map: relative pose from matches alone, unit from the network."""

from __future__ import annotations

import cv2
from moe3d_engine.tracking.flow import median_parallax_px
from moe3d_engine.types import Float64Array
import numpy as np

MIN_MATCHES = 40
MIN_INLIERS = 0.6  # of the matches
THRESHOLD_PX = 1.0


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
    if len(first) < MIN_MATCHES:
        return None
    cv2.setRNGSeed(0)
    try:
        essential, mask = cv2.findEssentialMat(
            first, second, intrinsics, cv2.USAC_MAGSAC, 0.999, THRESHOLD_PX, 1000
        )
    except cv2.error:  # degenerate samples
        return None
    if essential is None or essential.shape != (3, 3):
        return None
    count, rotation, translation, _ = cv2.recoverPose(
        essential, first, second, intrinsics, mask=mask.copy()
    )
    if count < MIN_INLIERS * len(first):
        return None
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation[:, 0]
    return pose


def parallax_px(
    first: Float64Array, second: Float64Array, pose: Float64Array, intrinsics: Float64Array
) -> float:
    """Return how far points have moved beyond what the turn of a relative pose explains."""
    return median_parallax_px(first, second, pose[:3, :3], intrinsics)
