"""The node `moe3d`: camera images in; depth, boundary confidence and clouds out. Start here."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import time
import traceback

from moe3d_engine.backend import Backend
from moe3d_engine.backends.open import open_backend as open_engine_backend
from moe3d_engine.camera_stream import DropReason
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.types import View
from moe3d_ros.camera import CameraInputs
from moe3d_ros.logs import logged_transition
from moe3d_ros.logs import Throttle
from moe3d_ros.outputs.depth import Outputs
from moe3d_ros.outputs.diagnostics import HealthReport
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.pairing import Frame
from moe3d_ros.pairing import StampPairing
from moe3d_ros.parameters import declare_parameters
from moe3d_ros.parameters import node_config
from moe3d_ros.parameters import NodeConfig
from moe3d_ros.parameters import read_parameters
from moe3d_ros.process_usage import process_age_s
from moe3d_ros.stream import PublishedStream
from moe3d_ros.tools.drop_log import drop_line
from moe3d_ros.worker import Worker
import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

WORKER_TIMEOUT_S = 30.0  # for the running inference to end
TICK_S = 1.0
DROP_LOG_PERIOD_S = 5.0  # per reason


class Moe3dNode(LifecycleNode):
    """
    Wires the parts together and moves them through the lifecycle.

    The executor's thread runs the callbacks, which only latch messages; the worker's thread
    decodes, reconstructs and publishes. Configured: backend, publishers and diagnostics exist.
    Active: subscriptions and worker exist, too.

    Parameters
    ----------
    open_backend : as `moe3d_engine.open_backend`.
    options : as those of LifecycleNode.
    """

    def __init__(
        self, open_backend: Callable[..., Backend] = open_engine_backend, **options: object
    ) -> None:
        super().__init__('moe3d', **options)
        self._open_backend = open_backend
        self._config: NodeConfig | None = None
        self._reconstructor: Reconstructor | None = None
        self._outputs: Outputs | None = None
        self.statistics = Statistics()
        self._health: HealthReport | None = None
        self._timer: Timer | None = None
        self._inputs: CameraInputs | None = None
        self._pairing: StampPairing | None = None
        self._worker: Worker[Frame] | None = None
        self._drop_log = Throttle(DROP_LOG_PERIOD_S)
        self._startup_ms: float | None = None
        declare_parameters(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        if hasattr(self, 'add_post_set_parameters_callback'):  # not in ROS 2 Humble
            self.add_post_set_parameters_callback(self._apply_parameters)

    # Transitions

    @logged_transition
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open and warm up the backend, create the publishers; on an error release them again."""
        try:
            self._open(node_config(read_parameters(self)))
        except Moe3dError as error:
            self.get_logger().error(f'Cannot configure: {error}')
            self._release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    @logged_transition
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe."""
        assert self._config is not None
        assert self._reconstructor is not None
        assert self._outputs is not None
        outcome = super().on_activate(state)
        stream = PublishedStream(
            self._reconstructor,
            self._outputs,
            self.statistics,
            self._config,
            self.get_clock(),
            self._drop,
            self.get_logger(),
        )
        self._worker = Worker(stream.process, self._on_worker_error)
        self._worker.start()
        self._pairing = StampPairing(self._config.camera_info_timeout_s, self._drop_unpaired)
        self._inputs = CameraInputs(self, self._config, self._on_image, self._on_info)
        self.get_logger().info(f'Waiting for images. {self._inputs.describe()}')
        self._note_startup()
        return outcome

    @logged_transition
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and stop the worker; the running inference is still published."""
        if not self._stop():
            return TransitionCallbackReturn.ERROR
        self._report()
        return super().on_deactivate(state)

    @logged_transition
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        return self._release()

    @logged_transition
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, from whichever state."""
        return self._release()

    @logged_transition
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, so that the node can be configured again."""
        return self._release()

    def destroy_node(self) -> None:
        """Release everything and destroy the node."""
        self._release()
        super().destroy_node()

    # Callbacks of the executor's thread

    def _on_image(self, message: Image | CompressedImage) -> None:
        """Latch an image."""
        if self._pairing is not None:
            self.statistics.add_frame()
            self._submit(self._pairing.add_image(message, time.monotonic_ns()))

    def _on_info(self, message: CameraInfo) -> None:
        """Latch a camera_info."""
        if self._pairing is not None:
            self._submit(self._pairing.add_info(message))

    def _submit(self, frame: Frame | None) -> None:
        """Hand a frame to the worker."""
        if frame is None or self._worker is None:
            return
        replaced = self._worker.submit(frame)
        if replaced is not None:
            self._drop(DropReason.BUSY, '', replaced.stamp_ns)

    def _tick(self) -> None:
        """Look after the inputs and publish diagnostics, once a second."""
        if self._inputs is not None and self._pairing is not None:
            self._inputs.check()
            self._pairing.expire(time.monotonic_ns())
        self._report()

    def _report(self) -> None:
        """Publish diagnostics."""
        if self._health is not None:
            silent = self._inputs is not None and self._inputs.is_silent()
            self._health.publish('inactive' if self._inputs is None else 'active', silent)

    def _check_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        """Say whether new values make sense together."""
        proposed = {parameter.name: parameter.value for parameter in parameters}
        try:
            config = node_config({**read_parameters(self), **proposed})
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not hasattr(self, 'add_post_set_parameters_callback'):
            self._apply(config)
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: Sequence[Parameter]) -> None:
        """Use the new thresholds from the next window on."""
        self._apply(node_config(read_parameters(self)))

    # Parts

    def _open(self, config: NodeConfig) -> None:
        """Acquire what an inactive node has."""
        backend = self._open_backend(config.backend, config.weights, threads=config.threads)
        self._config = config
        self._reconstructor = Reconstructor(backend, config.reconstructor)
        spec = backend.spec
        if config.max_views > spec.max_views:
            raise ConfigError(
                f'window.max_views is {config.max_views}, but {spec.name} takes at most '
                f'{spec.max_views} views.'
            )
        black = np.zeros((*spec.input_hw, 3), np.uint8)
        black_views = [View(black, np.eye(3)) for _ in range(config.max_views)]
        self._reconstructor.reconstruct(black_views, (0,))
        self._reconstructor.reset()
        depth_scale = config.reconstructor.depth_scale(spec.metric)
        self.get_logger().info(
            f'{spec.name} on {backend.name}, {spec.input_hw[1]}x{spec.input_hw[0]}, windows of '
            f'{config.max_views} views, depth is {depth_scale.value}'
        )
        self._outputs = Outputs(self, config, depth_scale)
        self.statistics = Statistics()
        self._health = HealthReport(self, config, backend, self.statistics)
        # Not the node's clock: with use_sim_time that one stands still until /clock comes.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(TICK_S, self._tick, clock=steady)

    def _note_startup(self) -> None:
        """Report how long the process took until it was active for the first time."""
        age_s = process_age_s()
        if self._startup_ms is None and age_s is not None:
            self._startup_ms = 1e3 * age_s
            self.get_logger().info(f'Active {age_s:.2f} s after the process was started.')
        self.statistics.startup_ms = self._startup_ms

    def _stop(self) -> bool:
        """Unsubscribe and stop the worker; return False if the worker does not end."""
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        if self._pairing is not None:
            self._pairing.clear()
            self._pairing = None
        if self._worker is None or self._reconstructor is None:
            return True
        worker, self._worker = self._worker, None
        try:
            left = worker.stop(WORKER_TIMEOUT_S)
        except TimeoutError as error:
            self.get_logger().error(f'{error} The backend is left open: it is still in use.')
            self._reconstructor = None
            return False
        if left is not None:
            self._drop(DropReason.BUSY, '', left.stamp_ns)
        self._reconstructor.reset()
        self.get_logger().info(f'Stopped: {self.statistics.summary()}')
        return True

    def _release(self) -> TransitionCallbackReturn:
        """Give back all that was acquired; a second call does nothing."""
        self._stop()
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._reconstructor is not None:
            self._reconstructor.close()
            self._reconstructor = None
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._health is not None:
            self._health.destroy()
            self._health = None
        self._config = None
        return TransitionCallbackReturn.SUCCESS

    def _apply(self, config: NodeConfig) -> None:
        """Give the pipeline its thresholds."""
        if self._reconstructor is not None:
            self._reconstructor.configure(config.reconstructor)

    # What both threads call

    def _drop(self, reason: DropReason, text: str, stamp_ns: int) -> None:
        """Count and name (at debug level) an image that is not published; warn at times."""
        self.statistics.add_drop(reason, text)
        self.get_logger().debug(drop_line(stamp_ns, reason))
        if text and self._drop_log.ready(reason):
            self.get_logger().warning(f'Dropped an image ({reason.value}): {text}')

    def _drop_unpaired(self, stamp_ns: int) -> None:
        """Drop an image that has no camera_info."""
        self._drop(
            DropReason.NO_CAMERA_INFO,
            'no camera_info of exactly its stamp came in time. The driver must stamp both alike; '
            'a slow one needs a longer camera_info.timeout_s.',
            stamp_ns,
        )

    def _on_worker_error(self, frame: Frame, error: Exception) -> None:
        """Go on after an error that nobody has foreseen."""
        text = ''.join(traceback.format_exception(error))
        self._drop(DropReason.BAD_OUTPUT, text, frame.stamp_ns)
