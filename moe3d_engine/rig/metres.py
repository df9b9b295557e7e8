"""How well the known distances between cameras say how far things are, at one moment."""

from __future__ import annotations

from collections.abc import Sequence
import math

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import project_points
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.rig.extrinsics import POSITION_STD_M
from moe3d_engine.scale.config import NETWORK_LOG_STD
from moe3d_engine.scale.estimator import LOCK_STD
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import RIG
from moe3d_engine.types import Scale
from moe3d_engine.types import ScaleState
from moe3d_engine.types import View
import numpy as np

EVERY_PX = 8  # pixels of a side that are looked at
MIN_SHARED = 0.1  # of them; fewer say nothing of the rest
COMMON_ERROR_PX = 0.25  # of all comparisons of two cameras: what they do not average out


def rig_scale(
    views: Sequence[View], depth: Float32Array, intrinsics: Float64Array
) -> Scale | None:
    """
    Return the scale of views that were compared while they stood on a rig: its metres.

    None where a view knows its pose from elsewhere, or the cameras share too little, or stand so
    close that what weights have learnt of metres says more.

    Parameters
    ----------
    views : V views of one moment.
    depth, intrinsics : see `rig_log_std`.
    """
    poses = [view.pose for view in views if view.pose is not None and view.pose.source == RIG]
    if len(poses) < len(views):
        return None
    std = rig_log_std(depth, intrinsics, np.stack([pose.cam_from_world for pose in poses]))
    if std > NETWORK_LOG_STD:
        return None
    state: ScaleState = 'locked' if std < LOCK_STD else 'estimating'
    return Scale(1.0, std, RIG, metric=True, state=state)


def rig_log_std(
    depth: Float32Array, intrinsics: Float64Array, cam_from_rig: Float64Array
) -> float:
    """
    Return the deviation of the log of metres that come from comparing the cameras of a moment.

    It is the parallax between two cameras that decides: a quarter of a pixel that it is wrong by
    is a share of the depth. Pixels that no other camera sees follow those that one does.

    Parameters
    ----------
    depth : (V, H, W) in metres, positive.
    intrinsics : (V, 3, 3) in pixels of these maps.
    cam_from_rig : (V, 4, 4) in metres.

    Returns
    -------
    inf where the cameras share too little.
    """
    height, width = depth.shape[1:]
    points = unproject_depth(depth, intrinsics)[:, ::EVERY_PX, ::EVERY_PX].astype(np.float64)
    best_px = np.zeros(points.shape[:3])  # parallax, of the camera that shows the most
    baseline_m = np.zeros(points.shape[:3])
    for one in range(len(depth)):
        for other in range(len(depth)):
            if one == other:
                continue
            moved = cam_from_rig[other] @ invert_rigid(cam_from_rig[one])
            there = transform_points(moved, points[one])
            turned = there - moved[:3, 3]
            place, endless = (project_points(p, intrinsics[other]) for p in (there, turned))
            seen = (there[..., 2] > 0) & ((place >= 0) & (place < (width, height))).all(-1)
            parallax_px = np.where(seen, np.linalg.norm(place - endless, axis=-1), 0.0)
            better = parallax_px > best_px[one]
            best_px[one][better] = parallax_px[better]
            baseline_m[one][better] = np.linalg.norm(moved[:3, 3])
    shared = best_px > 0
    if shared.mean() < MIN_SHARED:
        return math.inf
    by_place = math.sqrt(2) * POSITION_STD_M / float(np.median(baseline_m[shared]))
    return math.hypot(COMMON_ERROR_PX / float(np.median(best_px[shared])), by_place)
