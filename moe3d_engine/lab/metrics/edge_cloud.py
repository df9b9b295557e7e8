"""
Points near depth boundaries against the true surfaces: edge-aware Chamfer, share on a surface.

Near a boundary means the boundary pixels of `flying_points`: both surfaces lie within the 5x5
pixels around, at most two pixels away. The prediction is scaled once, by the median ratio over
the pixels away from boundaries, so that neither figure counts an error of the overall scale.
"""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.metrics.flying_points import ETA
from moe3d_engine.lab.metrics.flying_points import TrueBoundaries
from moe3d_engine.lab.metrics.reconstruction import reconstruction_metrics
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from scipy.spatial import cKDTree

# A point is on a surface if it is nearer than this share of its depth to a true point. It is less
# than half of ETA: a point midway between two surfaces is on neither, however small their step.
ON_SURFACE = 0.02
OFF_SURFACE = 0.03  # of its depth; a point as far from every true one lies off all surfaces
OFF_STRIDE = 4  # every fourth point is looked at


class EdgeFigures(NamedTuple):
    """
    What the points at the boundary pixels of one window are like.

    Parameters
    ----------
    chamfer_m : mean over the views of the Chamfer distance, in metres of the ground truth; NaN
        where no view has published points there.
    near, points : predicted points that lie on a true surface, and all predicted ones.
    """

    chamfer_m: float
    near: int
    points: int


class TrueEdges:
    """
    The true points near boundaries, found once for all depth that is judged against them.

    Parameters
    ----------
    boundaries : of the true depth (V, H, W) in metres.
    intrinsics : (V, 3, 3) in its pixels.

    Raises
    ------
    ShapeError
        If there is not one matrix per view.
    """

    def __init__(self, boundaries: TrueBoundaries, intrinsics: Float64Array) -> None:
        depth_gt = boundaries.depth_gt
        self._boundaries, self._intrinsics = boundaries, intrinsics
        self._masks = boundaries.mask
        clouds = unproject_depth(depth_gt, intrinsics).astype(np.float64)
        known = np.isfinite(depth_gt) & (depth_gt > 0)
        self._edges = [cloud[mask] for cloud, mask in zip(clouds, self._masks, strict=True)]
        self._known = known
        self._surfaces = [
            cKDTree(cloud[view]) if view.any() else None
            for cloud, view in zip(clouds, known, strict=True)
        ]

    def judge(self, depth: Float32Array) -> EdgeFigures:
        """Compare depth (V, H, W) in any scale; what is not finite is not published."""
        scaled = np.float32(self._boundaries.scale(depth)) * depth
        published = np.isfinite(scaled) & (scaled > 0)
        clouds = unproject_depth(scaled, self._intrinsics).astype(np.float64)
        chamfers, near, points = [], 0, 0
        for edge, surface, cloud, kept in zip(
            self._edges, self._surfaces, clouds, published & self._masks, strict=True
        ):
            if surface is None or not kept.any():
                continue
            predicted = cloud[kept]
            metrics = reconstruction_metrics(predicted, edge)
            chamfers.append(metrics.acc_mean + metrics.comp_mean)
            distance, _ = surface.query(predicted)
            near += int(np.count_nonzero(distance <= ON_SURFACE * predicted[:, 2]))
            points += len(predicted)
        return EdgeFigures(float(np.mean(chamfers)) if chamfers else float('nan'), near, points)

    def count_off(self, depth: Float32Array) -> tuple[int, int]:
        """
        Count the points that lie off every true surface of their view.

        Parameters
        ----------
        depth : (V, H, W) in the unit of the truth; what is not finite is not published.

        Returns
        -------
        Points without a true one within 3 % of their depth, and all points: every fourth of the
        pixels whose truth is known.
        """
        published = np.isfinite(depth) & (depth > 0) & self._known
        clouds = unproject_depth(depth, self._intrinsics).astype(np.float64)
        off = total = 0
        for surface, cloud, kept in zip(self._surfaces, clouds, published, strict=True):
            points = cloud[kept][::OFF_STRIDE]
            if surface is None or not len(points):
                continue
            distance, _ = surface.query(points)
            off += int(np.count_nonzero(distance > OFF_SURFACE * points[:, 2]))
            total += len(points)
        return off, total


def edge_chamfer(
    pred: Float32Array, gt: Float32Array, intrinsics: Float64Array, *, eta: float = ETA
) -> float:
    """
    Return the Chamfer distance of the points at boundary pixels, in the unit of the truth.

    Parameters
    ----------
    pred : (H, W) depth in any scale, NaN or Inf = not published; or (V, H, W).
    gt : true depth on the same pixels; what is not finite or not above 0 is unknown.
    intrinsics : (3, 3) in these pixels; or (V, 3, 3).
    eta : least relative step of a boundary.

    Returns
    -------
    The mean distance of the predicted points to the nearest true ones plus that of the true ones
    to the nearest predicted ones, both at the true boundary pixels alone; the mean over views;
    NaN where there is no boundary or nothing is published there.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.

    Notes
    -----
    After Pixel-Perfect Depth, which takes Canny edges of the true depth; neither its thresholds
    nor its alignment are published, so pixels and scale are ours and figures do not compare.
    """
    return _judge(pred, gt, intrinsics, eta).chamfer_m


def near_surface_share(
    pred: Float32Array, gt: Float32Array, intrinsics: Float64Array, *, eta: float = ETA
) -> float:
    """
    Return the share of predicted points at boundary pixels that lie on a true surface.

    Parameters
    ----------
    pred, gt, intrinsics, eta : as for `edge_chamfer`.

    Returns
    -------
    The share of points with a true point of their view within 2 % of their depth; NaN without
    points. Unlike the flying share it also counts depth error as off the surface.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    """
    figures = _judge(pred, gt, intrinsics, eta)
    return figures.near / figures.points if figures.points else float('nan')


def _judge(
    pred: Float32Array, gt: Float32Array, intrinsics: Float64Array, eta: float
) -> EdgeFigures:
    """Judge one view or several."""
    if pred.ndim == 2 and gt.ndim == 2:
        pred, gt, intrinsics = pred[None], gt[None], intrinsics[None]
    return TrueEdges(TrueBoundaries(gt, eta), intrinsics).judge(pred)
