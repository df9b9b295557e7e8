"""Transforms of TF as matrices; tf2_ros is imported by nobody else, and only when asked for."""

from __future__ import annotations

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.intake.measured.poses import decode_transform
from moe3d_engine.types import Float64Array
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time


class Frames:
    """
    Listens to TF; any thread may ask.

    Parameters
    ----------
    node : owns the subscriptions.
    purpose : what TF is needed for, and what would do instead; for the error.

    Raises
    ------
    ConfigError
        If tf2_ros is not installed.
    """

    def __init__(self, node: Node, purpose: str) -> None:
        try:
            import tf2_ros
        except ImportError as error:
            raise ConfigError(
                f'{purpose} The package tf2_ros of ROS 2 is not found: source the setup file of '
                f'your ROS distribution (apt install ros-$ROS_DISTRO-tf2-ros-py).'
            ) from error
        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self.problem = ''  # why nothing was found last

    def at(
        self, target: str, source: str, stamp_ns: int = 0, wait_s: float = 0.0
    ) -> Float64Array | None:
        """
        Return target_from_source (4, 4) at a stamp, interpolated; see `problem` if it is None.

        Parameters
        ----------
        target, source : names of frames.
        stamp_ns : 0 = the newest, as is right for what never moves.
        wait_s : how long to wait for it.
        """
        timeout = Duration(nanoseconds=round(wait_s * 1e9))
        try:
            found = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp_ns), timeout
            ).transform
        except self._error as error:
            self.problem = f'TF has no {target} -> {source}: {error}'
            return None
        place, turn = found.translation, found.rotation
        try:
            return decode_transform((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
        except InputError as error:
            self.problem = f'TF has an impossible {target} -> {source}: {error}'
            return None

    def destroy(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()
