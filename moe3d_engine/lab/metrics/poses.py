"""Camera poses against ground truth: errors of pairs, and of trajectories by evo."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.types import Float64Array
import numpy as np


class PairErrors(NamedTuple):
    """Errors in degrees of the relative poses of all pairs i < j, (N (N - 1) / 2,) each."""

    rotation_deg: Float64Array
    translation_deg: Float64Array  # angle between directions, folded to at most 90


class TrajectoryErrors(NamedTuple):
    """After one similarity, or one rigid motion, for the whole trajectory."""

    ate_rmse_m: float
    rpe_translation_rmse_m: float
    rpe_rotation_rmse_deg: float


def relative_pose_errors(
    pred_cam_from_world: Float64Array, gt_cam_from_world: Float64Array
) -> PairErrors:
    """
    Return the errors of each pair's relative pose, which no alignment changes.

    Parameters
    ----------
    pred_cam_from_world, gt_cam_from_world : (N, 4, 4), N >= 2.

    Raises
    ------
    ShapeError
        If the shapes differ or there are fewer than two poses.

    Notes
    -----
    As VGGT, Pi3 and DA3 do: the sign of a translation is not judged, nor its length.
    """
    _check_poses(pred_cam_from_world, gt_cam_from_world, least=2)
    first, second = np.triu_indices(len(gt_cam_from_world), k=1)
    pred, gt = (
        poses[second] @ invert_rigid(poses[first])
        for poses in (pred_cam_from_world, gt_cam_from_world)
    )
    trace = np.einsum('nij,nij->n', pred[:, :3, :3], gt[:, :3, :3])
    rotation_deg = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1.0, 1.0)))
    directions = [
        t / np.maximum(np.linalg.norm(t, axis=1, keepdims=True), 1e-15)
        for t in (pred[:, :3, 3], gt[:, :3, 3])
    ]
    cosine = np.clip(np.abs(np.sum(directions[0] * directions[1], axis=1)), 0.0, 1.0)
    return PairErrors(rotation_deg, np.degrees(np.arccos(cosine)))


def relative_pose_auc(
    pred_cam_from_world: Float64Array,
    gt_cam_from_world: Float64Array,
    threshold_deg: int = 30,
) -> float:
    """
    Return the area under the accuracy curve of relative poses, AUC@30 by default, in [0, 1].

    Parameters
    ----------
    pred_cam_from_world, gt_cam_from_world : (N, 4, 4), N >= 2.
    threshold_deg : whole degrees; each pair counts with its larger error.

    Notes
    -----
    One bin per degree by numpy, as the Co3D test of VGGT does; the variant with torch.histc
    gives slightly other figures.
    """
    errors = relative_pose_errors(pred_cam_from_world, gt_cam_from_world)
    worse_deg = np.maximum(errors.rotation_deg, errors.translation_deg)
    counts, _ = np.histogram(worse_deg, bins=np.arange(threshold_deg + 1))
    return float(np.mean(np.cumsum(counts / len(worse_deg))))


def trajectory_errors(
    pred_world_from_cam: Float64Array,
    gt_world_from_cam: Float64Array,
    *,
    correct_scale: bool = True,
) -> TrajectoryErrors:
    """
    Return ATE and RPE as CUT3R and MonST3R call evo.

    Parameters
    ----------
    pred_world_from_cam, gt_world_from_cam : (N, 4, 4), N >= 3, in the order of time.
    correct_scale : whether the alignment is a Sim(3), as theirs; False = SE(3), which shows an
        error of scale.

    Returns
    -------
    TrajectoryErrors
        RMSE of positions after the alignment; RMSE of the motion from frame to frame.

    Raises
    ------
    ShapeError
        If the shapes differ or there are fewer than three poses.
    ConfigError
        If evo is not installed.
    """
    _check_poses(pred_world_from_cam, gt_world_from_cam, least=3)
    try:
        from evo.core import metrics
        from evo.core.geometry import GeometryException
        from evo.core.trajectory import PosePath3D
    except ImportError as error:
        raise ConfigError(
            'Errors of trajectories need the package evo, which is not installed. Install it: pip '
            'install evo'
        ) from error
    reference = PosePath3D(poses_se3=list(np.asarray(gt_world_from_cam, np.float64)))
    estimate = PosePath3D(poses_se3=list(np.asarray(pred_world_from_cam, np.float64)))
    try:
        estimate.align(reference, correct_scale=correct_scale)
    except GeometryException as error:
        raise ShapeError(
            f'The trajectory cannot be aligned ({error}): a camera that rests or moves on one '
            'line leaves the rotation open. Judge a longer sequence.'
        ) from error
    ate = metrics.APE(metrics.PoseRelation.translation_part)
    motion = [
        metrics.RPE(relation, delta=1, delta_unit=metrics.Unit.frames, all_pairs=True)
        for relation in (
            metrics.PoseRelation.translation_part,
            metrics.PoseRelation.rotation_angle_deg,
        )
    ]
    rmse = metrics.StatisticsType.rmse
    for metric in (ate, *motion):
        metric.process_data((reference, estimate))
    return TrajectoryErrors(*(float(m.get_statistic(rmse)) for m in (ate, *motion)))


def _check_poses(pred: Float64Array, gt: Float64Array, least: int) -> None:
    """Raise ShapeError unless both are (N, 4, 4) with N >= `least`."""
    if pred.shape != gt.shape or pred.ndim != 3 or pred.shape[1:] != (4, 4) or len(pred) < least:
        raise ShapeError(
            f'Poses have one shape (N, 4, 4) with N >= {least}; got {pred.shape} and {gt.shape}.'
        )
