"""The rules of poses and odometry: covariances, quaternions, and whether anything is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from moe3d_engine.conformance.findings import Findings
from moe3d_engine.conformance.headers import HeaderRules
from moe3d_engine.conformance.steps import OdometryStep
from moe3d_engine.conformance.steps import StepRules
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import ArrayLike

AXES = ('x', 'y', 'z', 'rotation about x', 'rotation about y', 'rotation about z')
UNKNOWN_VARIANCE = 9999.0  # rtabmap's word for "lost"; no filter gives it weight
MAX_QUATERNION_ERROR = 1e-3  # of its length; rviz and robot_localization take no more
MAX_ASYMMETRY = 1e-6  # of a covariance, relative to its largest entry
MIN_EIGENVALUE = 1e-12  # of the correlation matrix, which has no unit

Fault: TypeAlias = tuple[str, str]  # rule and text


class PoseRules:
    """Checks PoseWithCovarianceStamped, Path and TF."""

    def __init__(self, findings: Findings, headers: HeaderRules) -> None:
        self._findings = findings
        self._headers = headers
        self._parents: dict[str, str] = {}

    def check_pose(self, topic: str, message: Message) -> None:
        """Check a pose with covariance."""
        faults = [
            *quaternion_faults(message.pose.pose.orientation),
            *covariance_faults(message.pose.covariance, 'pose'),
        ]
        self._add(topic, stamp_ns(message), faults)

    def check_path(self, topic: str, message: Message) -> None:
        """Check a path; its poses have headers, too."""
        stamp, last = stamp_ns(message), -1
        for pose in message.poses:
            self._add(topic, stamp, quaternion_faults(pose.pose.orientation))
            if pose.header.frame_id != message.header.frame_id:
                text = (
                    f'a pose of the path is in {pose.header.frame_id!r}, the path itself in '
                    f'{message.header.frame_id!r}.'
                )
                self._findings.add('path_frame', topic, stamp, text)
            if stamp_ns(pose) <= last:
                text = 'the stamps of its poses do not increase.'
                self._findings.add('path_order', topic, stamp, text)
            last = stamp_ns(pose)

    def check_transforms(self, topic: str, message: Message) -> None:
        """Check transforms of TF: a frame has one parent (REP 105)."""
        for transform in message.transforms:
            stamp = stamp_ns(transform)
            parent, child = transform.header.frame_id, transform.child_frame_id
            self._headers.check_frame(topic, stamp, 'frame_id', parent)
            self._headers.check_frame(topic, stamp, 'child_frame_id', child)
            self._add(topic, stamp, quaternion_faults(transform.transform.rotation))
            known = self._parents.setdefault(child, parent)
            if known != parent:
                text = f'{child} is under {parent} and under {known}: a frame has one parent.'
                self._findings.add('tf_two_parents', topic, stamp, text)

    def _add(self, topic: str, stamp: int, faults: Iterator[Fault] | list[Fault]) -> None:
        """Take faults of one message."""
        for rule, text in faults:
            self._findings.add(rule, topic, stamp, text)


class OdometryRules:
    """
    Checks the Odometry of one topic.

    Sources: robot_localization's and rtabmap's reading of the message, REP 105, and the comments
    of nav_msgs/Odometry (the twist is in the child's frame).
    """

    def __init__(self, findings: Findings, topic: str) -> None:
        self._findings = findings
        self._topic = topic
        self._steps = StepRules(findings, topic)
        self._has_moved = False

    def check(self, message: Message) -> None:
        """Check a message, and how it follows the one before."""
        stamp = stamp_ns(message)
        pose, twist = message.pose, message.twist
        turn = list(quaternion_faults(pose.pose.orientation))
        faults = [
            *turn,
            *covariance_faults(pose.covariance, 'pose'),
            *covariance_faults(twist.covariance, 'twist'),
        ]
        if twist.covariance[0] == 1.0:
            text = 'the variance of the twist in x is exactly 1: rtabmap takes that for not set.'
            faults.append(('covariance_unset', text))
        says_lost = is_unknown(pose.covariance), is_unknown(twist.covariance)
        if says_lost[0] != says_lost[1]:
            text = (
                f'{"pose" if says_lost[0] else "twist"} alone has variances of '
                f'{UNKNOWN_VARIANCE:g} and more: for rtabmap that is not lost. Both must have.'
            )
            faults.append(('lost_by_half', text))
        for rule, text in faults:
            self._findings.add(rule, self._topic, stamp, text)
        if turn:  # a pose that is none
            return
        odom_from_child = matrix_of(pose.pose)
        is_identity = np.array_equal(odom_from_child, np.eye(4))
        if is_identity and self._has_moved and not all(says_lost):
            text = (
                'the pose is exactly the identity after the robot has moved: rtabmap begins a '
                'new map, as after a reset.'
            )
            self._findings.add('pose_identity', self._topic, stamp, text)
        self._has_moved = self._has_moved or not is_identity
        rates = twist.twist
        velocity = np.array([*_xyz(rates.linear), *_xyz(rates.angular)])
        if np.isfinite(velocity).all() and np.isfinite(odom_from_child).all():
            covariance = np.reshape(twist.covariance, (6, 6))
            self._steps.add(
                OdometryStep(stamp, odom_from_child, velocity, covariance, any(says_lost))
            )
        else:
            text = 'a number of pose or twist is not finite.'
            self._findings.add('not_finite', self._topic, stamp, text)

    def finish(self) -> None:
        """Check what only the whole topic shows."""
        self._steps.finish()


def covariance_faults(values: ArrayLike, what: str) -> Iterator[Fault]:
    """
    Yield what is wrong with a covariance.

    Parameters
    ----------
    values : 36 numbers, row-major.
    what : `pose` or `twist`, for the text.
    """
    covariance = np.reshape(np.asarray(values, np.float64), (6, 6))
    if not np.isfinite(covariance).all():
        yield 'covariance_not_finite', f'the covariance of the {what} is not finite.'
        return
    variances = np.diag(covariance)
    not_positive = [AXES[index] for index in np.flatnonzero(variances <= 0)]
    if not_positive:
        yield (
            'covariance_zero',
            f'the variance of the {what} in {", ".join(not_positive)} is not above 0: '
            f'robot_localization takes that for certainty.',
        )
        return
    if np.abs(covariance - covariance.T).max() > MAX_ASYMMETRY * np.abs(covariance).max():
        yield 'covariance_asymmetric', f'the covariance of the {what} is not symmetric.'
    deviations = np.sqrt(variances)
    correlation = covariance / np.outer(deviations, deviations)
    if np.linalg.eigvalsh(0.5 * (correlation + correlation.T)).min() < MIN_EIGENVALUE:
        yield (
            'covariance_not_positive',
            f'the covariance of the {what} is not positive definite: no filter can invert it.',
        )


def quaternion_faults(quaternion: Message) -> Iterator[Fault]:
    """Yield what is wrong with a rotation."""
    length = float(np.linalg.norm([quaternion.x, quaternion.y, quaternion.z, quaternion.w]))
    if not abs(length - 1.0) <= MAX_QUATERNION_ERROR:  # NaN as well
        yield (
            'quaternion_length',
            f'the quaternion has the length {length:.6g}: tf2 and rviz take unit quaternions '
            f'only; a null one means lost to rtabmap alone.',
        )


def is_unknown(values: ArrayLike) -> bool:
    """Return whether a covariance says that nothing is known."""
    variances = np.diag(np.reshape(np.asarray(values, np.float64), (6, 6)))
    return bool((variances >= UNKNOWN_VARIANCE).all())


def matrix_of(pose: Message) -> Float64Array:
    """Return a pose as (4, 4)."""
    matrix = np.eye(4)
    turn = pose.orientation
    matrix[:3, :3] = rotation_from_quaternion([turn.x, turn.y, turn.z, turn.w])
    matrix[:3, 3] = _xyz(pose.position)
    return matrix


def _xyz(vector: Message) -> tuple[float, float, float]:
    """Return a vector's numbers."""
    return vector.x, vector.y, vector.z
