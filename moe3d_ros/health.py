"""The node's report in /diagnostics."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from moe3d_engine.backends.base import Backend
from moe3d_ros.conversions import to_diagnostics
from moe3d_ros.diagnostics import DropReason
from moe3d_ros.diagnostics import Statistics
from moe3d_ros.parameters import NodeConfig
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

FRESH_S = 5.0  # a problem older than this is over


class HealthReport:
    """
    Publishes state, settings, counts and latencies.

    Parameters
    ----------
    node : owns the publisher, which also works while the node is inactive.
    config, backend : what the node runs with.
    statistics : what has happened to the frames.
    """

    def __init__(
        self, node: LifecycleNode, config: NodeConfig, backend: Backend, statistics: Statistics
    ) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._name = f'{node.get_fully_qualified_name()}: {config.camera}'
        self._statistics = statistics
        scale = config.reconstructor
        self._settings = {
            'backend': backend.name,
            'weights': backend.spec.name,
            'scale.source': scale.scale_source,
            'scale.factor': f'{scale.scale_factor:g}',
            'scale.unit': scale.depth_scale(backend.spec.metric).value,
        }

    def publish(self, state: str, silent: bool) -> None:
        """
        Publish the report.

        Parameters
        ----------
        state : of the lifecycle.
        silent : whether images are missing.
        """
        level, text = DiagnosticStatus.OK, state
        problem = self._statistics.last_problem
        if silent:
            level, text = DiagnosticStatus.WARN, 'no images'
        elif problem is not None and time.monotonic() - problem.time_s < FRESH_S:
            is_error = problem.reason is DropReason.BAD_OUTPUT
            level = DiagnosticStatus.ERROR if is_error else DiagnosticStatus.WARN
            text = f'{problem.reason.value}: {problem.text}'
        header = Header(stamp=self._node.get_clock().now().to_msg())
        values = {'state': state, **self._settings, **self._statistics.values()}
        self._publisher.publish(to_diagnostics(header, self._name, level, text, values))

    def destroy(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._publisher)
