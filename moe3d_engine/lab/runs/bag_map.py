"""The map of a whole bag: the camera's way through its windows, and the fused cloud."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
import logging
import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.metrics.poses import relative_pose_auc
from moe3d_engine.lab.metrics.poses import trajectory_errors
from moe3d_engine.lab.metrics.reconstruction import estimate_normals
from moe3d_engine.lab.metrics.reconstruction import f_score
from moe3d_engine.lab.metrics.reconstruction import reconstruction_metrics
from moe3d_engine.lab.metrics.reconstruction import ReconstructionMetrics
from moe3d_engine.lab.metrics.reconstruction import refine_icp
from moe3d_engine.lab.metrics.reconstruction import umeyama
from moe3d_engine.lab.metrics.trajectories import path_length
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
import numpy as np

logger = logging.getLogger(__name__)

POINTS_PER_FRAME = 1000
MAX_POINTS = 50_000  # of the fused cloud, evenly over all frames
MIN_POSES = 3
ICP_DISTANCE_M = 0.1
F_SCORE_DISTANCE_M = 0.05


@dataclass(slots=True, eq=False)
class _Piece:
    """Frames whose windows share views, in one world; poses are world_from_cam."""

    poses: list[Float64Array] = field(default_factory=list)
    true_poses: list[Float64Array] = field(default_factory=list)
    points: list[Float64Array] = field(default_factory=list)  # (N, 3) per frame, NaN = rejected
    true_points: list[Float64Array] = field(default_factory=list)  # of the same pixels


class MapJudge:
    """
    Chains the windows' poses and collects points, then compares both with the truth.

    The newest view of a window is placed by the newest other view of it whose place is known. A
    window that shares no view with the one before begins a new piece; the longest one is judged.
    """

    def __init__(self) -> None:
        self._world_from_cam: dict[View, Float64Array] = {}
        self._pieces: list[_Piece] = []

    def add(
        self, result: Reconstruction, true_pose: Float64Array | None, truth: Float32Array | None
    ) -> None:
        """
        Add the window of a frame.

        Parameters
        ----------
        result : its newest view is published.
        true_pose : world_from_cam (4, 4) of the newest view; None = unknown, the frame is left
            out of the comparison.
        truth : (H, W) true depth of the newest view, NaN = unknown.
        """
        pose = self._place(result)
        if true_pose is None:
            return
        piece = self._pieces[-1]
        piece.poses.append(pose)
        piece.true_poses.append(true_pose)
        if truth is None:
            return
        known = np.flatnonzero(np.isfinite(truth) & (truth > 0))
        chosen = known[:: max(1, len(known) // POINTS_PER_FRAME)]
        for depth, world_from_cam, points in (
            (result.depth[0], pose, piece.points),
            (truth, true_pose, piece.true_points),
        ):
            in_camera = unproject_depth(depth[None], result.intrinsics)[0].reshape(-1, 3)[chosen]
            points.append(transform_points(world_from_cam, in_camera.astype(np.float64)))

    def figures(self) -> dict[str, float]:
        """
        Return the figures of the longest piece; empty where fewer than three poses are known.

        Poses: ATE and RPE after one similarity, AUC@30 of all pairs, and `path_ratio`, the length
        of the predicted way over that of the true one (a similarity hides that a network does
        not move). Cloud: Acc, Comp and F-score at 5 cm after a similarity of corresponding pixels
        (`map_scale`, from the prediction to metres) and ICP, and NC of normals that are estimated
        from both clouds. A camera that never moves has no ATE.
        """
        piece = max(self._pieces, key=lambda item: len(item.poses), default=_Piece())
        if len(piece.poses) < MIN_POSES:
            return {}
        poses, true_poses = np.stack(piece.poses), np.stack(piece.true_poses)
        figures = {'poses': float(len(poses)), 'pieces': float(len(self._pieces))}
        if np.ptp(poses[:, :3, 3], axis=0).any() and np.ptp(true_poses[:, :3, 3], axis=0).any():
            figures |= _trajectory_figures(poses, true_poses)
        figures['path_ratio'] = path_length(poses) / (path_length(true_poses) or math.nan)
        figures['auc30'] = relative_pose_auc(invert_rigid(poses), invert_rigid(true_poses))
        return figures | _cloud_figures(piece)

    def _place(self, result: Reconstruction) -> Float64Array:
        """Return world_from_cam of a window's newest view and remember its views."""
        newest = len(result.views) - 1
        known = [i for i in range(newest) if result.views[i] in self._world_from_cam]
        pose: Float64Array = np.eye(4)
        if known:
            anchor = known[-1]
            anchor_from_newest = result.cam_from_world[anchor] @ invert_rigid(
                result.cam_from_world[newest]
            )
            pose = self._world_from_cam[result.views[anchor]] @ anchor_from_newest
        else:
            self._pieces.append(_Piece())
        kept = {v: p for v, p in self._world_from_cam.items() if v in result.views}
        self._world_from_cam = {**kept, result.views[newest]: pose}
        return pose


def _trajectory_figures(poses: Float64Array, true_poses: Float64Array) -> dict[str, float]:
    """Return ATE and RPE; nothing where they have no meaning or their package is missing."""
    try:
        return trajectory_errors(poses, true_poses)._asdict()
    except (ConfigError, ShapeError) as error:
        logger.warning('ATE and RPE are left out. %s', error)
        return {}


def _cloud_figures(piece: _Piece) -> dict[str, float]:
    """Return Acc, Comp, NC and F-score of the fused cloud; NaN where it is too small."""
    names = (*ReconstructionMetrics._fields, 'f_score', 'map_scale')
    if not piece.points:
        return {}
    points, true_points = np.concatenate(piece.points), np.concatenate(piece.true_points)
    step = math.ceil(len(points) / MAX_POINTS)
    points, true_points = points[::step], true_points[::step]
    kept = np.isfinite(points).all(axis=1)
    if np.count_nonzero(kept) < MIN_POSES:
        return dict.fromkeys(names, math.nan)
    similarity = umeyama(points[kept], true_points[kept])
    cloud = similarity.apply(points[kept])
    motion = refine_icp(cloud, true_points, ICP_DISTANCE_M)
    cloud = transform_points(motion, cloud)
    normals = (estimate_normals(points) for points in (cloud, true_points))
    figures: dict[str, float] = reconstruction_metrics(cloud, true_points, *normals)._asdict()
    figures['f_score'] = f_score(cloud, true_points, F_SCORE_DISTANCE_M).f_score
    return figures | {'map_scale': similarity.scale}
