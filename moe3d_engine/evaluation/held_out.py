"""Held-out figures of a network: depth error, flying points and calibration in one pass."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from moe3d_engine.backends.base import Backend
from moe3d_engine.evaluation.calibration import merge_reliability
from moe3d_engine.evaluation.calibration import reliability
from moe3d_engine.evaluation.depth_metrics import depth_metrics
from moe3d_engine.evaluation.flying_points import flying_points
from moe3d_engine.evaluation.flying_points import FlyingPoints
from moe3d_engine.postprocess import on_one_surface
from moe3d_engine.preprocess import to_network
from moe3d_engine.synthetic.scene_set import SyntheticSet
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np

FAR_M = 60.0  # true depth beyond is not judged: no network here can tell it from the sky


def evaluate_windows(
    predict: Callable[[Float32Array], RawOutputs],
    sets: Sequence[SyntheticSet],
    *,
    confidence_tau: float,
    min_agreement: float = 0.0,
    min_confidence: float = 0.0,
    num_views: int = 3,
) -> dict[str, float]:
    """
    Reconstruct the first views of each set and compare with the truth.

    Parameters
    ----------
    predict : images (V, 3, H, W) float32 in [0, 1] to outputs with all views published.
    sets : held-out sets with exact depth at the network's resolution.
    confidence_tau : what the network's boundary confidence speaks of.
    min_agreement, min_confidence : thresholds of the rejection; 0 and 0 publish every pixel.
    num_views : views per window.

    Returns
    -------
    `abs_rel` (metres as they are), `abs_rel_median` and `delta_1` (median scale per window), each
    the mean over windows; `flying_gt`, `flying_pred` (shares over all windows' boundary pixels);
    `ece` of the boundary confidence; `retained` and `retained_boundary` (shares of pixels).
    """
    metric, scaled, diagrams, retained = [], [], [], []
    counts: dict[str, list[FlyingPoints]] = {'gt': [], 'pred': []}
    for item in sets:
        truth = item.depth[:num_views].copy()
        truth[truth > FAR_M] = np.inf
        raw = predict(to_network(item.rgb[:num_views]))
        confidence = raw.boundary_confidence
        kept = on_one_surface(raw.agreement, confidence, min_agreement, min_confidence)
        depth = np.where(kept, raw.depth, np.float32(np.nan))
        metric.append(depth_metrics(depth, truth, align='none'))
        scaled.append(depth_metrics(depth, truth, align='median'))
        diagrams.append(reliability(raw.depth, confidence, truth, confidence_tau))
        retained.append(kept.mean())
        for levels, parts in counts.items():
            parts.append(flying_points(depth, truth, levels=levels))
    boundary = sum(part.boundary for part in counts['gt'])
    dropped = sum(part.dropped for part in counts['gt'])
    return {
        'abs_rel': float(np.mean([m.abs_rel for m in metric])),
        'abs_rel_median': float(np.mean([m.abs_rel for m in scaled])),
        'delta_1': float(np.mean([m.delta1 for m in scaled])),
        'flying_gt': _share(counts['gt']),
        'flying_pred': _share(counts['pred']),
        'ece': merge_reliability(diagrams).expected_calibration_error,
        'retained': float(np.mean(retained)),
        'retained_boundary': 1 - dropped / boundary if boundary else float('nan'),
    }


def predict_with(backend: Backend) -> Callable[[Float32Array], RawOutputs]:
    """Return a function that publishes all views of a window through a backend."""

    def predict(images: Float32Array) -> RawOutputs:
        return backend.reconstruct(backend.encode(images), range(len(images)))

    return predict


def _share(parts: list[FlyingPoints]) -> float:
    """Return the flying share over all windows, weighted by their judged boundary pixels."""
    judged = sum(part.boundary - part.dropped - part.collapsed for part in parts)
    return sum(part.flying for part in parts) / judged if judged else float('nan')
