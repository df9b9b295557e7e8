"""
Sharpness of depth boundaries as MoGe-2 defines it.

A boundary lies between two pixels whose depths differ by more than a ratio. Pixels that are not
finite or not above 0 are unknown. Where ground truth is unknown, no pair of pixels counts; where
only the prediction is, the pair is no predicted boundary, so that a rejected pixel costs recall
but not precision.
"""

from __future__ import annotations

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.depth_edges import check_maps
from moe3d_engine.geometry.depth_edges import count_above
from moe3d_engine.geometry.depth_edges import harmonic_mean
from moe3d_engine.geometry.depth_edges import known_depth
from moe3d_engine.types import Float32Array
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

STEPS = np.linspace(0.05, 0.25, 10)  # MoGe-2: ratio - 1


def boundary_f1_moge(
    pred: Float32Array, gt: Float32Array, mask: NDArray[np.bool_], radius: int
) -> float:
    """
    Return MoGe-2's F1 of depth boundaries within a radius.

    Parameters
    ----------
    pred : (H, W) depth in any scale.
    gt : (H, W) depth on the same pixels.
    mask : (H, W), True where ground truth may be used.
    radius : pixels around a pixel that it is compared with; MoGe-2 reports the mean of 1, 2, 3.

    Returns
    -------
    F1 in [0, 1], the mean over ten steps from 0.05 to 0.25, weighted by the step.

    Raises
    ------
    ShapeError
        If the maps are not of one shape (H, W), or smaller than the neighbourhood.
    ConfigError
        If `radius` is below 1.

    Notes
    -----
    Pixels nearer than `radius` to the border are not centres. Precision and recall are over all
    directions together. Source: Wang et al. 2025, MoGe-2.
    """
    check_maps(pred, gt)
    check_maps(gt, mask)
    side = 2 * radius + 1
    if radius < 1:
        raise ConfigError(f'radius must be at least 1; got {radius}.')
    if min(gt.shape) < side:
        raise ShapeError(
            f'Radius {radius} needs maps of {side} x {side} at least; got {gt.shape}.'
        )
    known_gt = np.where(mask, known_depth(gt), np.nan)
    known = np.where(np.isnan(known_gt), np.nan, known_depth(pred))
    inner = slice(radius, -radius)
    window = sliding_window_view(known, (side, side))  # (H - 2 r, W - 2 r, side, side)
    window_gt = sliding_window_view(known_gt, (side, side))
    thresholds = 1 + STEPS
    found, true, both = np.zeros((3, len(STEPS)))
    for dy, dx in np.argwhere(_disk(radius)):
        ratio = window[..., dy, dx] / known[inner, inner]
        ratio_gt = window_gt[..., dy, dx] / known_gt[inner, inner]
        found += count_above(ratio, thresholds)
        true += count_above(ratio_gt, thresholds)
        both += count_above(np.minimum(ratio, ratio_gt), thresholds)
    f1 = harmonic_mean(both / np.maximum(found, 1), both / np.maximum(true, 1))
    return float(np.average(f1, weights=STEPS))


def _disk(radius: int) -> NDArray[np.bool_]:
    """Return the pixels of a window that lie within the radius of its centre."""
    steps = np.arange(-radius, radius + 1)
    disk: NDArray[np.bool_] = steps[:, None] ** 2 + steps**2 <= radius**2
    return disk
