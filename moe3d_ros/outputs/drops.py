"""Images that are not published, as events that anyone can subscribe to."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_ros.outputs.messages import to_stamp
from moe3d_ros.topics import drops_topic
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import Header

QUEUE_DEPTH = 100  # a busy node drops several images at once, and each of them counts
REASON = 'reason'


class DropEvents:
    """
    Publishes each drop: the header has the stamp of the image, the value `reason` says why.

    Parameters
    ----------
    node : owns the publisher.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        qos = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = node.create_lifecycle_publisher(DiagnosticArray, drops_topic(), qos)

    def publish(self, drop: Drop) -> None:
        """Publish a drop, if anybody listens; any thread may call it."""
        if self._publisher.get_subscription_count():
            self._publisher.publish(to_event(drop))

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_lifecycle_publisher(self._publisher)


def to_event(drop: Drop) -> DiagnosticArray:
    """Return a drop as a message."""
    status = DiagnosticStatus(
        level=DiagnosticStatus.WARN if drop.text else DiagnosticStatus.OK,
        name=drop.camera,
        message=drop.text,
        values=[KeyValue(key=REASON, value=drop.reason.value)],
    )
    return DiagnosticArray(header=Header(stamp=to_stamp(drop.stamp_ns)), status=[status])


def from_event(message: DiagnosticArray) -> Drop:
    """Return the drop of a message of `to_event`."""
    status, stamp = message.status[0], message.header.stamp
    reason = next(pair.value for pair in status.values if pair.key == REASON)
    stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
    return Drop(DropReason(reason), stamp_ns, status.message, status.name)
