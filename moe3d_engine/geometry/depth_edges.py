"""
Sharpness of depth edges: Depth Pro's scale-invariant F1, and the pieces that such scores share.

An edge lies between two pixels whose depths differ by more than a ratio. Pixels that are not
finite or not above 0 are unknown. Where ground truth is unknown, no pair of pixels counts; where
only the prediction is, the pair is no predicted edge, so that a rejected pixel costs recall but
not precision. (Depth Pro's own code knows no invalid pixels: there a hole is an edge.)
"""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

RATIOS = np.linspace(1.05, 1.25, 10)  # Depth Pro


def boundary_f1(pred: Float32Array, gt: Float32Array) -> float:
    """
    Return Depth Pro's scale-invariant F1 of depth boundaries.

    Parameters
    ----------
    pred : (H, W) depth in any scale.
    gt : (H, W) depth on the same pixels.

    Returns
    -------
    F1 in [0, 1], the mean over ten ratios from 1.05 to 1.25, weighted by the ratio. Precision and
    recall are means over the four directions in which depth can jump.

    Raises
    ------
    ShapeError
        If the maps are not of one shape (H, W).

    Notes
    -----
    A perfect prediction scores 1 only if ground truth has boundaries of every ratio in every
    direction; without any boundary the score is 0. Leave out or normalise such images. Source:
    Bochkovskii et al. 2024, Depth Pro.
    """
    check_maps(pred, gt)
    known_gt = known_depth(gt)
    known = np.where(np.isnan(known_gt), np.nan, known_depth(pred))
    found, true, both = [], [], []
    for ratio, ratio_gt in zip(jumps(1 / known), jumps(1 / known_gt), strict=True):
        found.append(count_above(ratio, RATIOS))
        true.append(count_above(ratio_gt, RATIOS))
        both.append(count_above(np.minimum(ratio, ratio_gt), RATIOS))
    precision = np.mean(np.array(both) / np.maximum(found, 1), axis=0)
    recall = np.mean(np.array(both) / np.maximum(true, 1), axis=0)
    return float(np.average(harmonic_mean(precision, recall), weights=RATIOS))


def check_maps(first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    """Raise ShapeError unless both are maps of one shape."""
    if first.shape != second.shape or first.ndim != 2:
        raise ShapeError(
            f'The maps to compare must be of one shape (H, W); got {first.shape} and '
            f'{second.shape}. Give one view at a time, at one resolution.'
        )


def known_depth(depth: Float32Array | Float64Array) -> Float64Array:
    """Return a copy with NaN for each unknown pixel."""
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float64)


def jumps(inverse: Float64Array) -> tuple[Float64Array, ...]:
    """Return how much nearer the left, top, right and bottom pixel of each pair is."""
    left, right, top, bottom = inverse[:, :-1], inverse[:, 1:], inverse[:-1], inverse[1:]
    return left / right, top / bottom, right / left, bottom / top


def count_above(ratio: Float64Array, thresholds: Float64Array) -> NDArray[np.int64]:
    """Return how many ratios exceed each threshold; NaN exceeds none."""
    return np.array([np.count_nonzero(ratio > threshold) for threshold in thresholds], np.int64)


def harmonic_mean(precision: Float64Array, recall: Float64Array) -> Float64Array:
    """Return F1, 0 where both are 0."""
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
