"""Poses and odometry that others have measured, as matrices."""

from __future__ import annotations

from moe3d_engine.errors import InputError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.intake.messages import Message
from moe3d_engine.types import Float64Array
import numpy as np

MAX_POSITION_M = 1e8  # twice round the Earth; what is farther away is no position
LOST_VARIANCE = 9999.0  # by which rtabmap and others say that odometry is lost
_DIAGONAL = tuple(range(0, 36, 7))  # of a 6x6 covariance, row by row


def decode_pose(pose: Message) -> Float64Array:
    """
    Return the rigid transform (4, 4) of a geometry_msgs/Pose, from the posed frame to its parent.

    Raises
    ------
    InputError
        If a number is not finite, the position is on no planet, or the quaternion is zero.
    """
    place, turn = pose.position, pose.orientation
    translation = (place.x, place.y, place.z)
    return decode_transform(translation, (turn.x, turn.y, turn.z, turn.w))


def decode_transform(
    translation: tuple[float, ...], quaternion: tuple[float, ...]
) -> Float64Array:
    """
    Return the rigid transform (4, 4) of a translation (x, y, z) and a quaternion (x, y, z, w).

    Raises
    ------
    InputError
        If a number is not finite, the position is on no planet, or the quaternion is zero.
    """
    if not all(abs(value) <= MAX_POSITION_M for value in translation):
        raise InputError(
            f'A pose has the position {translation}; expected are finite numbers of metres.'
        )
    a_from_b = np.eye(4)
    a_from_b[:3, 3] = translation
    try:
        with np.errstate(over='ignore'):
            a_from_b[:3, :3] = rotation_from_quaternion(quaternion)
    except ShapeError as error:
        raise InputError(
            f'A pose has the quaternion {quaternion}; expected are four finite numbers, not all '
            f'of them zero.'
        ) from error
    return a_from_b


def decode_odometry(message: Message) -> Float64Array:
    """
    Return world_from_base (4, 4) in metres of a nav_msgs/Odometry.

    Raises
    ------
    InputError
        If the pose is none, or its covariance has a variance that is negative or NaN.
    """
    world_from_base = decode_pose(message.pose.pose)
    variances = [float(message.pose.covariance[index]) for index in _DIAGONAL]
    if not all(variance >= 0.0 for variance in variances):
        raise InputError(
            f'Odometry has the variances {variances}; none is negative or NaN. Zeros stand for '
            f'what is not known.'
        )
    return world_from_base


def is_lost(message: Message) -> bool:
    """Return whether a nav_msgs/Odometry says that it has lost its way."""
    turn = message.pose.pose.orientation
    is_null = not any((turn.x, turn.y, turn.z, turn.w))
    return is_null or bool(message.pose.covariance[0] >= LOST_VARIANCE)
