"""What exists while the node is configured: the network and the publishers."""

from __future__ import annotations

from collections.abc import Callable

from moe3d_engine.backend import Backend
from moe3d_engine.network import Engine
from moe3d_engine.session import Session
from moe3d_engine.types import Scale
from moe3d_engine.types import View
from moe3d_engine.window import check_fits
from moe3d_ros.inputs.extrinsics import RigExtrinsics
from moe3d_ros.outputs.depth import DepthOutputs
from moe3d_ros.outputs.diagnostics import HealthReport
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.outputs.drops import DropEvents
from moe3d_ros.outputs.motion import MotionOutputs
from moe3d_ros.outputs.saving import CloudService
from moe3d_ros.priority import run_behind_poses
from moe3d_ros.settings.parameters import NodeConfig
import numpy as np
from rclpy.lifecycle import LifecycleNode


class Resources:
    """
    The open network, warmed up, and the node's publishers.

    Parameters
    ----------
    node : owns the publishers.
    config : what the parameters say; thresholds may be replaced later.
    open_backend : as `moe3d_engine.open_backend`.
    statistics : what diagnostics tell.

    Raises
    ------
    Moe3dError
        If the network cannot be opened or the settings contradict it; nothing is left open.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: NodeConfig,
        open_backend: Callable[..., Backend],
        statistics: Statistics,
    ) -> None:
        self.config = config
        self.engine, scale = run_behind_poses(lambda: _open_engine(config, open_backend))
        try:
            self._log_engine(node, scale)
            self._metric = scale.metric or self._is_measured()
            self.outputs = DepthOutputs(node, config, metric=self._metric)
            self.extrinsics = RigExtrinsics(node, config.rig)
            self.motion = self._open_motion(node)
        except Exception:
            self.engine.close()
            raise
        self.drops = DropEvents(node)
        self._saving = CloudService(node, self.outputs)
        self.health = HealthReport(node, config, self.engine, statistics)

    def configure(self, config: NodeConfig) -> None:
        """Use what may change at run time."""
        self.config = config
        self.outputs.configure(config)

    def close(self, *, engine: bool = True) -> None:
        """Release everything; not the engine where a thread still uses it."""
        self.health.destroy()
        self.drops.destroy()
        self._saving.destroy()
        self.outputs.destroy()
        self.extrinsics.destroy()
        if self.motion is not None:
            self.motion.destroy()
        if engine:
            self.engine.close()

    def holds_back(self, scale: Scale) -> bool:
        """Return whether depth of this scale has to wait until metres are known."""
        return self._metric and not self.config.session.scale.releases(scale)

    def _log_engine(self, node: LifecycleNode, scale: Scale) -> None:
        """Say what the node runs with."""
        spec, window = self.engine.spec, self.config.session.window
        node.get_logger().info(
            f'{spec.name} on {self.engine.name}, {spec.input_hw[1]}x{spec.input_hw[0]}, windows '
            f'of {window.max_views} views, depth is {scale.unit}'
        )

    def _is_measured(self) -> bool:
        """Return whether somebody measures metres that the weights do not know."""
        side = self.config.side_inputs
        asks = self.config.session.scale.source
        measured = {
            'odometry': side.has_odometry,
            'rig': self.config.rig.has_extrinsics and self.config.session.poses != 'network',
            'reference_depth': bool(side.reference_topic),
        }
        return any(has and asks in ('auto', source) for source, has in measured.items())

    def _open_motion(self, node: LifecycleNode) -> MotionOutputs | None:
        """Return the publishers of poses; None where poses are the network's."""
        if self.config.session.poses == 'network':
            return None
        return MotionOutputs(node, self.config, self.config.side_inputs.base_from_camera)


def _open_engine(config: NodeConfig, open_backend: Callable[..., Backend]) -> tuple[Engine, Scale]:
    """Open the network and run it once on a full window; return its scale without measurement."""
    engine = Engine(open_backend(config.backend, config.weights, threads=config.threads))
    try:
        window = config.session.window
        check_fits(window, engine.spec)
        black = np.zeros((*engine.spec.input_hw, 3), np.uint8)
        views = [View(black, np.eye(3)) for _ in range(window.max_views)]
        return engine, Session(engine, config.session).reconstruct(views, (0,)).scale
    except Exception:
        engine.close()
        raise
