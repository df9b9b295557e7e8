"""The figures of a tracked sequence: its trajectory, its scale, its honesty, its status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import logging
import math
from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.metrics.poses import relative_pose_auc
from moe3d_engine.lab.metrics.poses import trajectory_errors
from moe3d_engine.lab.metrics.reconstruction import umeyama
from moe3d_engine.lab.metrics.trajectories import local_scales
from moe3d_engine.lab.metrics.trajectories import NEES_BAND
from moe3d_engine.lab.metrics.trajectories import NEES_BOUND
from moe3d_engine.lab.metrics.trajectories import normalized_errors
from moe3d_engine.lab.metrics.trajectories import path_length
from moe3d_engine.lab.metrics.trajectories import pose_errors
from moe3d_engine.lab.metrics.trajectories import truth_in_odom
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MIN_POSES = 3
MAX_PAIR_POSES = 1000  # of longer sequences AUC@30 takes so many poses, evenly
FAILED_SHARE = 0.1  # of the way so far; a position that is further off has failed
COVERED_STDS = 2.0
MAX_SKEW = 1e-6  # of a rotation's product with its transpose; evo refuses more


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """
    The tracked poses of a sequence, in the order of time.

    Parameters
    ----------
    stamps_ns : (N,) int64.
    odom_from_cam : (N, 4, 4), metres if `metric`.
    covariance : (N, 6, 6) of odom_from_cam, see TrackedPose.
    world_from_cam : (N, 4, 4) the true poses, NaN where one is not known.
    scale_std : (N,) published standard deviation of log scale; inf = nobody has measured it.
    scale_locked : (N,) bool, whether the scale was locked.
    metric : whether all of it is in metres.
    starting, lost : (N,) bool, the status.
    depth_error : (N,) log of published over true depth of the tracked points, their median; NaN =
        not known.
    """

    stamps_ns: NDArray[np.int64]
    odom_from_cam: Float64Array
    covariance: Float64Array
    world_from_cam: Float64Array
    scale_std: Float64Array
    scale_locked: NDArray[np.bool_]
    metric: bool
    starting: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    depth_error: Float64Array

    @property
    def known(self) -> NDArray[np.bool_]:
        """Return which poses have a truth, (N,)."""
        return ~np.isnan(self.world_from_cam[:, 0, 0])


class TrackErrors(NamedTuple):
    """
    Errors over time of the M poses whose truth is known; figures in metres need a metric track.

    Parameters
    ----------
    way_m : (M,) true way so far.
    position_m, rotation_deg : (M,) distance from the true pose; the first pose is the same.
    nees : (M,) normalised error squared of the whole pose.
    scale_error : (M,) log of tracked over true length of the last metre; NaN until there is one.
    scale_std : (M,) published.
    """

    way_m: Float64Array
    position_m: Float64Array
    rotation_deg: Float64Array
    nees: Float64Array
    scale_error: Float64Array
    scale_std: Float64Array


def track_of(
    poses: Sequence[TrackedPose],
    truth: Sequence[Float64Array | None],
    depth_errors: Sequence[float],
) -> Track:
    """
    Return tracked poses as arrays.

    Parameters
    ----------
    poses : N >= 1 in the order of time.
    truth : world_from_cam (4, 4) of each; None = not known.
    depth_errors : see Track.

    Raises
    ------
    ShapeError
        If a pose is no rigid motion.
    """
    cam_from_odom = np.stack([pose.cam_from_odom for pose in poses])
    rotation = cam_from_odom[:, :3, :3]
    skew = np.abs(rotation @ np.swapaxes(rotation, 1, 2) - np.eye(3)).max(axis=(1, 2))
    if not (skew < MAX_SKEW).all():
        first = int(np.flatnonzero(~(skew < MAX_SKEW))[0])
        raise ShapeError(
            f'Tracked poses are rigid motions, but pose {first} of {len(poses)} is none: R R^T is '
            f'off the identity by {skew[first]:.2g}. The tracker must keep its rotations '
            f'orthonormal.'
        )
    unknown = np.full((4, 4), np.nan)
    return Track(
        np.array([pose.stamp_ns for pose in poses], np.int64),
        invert_rigid(cam_from_odom),
        np.stack([pose.covariance for pose in poses]),
        np.stack([unknown if pose is None else pose for pose in truth]),
        np.array([pose.scale.std for pose in poses], np.float64),
        np.array([pose.scale.locked for pose in poses]),
        all(pose.scale.metric for pose in poses),
        np.array([pose.status is TrackingStatus.STARTING for pose in poses]),
        np.array([pose.status is TrackingStatus.LOST for pose in poses]),
        np.asarray(depth_errors, np.float64),
    )


def track_errors(track: Track) -> TrackErrors:
    """Return the errors over time of the poses whose truth is known, of which there is one."""
    known = track.known
    odom_from_cam, world_from_cam = track.odom_from_cam[known], track.world_from_cam[known]
    errors = pose_errors(odom_from_cam, truth_in_odom(odom_from_cam, world_from_cam))
    steps_m = np.linalg.norm(np.diff(world_from_cam[:, :3, 3], axis=0), axis=1)
    scales = local_scales(odom_from_cam, world_from_cam)
    with np.errstate(invalid='ignore', divide='ignore'):
        scale_error = np.log(np.maximum(scales, 0.0))
    return TrackErrors(
        np.concatenate([[0.0], np.cumsum(steps_m)]),
        np.linalg.norm(errors[:, :3], axis=1),
        np.degrees(np.linalg.norm(errors[:, 3:], axis=1)),
        normalized_errors(errors, track.covariance[known]),
        scale_error,
        track.scale_std[known],
    )


def tracking_figures(track: Track) -> dict[str, float]:
    """
    Return the figures of a track; those that do not exist are left out.

    Shares of the status are of all poses, the rest of those whose truth is known. A track that is
    not metric has no figures in metres but those after a similarity; a camera that rests or moves
    on one line has no ATE. `docs/evaluation.md` says what each figure means.
    """
    figures = {'lost': float(track.lost.mean()), 'starting': float(track.starting.mean())}
    known = track.known
    if np.count_nonzero(known) < MIN_POSES:
        return figures
    odom_from_cam, world_from_cam = track.odom_from_cam[known], track.world_from_cam[known]
    figures |= _path_figures(odom_from_cam, world_from_cam, metric=track.metric)
    every = math.ceil(len(odom_from_cam) / MAX_PAIR_POSES)
    figures['auc30'] = relative_pose_auc(
        invert_rigid(odom_from_cam[::every]), invert_rigid(world_from_cam[::every])
    )
    if track.metric:
        errors = track_errors(track)
        figures['scale_locked'] = float(track.scale_locked.mean())
        figures |= _scale_figures('scale', errors.scale_error, errors.scale_std)
        figures |= _scale_figures('depth_scale', track.depth_error, track.scale_std)
        std = track.scale_std[np.isfinite(track.scale_std)]
        if std.size:
            figures['scale_std_percent'] = 100 * float(np.median(std))
        figures |= _honesty_figures(errors, track.lost[known])
    return figures


def _path_figures(
    odom_from_cam: Float64Array, world_from_cam: Float64Array, *, metric: bool
) -> dict[str, float]:
    """Return ATE after a similarity and, of a metric track, after a rigid motion, and RPE."""
    path_m = path_length(world_from_cam)
    figures = {'path_m': path_m}
    if not (path_m and path_length(odom_from_cam)):
        return figures
    try:
        similar = trajectory_errors(odom_from_cam, world_from_cam)
        rigid = trajectory_errors(odom_from_cam, world_from_cam, correct_scale=False)
    except (ConfigError, ShapeError) as error:
        logger.warning('ATE and RPE of the tracked poses are left out. %s', error)
        return figures
    figures['ate_sim3_percent'] = 100 * similar.ate_rmse_m / path_m
    figures['ate_sim3_m'] = similar.ate_rmse_m
    if metric:
        figures['ate_se3_percent'] = 100 * rigid.ate_rmse_m / path_m
        figures['ate_se3_m'] = rigid.ate_rmse_m
        figures['rpe_cm'] = 100 * rigid.rpe_translation_rmse_m
    figures['rpe_deg'] = rigid.rpe_rotation_rmse_deg
    if metric:
        similarity = umeyama(odom_from_cam[:, :3, 3], world_from_cam[:, :3, 3])
        figures['track_scale'] = 1.0 / similarity.scale
    return figures


def _scale_figures(name: str, error: Float64Array, std: Float64Array) -> dict[str, float]:
    """Return how far a log scale (N,) is off in the median, and how often its std says so."""
    found = np.isfinite(error)
    measured = found & np.isfinite(std)
    figures = {}
    if found.any():
        figures[f'{name}_error_percent'] = 100 * float(np.median(np.abs(error[found])))
    if measured.any():
        covered = np.abs(error[measured]) <= COVERED_STDS * std[measured]
        figures[f'{name}_covered'] = float(covered.mean())
    return figures


def _honesty_figures(errors: TrackErrors, lost: NDArray[np.bool_]) -> dict[str, float]:
    """Return whether covariances cover the errors; the first pose is given and does not count."""
    nees = errors.nees[1:]
    above = nees > NEES_BOUND
    failed = errors.position_m[1:] > FAILED_SHARE * errors.way_m[1:]
    return {
        'nees_median': float(np.median(nees)),
        'nees_in_band': float(np.mean((nees >= NEES_BAND[0]) & (nees <= NEES_BAND[1]))),
        'nees_below_bound': float(np.mean(~above)),
        'undetected': float(np.mean(failed & above & ~lost[1:])),
    }
