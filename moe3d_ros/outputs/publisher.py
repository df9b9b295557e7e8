"""The publishers of what a camera shows: reliable, and as the user overrides them."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions


def create_output(
    node: LifecycleNode,
    message_type: type[Any],
    topic: str,
    depth: int = 1,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> LifecyclePublisher:
    """Create a reliable publisher, overridable by qos_overrides parameters."""
    return node.create_lifecycle_publisher(
        message_type,
        topic,
        QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
