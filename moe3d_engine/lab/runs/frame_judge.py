"""Figures of one frame: what is published, what was before, and the classic filters beside."""

from __future__ import annotations

from moe3d_engine.lab.metrics.calibration import merge_reliability
from moe3d_engine.lab.metrics.calibration import Reliability
from moe3d_engine.lab.metrics.calibration import reliability
from moe3d_engine.lab.metrics.rejection import baseline_scores
from moe3d_engine.lab.metrics.rejection import thin
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.lab.runs.window_truth import shares_without_truth
from moe3d_engine.lab.runs.window_truth import WindowTruth
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Reconstruction
import numpy as np

BEFORE_REJECTION = 'before rejection'


class FrameJudge:
    """
    Judges frames one after the other and keeps what is summed over all of them.

    Parameters
    ----------
    confidence_tau : the relative error within which the boundary confidence calls depth right.
    baselines : whether the classic filters are judged beside.
    all_metrics : see WindowTruth.
    """

    def __init__(
        self, confidence_tau: float, *, baselines: bool = True, all_metrics: bool = False
    ) -> None:
        self._with_baselines = baselines
        self._all_metrics = all_metrics
        self._tau = confidence_tau
        self._diagrams: list[Reliability] = []
        self.milliseconds: dict[str, list[float]] = {}  # of each baseline

    def judge(self, result: Reconstruction, truth: Float32Array | None) -> dict[str, Figures]:
        """
        Return the figures of a frame by method.

        Parameters
        ----------
        result : one view is published.
        truth : (H, W) on the pixels of the depth, NaN = unknown; None = no truth: only published
            and aliased pixels are counted, before and after rejection.

        Returns
        -------
        `published`, `before rejection`, and every baseline with as many of the pixels within
        range as are published.
        """
        depth, raw = result.depth[0], result.depth_raw[0]
        in_range = np.where(np.isposinf(depth), np.float32(np.nan), raw)
        maps = {PUBLISHED: depth, BEFORE_REJECTION: in_range}
        if truth is None:
            return {name: Figures(shares=shares_without_truth(z)) for name, z in maps.items()}
        confidence = result.raw.boundary_confidence[0]
        self._diagrams.append(reliability(raw, confidence, truth, self._tau))
        if self._with_baselines:
            maps |= self._baselines(result, in_range)
        metric = result.scale.metric
        window = WindowTruth(truth[None], result.intrinsics, all_metrics=self._all_metrics)
        return {name: window.judge(values[None], metric=metric) for name, values in maps.items()}

    def reliability(self) -> Reliability | None:
        """Return the diagram over all frames; None where no frame has a truth."""
        return merge_reliability(self._diagrams) if self._diagrams else None

    def _baselines(self, result: Reconstruction, depth: Float32Array) -> dict[str, Float32Array]:
        """Return what each baseline leaves of a depth map (H, W) at the published share."""
        known = np.isfinite(depth)
        if not known.any():
            return {}
        share = np.count_nonzero(np.isfinite(result.depth[0])) / np.count_nonzero(known)
        scores = baseline_scores(
            depth[None],
            result.intrinsics,
            result.raw.depth_confidence[:1],
            result.raw.agreement[:1],
            result.raw.boundary_confidence[:1],
        )
        left = {}
        for name, scored in scores.items():
            left[name] = thin(depth, scored.score[0], share)
            self.milliseconds.setdefault(name, []).append(scored.milliseconds)
        return left
