"""The transform odom -> base in TF, on request; never as a second parent."""

from __future__ import annotations

from collections import deque
import threading
import time
from typing import Any

from geometry_msgs.msg import TransformStamped
from moe3d_engine.errors import ConfigError
from moe3d_engine.intake.messages import Message
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

TF, TF_STATIC = '/tf', '/tf_static'
QUEUE_DEPTH = 100  # as tf2_ros has it for listeners and broadcasters
LISTEN_S = 1.0  # before the first transform is sent, so that a parent that exists is heard
OWN_TRANSFORMS = 100  # of what was sent; what comes back to the listener is younger


def tf_message_type() -> type[Any]:
    """
    Return the message type of TF.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        raise ConfigError(
            'tf.publish needs the package tf2_msgs of ROS 2, which is not found. Source the setup '
            'file of your ROS distribution (apt install ros-$ROS_DISTRO-tf2-msgs), or set '
            'tf.publish to false: ~/odometry holds the same poses.'
        ) from error
    message_type: type[Any] = TFMessage
    return message_type


class OdomTransform:
    """
    Sends transforms to TF, until somebody else is heard to place the same frame.

    A frame of TF has one parent. A camera usually hangs under its robot's base, and wheel odometry
    may place the base: then nothing is sent, and the log says who was there first.

    Parameters
    ----------
    node : owns publisher and subscriptions.

    Raises
    ------
    ConfigError
        If tf2_msgs is not installed.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._message_type = tf_message_type()
        self._placed: dict[str, str] = {}  # parent by child, of everybody else's
        self._refused: set[str] = set()
        self._lock = threading.Lock()  # the executor listens, the tracker's thread sends
        self._own: deque[tuple[int, int, str, str]] = deque(maxlen=OWN_TRANSFORMS)
        self._begin_s = time.monotonic() + LISTEN_S
        dynamic = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            depth=QUEUE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._publisher = node.create_publisher(self._message_type, TF, dynamic)
        self._subscriptions = [
            node.create_subscription(self._message_type, topic, self._listen, qos)
            for topic, qos in ((TF, dynamic), (TF_STATIC, latched))
        ]

    def send(self, transform: TransformStamped) -> bool:
        """Send a transform; return False where that would be a second parent, or too early."""
        child = transform.child_frame_id
        if time.monotonic() < self._begin_s:
            return False
        with self._lock:
            is_placed = child in self._placed
            self._own.append(_key(transform))
        if is_placed:
            self._refuse(child, transform.header.frame_id)
        else:
            self._publisher.publish(self._message_type(transforms=[transform]))
        return not is_placed

    def destroy(self) -> None:
        """Destroy the publisher and the subscriptions; a second call does nothing."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
            if not self._subscriptions:
                self._node.destroy_publisher(self._publisher)

    def _listen(self, message: Message) -> None:
        """Note who else places which frame."""
        with self._lock:
            self._placed.update(
                (transform.child_frame_id, transform.header.frame_id)
                for transform in message.transforms
                if _key(transform) not in self._own
            )

    def _refuse(self, child: str, odom: str) -> None:
        """Say once why a frame is not placed."""
        if child in self._refused:
            return
        self._refused.add(child)
        self._node.get_logger().error(
            f'tf.publish: {odom} -> {child} is not sent, because somebody else places {child} '
            f'under {self._placed[child]}, and a frame has one parent. Give the place of the '
            f'camera on the robot, so that the base is placed; or set tf.publish to false and let '
            f'a filter take ~/odometry.'
        )


def _key(transform: TransformStamped) -> tuple[int, int, str, str]:
    """Return what tells a transform from others."""
    stamp = transform.header.stamp
    return stamp.sec, stamp.nanosec, transform.header.frame_id, transform.child_frame_id
