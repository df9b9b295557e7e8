"""Ways to take flying points away, ours and the classic ones, as scores with their time."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.metrics.filters import confidence_score
from moe3d_engine.lab.metrics.filters import da3_score
from moe3d_engine.lab.metrics.filters import depth_edge_score
from moe3d_engine.lab.metrics.filters import keep_at
from moe3d_engine.lab.metrics.filters import ror_score
from moe3d_engine.lab.metrics.filters import shadow_score
from moe3d_engine.lab.metrics.filters import sor_score
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

SOR_NEIGHBORS = 20
ROR_RADIUS = 0.02  # of the window's median depth


class ScoredFilter(NamedTuple):
    """A score per pixel, larger where it is more suspicious, and how long it took."""

    score: Float64Array  # (V, H, W), NaN where there is none
    milliseconds: float


def baseline_scores(
    depth: Float32Array,
    intrinsics: Float64Array,
    depth_confidence: Float32Array,
    agreement: Float32Array,
    boundary_confidence: Float32Array,
) -> dict[str, ScoredFilter]:
    """
    Score each pixel by every method; `filters.keep_at` cuts all at one share.

    Parameters
    ----------
    depth : (V, H, W) before rejection; some of it finite.
    intrinsics : (V, 3, 3) in pixels of the depth.
    depth_confidence, agreement, boundary_confidence : (V, H, W), outputs of the network.

    Returns
    -------
    By name. Ours are `agreement` and `boundary confidence`. The others need no mixture: the
    relative span of 3x3 pixels (utils3d, MoGe), statistical and radius outlier removal (Open3D)
    and shadow points (PCL) on each view's points, and percentiles of the network's own confidence
    over all views together, as VGGT and Depth Anything 3 take them.
    """
    start = perf_counter()
    clouds = unproject_depth(depth, intrinsics)
    unproject_ms = 1e3 * (perf_counter() - start)
    radius = ROR_RADIUS * float(np.median(depth[np.isfinite(depth)]))
    confidence = np.where(np.isfinite(depth), depth_confidence, np.float32(np.nan))
    on_pixels: dict[str, Callable[[], Float64Array]] = {
        'agreement': lambda: -agreement.astype(np.float64),
        'boundary confidence': lambda: -boundary_confidence.astype(np.float64),
        'depth edges': lambda: depth_edge_score(depth),
        'VGGT percentile': lambda: confidence_score(confidence),
        'DA3 percentile': lambda: da3_score(confidence),
    }
    on_points: dict[str, Callable[[], Float64Array]] = {
        'SOR': lambda: np.stack([sor_score(cloud, SOR_NEIGHBORS) for cloud in clouds]),
        'ROR': lambda: np.stack([ror_score(cloud, radius) for cloud in clouds]),
        'shadow points': lambda: shadow_score(clouds),
    }
    scored = {name: _timed(score, 0.0) for name, score in on_pixels.items()}
    return scored | {name: _timed(score, unproject_ms) for name, score in on_points.items()}


def _timed(score: Callable[[], Float64Array], before_ms: float) -> ScoredFilter:
    """Compute a score and its time, with what had to be done before."""
    start = perf_counter()
    values = score()
    return ScoredFilter(values, before_ms + 1e3 * (perf_counter() - start))


def thin(depth: Float32Array, score: Float64Array, share: float) -> Float32Array:
    """Return depth with NaN where a score, of the known pixels, is not among the smallest."""
    kept = keep_at(np.where(np.isfinite(depth), score, np.nan), share)
    return np.where(kept, depth, np.float32(np.nan))
