"""Tracking of a stream: what may come in any order and any state, in front of the tracker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.intake.order import why_stale
from moe3d_engine.network import timed
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.tracking.given_poses import GivenPoses
from moe3d_engine.tracking.tracker import Tracker
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import Scale
from moe3d_engine.types import SparsePoints
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult

POSE_SOURCES = ('tracking', 'odometry')
TRACKED = 'tracking'  # source of the poses that tracking has given to views


@dataclass(frozen=True, slots=True, eq=False)
class TrackedView:
    """
    A view that has been tracked.

    Parameters
    ----------
    view : knows its pose, where that is known.
    pose : what tracking says of it.
    timings_ms : duration of each stage.
    """

    view: View
    pose: TrackedPose
    timings_ms: dict[str, float] = field(default_factory=dict)


class StreamTracker:
    """
    Tracks the images of a camera: checks their order, begins anew where time jumps back.

    One thread calls `track_frame`, `track` and `reset`, any thread the others.

    Parameters
    ----------
    scale, threaded : as Tracker's.
    poses : one of POSE_SOURCES; with `odometry` the poses are those of the views, and vision only
        checks them.
    """

    def __init__(self, scale: ScaleEstimator, poses: str, *, threaded: bool) -> None:
        self._estimator = scale
        self._tracker = Tracker(scale, threaded=threaded)
        self._given = GivenPoses() if poses == 'odometry' else None
        self._newest_ns: int | None = None
        self._camera: str | None = None  # whose images these are

    def track_frame(
        self, camera: CameraIntake, image: Message, info: Message, prior: PosePrior | None = None
    ) -> TrackedView | Drop:
        """
        Decode and rectify an image, and track it.

        Parameters
        ----------
        camera, image, info : as in Session.push_frame.
        prior : pose of the camera by odometry, if it is known.

        Returns
        -------
        The view, which knows its pose unless it is lost, or the Drop that says what is wrong.
        """
        stamp = stamp_ns(image)
        stale = self._check_order(stamp)
        if stale:
            return Drop(DropReason.STALE_STAMP, stamp, stale, camera.camera)
        timings_ms: dict[str, float] = {}
        with timed(timings_ms, 'rectify'):
            view = camera.view_or_drop(image, info)
        if isinstance(view, Drop):
            return view
        tracked = self.track(replace(view, pose=prior))
        if isinstance(tracked, TrackedView):
            tracked.timings_ms.update(timings_ms)
        return tracked

    def track(self, view: View) -> TrackedView | Drop:
        """Track a view, which may have a pose by odometry; the same result as `track_frame`."""
        stale = self._check_order(view.stamp_ns)
        if stale:
            return Drop(DropReason.STALE_STAMP, view.stamp_ns, stale, view.camera)
        timings_ms: dict[str, float] = {}
        with timed(timings_ms, 'track'):
            pose = self._tracker.track(view)
            if self._given is not None:
                pose = self._given.follow(view, pose)
        self._newest_ns, self._camera = view.stamp_ns, view.camera
        known = pose.status is TrackingStatus.TRACKING
        if pose.status is TrackingStatus.STARTING:
            known = pose.is_keyframe  # the origin of its map, which is where it is by definition
        prior = PosePrior(pose.cam_from_odom, TRACKED) if known else None
        return TrackedView(replace(view, pose=prior), pose, timings_ms)

    def reset(self) -> None:
        """Forget the map; the next image is the origin of `odom`."""
        self._newest_ns = None
        self._tracker.reset()
        if self._given is not None:
            self._given = GivenPoses()

    @property
    def scale(self) -> Scale:
        """The scale of the poses, as it is known now."""
        return self._estimator.scale

    def set_scale_factor(self, factor: float) -> None:
        """Replace the factor of a fixed scale; it acts on what follows."""
        self._estimator.set_factor(factor)

    def follows(self, view: View) -> bool:
        """Return whether a view is of the camera that is tracked: a rig has others."""
        return view.camera == self._camera

    def add_depth(self, result: ViewResult) -> None:
        """Take the network's depth of an image of the tracked camera; of others it is left."""
        if not self.follows(result.view):
            return
        self._tracker.add_depth(result)

    def add_reference(self, reference: ReferenceDepth) -> None:
        """Take measured depth that has the stamp of a tracked image."""
        self._tracker.add_reference(reference)

    def sparse_points(self, stamp: int) -> SparsePoints | None:
        """Return the points that a tracked image sees; None = it was not, or long ago."""
        sighting = self._tracker.sighting(stamp)
        if sighting is None or sighting.factor == 0.0:  # its unit is not known
            return None
        return sighting.sparse_points(None if self._given is None else self._given.at(stamp))

    def cam_from_map(self, stamps: Sequence[int]) -> list[Float64Array | None]:
        """
        Return the poses (4, 4) of tracked images in the map of the last one, as it is now.

        They are refined after they were published, so they differ a little from those in `odom`,
        and are better relative to each other. Translations are in the published unit. None where
        an image was not tracked in that map, or its unit is not known.

        Parameters
        ----------
        stamps : of the images, the newest last.
        """
        sightings = [self._tracker.sighting(stamp) for stamp in stamps]
        newest = sightings[-1]
        if newest is None or newest.factor == 0.0:
            return [None] * len(stamps)
        poses: list[Float64Array | None] = []
        for sighting in sightings:
            if sighting is None or sighting.sparse_map is not newest.sparse_map:
                poses.append(None)
                continue
            pose = sighting.cam_from_map.copy()
            pose[:3, 3] *= newest.factor
            poses.append(pose)
        return poses

    def close(self) -> None:
        """End the tracker's thread."""
        self._tracker.close()

    def _check_order(self, stamp: int) -> str:
        """Say what is wrong with a stamp that is not newer; begin anew where time has jumped."""
        if self._newest_ns is None:
            return ''
        stale = why_stale(stamp, self._newest_ns)
        if stale is None:
            self.reset()
        return stale or ''
