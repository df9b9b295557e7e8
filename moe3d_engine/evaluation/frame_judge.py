"""Figures of one frame: what is published, what was before, and the classic filters beside."""

from __future__ import annotations

from moe3d_engine.evaluation.boundaries import boundary_f1
from moe3d_engine.evaluation.calibration import merge_reliability
from moe3d_engine.evaluation.calibration import Reliability
from moe3d_engine.evaluation.calibration import reliability
from moe3d_engine.evaluation.depth_metrics import depth_metrics
from moe3d_engine.evaluation.filters import keep_at
from moe3d_engine.evaluation.flying_points import flying_points
from moe3d_engine.evaluation.record import Figures
from moe3d_engine.evaluation.record import PUBLISHED
from moe3d_engine.evaluation.rejection import baseline_scores
from moe3d_engine.types import DepthScale
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
import numpy as np

BEFORE_REJECTION = 'before rejection'


class FrameJudge:
    """
    Judges frames one after the other and keeps what is summed over all of them.

    Parameters
    ----------
    confidence_tau : the relative error within which the boundary confidence calls depth right.
    """

    def __init__(self, confidence_tau: float) -> None:
        self._tau = confidence_tau
        self._diagrams: list[Reliability] = []
        self.milliseconds: dict[str, list[float]] = {}  # of each baseline

    def judge(
        self, result: Reconstruction, outputs: RawOutputs, truth: Float32Array | None
    ) -> dict[str, Figures]:
        """
        Return the figures of a frame by method.

        Parameters
        ----------
        result : one view is published.
        outputs : of the network, the published view first.
        truth : (H, W) on the pixels of the depth, NaN = unknown; None = no truth: only the share
            of published pixels is counted.

        Returns
        -------
        `published`, `before rejection`, and every baseline with as many of the pixels within
        range as are published.
        """
        depth, raw = result.depth[0], result.depth_raw[0]
        if truth is None:
            return {PUBLISHED: Figures(shares={'retained': _retained(depth)})}
        confidence = outputs.boundary_confidence[0]
        self._diagrams.append(reliability(raw, confidence, truth, self._tau))
        in_range = np.where(np.isposinf(depth), np.float32(np.nan), raw)
        maps = {PUBLISHED: depth, BEFORE_REJECTION: in_range}
        maps |= self._baselines(result, outputs, in_range)
        metric = result.depth_scale is DepthScale.METRIC
        return {name: judge_map(values, truth, metric=metric) for name, values in maps.items()}

    def reliability(self) -> dict[str, list[float]]:
        """Return the bins of the diagram over all frames, as a record holds them."""
        if not self._diagrams:
            return {}
        diagram = merge_reliability(self._diagrams)
        return {
            'edges': np.linspace(0, 1, len(diagram.pixels) + 1).tolist(),
            'counts': diagram.pixels.tolist(),
            'confidence': diagram.confidence.tolist(),
            'correct': diagram.accuracy.tolist(),
        }

    def _baselines(
        self, result: Reconstruction, outputs: RawOutputs, depth: Float32Array
    ) -> dict[str, Float32Array]:
        """Return what each baseline leaves of a depth map (H, W) at the published share."""
        known = np.isfinite(depth)
        if not known.any():
            return {}
        share = np.count_nonzero(np.isfinite(result.depth[0])) / np.count_nonzero(known)
        scores = baseline_scores(
            depth[None],
            result.intrinsics,
            outputs.depth_confidence[:1],
            outputs.agreement[:1],
            outputs.boundary_confidence[:1],
        )
        left = {}
        for name, scored in scores.items():
            kept = keep_at(np.where(known, scored.score[0], np.nan), share)
            left[name] = np.where(kept, depth, np.float32(np.nan))
            self.milliseconds.setdefault(name, []).append(scored.milliseconds)
        return left


def judge_map(depth: Float32Array, truth: Float32Array, *, metric: bool) -> Figures:
    """
    Return the figures of one depth map.

    Parameters
    ----------
    depth : (H, W); what is not finite is not published.
    truth : (H, W) in metres, NaN = unknown.
    metric : whether `depth` claims metres; `abs_rel` and `rmse` are NaN otherwise.
    """
    scaled = depth_metrics(depth, truth, align='median')
    as_is = depth_metrics(depth, truth, align='none') if metric else None
    means = {
        'abs_rel': np.nan if as_is is None else as_is.abs_rel,
        'rmse': np.nan if as_is is None else as_is.rmse,
        'abs_rel_median': scaled.abs_rel,
        'delta1': scaled.delta1,
        'boundary_f1': boundary_f1(depth, truth),
    }
    true_levels = flying_points(depth[None], truth[None], levels='gt')
    own_levels = flying_points(depth[None], truth[None], levels='pred')
    boundary = float(true_levels.boundary)
    shares = {'retained': _retained(depth)}
    for name, parts in (('flying_gt', true_levels), ('flying_pred', own_levels)):
        shares[name] = float(parts.flying), float(parts.judged)
    shares['collapsed'] = float(own_levels.collapsed), boundary
    shares['retained_boundary'] = boundary - true_levels.dropped, boundary
    return Figures(means, shares)


def _retained(depth: Float32Array) -> tuple[float, float]:
    """Return how many pixels are published, and of how many."""
    return float(np.count_nonzero(np.isfinite(depth))), float(depth.size)
