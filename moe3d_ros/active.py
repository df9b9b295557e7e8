"""What exists while the node is active: subscriptions, pairing, the worker and its session."""

from __future__ import annotations

import time
import traceback

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import Restart
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.policy import Thresholds
from moe3d_engine.session import Session
from moe3d_ros.camera import CameraInputs
from moe3d_ros.logs import Throttle
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.resources import Resources
from moe3d_ros.sync import Frame
from moe3d_ros.sync import LatestWorker
from moe3d_ros.sync import StampPairing
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

WORKER_TIMEOUT_S = 30.0  # for the running inference to end
LOG_PERIOD_S = 5.0  # per reason of a drop or restart


class ActiveNode:
    """
    Takes a camera's messages and publishes reconstructions, until it is stopped.

    The executor's thread runs the callbacks, which only latch messages and pair them; the
    worker's thread decodes, reconstructs and publishes the newest frame.

    Parameters
    ----------
    node : owns the subscriptions.
    resources : network and publishers; used by no one else meanwhile.
    statistics : counts what happens.
    """

    def __init__(self, node: LifecycleNode, resources: Resources, statistics: Statistics) -> None:
        config = resources.config
        self._node, self._resources, self._statistics = node, resources, statistics
        self._log = node.get_logger()
        self._throttle = Throttle(LOG_PERIOD_S)
        self._given_up = False  # the worker did not end; what it still does goes nowhere
        self._session = Session(resources.engine, config.session, self._on_restart)
        self._worker = LatestWorker(self._process, self._on_worker_error)
        self._pairing = StampPairing(
            config.camera_info_timeout_s,
            self._drop,
            latched=config.camera_info_latched,
            camera=config.camera,
        )
        self._inputs = CameraInputs(node, config, self._take_image, self._take_info)
        self._camera = CameraIntake(
            compressed=config.transport == 'compressed',
            camera=config.camera,
            rectified=self._inputs.is_rectified(),
            mono16_bits=config.mono16_bits,
            warn=self._log.warning,
        )
        self._worker.start()

    # The executor's thread

    def describe(self) -> str:
        """Return what is subscribed to, and who publishes it."""
        return self._inputs.describe()

    def is_silent(self) -> bool:
        """Return whether images are missing."""
        return self._inputs.is_silent()

    def tick(self) -> None:
        """Look after the inputs, once a second."""
        self._inputs.check()
        self._pairing.expire(time.monotonic_ns())

    def configure(self, thresholds: Thresholds) -> None:
        """Use other thresholds from the next window on."""
        self._session.configure(thresholds)

    def stop(self) -> bool:
        """
        Unsubscribe and end the worker; the running inference is still published.

        Returns
        -------
        Whether the worker has ended; if not, it still uses the engine.
        """
        self._inputs.destroy()
        self._pairing.clear()
        try:
            left = self._worker.stop(WORKER_TIMEOUT_S)
        except TimeoutError as error:
            self._given_up = True
            self._log.error(f'{error} The backend is left open: it is still in use.')
            return False
        if left is not None:
            self._drop(Drop(DropReason.BUSY, left.stamp_ns))
        self._log.info(f'Stopped: {self._statistics.summary()}')
        return True

    def _take_image(self, message: Image | CompressedImage) -> None:
        """Latch an image."""
        self._statistics.add_frame()
        self._submit(self._pairing.add_image(message, time.monotonic_ns()))

    def _take_info(self, message: CameraInfo) -> None:
        """Latch a camera_info."""
        self._submit(self._pairing.add_info(message, time.monotonic_ns()))

    def _submit(self, frame: Frame | None) -> None:
        """Hand a frame to the worker."""
        replaced = None if frame is None else self._worker.submit(frame)
        if replaced is not None:
            self._drop(Drop(DropReason.BUSY, replaced.stamp_ns))

    # The worker's thread

    def _process(self, frame: Frame) -> None:
        """Reconstruct and publish a frame, or drop it with a reason."""
        if not self._resources.outputs.wanted():
            self._session.restart(RestartReason.NO_SUBSCRIBER)
            self._drop(Drop(DropReason.NO_SUBSCRIBER, frame.stamp_ns))
            return
        begin_ns = time.monotonic_ns()
        result = self._session.push_frame(self._camera, frame.image, frame.info)
        if isinstance(result, Drop):
            self._drop(result)
            return
        if self._given_up:
            return
        publish_ns = time.monotonic_ns()
        for view_result in result.results:
            self._resources.outputs.publish(view_result)
        end_ns = time.monotonic_ns()
        durations_ms = {
            'latency_ms': (end_ns - frame.received_ns) / 1e6,
            'frame_age_ms': (self._node.get_clock().now().nanoseconds - frame.stamp_ns) / 1e6,
            'wait_ms': (begin_ns - frame.received_ns) / 1e6,
            **{f'{stage}_ms': ms for stage, ms in result.timings_ms.items()},
            'publish_ms': (end_ns - publish_ns) / 1e6,
        }
        self._statistics.add_published(durations_ms)

    def _on_worker_error(self, frame: Frame, error: Exception) -> None:
        """Go on after an error that nobody has foreseen."""
        text = ''.join(traceback.format_exception(error))
        self._drop(Drop(DropReason.BAD_OUTPUT, frame.stamp_ns, text))

    def _on_restart(self, restart: Restart) -> None:
        """Count a window that begins anew, and say so at times."""
        self._statistics.add_restart(restart.reason)
        if restart.text and self._throttle.ready(restart.reason):
            self._log.info(restart.text)

    # Both threads

    def _drop(self, drop: Drop) -> None:
        """Count and publish a drop; warn at times where something is wrong."""
        if self._given_up:
            return
        self._statistics.add_drop(drop)
        self._resources.drops.publish(drop)
        if drop.text and self._throttle.ready(drop.reason):
            self._log.warning(f'Dropped an image ({drop.reason.value}): {drop.text}')
