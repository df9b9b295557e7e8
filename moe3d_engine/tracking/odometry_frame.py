"""From the map's frame to `odom`: continuous, in the unit that is published, with a covariance."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import cross_matrix
from moe3d_engine.geometry.rigid import motion_between
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.geometry.rigid import rotation_angle
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale
import numpy as np

# How fast a correction of the map reaches the published pose: a share of the present motion.
CORRECTION_SHARE = 0.3
MIN_CORRECTION = np.array([1e-3, 5e-4])  # units and rad an image, when hardly anything moves
# How motion between two images is wrong, beyond what the points of the images say themselves: a
# random walk, so that the rate of the images does not matter. Fitted to two recorded walks.
TRANSLATION_PER_WAY, TRANSLATION_PER_TIME = 0.03, 0.002  # units, per sqrt(unit) and sqrt(s)
ROTATION_PER_TURN, ROTATION_PER_TIME = 0.008, 0.003  # rad, per sqrt(rad) and sqrt(s)
LOST_SPEED, LOST_TURN_RAD_S = 1.0, 1.0  # what a camera may do while nobody sees it
VELOCITY_FLOOR = 1e-3  # units/s and rad/s
UNKNOWN_STEP = 0.1  # units an image, while nobody knows the length of the way
MIN_ELAPSED_S = 1e-3  # between images, for a velocity
FIRST_STD = 1e-4  # of the first pose, which is where it is by definition


class Odometry(NamedTuple):
    """A pose in `odom` with its covariance, and the velocity with its own; see TrackedPose."""

    odom_from_cam: Float64Array
    covariance: Float64Array
    velocity: Float64Array
    velocity_covariance: Float64Array


class OdometryFrame:
    """
    Keeps the published pose continuous while the map beneath it changes.

    The pose follows the motion between images; what the map's refinement corrects in the past
    reaches it in small steps. The scale acts on the way from an anchor keyframe on, and the
    anchor moves whenever the scale does, so that what has been published is not scaled again.
    """

    def __init__(self) -> None:
        self._odom_from_cam = np.eye(4)
        self._covariance = np.eye(6) * FIRST_STD**2
        self._if_right: Float64Array | None = None  # if a lost camera was found at the right place
        self._anchor: Keyframe | None = None
        self._odom_from_anchor = np.eye(4)
        self._scale_factor = 1.0
        self._stray_s = 0.0  # how long the camera has been in doubt

    @property
    def odom_from_cam(self) -> Float64Array:
        """The pose that was published last."""
        return self._odom_from_cam

    @property
    def covariance(self) -> Float64Array:
        """Its covariance (6, 6), without the doubt about the scale."""
        return self._covariance

    def begin_map(self, first: Keyframe, factor: float) -> None:
        """Go on from here with a new map, whose first keyframe is the present image."""
        self._anchor, self._odom_from_anchor = first, self._odom_from_cam
        self._scale_factor = factor

    def advance(
        self,
        before_from_cam: Float64Array,
        cam_from_map: Float64Array,
        reference: Keyframe,
        scale: Scale,
        information: Float64Array,
        elapsed_s: float,
        doubt: float = 0.0,
        doubtful_s: float = 0.0,
        way_std: float | None = None,
    ) -> Odometry:
        """
        Move by what an image has shown.

        Parameters
        ----------
        before_from_cam : (4, 4) motion since the image before, in the unit of the map.
        cam_from_map : (4, 4) pose in the map as it is now.
        reference : the newest keyframe, on which a new anchor is put.
        scale : published unit per unit of the map; a factor of 0 = nobody knows it yet, so that
            only turns count.
        information : (6, 6) inverse covariance of cam_from_map, see PoseEstimate.
        elapsed_s : since the image before.
        doubt : from 0 to 1 = the motion is that of another object.
        doubtful_s : how long that may have been so.
        way_std : of the way along each axis, in the published unit, where odometry has measured it
            and the map agrees. It holds ways only: turns stay those of vision.
        """
        if scale.factor != self._scale_factor:
            self._odom_from_anchor = self._target(reference.cam_from_map)
            self._anchor, self._scale_factor = reference, scale.factor
        step = _scaled(before_from_cam, scale.factor)
        predicted = self._odom_from_cam @ step
        correction = _limited(motion_between(predicted, self._target(cam_from_map)), step)
        motion = invert_rigid(self._odom_from_cam) @ moved(predicted, correction)
        noise = _step_noise(step, scale.factor, information, elapsed_s)
        if way_std is not None:
            noise = _held(noise, way_std)
        noise += self._strayed(doubt, doubtful_s)
        if scale.factor == 0.0:
            noise[:3, :3] += np.eye(3) * UNKNOWN_STEP**2
        return self.move(motion, noise, elapsed_s, scale.std if scale.metric else 0.0)

    def move(
        self,
        before_from_cam: Float64Array,
        noise: Float64Array,
        elapsed_s: float,
        log_scale_std: float = 0.0,
    ) -> Odometry:
        """
        Move by a known motion.

        Parameters
        ----------
        before_from_cam : (4, 4) in the published unit.
        noise : (6, 6) its covariance in the camera's frame.
        elapsed_s : since the image before.
        log_scale_std : standard deviation of the log of the unit.
        """
        still = np.zeros(6)
        after = moved(self._odom_from_cam @ before_from_cam, still)
        self._grow(after, noise)
        self._odom_from_cam = after
        way = np.concatenate([after[:3, 3], np.zeros(3)])
        covariance = self._covariance + log_scale_std**2 * np.outer(way, way)
        elapsed_s = max(elapsed_s, MIN_ELAPSED_S)
        velocity = motion_between(np.eye(4), before_from_cam) / elapsed_s
        linear = np.concatenate([velocity[:3], np.zeros(3)])
        velocity_covariance = (
            2.0 * noise / elapsed_s**2
            + log_scale_std**2 * np.outer(linear, linear)
            + np.eye(6) * VELOCITY_FLOOR**2
        )
        return Odometry(after, covariance, velocity, velocity_covariance)

    def hold(self, elapsed_s: float) -> Odometry:
        """Stay where the camera was seen last, while it may be anywhere near."""
        noise = self._strayed(1.0, self._stray_s + elapsed_s) + np.eye(6) * FIRST_STD**2
        return self.move(np.eye(4), noise, elapsed_s)

    def _strayed(self, doubt: float, since_s: float) -> Float64Array:
        """
        Return the covariance (6, 6) that doubt adds in an image.

        Its standard deviation grows with the time, not with its root: who follows the wrong thing
        goes on in the wrong direction.
        """
        if doubt <= 0.0:
            self._stray_s = 0.0
            return np.zeros((6, 6))
        before_s, self._stray_s = self._stray_s, max(since_s, self._stray_s)
        speeds = np.repeat([LOST_SPEED, LOST_TURN_RAD_S], 3)
        return np.diag((doubt * speeds) ** 2 * (self._stray_s**2 - before_s**2))

    def found_again(self, covariance: Float64Array) -> None:
        """Remember the covariance before the camera was lost, until `confirm`."""
        self._if_right = covariance

    def confirm(self) -> None:
        """Take back the covariance of before: the camera is where the map of then says."""
        if self._if_right is not None:
            self._covariance, self._if_right = self._if_right, None

    def _target(self, cam_from_map: Float64Array) -> Float64Array:
        """Return odom_from_cam by the map as it is now."""
        assert self._anchor is not None
        anchor_from_cam = self._anchor.cam_from_map @ invert_rigid(cam_from_map)
        return self._odom_from_anchor @ _scaled(anchor_from_cam, self._scale_factor)

    def _grow(self, after: Float64Array, noise: Float64Array) -> None:
        """Let the covariance follow a step."""
        way = after[:3, 3] - self._odom_from_cam[:3, 3]
        carry = np.eye(6)
        carry[:3, 3:] = -cross_matrix(way)  # a wrong heading leads the way astray
        turn = np.kron(np.eye(2), after[:3, :3])
        added = turn @ noise @ turn.T
        self._covariance = carry @ self._covariance @ carry.T + added
        if self._if_right is not None:
            self._if_right = carry @ self._if_right @ carry.T + added


def _step_noise(
    step: Float64Array, factor: float, information: Float64Array, elapsed_s: float
) -> Float64Array:
    """Return the covariance (6, 6) of a step in the camera's frame."""
    length, angle = _sizes(step)
    translation = TRANSLATION_PER_WAY**2 * length + TRANSLATION_PER_TIME**2 * elapsed_s
    rotation = ROTATION_PER_TURN**2 * angle + ROTATION_PER_TIME**2 * elapsed_s
    unit = np.repeat([factor, 1.0], 3)
    seen = np.linalg.inv(information + 1e-6 * np.eye(6)) * np.outer(unit, unit)
    noise: Float64Array = np.diag(np.repeat([translation, rotation], 3)) + seen
    return noise


def _held(noise: Float64Array, way_std: float) -> Float64Array:
    """Return the covariance (6, 6) of a step whose way was measured, too, see `advance`."""
    measured = np.diag(np.repeat([way_std**-2, 0.0], 3))
    held: Float64Array = np.linalg.inv(np.linalg.inv(noise) + measured)
    return held


def _scaled(a_from_b: Float64Array, factor: float) -> Float64Array:
    """Return a motion whose translation is in another unit."""
    result = a_from_b.copy()
    result[:3, 3] *= factor
    return result


def _sizes(motion: Float64Array) -> tuple[float, float]:
    """Return the length and the angle in rad of a motion."""
    return float(np.linalg.norm(motion[:3, 3])), float(rotation_angle(motion[:3, :3]))


def _limited(correction: Float64Array, step: Float64Array) -> Float64Array:
    """Return the part of a correction that hides in a step."""
    sizes = np.array([np.linalg.norm(correction[:3]), np.linalg.norm(correction[3:])])
    allowed = np.maximum(MIN_CORRECTION, CORRECTION_SHARE * np.array(_sizes(step)))
    share = np.minimum(1.0, allowed / np.maximum(sizes, 1e-12))
    limited: Float64Array = correction * np.repeat(share, 3)
    return limited
