"""The thread of depth: reconstructs and publishes the newest moment, where others wait or go."""

from __future__ import annotations

from collections.abc import Mapping
import time
import traceback

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import Restart
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.rig.poses import with_rig_poses
from moe3d_engine.session import Session
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import View
from moe3d_ros.priority import go_behind_poses
from moe3d_ros.resources import Resources
from moe3d_ros.sync import Frame
from moe3d_ros.sync import LatestWorker
from moe3d_ros.threads.accounts import Accounts
from moe3d_ros.threads.poses import Moment
from moe3d_ros.threads.poses import TrackedFrame
from moe3d_ros.threads.rig import RigThread
from rclpy.clock import Clock

REQUESTED = Restart(RestartReason.REQUESTED, 'Asked to begin anew: the window is empty.')


class DepthThread:
    """
    Publishes depth of the newest moment; those that are overtaken are dropped.

    It gets what poses leave of the processor. It takes tracked images, and images as they came:
    of the other cameras of a rig, and of all where poses are the network's.

    Parameters
    ----------
    session : reconstructs; this thread alone pushes views.
    cameras : decode images that are not tracked, by their names.
    resources : publishers, and where the cameras of a rig sit.
    accounts : counts what happens.
    clock : of the stamps.
    rig : is shown moments; None = there is no rig.
    """

    def __init__(
        self,
        session: Session,
        cameras: Mapping[str, CameraIntake],
        resources: Resources,
        accounts: Accounts,
        clock: Clock,
        rig: RigThread | None = None,
    ) -> None:
        self._session, self._cameras, self._resources = session, cameras, resources
        self._accounts, self._clock, self._rig = accounts, clock, rig
        self._cameras_are_a_rig = len(cameras) > 1
        self._began: Restart | None = None  # what the stream of tracked images began with
        self._requested = False
        self._worker = LatestWorker[Moment](self._process, self._on_error, prepare=go_behind_poses)
        self._worker.start()

    # Any thread

    def submit(self, moment: Moment) -> None:
        """Hand over a moment; it replaces one that was not begun."""
        replaced = self._worker.submit(moment)
        if replaced is not None:
            self._drop(replaced, DropReason.BUSY)

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
            self._drop(left, DropReason.BUSY)

    # Its own thread

    def _process(self, moment: Moment) -> None:
        """Reconstruct and publish a moment, or drop its images with a reason."""
        outputs = self._resources.outputs
        if moment.tracked is None and not outputs.wanted():
            self._session.restart(RestartReason.NO_SUBSCRIBER)
            self._drop(moment, DropReason.NO_SUBSCRIBER)
            return
        begin_ns = time.monotonic_ns()
        timings_ms: dict[str, float] = {}
        moment, views = self._views(moment, timings_ms)
        if not views:
            return
        rig = self._resources.extrinsics.rig_of(views) if self._cameras_are_a_rig else None
        if rig is not None:
            views = with_rig_poses(views, rig, metric=self._has_metric_poses())
        result = self._reconstruct(moment, views)
        if isinstance(result, Drop):
            self._drop(moment, result.reason, result.text)
            return
        if self._rig is not None and rig is not None:
            self._rig.submit(views, rig)
        if self._resources.holds_back(result.scale):
            self._drop(moment, DropReason.SCALE_UNKNOWN)
            return
        if not outputs.wanted():  # tracking alone has needed it
            self._drop(moment, DropReason.NO_SUBSCRIBER)
            return
        if self._accounts.closed:
            return
        self._publish(moment, result, rig, begin_ns, timings_ms)

    def _publish(
        self,
        moment: Moment,
        result: Reconstruction,
        rig: Rig | None,
        begin_ns: int,
        timings_ms: Mapping[str, float],
    ) -> None:
        """Publish what was reconstructed, and count it."""
        outputs = self._resources.outputs
        publish_ns = time.monotonic_ns()
        for view_result in result.results:
            outputs.publish(view_result)
        if rig is not None:
            frame = self._resources.extrinsics.frame
            outputs.publish_merged(result.results, rig, frame)
        end_ns = time.monotonic_ns()
        durations_ms = {
            'latency_ms': (end_ns - moment.received_ns) / 1e6,
            'frame_age_ms': (self._clock.now().nanoseconds - moment.stamp_ns) / 1e6,
            'wait_ms': (begin_ns - moment.received_ns) / 1e6,
            **{f'{stage}_ms': ms for stage, ms in {**timings_ms, **result.timings_ms}.items()},
            'publish_ms': (end_ns - publish_ns) / 1e6,
        }
        cameras = [view_result.view.camera for view_result in result.results]
        self._accounts.statistics.add_published(durations_ms, cameras)

    def _views(
        self, moment: Moment, timings_ms: dict[str, float]
    ) -> tuple[Moment, tuple[View, ...]]:
        """Decode the images of a moment; those that cannot be used are dropped and leave it."""
        kept, views = [], []
        begin_s = time.perf_counter()
        for image in moment.images:
            if isinstance(image.item, TrackedFrame):
                view: View | Drop = image.item.view
            else:
                camera = self._cameras[image.camera]
                view = camera.view_or_drop(image.item.image, image.item.info)
            if isinstance(view, Drop):
                self._accounts.drop(view)
            else:
                kept.append(image)
                views.append(view)
        if any(isinstance(image.item, Frame) for image in moment.images):
            timings_ms['rectify'] = 1e3 * (time.perf_counter() - begin_s)
        return Moment(tuple(kept)), tuple(views)

    def _has_metric_poses(self) -> bool:
        """Return whether tracked poses are in metres, as extrinsics are."""
        return self._session.tracking is not None and self._session.tracking.scale.metric

    def _reconstruct(self, moment: Moment, views: tuple[View, ...]) -> Reconstruction | Drop:
        """Reconstruct the window that a moment completes; a new one where its stream is new."""
        if self._requested:
            self._requested = False
            self._session.restart(REQUESTED.reason, REQUESTED.text)
        tracked = moment.tracked
        if tracked is not None:
            if tracked.began is not None and tracked.began is not self._began:
                self._session.restart(tracked.began.reason, tracked.began.text)
            self._began = tracked.began
        return self._session.push(views)

    def _drop(self, moment: Moment, reason: DropReason, text: str = '') -> None:
        """Drop all images of a moment."""
        for drop in moment.drops(reason, text):
            self._accounts.drop(drop)

    def _on_error(self, moment: Moment, error: Exception) -> None:
        """Go on after an error that nobody has foreseen."""
        self._drop(moment, DropReason.BAD_OUTPUT, ''.join(traceback.format_exception(error)))
