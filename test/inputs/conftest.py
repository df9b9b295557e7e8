"""A node that hears odometry and reference depth, and a peer that sends them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_ros.outputs.messages import to_stamp
from moe3d_ros.settings.parameters import node_config
from moe3d_ros.settings.table import PARAMETERS
from moe3d_ros.side_inputs import SideInputs
from nav_msgs.msg import Odometry
import rclpy
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from spinning import spin_until

Message = Any
Value = bool | int | float | str

MS = 1_000_000
CAMERA = 'camera_optical_frame'
MOUNT = '0.2 0 0.1 -0.5 0.5 -0.5 0.5'  # the camera looks forward


class Rig:
    """A node with side inputs and a peer, on one executor that the test spins."""

    def __init__(self, context: rclpy.Context, parameters: dict[str, Value]) -> None:
        self.node = rclpy.create_node('moe3d', context=context, start_parameter_services=False)
        self.peer = rclpy.create_node('peer', context=context, start_parameter_services=False)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.peer)
        values = {row.name: row.default for row in PARAMETERS} | parameters
        self.inputs = SideInputs(self.node, node_config(values))

    def close(self) -> None:
        """Destroy everything."""
        self.inputs.destroy()
        self.executor.shutdown()
        self.node.destroy_node()
        self.peer.destroy_node()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Spin until a condition holds."""
        spin_until(self.executor, condition, timeout_s, self.inputs.counts)

    def publisher(
        self, message_type: type[Any], topic: str, *, reliable: bool = True
    ) -> Publisher:
        """Create a publisher and wait until the node listens."""
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        events = PublisherEventCallbacks(use_default_callbacks=False)
        publisher = self.peer.create_publisher(
            message_type, topic, QoSProfile(depth=50, reliability=policy), event_callbacks=events
        )
        self.wait_until(lambda: self.node.count_publishers(topic) > 0)
        self.inputs.check()
        self.wait_until(lambda: publisher.get_subscription_count() > 0)
        return publisher

    def count(self, name: str) -> int:
        """Return a count; 0 where there is none yet."""
        return self.inputs.counts().get(name, 0)


def make_odometry(stamp_ns: int, x: float = 0.0, yaw: float = 0.0) -> Message:
    """Return odometry of a robot on the floor."""
    message = Odometry(child_frame_id='base_link')
    message.header.frame_id = 'odom'
    message.header.stamp = to_stamp(stamp_ns)
    message.pose.pose.position.x = x
    message.pose.pose.orientation.z = float(np.sin(yaw / 2))
    message.pose.pose.orientation.w = float(np.cos(yaw / 2))
    return message


@pytest.fixture
def make_rig(ros_context: rclpy.Context) -> Iterator[Callable[..., Rig]]:
    """Return a function that makes rigs from parameters; they are closed after the test."""
    rigs = []

    def make(**parameters: Value) -> Rig:
        named = {name.replace('__', '.'): value for name, value in parameters.items()}
        rigs.append(Rig(ros_context, named))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def odometry() -> Callable[..., Message]:
    """Return the function that makes odometry."""
    return make_odometry
