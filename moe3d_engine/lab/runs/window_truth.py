"""The figures of depth against the truth of a window, whatever made or thinned the depth."""

from __future__ import annotations

from moe3d_engine.geometry.depth_edges import boundary_f1
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics
from moe3d_engine.lab.metrics.edge_cloud import TrueEdges
from moe3d_engine.lab.metrics.filters import depth_aliasing_mask
from moe3d_engine.lab.metrics.flying_points import TrueBoundaries
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np


class WindowTruth:
    """
    The truth of a window; what all maps need of it is found once.

    Parameters
    ----------
    depth : (V, H, W) in metres; what is not finite or not above 0 is not judged.
    intrinsics : (V, 3, 3) in its pixels; None = without the figures of points near boundaries.
    """

    def __init__(self, depth: Float32Array, intrinsics: Float64Array | None = None) -> None:
        self.depth = depth
        self._boundaries = TrueBoundaries(depth)
        self._edges = None if intrinsics is None else TrueEdges(self._boundaries, intrinsics)

    def judge(self, depth: Float32Array, *, metric: bool) -> Figures:
        """
        Return the figures of depth maps.

        Parameters
        ----------
        depth : (V, H, W); what is not finite is not published.
        metric : whether it claims metres; `abs_rel` and `rmse` are NaN otherwise.
        """
        scaled = depth_metrics(depth, self.depth, align='median')
        as_is = depth_metrics(depth, self.depth, align='none') if metric else None
        means = {
            'abs_rel': np.nan if as_is is None else as_is.abs_rel,
            'rmse': np.nan if as_is is None else as_is.rmse,
            'abs_rel_median': scaled.abs_rel,
            'delta1': scaled.delta1,
            'boundary_f1': float(np.mean(list(map(boundary_f1, depth, self.depth)))),
        }
        true_levels = self._boundaries.count(depth, levels='gt')
        own_levels = self._boundaries.count(depth, levels='pred')
        boundary = float(true_levels.boundary)
        shares = shares_without_truth(depth)
        for name, parts in (('flying_gt', true_levels), ('flying_pred', own_levels)):
            shares[name] = float(parts.flying), float(parts.judged)
        shares['collapsed'] = float(own_levels.collapsed), boundary
        shares['retained_boundary'] = boundary - true_levels.dropped, boundary
        if self._edges is not None:
            edges = self._edges.judge(depth)
            means['edge_chamfer_m'] = edges.chamfer_m
            shares['near_surface'] = float(edges.near), float(edges.points)
        return Figures(means, shares)


def shares_without_truth(depth: Float32Array) -> dict[str, tuple[float, float]]:
    """
    Return what can be said of depth (..., H, W) alone, as pairs of a number and its whole.

    `retained` is the published pixels among all, `aliased` those of them that lie between their
    neighbours' depths.
    """
    published = float(np.count_nonzero(np.isfinite(depth)))
    aliased = float(np.count_nonzero(depth_aliasing_mask(depth)))
    return {'retained': (published, float(depth.size)), 'aliased': (aliased, published)}
