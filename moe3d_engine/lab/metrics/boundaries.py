"""
Sharpness of depth boundaries, as Depth Pro and MoGe-2 define it.

A boundary lies between two pixels whose depths differ by more than a ratio. Pixels that are not
finite or not above 0 are unknown. Where ground truth is unknown, no pair of pixels counts; where
only the prediction is, the pair is no predicted boundary, so that a rejected pixel costs recall
but not precision. (Depth Pro's own code knows no invalid pixels: there a hole is a boundary.)
"""

from __future__ import annotations

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.depth_edges import check_maps
from moe3d_engine.geometry.depth_edges import count_above
from moe3d_engine.geometry.depth_edges import harmonic_mean
from moe3d_engine.geometry.depth_edges import jumps
from moe3d_engine.geometry.depth_edges import known_depth
from moe3d_engine.geometry.depth_edges import RATIOS
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

STEPS = np.linspace(0.05, 0.25, 10)  # MoGe-2: ratio - 1
MIN_ALPHA = 0.1  # a matting mask is foreground above it


def boundary_recall(pred: Float32Array, mask: Float32Array | NDArray[np.bool_]) -> float:
    """
    Return Depth Pro's recall of the outline of a foreground.

    Parameters
    ----------
    pred : (H, W) depth in any scale.
    mask : (H, W) matting mask, alpha in [0, 1] or bool; the foreground is nearer than the rest.

    Returns
    -------
    The share of outline at which the prediction jumps to the foreground, in [0, 1]. Predicted
    boundaries are thinned first. Weighted over ratios and directions as in `boundary_f1`; a
    direction without outline counts 0.

    Raises
    ------
    ShapeError
        If the maps are not of one shape (H, W).
    """
    check_maps(pred, mask)
    foreground = mask > MIN_ALPHA
    left, right = foreground[:, :-1], foreground[:, 1:]
    top, bottom = foreground[:-1], foreground[1:]
    outlines = (left & ~right, top & ~bottom, right & ~left, bottom & ~top)
    recall = np.zeros(len(RATIOS))
    for axis, ratio, outline in zip(
        (1, 0, 1, 0), jumps(1 / known_depth(pred)), outlines, strict=True
    ):
        total = max(int(np.count_nonzero(outline)), 1)
        for index, threshold in enumerate(RATIOS):
            hit = thin_boundaries(ratio, threshold, axis) & outline
            recall[index] += int(np.count_nonzero(hit)) / total / len(outlines)
    return float(np.average(recall, weights=RATIOS))


def thin_boundaries(ratio: Float64Array, threshold: float, axis: int) -> NDArray[np.bool_]:
    """
    Keep the largest ratio of each run of neighbours above a threshold, the first of equals.

    Parameters
    ----------
    ratio : (h, w) ratios of neighbouring pixels.
    threshold : ratios above belong to a run.
    axis : along which runs extend: 1 = within a row, 0 = within a column.

    Returns
    -------
    Mask of the shape of `ratio`.
    """
    rows = ratio if axis == 1 else ratio.T
    above = rows > threshold
    starts = above.copy()
    starts[:, 1:] &= ~above[:, :-1]
    run = np.cumsum(starts)[above.ravel()] - 1  # of each ratio above
    value = rows[above]
    order = np.lexsort((-value, run))  # stable: the first of equals comes first
    first = np.searchsorted(run, np.arange(np.count_nonzero(starts)))  # runs are in order
    kept = np.zeros(rows.size, np.bool_)
    kept[np.flatnonzero(above)[order[first]]] = True
    thin = kept.reshape(rows.shape)
    return thin if axis == 1 else thin.T


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
