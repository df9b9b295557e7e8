"""Poses of a few images by what they show together, and depth in the unit of these poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import logging
from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.points import lift_pixels
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.mapping.unordered import MAX_VIEWS
from moe3d_engine.mapping.unordered import register
from moe3d_engine.mapping.unordered import Registration
from moe3d_engine.tracking.point_unit import PointUnit
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import SparsePoints
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np

logger = logging.getLogger(__name__)

BY_MATCHES, BY_NETWORK = 'matches', 'network'


def are_few(num_views: int) -> bool:
    """Whether so many views can be placed by what they show together."""
    return 2 <= num_views <= MAX_VIEWS


class JointPoses(NamedTuple):
    """
    Views that were placed by what they show together.

    Parameters
    ----------
    windows : with better poses, and the depth of each view in the unit of these.
    sources : of each view's pose, BY_MATCHES or BY_NETWORK.
    views : of all windows; those that were placed know their poses and the points that they see.
    """

    windows: list[Reconstruction]
    sources: tuple[str, ...]
    views: list[View]


def with_joint_poses(windows: Sequence[Reconstruction]) -> JointPoses:
    """
    Place the views of windows by their matches, where they show enough together.

    Parameters
    ----------
    windows : that share their first view, each other view published in one of them; `are_few`.

    Returns
    -------
    JointPoses. Their unit is the network's: the median over the views of the ratio between its
    depth and that of the matched points. Views that share too little with the others keep the
    network's pose and depth, and the log says so.

    Notes
    -----
    Views without intrinsics are placed with the network's, whose error of the focal length goes
    into poses and points; the matches do not correct it.
    """
    results = [result for window in windows for result in window.results]
    intrinsics, fitted_from_source = _geometry(results)
    by_network = np.stack([result.cam_from_world for result in results])
    registration = register([r.view for r in results], intrinsics, by_network)
    factors = _depth_factors(registration, results, fitted_from_source)
    known = factors[np.isfinite(factors)]
    registered = registration.registered & bool(len(known))
    sources = tuple(BY_MATCHES if matched else BY_NETWORK for matched in registered)
    _say(sources)
    views = [result.view for result in results]
    if not len(known):  # too few points for a unit
        return JointPoses(list(windows), sources, views)
    unit = 1.0 / float(np.median(known))
    factors = np.where(np.isfinite(factors), factors * unit, 1.0)
    poses = registration.in_unit(unit)
    views = [
        view if points is None else _placed(view, lens, pose, points, unit)
        for view, lens, pose, points in zip(
            views, intrinsics, poses, registration.points, strict=True
        )
    ]
    return JointPoses(_replaced(windows, poses, factors), sources, views)


def _placed(
    view: View,
    intrinsics: Float64Array,
    cam_from_world: Float64Array,
    points: SparsePoints,
    unit: float,
) -> View:
    """Return a view that knows its pose, and what it sees of the points that placed it."""
    depth = points.depth * unit
    points_cam = lift_pixels(points.pixels, depth, intrinsics)
    in_world = transform_points(invert_rigid(cam_from_world), points_cam)
    return replace(
        view,
        intrinsics=intrinsics,
        pose=PosePrior(cam_from_world, BY_MATCHES),
        points=SparsePoints(points.pixels, depth, in_world),
    )


def _geometry(results: Sequence[ViewResult]) -> tuple[Float64Array, Float64Array]:
    """Return intrinsics on the views' own pixels, and fitted_from_source; (V, 3, 3) both."""
    fits = [fit_geometry(r.view.image.shape[:2], r.depth.shape) for r in results]
    fitted_from_source = np.stack([fit.fitted_from_source for fit in fits])
    fitted = np.stack([result.intrinsics for result in results])
    intrinsics: Float64Array = np.linalg.inv(fitted_from_source) @ fitted
    return intrinsics, fitted_from_source


def _depth_factors(
    registration: Registration, results: Sequence[ViewResult], fitted_from_source: Float64Array
) -> Float64Array:
    """Return the unit of the poses per unit of each view's depth (V,); NaN = too few points."""
    factors = [
        None if points is None else PointUnit().unit(result.depth_raw, fitted, points)
        for result, fitted, points in zip(
            results, fitted_from_source, registration.points, strict=True
        )
    ]
    return np.array([np.nan if factor is None else factor for factor in factors])


def _replaced(
    windows: Sequence[Reconstruction], cam_from_world: Float64Array, factors: Float64Array
) -> list[Reconstruction]:
    """Return windows with other poses (V, 4, 4), and depth times factors (V,)."""
    replaced = []
    start = 0
    for window in windows:
        mine = slice(start, start + len(window.published))
        poses = window.cam_from_world.copy()
        poses[0] = cam_from_world[0]
        poses[list(window.published)] = cam_from_world[mine]
        times = factors[mine, None, None].astype(np.float32)
        replaced.append(
            replace(
                window, cam_from_world=poses, depth=window.depth * times,
                depth_raw=window.depth_raw * times,
            )
        )  # fmt: skip
        start = mine.stop
    return replaced


def _say(sources: Sequence[str]) -> None:
    """Write to the log whose poses these are."""
    left = [str(index) for index, source in enumerate(sources) if source == BY_NETWORK]
    if len(left) == len(sources):
        logger.warning(
            'The images share too little, or show it from one place only: all poses are the '
            "network's. Give images that overlap and that were taken side by side."
        )
    elif left:
        logger.warning(
            'Of the %d images, counted from 0, number %s share too little with the others: their '
            "poses are the network's.", len(sources), ', '.join(left),
        )  # fmt: skip
    else:
        logger.info('The poses of %d images are by matches between them.', len(sources))
