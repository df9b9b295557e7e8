"""
What a tracker says on a rendered sequence, held against the truth.

What matters most is that no failure goes undetected: a pose that is wrong by more than a tenth of
the way travelled is called lost, or has a covariance that covers its error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.metrics.poses import trajectory_errors
from moe3d_engine.lab.synthetic.sequences.render import Sequence
from moe3d_engine.lab.synthetic.sequences.stand_in import DepthStandIn
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np
from numpy.typing import NDArray

DEPTH_EVERY_S = 0.2  # of a network on a small computer: a result so often, and so late
TOLERANCE = 0.1  # of the way travelled
TOLERANCE_M = 0.02  # however short the way
CHI_SQUARE_99 = 11.345  # of three degrees of freedom
_FLOOR_M = 1e-4  # no position is surer
_SCALE_FROM_M = 0.05  # a shorter way says nothing of the scale


class PoseTracker(Protocol):
    """What a trial needs of a tracker."""

    def track(self, view: View) -> TrackedPose:
        """Return the pose of the next image."""

    def add_depth(self, result: ViewResult) -> None:
        """Take the network's depth of an image that was tracked."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """
    Poses of a sequence and their errors; arrays have one row per image.

    Parameters
    ----------
    poses : as the tracker gave them.
    travelled_m : (N,) length of the true way up to the image.
    error_m : (N, 3) position in the world, as said minus true, after the one scale that fits the
        images tracked up to this one best, each by its covariance.
    covered : (N,) bool, whether the covariance, less the doubt about the scale, covers that error
        at 99 %.
    """

    sequence: Sequence
    poses: tuple[TrackedPose, ...]
    travelled_m: Float64Array
    error_m: Float64Array
    covered: NDArray[np.bool_]

    def share(self, status: TrackingStatus) -> float:
        """Return the share of the images of this status."""
        return float(np.mean([pose.status is status for pose in self.poses]))

    @property
    def tracked(self) -> NDArray[np.bool_]:
        """(N,) whether the pose is said to be good."""
        return np.array([pose.status is TrackingStatus.TRACKING for pose in self.poses])

    @property
    def undetected(self) -> NDArray[np.int64]:
        """Return the indices of the images whose failure goes undetected."""
        wrong = np.linalg.norm(self.error_m, axis=1) > np.maximum(
            TOLERANCE * self.travelled_m, TOLERANCE_M
        )
        return np.flatnonzero(wrong & self.tracked & ~self.covered)

    @property
    def ate(self) -> float:
        """Position error after a similarity, of tracked images, relative to the way; or NaN."""
        tracked = self.tracked
        said = np.stack([pose.cam_from_odom for pose in self.poses])[tracked]
        true = self.sequence.cam_from_world[tracked]
        way_m = float(self.travelled_m[-1])
        try:
            errors = trajectory_errors(invert_rigid(said), invert_rigid(true))
        except ShapeError:  # too few images, or a way that leaves the alignment open
            return float('nan')
        return errors.ate_rmse_m / way_m if way_m > _SCALE_FROM_M else float('nan')


def attempt(tracker: PoseTracker, sequence: Sequence, stand_in: DepthStandIn) -> Trial:
    """
    Run a tracker over a sequence, with depth now and then and late, as a network gives it.

    Parameters
    ----------
    tracker : a new one.
    sequence : of N views.
    stand_in : gives the depth of its views.
    """
    poses: list[TrackedPose] = []
    waiting: tuple[int, int] | None = None  # index of a view, and when its depth is there
    for index, view in enumerate(sequence.views):
        poses.append(tracker.track(view))
        if waiting is not None and view.stamp_ns >= waiting[1]:
            tracker.add_depth(stand_in.result(waiting[0]))
            waiting = None
        if waiting is None or view.stamp_ns < sequence.views[waiting[0]].stamp_ns:
            waiting = index, view.stamp_ns + round(1e9 * DEPTH_EVERY_S)
    return judge(sequence, tuple(poses))


def judge(sequence: Sequence, poses: tuple[TrackedPose, ...]) -> Trial:
    """Hold poses in the frame of the first image against the truth."""
    true = invert_rigid(sequence.cam_from_world)[:, :3, 3]
    said = invert_rigid(np.stack([pose.cam_from_odom for pose in poses]))[:, :3, 3]
    steps = np.linalg.norm(np.diff(true, axis=0), axis=1)
    travelled_m = np.concatenate([[0.0], np.cumsum(steps)])
    error_m, covered = np.zeros_like(true), np.zeros(len(true), bool)
    product = square = 0.0
    for index, pose in enumerate(poses):
        if pose.status is TrackingStatus.TRACKING:
            weight = 1.0 / float(np.trace(_without_scale(pose, said[index])))
            product += weight * float(said[index] @ true[index])
            square += weight * float(said[index] @ said[index])
        scale = product / square if travelled_m[index] > _SCALE_FROM_M and square > 0 else 1.0
        error_m[index] = scale * said[index] - true[index]
        covariance = scale**2 * _without_scale(pose, said[index])
        distance = error_m[index] @ np.linalg.solve(covariance, error_m[index])
        covered[index] = distance < CHI_SQUARE_99
    return Trial(sequence, poses, travelled_m, error_m, covered)


def _without_scale(pose: TrackedPose, position: Float64Array) -> Float64Array:
    """Return the covariance (3, 3) of a position without the doubt about the scale."""
    covariance = pose.covariance[:3, :3]
    if not pose.scale.metric or not np.isfinite(pose.scale.std):
        return covariance
    rest = covariance - pose.scale.std**2 * np.outer(position, position)
    values, vectors = np.linalg.eigh(rest)
    kept: Float64Array = (vectors * np.maximum(values, _FLOOR_M**2)) @ vectors.T
    return kept
