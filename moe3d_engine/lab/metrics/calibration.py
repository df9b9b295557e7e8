"""Calibration of the boundary confidence: how far it is the probability that it claims."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np


class Reliability(NamedTuple):
    """Reliability diagram of a confidence; one entry per bin, NaN where a bin is empty."""

    confidence: Float64Array  # (N,) mean confidence of the bin
    accuracy: Float64Array  # (N,) share of the bin's pixels that are right
    pixels: Float64Array  # (N,) pixels in the bin

    @property
    def expected_calibration_error(self) -> float:
        """Return the mean gap between confidence and accuracy, weighted by pixels."""
        total = self.pixels.sum()
        if total == 0:
            return float('nan')
        return float(np.nansum(self.pixels * np.abs(self.confidence - self.accuracy)) / total)

    @property
    def bins(self) -> dict[str, list[float]]:
        """Return the diagram as a record holds it."""
        return {
            'edges': np.linspace(0, 1, len(self.pixels) + 1).tolist(),
            'counts': self.pixels.tolist(),
            'confidence': self.confidence.tolist(),
            'correct': self.accuracy.tolist(),
        }


def reliability(
    depth: Float32Array,
    confidence: Float32Array,
    true_depth: Float32Array,
    tau: float,
    num_bins: int = 15,
) -> Reliability:
    """
    Compare a confidence with the share of pixels that are right within `tau`.

    Parameters
    ----------
    depth : predicted depth of one window, any shape, in the unit of `true_depth` up to scale.
    confidence : same shape, in [0, 1].
    true_depth : same shape; NaN or infinity = unknown.
    tau : relative tolerance of being right.
    num_bins : equal bins over [0, 1].

    Notes
    -----
    A pixel is right where |s d - t| <= tau t with s the median ratio over the window
    (Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3 with 15 bins).
    """
    known = np.isfinite(true_depth) & np.isfinite(depth) & (true_depth > 0)
    d, c, t = depth[known], confidence[known], true_depth[known]
    if d.size == 0:
        empty = np.full(num_bins, np.nan)
        return Reliability(empty, empty.copy(), np.zeros(num_bins))
    right = np.abs(np.median(t / d) * d - t) <= tau * t
    bins = np.minimum((c * num_bins).astype(int), num_bins - 1)
    count = np.bincount(bins, minlength=num_bins).astype(np.float64)
    with np.errstate(invalid='ignore'):
        mean_confidence = np.bincount(bins, c, num_bins) / count
        accuracy = np.bincount(bins, right, num_bins) / count
    return Reliability(mean_confidence, accuracy, count)


def merge_reliability(parts: list[Reliability]) -> Reliability:
    """Return the diagram of several windows together."""
    count = np.sum([p.pixels for p in parts], axis=0)
    with np.errstate(invalid='ignore'):
        confidence = np.sum([np.nan_to_num(p.confidence) * p.pixels for p in parts], axis=0)
        accuracy = np.sum([np.nan_to_num(p.accuracy) * p.pixels for p in parts], axis=0)
        return Reliability(confidence / count, accuracy / count, count)
