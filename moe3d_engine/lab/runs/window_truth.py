"""The figures of depth against the truth of a window, whatever made or thinned the depth."""

from __future__ import annotations

from collections.abc import Sequence
import math

from moe3d_engine.geometry.depth_edges import boundary_f1
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.metrics.boundaries import boundary_f1_moge
from moe3d_engine.lab.metrics.depth_metrics import depth_metrics
from moe3d_engine.lab.metrics.edge_cloud import TrueEdges
from moe3d_engine.lab.metrics.filters import depth_aliasing_mask
from moe3d_engine.lab.metrics.flying_points import TrueBoundaries
from moe3d_engine.lab.metrics.ibims import depth_boundary_errors
from moe3d_engine.lab.metrics.ibims import depth_edges
from moe3d_engine.lab.metrics.mapping import free_space_violation
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

MOGE_RADII = (1, 2, 3)  # MoGe-2 reports the mean


class WindowTruth:
    """
    The truth of a window; what all maps need of it is found once.

    Parameters
    ----------
    depth : (V, H, W) in metres; what is not finite or not above 0 is not judged.
    intrinsics : (V, 3, 3) in its pixels; None = without the figures of points near boundaries.
    all_metrics : whether the other definitions of sharp boundaries and free space are judged, too,
        which takes as long as all the rest; needs intrinsics and scikit-image.

    Raises
    ------
    ConfigError
        If scikit-image is missing and needed.
    """

    def __init__(
        self,
        depth: Float32Array,
        intrinsics: Float64Array | None = None,
        *,
        all_metrics: bool = False,
    ) -> None:
        self.depth = depth
        self._intrinsics = intrinsics
        self._canny_edges = [depth_edges(view) for view in depth] if all_metrics else None
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
            if metric:
                off, points = self._edges.count_off(depth)
                shares['off_surface'] = float(off), float(points)
        if self._canny_edges is not None:
            means |= self._other_means(depth, self._canny_edges, metric=metric)
        return Figures(means, shares)

    def _other_means(
        self, depth: Float32Array, canny_edges: Sequence[NDArray[np.bool_]], *, metric: bool
    ) -> dict[str, float]:
        """Return what MoGe-2 and iBims-1 say of boundaries, and the points in free space."""
        views = list(zip(depth, self.depth, canny_edges, strict=True))
        whole = np.ones(depth.shape[1:], np.bool_)
        errors = [depth_boundary_errors(view, edges) for view, _, edges in views]
        return {
            'boundary_f1_moge': float(np.mean([
                boundary_f1_moge(view, truth, whole, radius)
                for view, truth, _ in views
                for radius in MOGE_RADII
            ])),
            'dbe_accuracy_px': _known_mean([error.accuracy_px for error in errors]),
            'dbe_completeness_px': _known_mean([error.completeness_px for error in errors]),
            'free_space_violation': self._free_space(depth) if metric else np.nan,
        }  # fmt: skip

    def _free_space(self, depth: Float32Array) -> float:
        """Return the share of points in free space, the mean over views."""
        assert self._intrinsics is not None
        clouds = unproject_depth(depth, self._intrinsics)
        return _known_mean([
            free_space_violation(cloud[np.isfinite(cloud[..., 2])], truth, matrix)
            for cloud, truth, matrix in zip(clouds, self.depth, self._intrinsics, strict=True)
        ])  # fmt: skip


def _known_mean(values: Sequence[float]) -> float:
    """Return the mean of what is not NaN; NaN if nothing is left."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def shares_without_truth(depth: Float32Array) -> dict[str, tuple[float, float]]:
    """
    Return what can be said of depth (..., H, W) alone, as pairs of a number and its whole.

    `retained` is the published pixels among all, `aliased` those of them that lie between their
    neighbours' depths.
    """
    published = float(np.count_nonzero(np.isfinite(depth)))
    aliased = float(np.count_nonzero(depth_aliasing_mask(depth)))
    return {'retained': (published, float(depth.size)), 'aliased': (aliased, published)}
