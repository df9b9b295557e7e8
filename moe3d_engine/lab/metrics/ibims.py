"""The depth boundary errors of iBims-1: how far predicted depth edges lie from the true ones."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

MAX_DISTANCE_PX = 10.0  # farther edges are missed or false, not displaced


class DepthBoundaryErrors(NamedTuple):
    """Both in pixels, smaller is better; NaN where the truth has no edges."""

    accuracy_px: float  # from predicted edges to the nearest true one, misses left out
    completeness_px: float  # both ways, misses count MAX_DISTANCE_PX


def depth_boundary_errors(pred: Float32Array, gt_edges: NDArray[np.bool_]) -> DepthBoundaryErrors:
    """
    Compare the edges of a depth map with given edges.

    Parameters
    ----------
    pred : (H, W) depth in any scale; not finite or not above 0 = unknown, which gives no edges.
    gt_edges : (H, W), one pixel wide, as `depth_edges` or a data set gives them.

    Raises
    ------
    ShapeError
        If the shapes differ or are not (H, W).
    ConfigError
        If scikit-image is not installed.

    Notes
    -----
    Koch et al. 2018 (iBims-1), as its public Python code computes it; the paper's own figures
    come from Matlab's Canny and differ.
    """
    if pred.shape != gt_edges.shape or pred.ndim != 2:
        raise ShapeError(
            f'Depth and true edges must have one shape (H, W); got {pred.shape} and '
            f'{gt_edges.shape}.'
        )
    true = np.asarray(gt_edges, bool)
    if not true.any():
        return DepthBoundaryErrors(float('nan'), float('nan'))
    to_true = distance_transform_edt(~true)
    found = depth_edges(pred)
    near = found & (to_true < MAX_DISTANCE_PX)
    if not near.any():
        return DepthBoundaryErrors(MAX_DISTANCE_PX, MAX_DISTANCE_PX)
    both_ways = np.concatenate([to_true[found], distance_transform_edt(~found)[true]])
    completeness_px = np.minimum(both_ways, MAX_DISTANCE_PX).mean()
    return DepthBoundaryErrors(float(to_true[near].mean()), float(completeness_px))


def depth_edges(depth: Float32Array) -> NDArray[np.bool_]:
    """
    Return Canny's edges of a depth map over its largest value (sigma sqrt 2, .15 and .3).

    Raises
    ------
    ConfigError
        If scikit-image is not installed.
    """
    try:
        from skimage.feature import canny
    except ImportError as error:
        raise ConfigError(
            'Depth boundary errors need scikit-image, which is not installed. Install it: pip '
            'install scikit-image'
        ) from error
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        return np.zeros(depth.shape, bool)
    normalized: Float64Array = np.where(known, depth / depth[known].max(), np.nan)
    edges: NDArray[np.bool_] = canny(  # type: ignore[no-untyped-call]
        normalized, sigma=np.sqrt(2), low_threshold=0.15, high_threshold=0.3
    )
    return edges
