"""Free space along the rays of pixels that have no point: for costmaps, which only rays clear."""

from __future__ import annotations

import cv2
from moe3d_engine.geometry.fit import fitted_view
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.policy import Thresholds
from moe3d_engine.types import Float32Array
from moe3d_engine.types import ViewResult
import numpy as np
from numpy.typing import NDArray

RADIUS_PX = 2  # of the window in which the nearest surface may be that of the pixel
MARGIN = 0.1  # relative, twice what boundary_confidence calls right: free space ends before it


def clearing_points(result: ViewResult, thresholds: Thresholds) -> Float32Array:
    """
    Return a point at the end of the free space of each pixel that has none but is known to see.

    Parameters
    ----------
    result : of one view; its depth is metric.
    thresholds : those it was published with.

    Returns
    -------
    (N, 3) float32 in the camera's optical frame, finite, in the unit of the depth.
    """
    seen = fitted_view(result.view, result.image).seen
    free = free_depth(result.depth_raw, result.depth, thresholds, seen=seen)
    points = unproject_depth(free[None], result.intrinsics[None])[0]
    known: Float32Array = points[np.isfinite(free)]
    return known


def free_depth(
    depth_raw: Float32Array,
    depth: Float32Array,
    thresholds: Thresholds,
    *,
    seen: NDArray[np.bool_] | None = None,
) -> Float32Array:
    """
    Return up to which depth nothing can be, for pixels beyond range and for rejected ones.

    Parameters
    ----------
    depth_raw : (H, W) along optical z, before rejection and range limits; finite.
    depth : (H, W) as published; NaN = unknown or rejected, +Inf = beyond range.
    thresholds : those it was published with.
    seen : (H, W), False where the camera has seen nothing; None = it has seen every pixel.

    Returns
    -------
    (H, W) float32, at most `depth_max_m` and at least `depth_min_m`; NaN where nothing is known
    and where depth is finite: there the point itself ends the free space.

    Notes
    -----
    A pixel without a depth of its own shows one of the surfaces around it. So the space is free up
    to the nearest depth, published or not, within `RADIUS_PX`, less `MARGIN`. That is believed of
    a rejected pixel only between two published ones, left and right or above and below: inside a
    wide hole nobody knows what is there. A thing so thin that no pixel near it
    shows its depth has no bound; it has no point either.
    """
    kernel = np.ones((2 * RADIUS_PX + 1,) * 2, np.uint8)
    nearest = np.asarray(cv2.erode(np.fmin(depth_raw, depth), kernel), np.float32)
    free = np.minimum(np.float32(1 - MARGIN) * nearest, np.float32(thresholds.depth_max_m))
    rejected = np.isnan(depth)
    known = np.isposinf(depth) | (rejected & _between(~rejected))
    known &= free >= thresholds.depth_min_m
    if seen is not None:
        known &= seen
    return np.where(known, free, np.float32(np.nan))


def _between(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pixels have a marked one on both sides within the radius, along an axis."""
    mask = marked.view(np.uint8)
    before = np.zeros(2 * RADIUS_PX + 1, np.uint8)
    before[:RADIUS_PX] = 1
    left, right, above, below = (
        np.asarray(cv2.dilate(mask, kernel), np.uint8)
        for kernel in (before[None], before[None, ::-1], before[:, None], before[::-1, None])
    )
    between: NDArray[np.bool_] = (left & right | above & below) > 0
    return between
