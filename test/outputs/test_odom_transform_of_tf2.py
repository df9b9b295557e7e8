"""The transform of odom over the middleware; where tf2_msgs is built by test/tf2_msgs/build.sh."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from spinning import spin_until

pytest.importorskip('rclpy', reason='needs ROS or its wheels')
pytest.importorskip('tf2_msgs', reason='needs tf2_msgs, see test/tf2_msgs/build.sh')

from moe3d_ros.outputs import odom_transform
from moe3d_ros.outputs.messages import to_stamp
from moe3d_ros.outputs.odom_transform import OdomTransform
from moe3d_ros.outputs.pose_messages import to_transform
import rclpy
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

Message = Any
STAMP_NS = 1_731_846_203_417_293_651


class Wire:
    """The sender of the transform, and a peer on /tf."""

    def __init__(self, context: rclpy.Context) -> None:
        self.node = rclpy.create_node('moe3d', context=context, start_parameter_services=False)
        self.peer = rclpy.create_node('peer', context=context, start_parameter_services=False)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.peer)
        self.heard: list[Message] = []
        self.peer.create_subscription(TFMessage, '/tf', self.heard.append, 100)
        events = PublisherEventCallbacks(use_default_callbacks=False)
        self.other = self.peer.create_publisher(TFMessage, '/tf', 100, event_callbacks=events)
        self.transform = OdomTransform(self.node)
        # Both listeners and both publishers have found each other.
        self.wait_until(lambda: self.other.get_subscription_count() == 2)
        self.wait_until(lambda: self.node.count_publishers('/tf') == 2)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Spin until a condition holds."""
        spin_until(self.executor, condition)

    def close(self) -> None:
        """Destroy everything."""
        self.transform.destroy()
        self.executor.shutdown()
        self.node.destroy_node()
        self.peer.destroy_node()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Return a sender that has listened long enough."""
    monkeypatch.setattr(odom_transform, 'LISTEN_S', 0.0)
    context = rclpy.Context()
    context.init()
    wire = Wire(context)
    yield wire
    wire.close()
    context.try_shutdown()


def make(parent: str, child: str, offset_ns: int = 0) -> Message:
    """Return a transform."""
    header = Header(stamp=to_stamp(STAMP_NS + offset_ns), frame_id=parent)
    return to_transform(header, child, np.eye(4))


def test_transform_arrives_as_it_was_sent_and_its_echo_is_nobody_elses(wire: Wire) -> None:
    for k in range(3):
        sent = make('odom', 'base_link', k)
        assert wire.transform.send(sent)
        wire.wait_until(lambda count=k + 1: len(wire.heard) == count)
        assert wire.heard[-1].transforms == [sent]


def test_second_parent_is_never_sent(wire: Wire) -> None:
    wire.other.publish(TFMessage(transforms=[make('wheels', 'base_link')]))
    wire.wait_until(lambda: len(wire.heard) == 1)
    wire.wait_until(lambda: 'base_link' in wire.transform._placed)

    assert not wire.transform.send(make('odom', 'base_link', 1))
    assert wire.transform.send(make('odom', 'camera', 1))
    wire.wait_until(lambda: len(wire.heard) == 2)
    assert wire.heard[-1].transforms[0].child_frame_id == 'camera'
