"""Poses from images: follow corners, place the camera by the map, make keyframes. Start here."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.mapping.flow import Corners
from moe3d_engine.mapping.flow import find_again
from moe3d_engine.mapping.flow import MIN_CORNERS
from moe3d_engine.mapping.flow import new_corners
from moe3d_engine.mapping.flow import NO_CORNERS
from moe3d_engine.mapping.flow import rematch
from moe3d_engine.mapping.mapper import Mapper
from moe3d_engine.mapping.sightings import Sighting
from moe3d_engine.mapping.sightings import Sightings
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.mapping.sparse_map import measured_motion
from moe3d_engine.mapping.sparse_map import PointState
from moe3d_engine.mapping.sparse_map import SparseMap
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.tracking.locate import place_before_map
from moe3d_engine.tracking.locate import place_by_map
from moe3d_engine.tracking.locate import turned_on
from moe3d_engine.tracking.odometry_frame import Odometry
from moe3d_engine.tracking.odometry_frame import OdometryFrame
from moe3d_engine.tracking.place import Located
from moe3d_engine.tracking.place import Place
from moe3d_engine.tracking.tracked_image import prepare
from moe3d_engine.tracking.tracked_image import TrackedImage
from moe3d_engine.tracking.tracked_image import why_not_tracked
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np

CONFIRMING = 2  # keyframes in succession that nothing contradicts, after a camera was found again
GIVE_UP_S = 1.0  # lost for so long, the camera is not looked for any more
MOVING = 'most of what is seen moves in another way than the pose: is an object in front?'
NEW_MAP = 'the camera was not found again, and its new map has not begun yet'
RESTART_BELOW = 60  # corners of the first keyframe, before the map has begun


class Tracker:
    """
    Follows a calibrated camera through the images of one stream.

    One thread calls `track` and `reset`; depth may come from any. The refinement of a keyframe
    runs in a thread of its own if `threaded`, else within `track`, which makes results repeatable.

    Parameters
    ----------
    scale : estimates the metres in a unit of the map; the tracker feeds it.
    threaded : whether refinement runs beside tracking.
    """

    def __init__(self, scale: ScaleEstimator, *, threaded: bool = False) -> None:
        self._scale = scale
        self._executor = ThreadPoolExecutor(1, 'moe3d_map') if threaded else None
        self._late: deque[tuple[int, ViewResult | ReferenceDepth]] = deque(maxlen=16)
        self._sightings = Sightings()
        self.reset()

    # Any thread

    def add_depth(self, result: ViewResult) -> None:
        """Take the network's depth of an image that has been tracked."""
        self._late.append((result.view.stamp_ns, result))

    def add_reference(self, reference: ReferenceDepth) -> None:
        """Take measured depth, which has the stamp of an image that has been tracked."""
        self._late.append((reference.stamp_ns, reference))

    def sighting(self, stamp_ns: int) -> Sighting | None:
        """Return what an image has seen; None = it was not tracked, or long ago."""
        return self._sightings.at(stamp_ns)

    def close(self) -> None:
        """End the thread of refinements."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    # The tracking thread

    def reset(self) -> None:
        """Forget everything; the next image is the origin of `odom`."""
        self._odometry = OdometryFrame()
        self._scale.restart()
        self._mapper: Mapper | None = None
        self._place: Place | None = None  # of the last image whose pose is known
        self._newest_keyframe: Place | None = None
        self._stamp_ns: int | None = None
        self._lost_since_ns: int | None = None
        self._covariance_before: Float64Array | None = None
        self._sightings.clear()

    def track(self, view: View) -> TrackedPose:
        """
        Return the pose of the next image.

        Parameters
        ----------
        view : calibrated, newer than the one before.

        Raises
        ------
        InputError
            If the view is not newer than the one before.
        """
        elapsed_s = 1e-9 * (view.stamp_ns - self._check_order(view.stamp_ns))
        why = why_not_tracked(view)
        if why:
            return self._lost(view, why, elapsed_s)
        image = prepare(view, None if self._place is None else self._place.image)
        if self._mapper is not None:
            self._mapper.adopt()
        self._take_late_depth()
        if self._place is None or self._mapper is None:
            self._begin_map(image)
            odometry = self._odometry.hold(0.0)
            return self._placed(odometry, is_keyframe=True)
        if image.prepared.gray.shape != self._place.image.prepared.gray.shape:
            self._give_up(image)
            return self._lost(view, 'the images have changed their shape', elapsed_s)
        found = self._locate(image, self._place)
        if found.place is None and self._newest_keyframe is not None and self._mapper.begun:
            found = self._relocate(image, self._newest_keyframe, found)
        if found.place is None:
            if found.near is not None and len(found.near.corners.pixels) >= MIN_CORNERS:
                self._place = found.near
            if view.stamp_ns - (self._lost_since_ns or view.stamp_ns) > 1e9 * GIVE_UP_S:
                self._give_up(image)
            return self._lost(view, found.why, elapsed_s)
        return self._follow_map(found.place, found.information)

    # Where the image is

    def _locate(self, image: TrackedImage, before: Place) -> Located:
        """Return where an image is that follows another one."""
        assert self._mapper is not None
        corners = find_again(before.image.prepared, image.prepared, before.corners)
        if not self._mapper.begun:
            unit_m = self._scale.scale.factor if self._scale.measures('odometry') else 1.0
            return place_before_map(self._mapper, image, corners, before, unit_m)
        was_lost = self._lost_since_ns is not None
        found = place_by_map(self._mapper, image, corners, before, was_lost=was_lost)
        if found.place is None and not was_lost:
            return turned_on(image, corners, before) or found
        return found

    def _relocate(self, image: TrackedImage, keyframe: Place, before: Located) -> Located:
        """Return where an image is that sees what a keyframe has seen; else `before`."""
        assert self._mapper is not None
        corners = rematch(keyframe.image.prepared, image.prepared, keyframe.corners)
        was_lost = self._lost_since_ns is not None
        found = place_by_map(self._mapper, image, corners, keyframe, was_lost=was_lost)
        return before if found.place is None else found

    # What follows from it

    def _follow_map(self, place: Place, information: Float64Array) -> TrackedPose:
        """Take over where the image is, and make it a keyframe where one is due."""
        assert self._mapper is not None
        assert self._place is not None
        if self._mapper.unit_known and self._lost_since_ns is not None:
            if self._covariance_before is not None:
                self._odometry.found_again(self._covariance_before)
            self._lost_since_ns = self._covariance_before = None
            self._mapper.num_clean = 0
        elif self._mapper.num_clean >= CONFIRMING:
            self._odometry.confirm()
        before = self._place
        odometry = self._odometry.advance(
            before.cam_from_map @ invert_rigid(place.cam_from_map),
            place.cam_from_map,
            place.reference,
            self._unit(),
            information,
            1e-9 * (place.image.view.stamp_ns - before.image.view.stamp_ns),
            self._mapper.doubt,
            1e-9 * (place.image.view.stamp_ns - self._mapper.clean_ns),
            self._way_std(before.image.view, place.image.view),
        )
        self._place = place
        is_keyframe = self._make_keyframe(place)
        return self._placed(odometry, is_keyframe=is_keyframe)

    def _way_std(self, before: View, now: View) -> float | None:
        """Return how surely odometry holds the way between two images; None = it does not."""
        assert self._mapper is not None
        if self._scale.scale.source != 'odometry' or self._mapper.disagreement:
            return None
        measured = measured_motion(before.pose, now.pose, 1.0)
        return None if measured is None else measured.way_std

    def _make_keyframe(self, place: Place) -> bool:
        """Make the present image a keyframe if one is due."""
        mapper, image = self._mapper, place.image
        assert mapper is not None
        if not mapper.is_due(place.cam_from_map, place.corners, image.width):
            return False
        if not mapper.begun and len(place.corners.pixels) < RESTART_BELOW:
            self._begin_map(image)
            return True
        corners = _with_new(image, place.corners, mapper.map)
        keyframe = _keyframe(image, corners, place.cam_from_map)
        if mapper.begun:
            mapper.add(keyframe)
        elif not mapper.begin(keyframe, image.width):
            return False
        self._place = self._newest_keyframe = Place(image, corners, keyframe, np.eye(4))
        return True

    def _begin_map(self, image: TrackedImage) -> None:
        """Begin a new map with an image, at the present place in `odom`."""
        sparse_map = SparseMap()
        corners = _with_new(image, NO_CORNERS, sparse_map)
        first = _keyframe(image, corners, np.eye(4))
        self._mapper = Mapper(first, sparse_map, self._scale, self._executor)
        self._odometry.begin_map(first, self._scale.scale.factor)
        self._place = self._newest_keyframe = Place(image, corners, first, np.eye(4))

    def _lost(self, view: View, why: str, elapsed_s: float) -> TrackedPose:
        """Say that the camera is lost."""
        if self._lost_since_ns is None:
            self._lost_since_ns, self._covariance_before = view.stamp_ns, self._odometry.covariance
        odometry = self._odometry.hold(elapsed_s)
        return self._pose_of(view, odometry, TrackingStatus.LOST, text=why)

    def _give_up(self, image: TrackedImage) -> None:
        """Begin a new map here: nobody will ever know where the camera went meanwhile."""
        self._covariance_before, self._lost_since_ns = None, image.view.stamp_ns
        self._begin_map(image)

    def _placed(self, odometry: Odometry, *, is_keyframe: bool) -> TrackedPose:
        """Return the pose of the present image, whose place is known."""
        assert self._mapper is not None
        assert self._place is not None
        status = TrackingStatus.TRACKING if self._mapper.unit_known else TrackingStatus.STARTING
        text = self._mapper.disagreement
        if self._mapper.doubt >= 1.0:
            status, text = TrackingStatus.LOST, MOVING
        if self._lost_since_ns is not None:
            status, text = TrackingStatus.LOST, NEW_MAP
        sighting = self._sighting(odometry)
        view = self._place.image.view
        self._sightings.add(view.stamp_ns, sighting)
        num_tracks = int(np.count_nonzero(sighting.placed))
        return self._pose_of(view, odometry, status, is_keyframe, num_tracks, text)

    def _pose_of(
        self,
        view: View,
        odometry: Odometry,
        status: TrackingStatus,
        is_keyframe: bool = False,
        num_tracks: int = 0,
        text: str = '',
    ) -> TrackedPose:
        """Return what is published of an image."""
        return TrackedPose(
            view.stamp_ns, view.camera, view.frame_id, status,
            invert_rigid(odometry.odom_from_cam), odometry.covariance, odometry.velocity,
            odometry.velocity_covariance, self._scale.scale, is_keyframe, num_tracks, text,
        )  # fmt: skip

    def _sighting(self, odometry: Odometry) -> Sighting:
        """Return what the present image sees of the map."""
        assert self._mapper is not None
        assert self._place is not None
        place, image = self._place, self._place.image
        known = self._mapper.map.points(place.corners.identities)
        depth = known.places @ place.cam_from_map[2, :3] + place.cam_from_map[2, 3]
        placed = (known.states == PointState.TRIANGULATED) & (depth > 0)
        return Sighting(
            self._mapper.map, place.corners, place.reference, place.cam_from_reference,
            image.intrinsics, image.source_from_tracked, image.prepared.gray.shape, placed, depth,
            odometry.odom_from_cam, self._unit().factor,
        )  # fmt: skip

    def _take_late_depth(self) -> None:
        """Use the depth that has come since the image before."""
        while self._late:
            stamp_ns, depth = self._late.popleft()
            sighting = self._sightings.at(stamp_ns)
            mapper = self._mapper
            if sighting is None or mapper is None or sighting.sparse_map is not mapper.map:
                continue
            if isinstance(depth, ReferenceDepth):
                mapper.take_reference(sighting, depth)
            elif (factor := mapper.take_depth(sighting, depth)) != 1.0:
                self._rescale(factor)

    def _rescale(self, factor: float) -> None:
        """Go on in a map whose unit has just become known."""
        assert self._place is not None
        assert self._newest_keyframe is not None
        self._place = self._place.rescaled(factor)
        self._newest_keyframe = self._newest_keyframe.rescaled(factor)
        self._sightings.clear()

    def _unit(self) -> Scale:
        """Return the scale of motions: a factor of 0 where the map's unit is not known yet."""
        known = self._mapper is not None and (self._mapper.unit_known or not self._mapper.begun)
        return self._scale.scale if known else replace(self._scale.scale, factor=0.0)

    def _check_order(self, stamp_ns: int) -> int:
        """Return the stamp of the image before; the first has none but its own."""
        before_ns = stamp_ns if self._stamp_ns is None else self._stamp_ns
        if self._stamp_ns is not None and stamp_ns <= before_ns:
            raise InputError(
                f'Images are tracked in the order of their stamps; {stamp_ns} ns came after '
                f'{before_ns} ns. Call reset where time has jumped back.'
            )
        self._stamp_ns = stamp_ns
        return before_ns


def _with_new(image: TrackedImage, corners: Corners, sparse_map: SparseMap) -> Corners:
    """Return the corners and new ones where the image has room for them."""
    found = new_corners(image.prepared, corners.pixels)
    identities = sparse_map.new_identities(len(found))
    return Corners(
        np.concatenate([corners.identities, identities]), np.concatenate([corners.pixels, found])
    )


def _keyframe(image: TrackedImage, corners: Corners, cam_from_map: Float64Array) -> Keyframe:
    """Return an image as the map remembers it."""
    return Keyframe(
        image.view.stamp_ns, cam_from_map, corners.identities, corners.pixels.astype(np.float64),
        image.intrinsics, image.view.pose,
    )  # fmt: skip
