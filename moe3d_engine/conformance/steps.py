"""How odometry moves from message to message, against what its own twist says (REP 105)."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.conformance.findings import Findings
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.geometry.rigid import vector_from_rotation
from moe3d_engine.types import Float64Array
import numpy as np

MAX_GAP_S = 1.0  # between two messages; nothing is said of longer gaps
# What a step may differ from the mean twist of its ends, which know nothing of jerks between.
FREE = (0.05, 0.05)  # m, rad
SHARE = 0.5  # of the step that the twist says
SIGMAS = 3.0  # of the twist's own deviation
SPAN_S = 0.5  # over which twists are integrated, so that noise of single poses averages out
MIN_MOTION = (0.2, 0.2)  # m, rad in all; less says nothing about frames
MAX_UNEXPLAINED = 0.5  # of the motion of all spans (root of the sums of squares)


class OdometryStep(NamedTuple):
    """
    An Odometry message as numbers.

    Parameters
    ----------
    stamp_ns : of the message.
    odom_from_child : (4, 4).
    velocity, covariance : (6,) and (6, 6) of the twist.
    lost : whether its covariances say that nothing is known.
    """

    stamp_ns: int
    odom_from_child: Float64Array
    velocity: Float64Array
    covariance: Float64Array
    lost: bool


class _Span(NamedTuple):
    """Motion over a span as the poses have it, and as twists in either frame say: (2, 3)."""

    pose: Float64Array
    in_child: Float64Array
    in_odom: Float64Array


class StepRules:
    """Checks one topic: no jump that the twist does not explain, a twist in the child's frame."""

    def __init__(self, findings: Findings, topic: str) -> None:
        self._findings = findings
        self._topic = topic
        self._begin: OdometryStep | None = None  # of the span
        self._last: OdometryStep | None = None
        self._integrated = [np.eye(4), np.eye(4)]  # motion of the span, twist in child and in odom
        self._spans: list[_Span] = []

    def add(self, step: OdometryStep) -> None:
        """Compare a message with the one before."""
        last, self._last = self._last, step
        gap_s = 0.0 if last is None else 1e-9 * (step.stamp_ns - last.stamp_ns)
        if last is None or last.lost or step.lost or not 0 < gap_s <= MAX_GAP_S:
            self._begin = None if step.lost else step
            self._integrated = [np.eye(4), np.eye(4)]
            return
        self._check_jump(last, step, gap_s)
        self._extend_span(last, step, gap_s)

    def finish(self) -> None:
        """Compare the twists of all spans with the poses."""
        if not self._spans:
            return
        pose, child, odom = (np.stack(parts) for parts in zip(*self._spans, strict=True))
        for part, (name, unit) in enumerate((('linear', 'm'), ('angular', 'rad'))):
            total = float(np.linalg.norm(pose[:, part], axis=-1).sum())
            if total < MIN_MOTION[part]:
                continue
            moved = np.linalg.norm(pose[:, part])
            wrong = float(np.linalg.norm(child[:, part] - pose[:, part]) / moved)
            other = float(np.linalg.norm(odom[:, part] - pose[:, part]) / moved)
            if wrong <= MAX_UNEXPLAINED:
                continue
            text = (
                f'the {name} twist, integrated over {SPAN_S:g} s, leaves {100 * wrong:.0f} % of '
                f'{total:.2f} {unit} of motion unexplained'
            )
            if other < 0.5 * wrong:
                text += f'; taken in the frame of the pose {100 * other:.0f} %'
            text += '. It must be in child_frame_id (nav_msgs/Odometry).'
            assert self._last is not None
            self._findings.add('twist_frame', self._topic, self._last.stamp_ns, text)

    def _check_jump(self, last: OdometryStep, step: OdometryStep, gap_s: float) -> None:
        """Find a step that the twist does not explain."""
        moved = motion_of(invert_rigid(last.odom_from_child) @ step.odom_from_child)
        said = (0.5 * gap_s * (last.velocity + step.velocity)).reshape(2, 3)
        for part, (name, unit) in enumerate((('moves', 'm'), ('turns', 'rad'))):
            block = slice(3 * part, 3 * part + 3)
            variance = max(np.trace(end.covariance[block, block]) for end in (last, step))
            doubt = SIGMAS * gap_s * float(np.sqrt(max(variance, 0.0)))
            distance = float(np.linalg.norm(said[part]))
            allowed = FREE[part] + SHARE * distance + doubt
            residual = float(np.linalg.norm(moved[part] - said[part]))
            if residual > allowed:
                text = (
                    f'the pose {name} by {np.linalg.norm(moved[part]):.3f} {unit} in '
                    f'{1e3 * gap_s:.0f} ms, the twist says {distance:.3f} {unit}: odom must not '
                    f'jump (REP 105).'
                )
                self._findings.add('odom_jump', self._topic, step.stamp_ns, text)

    def _extend_span(self, last: OdometryStep, step: OdometryStep, gap_s: float) -> None:
        """Integrate the twist; end the span where it is long enough."""
        mean = 0.5 * gap_s * (last.velocity + step.velocity)
        child_from_odom = np.zeros((6, 6))
        child_from_odom[:3, :3] = child_from_odom[3:, 3:] = last.odom_from_child[:3, :3].T
        for number, twist in enumerate((mean, child_from_odom @ mean)):
            self._integrated[number] = self._integrated[number] @ transform_of(twist)
        begin = last if self._begin is None else self._begin
        self._begin = begin
        if 1e-9 * (step.stamp_ns - begin.stamp_ns) >= SPAN_S:
            span = invert_rigid(begin.odom_from_child) @ step.odom_from_child
            self._spans.append(
                _Span(motion_of(span), *(motion_of(motion) for motion in self._integrated))
            )
            self._begin = step
            self._integrated = [np.eye(4), np.eye(4)]


def motion_of(transform: Float64Array) -> Float64Array:
    """Return translation and rotation vector (2, 3) of a (4, 4) transform."""
    return np.stack([transform[:3, 3], vector_from_rotation(transform[:3, :3])])


def transform_of(twist: Float64Array) -> Float64Array:
    """Return the (4, 4) transform of a short motion: translation and rotation vector (6,)."""
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_vector(twist[3:])
    transform[:3, 3] = twist[:3]
    return transform
