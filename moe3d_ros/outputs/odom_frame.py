"""
What tracking says of a camera, in the frames of a robot (REP 103, REP 105).

Tracking counts in the first image's optical axes. The published frame `odom` has x forward, y left
and z up: it is the robot's base at the start where the camera's place on it is known, and the
first camera with its axes turned otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import adjoint
from moe3d_engine.geometry.rigid import cross_matrix
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
import numpy as np

# Optical axes (x right, y down, z forward) on a body's (x forward, y left, z up); REP 103.
BODY_FROM_OPTICAL = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
# A variance that says "unknown": rtabmap begins a new map at it, filters give it no weight.
UNKNOWN_VARIANCE = 9999.0
# robot_localization takes a variance of zero for this one, that is for certainty.
MIN_VARIANCE = 1e-9


class Motion(NamedTuple):
    """
    Where a frame of the robot is and how it moves, as nav_msgs/Odometry counts.

    Parameters
    ----------
    odom_from_child : (4, 4) float64, metres.
    covariance : (6, 6) of it: translation along the axes of odom in m2, then rotation about them
        in rad2.
    velocity : (6,) of the child in its own axes: linear in m/s, then angular in rad/s.
    velocity_covariance : (6, 6), as `velocity`.
    """

    odom_from_child: Float64Array
    covariance: Float64Array
    velocity: Float64Array
    velocity_covariance: Float64Array


class OdomFrame:
    """
    Turns poses of tracking into motions in the published frame odom.

    Parameters
    ----------
    base_from_camera : (4, 4), the optical frame on the robot's base; None = not known, so that
        the camera itself is what moves.
    """

    def __init__(self, base_from_camera: Float64Array | None = None) -> None:
        self._base_from_camera = base_from_camera
        start = BODY_FROM_OPTICAL if base_from_camera is None else base_from_camera
        self.odom_from_tracking: Float64Array = start

    def motions(self, pose: TrackedPose) -> tuple[Motion, Motion]:
        """
        Return the motion of the camera's optical frame, and that of the base.

        Without a base both are the camera's. While lost, they are what nobody can trust: the last
        pose known, with variances that say so.
        """
        turn = _block_diagonal(self.odom_from_tracking[:3, :3])
        camera = child = Motion(
            self.odom_from_tracking @ invert_rigid(pose.cam_from_odom),
            _proper(turn @ pose.covariance @ turn.T),
            pose.velocity,
            _proper(pose.velocity_covariance),
        )
        if self._base_from_camera is not None:
            child = on_other_frame(camera, self._base_from_camera)
        if pose.status is TrackingStatus.LOST:
            return _unknown(camera), _unknown(child)
        return camera, child


def on_other_frame(motion: Motion, other_from_child: Float64Array) -> Motion:
    """
    Return the motion of a frame that is fixed to the one that moves.

    Parameters
    ----------
    motion : of the child.
    other_from_child : (4, 4), exactly known.

    Notes
    -----
    A lever arm turns errors and rates of rotation into those of translation. With the arm r from
    the child to the other frame in the axes of odom, an error w of rotation moves the other frame
    by w x r = -[r]x w. Rates are in the child's own axes; the adjoint of the transform carries
    them over (Lynch & Park 2017, def. 3.20).
    """
    odom_from_other = motion.odom_from_child @ invert_rigid(other_from_child)
    arm = odom_from_other[:3, 3] - motion.odom_from_child[:3, 3]
    moves = np.eye(6)
    moves[:3, 3:] = -cross_matrix(arm)
    carries = adjoint(other_from_child)
    return Motion(
        odom_from_other,
        _proper(moves @ motion.covariance @ moves.T),
        carries @ motion.velocity,
        _proper(carries @ motion.velocity_covariance @ carries.T),
    )


def _block_diagonal(rotation: Float64Array) -> Float64Array:
    """Return the (6, 6) matrix that turns a pair of vectors."""
    both = np.zeros((6, 6))
    both[:3, :3] = both[3:, 3:] = rotation
    return both


def _unknown(motion: Motion) -> Motion:
    """Return a motion of which only the last known pose is left."""
    covariance = UNKNOWN_VARIANCE * np.eye(6)
    return Motion(motion.odom_from_child, covariance, np.zeros(6), covariance)


def _proper(covariance: Float64Array) -> Float64Array:
    """Return a covariance that rounding has not made unsymmetric, and that is nowhere zero."""
    symmetric: Float64Array = 0.5 * (covariance + covariance.T) + MIN_VARIANCE * np.eye(6)
    return symmetric
