"""From a camera's frames to published reconstructions; all of it runs in the worker's thread."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import time

from moe3d_engine.errors import InputError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.image_messages import decode_compressed
from moe3d_engine.image_messages import decode_raw
from moe3d_engine.messages import stamp_ns
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
from moe3d_engine.views import ViewWindow
from moe3d_ros.diagnostics import DropReason
from moe3d_ros.diagnostics import RestartReason
from moe3d_ros.diagnostics import Statistics
from moe3d_ros.outputs import Outputs
from moe3d_ros.pairing import Frame
from moe3d_ros.parameters import NodeConfig
from moe3d_ros.rectification import calibration_key
from moe3d_ros.rectification import open_rectifier
from moe3d_ros.rectification import Rectifier
import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo

TIME_JUMP_NS = 1_000_000_000  # stamps that go back by more begin a new stream


class _FrameError(Exception):
    """A frame that cannot be published; the text says what to do."""

    def __init__(self, reason: DropReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class CameraStream:
    """
    Rectifies frames, keeps the window of views, reconstructs and publishes.

    Parameters
    ----------
    reconstructor : used by no one else while the stream is.
    outputs : where results go.
    statistics : counts what happens.
    config : transport and window.
    clock : the node's, of the age of a frame at its publication.
    drop : called with the reason and an explanation for each frame that is not published.
    logger : of the node.
    """

    def __init__(
        self,
        reconstructor: Reconstructor,
        outputs: Outputs,
        statistics: Statistics,
        config: NodeConfig,
        clock: Clock,
        drop: Callable[[DropReason, str], None],
        logger: RcutilsLogger,
    ) -> None:
        self._reconstructor = reconstructor
        self._outputs = outputs
        self._statistics = statistics
        self._camera = config.camera
        self._decode = {'raw': decode_raw, 'compressed': decode_compressed}[config.transport]
        self._window = ViewWindow(config.max_views, config.keyframe_interval_s)
        self._clock = clock
        self._drop = drop
        self._logger = logger
        self._newest: View | None = None  # of the window; None = the window is empty
        self._rectifier: Rectifier | None = None
        self._rectifier_key: tuple[object, ...] = ()
        self._seen: NDArray[np.bool_] | None = None  # pixels of the network's input; None = all

    def process(self, frame: Frame) -> None:
        """Publish a frame, or drop it with a reason."""
        if not self._outputs.wanted():
            self.restart(RestartReason.NO_SUBSCRIBER)
            self._drop(DropReason.NO_SUBSCRIBER, '')
            return
        begin_ns = time.monotonic_ns()
        try:
            self._check_stamp(stamp_ns(frame.image))
            view = self._to_view(frame)
            prepared_ns = time.monotonic_ns()
            reconstruction = self._reconstruct(view)
        except _FrameError as dropped:
            self._drop(dropped.reason, str(dropped))
            return
        publish_ns = time.monotonic_ns()
        self._outputs.publish(frame.image.header, self._without_unseen(reconstruction))
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

    def restart(self, reason: RestartReason) -> None:
        """Forget all views, so that the next one begins a new window."""
        if self._newest is not None:
            self._newest = None
            self._window.clear()
            self._reconstructor.reset()
            self._statistics.add_restart(reason)

    def _check_stamp(self, stamp: int) -> None:
        """Drop a frame that is not newer than the last; restart where time has jumped back."""
        if self._newest is None or stamp > self._newest.stamp_ns:
            return
        back_ns = self._newest.stamp_ns - stamp
        if back_ns <= TIME_JUMP_NS:
            raise _FrameError(
                DropReason.STALE_STAMP,
                f'its stamp is {back_ns / 1e6:.1f} ms before the last one. Stamps of a camera '
                f'must increase; is there a second publisher on the topic?',
            )
        self._logger.info(f'Stamps went back by {back_ns / 1e9:.1f} s: the window begins anew.')
        self.restart(RestartReason.TIME_JUMPED)

    def _to_view(self, frame: Frame) -> View:
        """Decode and rectify."""
        with _dropping(DropReason.BAD_IMAGE):
            image = self._decode(frame.image)
        image_hw = image.shape[0], image.shape[1]
        with _dropping(DropReason.BAD_CAMERA_INFO):
            rectifier = self._rectifier_of(frame.info, image_hw)
        return View(
            image=rectifier.rectify(image),
            intrinsics=rectifier.intrinsics,
            stamp_ns=stamp_ns(frame.image),
            frame_id=frame.image.header.frame_id,
            camera=self._camera,
        )

    def _rectifier_of(self, info: CameraInfo, image_hw: tuple[int, int]) -> Rectifier:
        """Return the rectifier, a new one where the calibration has changed."""
        key = (image_hw, *calibration_key(info))
        if self._rectifier is None or key != self._rectifier_key:
            self._rectifier = open_rectifier(info, image_hw)
            self._rectifier_key = key
            seen = self._rectifier.seen(image_hw, self._reconstructor.backend.spec.input_hw)
            self._seen = None if seen.all() else seen
        return self._rectifier

    def _reconstruct(self, view: View) -> Reconstruction:
        """Reconstruct the window that a view completes; only the view itself is published."""
        if self._newest is not None and self._newest.image.shape != view.image.shape:
            self._logger.info(
                f'The images have changed from {_size(self._newest.image)} to '
                f'{_size(view.image)}: the window begins anew.'
            )
            self.restart(RestartReason.SIZE_CHANGED)
        self._newest = view
        views = self._window.push(view)
        try:
            return self._reconstructor.reconstruct(views, publish=(len(views) - 1,))
        except Moe3dError as error:
            self.restart(RestartReason.BAD_OUTPUT)
            raise _FrameError(DropReason.BAD_OUTPUT, str(error)) from error

    def _without_unseen(self, reconstruction: Reconstruction) -> Reconstruction:
        """Take away what the network has made up beyond the edge of the rectified image."""
        if self._seen is None:
            return reconstruction
        depth = np.where(self._seen, reconstruction.depth, np.float32(np.nan))
        confidence = np.where(self._seen, reconstruction.boundary_confidence, np.float32(0.0))
        return replace(reconstruction, depth=depth, boundary_confidence=confidence)


@contextmanager
def _dropping(reason: DropReason) -> Iterator[None]:
    """Turn what is wrong with the input into a dropped frame."""
    try:
        yield
    except InputError as error:
        raise _FrameError(reason, str(error)) from error


def _size(image: UInt8Array) -> str:
    """Return width x height of an image."""
    return f'{image.shape[1]}x{image.shape[0]}'
