"""From a camera's frames to published reconstructions; all of it runs in the worker's thread."""

from __future__ import annotations

from collections.abc import Callable
import time

from moe3d_engine.camera_stream import CameraStream
from moe3d_engine.camera_stream import DroppedFrameError
from moe3d_engine.camera_stream import DropReason
from moe3d_engine.camera_stream import RestartReason
from moe3d_engine.pipeline import Reconstructor
from moe3d_ros.outputs.depth import Outputs
from moe3d_ros.outputs.diagnostics import Statistics
from moe3d_ros.pairing import Frame
from moe3d_ros.parameters import NodeConfig
from rclpy.clock import Clock
from rclpy.impl.rcutils_logger import RcutilsLogger


class PublishedStream:
    """
    Reconstructs the frames of a camera and publishes them.

    Parameters
    ----------
    reconstructor : used by no one else while the stream is.
    outputs : where results go.
    statistics : counts what happens.
    config : transport and window.
    clock : the node's, of the age of a frame at its publication.
    drop : called with the reason, an explanation and the stamp in ns for each frame that is not
        published.
    logger : of the node.
    """

    def __init__(
        self,
        reconstructor: Reconstructor,
        outputs: Outputs,
        statistics: Statistics,
        config: NodeConfig,
        clock: Clock,
        drop: Callable[[DropReason, str, int], None],
        logger: RcutilsLogger,
    ) -> None:
        self._stream = CameraStream(
            reconstructor,
            compressed=config.transport == 'compressed',
            max_views=config.max_views,
            keyframe_interval_s=config.keyframe_interval_s,
            camera=config.camera,
            on_restart=statistics.add_restart,
            on_news=logger.info,
        )
        self._outputs = outputs
        self._statistics = statistics
        self._clock = clock
        self._drop = drop

    def process(self, frame: Frame) -> None:
        """Publish a frame, or drop it with a reason."""
        if not self._outputs.wanted():
            self._stream.restart(RestartReason.NO_SUBSCRIBER)
            self._drop(DropReason.NO_SUBSCRIBER, '', frame.stamp_ns)
            return
        begin_ns = time.monotonic_ns()
        try:
            view = self._stream.view_of(frame.image, frame.info)
            prepared_ns = time.monotonic_ns()
            reconstruction = self._stream.reconstruct(view)
        except DroppedFrameError as dropped:
            self._drop(dropped.reason, str(dropped), frame.stamp_ns)
            return
        publish_ns = time.monotonic_ns()
        self._outputs.publish(frame.image.header, reconstruction)
        end_ns = time.monotonic_ns()
        durations_ms = {
            'latency_ms': (end_ns - frame.received_ns) / 1e6,
            'frame_age_ms': (self._clock.now().nanoseconds - view.stamp_ns) / 1e6,
            'wait_ms': (begin_ns - frame.received_ns) / 1e6,
            'rectify_ms': (prepared_ns - begin_ns) / 1e6,
            **{f'{stage}_ms': ms for stage, ms in reconstruction.timings_ms.items()},
            'publish_ms': (end_ns - publish_ns) / 1e6,
        }
        self._statistics.add_published(durations_ms)
