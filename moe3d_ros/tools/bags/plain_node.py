"""A ROS node for a tool: its own context, no services, and SIGINT left to Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node


@contextmanager
def plain_node(name: str) -> Iterator[Node]:
    """
    Open a node of this name; an interrupt inside the block is a plain KeyboardInterrupt.

    Raises
    ------
    ConfigError
        If the environment of ROS, or a name that the block uses, is not valid.
    """
    from moe3d_ros.arguments.ros_errors import ros_errors_in_one_line
    import rclpy

    context = rclpy.Context()
    with ros_errors_in_one_line():
        context.init()
    try:
        node = rclpy.create_node(
            name, context=context, use_global_arguments=False, start_parameter_services=False
        )
        try:
            with ros_errors_in_one_line():
                yield node
        finally:
            node.destroy_node()
    finally:
        context.try_shutdown()
