"""A ROS node for a tool: its own context, no services, and SIGINT left to Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node


@contextmanager
def plain_node(name: str) -> Iterator[Node]:
    """Open a node of this name; an interrupt inside the block is a plain KeyboardInterrupt."""
    import rclpy

    context = rclpy.Context()
    context.init()
    try:
        node = rclpy.create_node(
            name, context=context, use_global_arguments=False, start_parameter_services=False
        )
        try:
            yield node
        finally:
            node.destroy_node()
    finally:
        context.try_shutdown()
