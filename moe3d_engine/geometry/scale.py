"""Ratios between depth maps of the same view: what makes relative depths comparable."""

from __future__ import annotations

from moe3d_engine.errors import InputError
from moe3d_engine.types import Float32Array
import numpy as np

MIN_SHARED_PIXELS = 16  # fewer cannot outvote a moving object


def align_to_previous(depth_previous: Float32Array, depth: Float32Array) -> float:
    """
    Return the factor that brings `depth` to the unit of `depth_previous`.

    Parameters
    ----------
    depth_previous, depth : (H, W), the same view reconstructed in two windows.

    Returns
    -------
    exp(median(log(depth_previous / depth))) over the pixels where both are finite and positive.

    Raises
    ------
    InputError
        If hardly any pixel is valid in both.
    """
    valid = np.isfinite(depth_previous) & np.isfinite(depth) & (depth_previous > 0) & (depth > 0)
    if np.count_nonzero(valid) < MIN_SHARED_PIXELS:
        raise InputError(
            f'Two windows are aligned on at least {MIN_SHARED_PIXELS} pixels of a view that they '
            f'share; only {np.count_nonzero(valid)} are valid in both. Start a new sequence.'
        )
    log_ratio = np.log(depth_previous[valid].astype(np.float64)) - np.log(depth[valid])
    return float(np.exp(np.median(log_ratio)))
