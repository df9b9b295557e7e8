"""Depth errors against ground truth, as CUT3R's depth evaluation defines them."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

ALIGNMENTS = ('none', 'median', 'scale', 'scale_shift')
MIN_DEPTH = 1e-5  # predictions below are raised to it for ratios and logarithms


class DepthMetrics(NamedTuple):
    """Errors over the valid pixels; NaN where there are none."""

    abs_rel: float
    sq_rel: float
    rmse: float
    log_rmse: float
    delta1: float  # share of pixels with max(p / g, g / p) < 1.25
    delta2: float  # ... < 1.25 ** 2
    delta3: float  # ... < 1.25 ** 3
    valid_pixels: int


def depth_metrics(
    depth: Float32Array,
    depth_gt: Float32Array,
    mask: NDArray[np.bool_] | None = None,
    *,
    align: str = 'median',
    max_depth: float | None = None,
    clip_max: float | None = None,
) -> DepthMetrics:
    """
    Compare depth with ground truth of the same shape.

    Parameters
    ----------
    depth : any shape; pixels that are not finite are left out.
    depth_gt : same shape; pixels that are not finite or not above 0 are left out.
    mask : same shape, True where pixels count; None = everywhere.
    align : `none`; `median` (ratio of the lower medians); `scale` (the L1 scale, ten rounds of
        reweighting); `scale_shift` (the L1 scale and shift). One alignment for all pixels given.
    max_depth : leave out ground truth from here on.
    clip_max : aligned predictions above are set to it.

    Returns
    -------
    DepthMetrics

    Raises
    ------
    ConfigError
        If `align` is unknown.
    ShapeError
        If the shapes differ.

    Notes
    -----
    `scale` follows CUT3R's ten rounds, see `l1_scale`. `scale_shift` solves the L1 problem. CUT3R
    runs at most 1000 steps of Adam from the median scale and stops where it stands, so its figures
    are not matched.
    """
    if depth.shape != depth_gt.shape:
        raise ShapeError(
            f'Depth and ground truth must have one shape; got {depth.shape} and '
            f'{depth_gt.shape}. Resample the ground truth first (resample_nearest).'
        )
    if align not in ALIGNMENTS:
        raise ConfigError(f'align is one of {", ".join(ALIGNMENTS)}; got {align!r}.')
    valid = _valid_mask(depth, depth_gt, max_depth)
    if mask is not None:
        if mask.shape != depth.shape:
            raise ShapeError(f'The mask must have the shape {depth.shape}; got {mask.shape}.')
        valid &= mask
    if not valid.any():
        nan = float('nan')
        return DepthMetrics(nan, nan, nan, nan, nan, nan, nan, valid_pixels=0)
    gt = depth_gt[valid].astype(np.float64)
    scale, shift = _alignment(depth[valid].astype(np.float64), gt, align)
    pred = scale * depth[valid].astype(np.float64) + shift
    if clip_max is not None:
        pred = np.minimum(pred, clip_max)
    return _errors(pred, gt)


def _errors(pred: Float64Array, gt: Float64Array) -> DepthMetrics:
    """Return the errors of aligned predictions at valid pixels."""
    error = pred - gt
    positive = np.maximum(pred, MIN_DEPTH)
    ratio = np.maximum(positive / gt, gt / positive)
    return DepthMetrics(
        abs_rel=float(np.mean(np.abs(error) / gt)),
        sq_rel=float(np.mean(error**2 / gt)),
        rmse=float(np.sqrt(np.mean(error**2))),
        log_rmse=float(np.sqrt(np.mean((np.log(positive) - np.log(gt)) ** 2))),
        delta1=float(np.mean(ratio < 1.25)),
        delta2=float(np.mean(ratio < 1.25**2)),
        delta3=float(np.mean(ratio < 1.25**3)),
        valid_pixels=gt.size,
    )


def _valid_mask(
    depth: Float32Array, depth_gt: Float32Array, max_depth: float | None
) -> NDArray[np.bool_]:
    """Return the pixels that count."""
    valid: NDArray[np.bool_] = np.isfinite(depth) & np.isfinite(depth_gt) & (depth_gt > 0)
    if max_depth is not None:
        valid &= depth_gt < max_depth
    return valid


def _alignment(pred: Float64Array, gt: Float64Array, align: str) -> tuple[float, float]:
    """Return (scale, shift) such that scale * pred + shift is near gt."""
    if align == 'none':
        return 1.0, 0.0
    if align == 'median':
        return lower_median(gt) / lower_median(pred), 0.0
    if align == 'scale':
        return l1_scale(pred, gt), 0.0
    return _l1_scale_shift(pred, gt)


def lower_median(values: Float64Array) -> float:
    """Return the lower of the two middle values, as torch.median does."""
    middle = (values.size - 1) // 2
    return float(np.partition(values, middle)[middle])


def l1_scale(pred: Float64Array, gt: Float64Array) -> float:
    """
    Return the L1 scale by CUT3R's ten rounds of reweighted least squares, at least 1e-3.

    The rounds do not settle, and their result depends on the arithmetic: in float64 it differs by
    some 1e-3 from the reference's float32. It is computed in the arithmetic of the arrays, which
    may be tensors of torch, too.
    """
    scale = gt.mean() / pred.mean()
    for _ in range(10):
        weight = 1.0 / (abs(scale * pred - gt) + 1e-8)
        scale = (weight * pred * gt).sum() / (weight * pred**2).sum()
    return float(max(scale, 1e-3))


def _l1_scale_shift(pred: Float64Array, gt: Float64Array) -> tuple[float, float]:
    """Return the L1 scale and shift by reweighted least squares until they settle."""
    design = np.stack([pred, np.ones_like(pred)], axis=1)
    solution = np.array([lower_median(gt) / lower_median(pred), 0.0])
    floor = 1e-6 * np.median(gt)  # below this a residual counts as an exact fit
    for _ in range(200):
        root_weight = 1.0 / np.sqrt(np.maximum(np.abs(design @ solution - gt), floor))
        previous = solution
        solution = np.linalg.lstsq(design * root_weight[:, None], gt * root_weight, rcond=None)[0]
        if np.allclose(solution, previous, rtol=1e-9, atol=1e-12):
            break
    return float(solution[0]), float(solution[1])
