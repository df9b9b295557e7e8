"""Depth predictions that look at the ground truth but at no image: what a network has to beat."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

PLANE_ROUNDS = 20
EXACT = 1e-6  # relative to inverse depth: below it a residual counts as an exact fit


def best_constant(gt: Float32Array) -> Float32Array:
    """
    Return the constant depth of smallest AbsRel.

    Parameters
    ----------
    gt : (V, H, W) true depth of one window; what is not finite or not above 0 is unknown.

    Returns
    -------
    (V, H, W) float32, one value for the whole window; NaN if nothing is known.

    Raises
    ------
    ShapeError
        If `gt` is not (V, H, W).

    Notes
    -----
    sum |c - z| / z is smallest at the median of z weighted by 1 / z.
    """
    known = _known_mask(gt)
    return np.full(gt.shape, _constant(gt[known].astype(np.float64)), np.float32)


def best_plane(gt: Float32Array) -> Float32Array:
    """
    Return, for each view, the depth of the plane of smallest AbsRel.

    Parameters
    ----------
    gt : (V, H, W) true depth of one window; what is not finite or not above 0 is unknown.

    Returns
    -------
    (V, H, W) float32, clipped to the range of the view's known depths, hence positive; NaN for a
    view of which nothing is known.

    Raises
    ------
    ShapeError
        If `gt` is not (V, H, W).

    Notes
    -----
    A plane before a pinhole camera has an inverse depth that is affine in pixel coordinates,
    whatever the intrinsics. It is fitted by reweighted least squares from the view's best
    constant, and the best round is kept, so a plane is never worse than the constant.
    """
    known = _known_mask(gt)
    height, width = gt.shape[1:]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing='ij')
    design = np.stack((np.ones_like(x), x, y), axis=-1)  # (H, W, 3)
    planes = [_fit_plane(view, mask, design) for view, mask in zip(gt, known, strict=True)]
    return np.array(planes, np.float32).reshape(gt.shape)


def _known_mask(gt: Float32Array) -> NDArray[np.bool_]:
    """Return the pixels that count."""
    if gt.ndim != 3:
        raise ShapeError(f'Depth of a window has shape (V, H, W); got {gt.shape}.')
    known: NDArray[np.bool_] = np.isfinite(gt) & (gt > 0)
    return known


def _constant(z: Float64Array) -> float:
    """Return the median of depths (N,) weighted by their inverses; NaN without any."""
    if z.size == 0:
        return float('nan')
    ordered = np.sort(z)
    weight = np.cumsum(1 / ordered)
    return float(ordered[np.searchsorted(weight, weight[-1] / 2)])


def _fit_plane(gt: Float32Array, known: NDArray[np.bool_], design: Float64Array) -> Float64Array:
    """
    Return the plane's depth (H, W).

    With z true and q the fitted inverse depth, AbsRel is the mean of |1 - q z| / (q z), whose
    slope in q is that of weighted squares (q - 1 / z)^2 with weight 1 / (z q^2 |q - 1 / z|).
    """
    z = gt[known].astype(np.float64)
    if z.size == 0:
        return np.full(gt.shape, np.nan)
    rows, inverse = design[known], 1 / z
    near, far = inverse.max(), inverse.min()
    solution = best = np.array([1 / _constant(z), 0.0, 0.0])
    smallest = np.inf
    for _ in range(PLANE_ROUNDS):
        q = np.clip(rows @ solution, far, near)
        error = np.mean(np.abs(1 - q * z) / (q * z))
        if error < smallest:
            smallest, best = error, solution
        weight = inverse / (q**2 * np.maximum(np.abs(q - inverse), EXACT * inverse))
        weighted = rows * weight[:, None]
        solution = np.linalg.lstsq(weighted.T @ rows, weighted.T @ inverse, rcond=None)[0]
    plane: Float64Array = 1 / np.clip(design @ best, far, near)
    return plane
