"""The thread of poses: tracks every image and publishes where its camera was, at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
import time
import traceback

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import Restart
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.intake.order import why_stale
from moe3d_engine.rig.moments import Arrived
from moe3d_engine.tracking.stream import StreamTracker
from moe3d_engine.tracking.stream import TrackedView
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import View
from moe3d_ros.outputs.motion import MotionOutputs
from moe3d_ros.resources import Resources
from moe3d_ros.side_inputs import SideInputs
from moe3d_ros.sync import Frame
from moe3d_ros.sync import LatestWorker
from moe3d_ros.threads.accounts import Accounts

ROOM = 10  # images that wait: a third of a second at 30 Hz
ODOMETRY_WAIT_S = 0.1  # for odometry of the image's stamp, at most
REFERENCE_WAIT_NS = 60_000_000  # of stamps, until measured depth of an image has come


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """
    A tracked image on its way to depth.

    Parameters
    ----------
    view : knows its pose, where that is known.
    received_ns : when the image arrived, on the monotonic clock.
    began : what its stream began with: poses of another one have another `odom`; None = the first.
    """

    view: View
    received_ns: int
    began: Restart | None

    @property
    def stamp_ns(self) -> int:
        """Return the stamp of the image."""
        return self.view.stamp_ns


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """
    Images that were taken together.

    Parameters
    ----------
    images : one per camera, as they came or tracked; the leading one first.
    """

    images: tuple[Arrived[Frame | TrackedFrame], ...]

    @classmethod
    def of(cls, camera: str, frame: Frame | TrackedFrame) -> Moment:
        """Return the moment of a single image."""
        return cls((Arrived(camera, frame.stamp_ns, frame),))

    @property
    def stamp_ns(self) -> int:
        """Return the stamp of the leading image."""
        return self.images[0].stamp_ns

    @property
    def received_ns(self) -> int:
        """Return when its last image arrived, on the monotonic clock."""
        return max(image.item.received_ns for image in self.images)

    @property
    def tracked(self) -> TrackedFrame | None:
        """Return the image that has been tracked, if it is among them."""
        items = (image.item for image in self.images)
        return next((item for item in items if isinstance(item, TrackedFrame)), None)

    def drops(self, reason: DropReason, text: str = '') -> list[Drop]:
        """Return a drop of each of its images."""
        return [Drop(reason, image.stamp_ns, text, image.camera) for image in self.images]


class PoseThread:
    """
    Decodes and tracks images in their order, publishes their poses, and hands them on to depth.

    Where it cannot keep up, the oldest image that waits is dropped. While nobody listens to
    anything, it drops all and forgets its map.

    Parameters
    ----------
    tracking : of the session.
    camera : decodes images.
    side_inputs : odometry and measured depth.
    resources, motion : the publishers, of depth and of poses.
    accounts : counts what happens.
    hand_on : takes tracked images.
    """

    def __init__(
        self,
        tracking: StreamTracker,
        camera: CameraIntake,
        side_inputs: SideInputs,
        resources: Resources,
        motion: MotionOutputs,
        accounts: Accounts,
        hand_on: Callable[[TrackedFrame], None],
    ) -> None:
        self._tracking, self._camera, self._side_inputs = tracking, camera, side_inputs
        self._resources, self._motion = resources, motion
        self._accounts, self._hand_on = accounts, hand_on
        self._began: Restart | None = None
        self._requested = False
        self._newest_ns: int | None = None  # None: there is nothing to forget
        self._no_reference: deque[View] = deque()  # whose measured depth may still come
        self._worker = LatestWorker(self._process, self._on_error, 'moe3d_tracking', ROOM)
        self._worker.start()

    # Any thread

    def submit(self, frame: Frame) -> None:
        """Hand over an image."""
        replaced = self._worker.submit(frame)
        if replaced is not None:
            self._accounts.drop_untracked(self._drop(DropReason.TRACKING_BUSY, replaced.stamp_ns))

    def reset(self) -> None:
        """Begin a new map and a new path with the next image."""
        self._requested = True

    def stop(self, timeout_s: float) -> None:
        """
        Let the running image be tracked and published, and end the thread.

        Raises
        ------
        TimeoutError
            If it does not end in time.
        """
        for left in self._worker.stop(timeout_s):
            self._accounts.drop_untracked(self._drop(DropReason.TRACKING_BUSY, left.stamp_ns))

    # Its own thread

    def _process(self, frame: Frame) -> None:
        """Track an image, publish its pose, and hand it on where its depth is wanted."""
        depth_wanted = self._resources.outputs.wanted()
        if not depth_wanted and not self._motion.wanted():
            self._begin_anew(RestartReason.NO_SUBSCRIBER)
            self._accounts.drop_untracked(self._drop(DropReason.NO_SUBSCRIBER, frame.stamp_ns))
            return
        self._begin_anew_where_due(frame.stamp_ns)
        tracked = self._track(frame)
        if isinstance(tracked, Drop):
            self._accounts.drop_untracked(tracked)
            return
        if self._accounts.closed:
            return
        self._publish(frame, tracked)
        self._hear_references(tracked.view)
        if depth_wanted or _needs_depth(tracked):
            self._hand_on(TrackedFrame(tracked.view, frame.received_ns, self._began))
        else:
            self._accounts.drop(self._drop(DropReason.NO_SUBSCRIBER, frame.stamp_ns))

    def _track(self, frame: Frame) -> TrackedView | Drop:
        """Decode and track an image, with the odometry of its stamp."""
        prior = self._side_inputs.prior_at(
            frame.stamp_ns, frame.image.header.frame_id.lstrip('/'), ODOMETRY_WAIT_S
        )
        return self._tracking.track_frame(self._camera, frame.image, frame.info, prior)

    def _publish(self, frame: Frame, tracked: TrackedView) -> None:
        """Publish the pose of an image, and count it."""
        self._newest_ns = frame.stamp_ns
        pose = tracked.pose
        held_back = not self._resources.config.session.scale.releases(pose.scale)
        self._motion.tell_scale(pose.stamp_ns, pose.scale)
        if not held_back:
            self._motion.publish(pose, self._tracking.sparse_points)
        durations_ms = {f'{stage}_ms': ms for stage, ms in tracked.timings_ms.items()}
        durations_ms['pose_latency_ms'] = (time.monotonic_ns() - frame.received_ns) / 1e6
        self._accounts.statistics.add_tracked(pose.status, durations_ms, held_back=held_back)

    def _hear_references(self, view: View) -> None:
        """Give tracking the measured depth of images whose neighbours must have come by now."""
        self._no_reference.append(view)
        while view.stamp_ns - self._no_reference[0].stamp_ns >= REFERENCE_WAIT_NS:
            earlier = self._no_reference.popleft()
            reference = self._side_inputs.reference_at(earlier.stamp_ns, earlier.frame_id)
            if reference is not None:
                self._tracking.add_reference(replace(reference, stamp_ns=earlier.stamp_ns))

    def _begin_anew_where_due(self, stamp_ns: int) -> None:
        """Begin anew where somebody has asked for it, or time has jumped back."""
        if self._requested:
            self._requested = False
            self._begin_anew(RestartReason.REQUESTED, 'Asked to begin anew: poses start at 0.')
        if self._newest_ns is not None and why_stale(stamp_ns, self._newest_ns) is None:
            back_s = (self._newest_ns - stamp_ns) / 1e9
            text = f'Stamps went back by {back_s:.1f} s: tracking and the window begin anew.'
            self._begin_anew(RestartReason.TIME_JUMPED, text)

    def _begin_anew(self, reason: RestartReason, text: str = '') -> None:
        """Forget the map and the path; depth does the same when it meets the next image."""
        if self._newest_ns is None:
            return
        self._newest_ns = None
        self._no_reference.clear()
        self._tracking.reset()
        self._motion.restart()
        self._began = Restart(reason, text)
        self._accounts.restart_tracking(self._began)

    def _drop(self, reason: DropReason, stamp_ns: int, text: str = '') -> Drop:
        """Return the drop of an image of the tracked camera."""
        return Drop(reason, stamp_ns, text, self._camera.camera)

    def _on_error(self, frame: Frame, error: Exception) -> None:
        """Go on, with a new map, after an error that nobody has foreseen."""
        text = ''.join(traceback.format_exception(error))
        self._accounts.drop_untracked(self._drop(DropReason.BAD_OUTPUT, frame.stamp_ns, text))
        self._begin_anew(RestartReason.BAD_OUTPUT)


def _needs_depth(tracked: TrackedView) -> bool:
    """Return whether tracking itself needs an image's depth: it gives a map its unit."""
    return tracked.pose.is_keyframe or tracked.pose.status is not TrackingStatus.TRACKING
