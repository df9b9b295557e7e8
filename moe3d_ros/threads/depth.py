"""The thread of depth: reconstructs and publishes the newest image, where others wait or go."""

from __future__ import annotations

import time
import traceback

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import Restart
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.session import Session
from moe3d_engine.types import Reconstruction
from moe3d_ros.priority import go_behind_poses
from moe3d_ros.resources import Resources
from moe3d_ros.sync import Frame
from moe3d_ros.sync import LatestWorker
from moe3d_ros.threads.accounts import Accounts
from moe3d_ros.threads.poses import TrackedFrame
from rclpy.clock import Clock

REQUESTED = Restart(RestartReason.REQUESTED, 'Asked to begin anew: the window is empty.')


class DepthThread:
    """
    Publishes depth of the newest image; those that are overtaken are dropped.

    It gets what poses leave of the processor. It takes tracked images, or, where poses are the
    network's, images as they came.

    Parameters
    ----------
    session : reconstructs; this thread alone pushes views.
    camera : decodes images that are not tracked.
    resources : publishers.
    accounts : counts what happens.
    clock : of the stamps.
    """

    def __init__(
        self,
        session: Session,
        camera: CameraIntake,
        resources: Resources,
        accounts: Accounts,
        clock: Clock,
    ) -> None:
        self._session, self._camera, self._resources = session, camera, resources
        self._accounts, self._clock = accounts, clock
        self._began: Restart | None = None  # what the stream of tracked images began with
        self._requested = False
        self._worker = LatestWorker[Frame | TrackedFrame](
            self._process, self._on_error, prepare=go_behind_poses
        )
        self._worker.start()

    # Any thread

    def submit(self, frame: Frame | TrackedFrame) -> None:
        """Hand over an image; it replaces one that was not begun."""
        replaced = self._worker.submit(frame)
        if replaced is not None:
            self._accounts.drop(Drop(DropReason.BUSY, replaced.stamp_ns))

    def reset(self) -> None:
        """Begin a new window with the next image."""
        self._requested = True

    def stop(self, timeout_s: float) -> None:
        """
        Let the running inference end and be published, and end the thread.

        Raises
        ------
        TimeoutError
            If it does not end in time.
        """
        for left in self._worker.stop(timeout_s):
            self._accounts.drop(Drop(DropReason.BUSY, left.stamp_ns))

    # Its own thread

    def _process(self, frame: Frame | TrackedFrame) -> None:
        """Reconstruct and publish an image, or drop it with a reason."""
        outputs = self._resources.outputs
        if isinstance(frame, Frame) and not outputs.wanted():
            self._session.restart(RestartReason.NO_SUBSCRIBER)
            self._accounts.drop(Drop(DropReason.NO_SUBSCRIBER, frame.stamp_ns))
            return
        begin_ns = time.monotonic_ns()
        result = self._reconstruct(frame)
        if isinstance(result, Drop):
            self._accounts.drop(result)
            return
        if self._resources.holds_back(result.scale):
            self._accounts.drop(Drop(DropReason.SCALE_UNKNOWN, frame.stamp_ns))
            return
        if not outputs.wanted():  # tracking alone has needed it
            self._accounts.drop(Drop(DropReason.NO_SUBSCRIBER, frame.stamp_ns))
            return
        if self._accounts.closed:
            return
        publish_ns = time.monotonic_ns()
        for view_result in result.results:
            outputs.publish(view_result)
        end_ns = time.monotonic_ns()
        durations_ms = {
            'latency_ms': (end_ns - frame.received_ns) / 1e6,
            'frame_age_ms': (self._clock.now().nanoseconds - frame.stamp_ns) / 1e6,
            'wait_ms': (begin_ns - frame.received_ns) / 1e6,
            **{f'{stage}_ms': ms for stage, ms in result.timings_ms.items()},
            'publish_ms': (end_ns - publish_ns) / 1e6,
        }
        self._accounts.statistics.add_published(durations_ms)

    def _reconstruct(self, frame: Frame | TrackedFrame) -> Reconstruction | Drop:
        """Reconstruct the window that an image completes; a new one where its stream is new."""
        if self._requested:
            self._requested = False
            self._session.restart(REQUESTED.reason, REQUESTED.text)
        if isinstance(frame, Frame):
            return self._session.push_frame(self._camera, frame.image, frame.info)
        if frame.began is not None and frame.began is not self._began:
            self._session.restart(frame.began.reason, frame.began.text)
        self._began = frame.began
        return self._session.push((frame.view,))

    def _on_error(self, frame: Frame | TrackedFrame, error: Exception) -> None:
        """Go on after an error that nobody has foreseen."""
        text = ''.join(traceback.format_exception(error))
        self._accounts.drop(Drop(DropReason.BAD_OUTPUT, frame.stamp_ns, text))
