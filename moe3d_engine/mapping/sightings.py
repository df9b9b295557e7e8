"""What was seen of the map in recent images, for depth that comes later."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import lift_pixels
from moe3d_engine.geometry.points import move_pixels
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.mapping.flow import Corners
from moe3d_engine.mapping.sparse_map import Keyframe
from moe3d_engine.mapping.sparse_map import SparseMap
from moe3d_engine.types import Float64Array
from moe3d_engine.types import SparsePoints
import numpy as np
from numpy.typing import NDArray

MAX_SIGHTINGS = 90  # 3 s at 30 Hz: depth that is later than this is not used


class Sighting(NamedTuple):
    """
    An image and what it sees.

    Parameters
    ----------
    sparse_map : in which the corners have their identities.
    corners : all that it sees.
    reference : keyframe of the map that the pose is relative to.
    cam_from_reference : (4, 4).
    intrinsics : (3, 3) in pixels of the tracked image.
    source_from_tracked : (3, 3) from its pixels to those of the view.
    image_hw : size of the tracked image.
    placed : (N,) bool, corners whose place in the map was triangulated.
    depth : (N,) along z, in the unit of the map.
    odom_from_cam : (4, 4) as published.
    factor : published unit per unit of the map.
    """

    sparse_map: SparseMap
    corners: Corners
    reference: Keyframe
    cam_from_reference: Float64Array
    intrinsics: Float64Array
    source_from_tracked: Float64Array
    image_hw: tuple[int, int]
    placed: NDArray[np.bool_]
    depth: Float64Array
    odom_from_cam: Float64Array
    factor: float

    @property
    def cam_from_map(self) -> Float64Array:
        """The pose in the map as it is now."""
        return self.cam_from_reference @ self.reference.cam_from_map

    def source_pixels(self) -> Float64Array:
        """Return where the corners are on the view's own pixels (N, 2)."""
        return move_pixels(self.corners.pixels, self.source_from_tracked)

    def sparse_points(self, odom_from_cam: Float64Array | None = None) -> SparsePoints:
        """Return the triangulated points that the image sees; by its own pose, or another one."""
        pose = self.odom_from_cam if odom_from_cam is None else odom_from_cam
        depth = self.depth[self.placed] * self.factor
        points_cam = lift_pixels(self.corners.pixels[self.placed], depth, self.intrinsics)
        points_odom = transform_points(pose, points_cam)
        return SparsePoints(self.source_pixels()[self.placed], depth, points_odom)

    def map_from_cam(self) -> Float64Array:
        """Return the pose in the map as it is now, the other way round."""
        return invert_rigid(self.cam_from_map)


class Sightings:
    """The sightings of the last images by their stamps; any thread may ask for one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_stamp: OrderedDict[int, Sighting] = OrderedDict()

    def add(self, stamp_ns: int, sighting: Sighting) -> None:
        """Remember an image, and forget the oldest one."""
        with self._lock:
            self._by_stamp[stamp_ns] = sighting
            while len(self._by_stamp) > MAX_SIGHTINGS:
                self._by_stamp.popitem(last=False)

    def at(self, stamp_ns: int) -> Sighting | None:
        """
        Return what the image of a stamp has seen; None = it was not tracked, or long ago.

        What is asked for stays longer than what is not: a keyframe of the network's window may be
        older than all images of the last seconds.
        """
        with self._lock:
            if stamp_ns in self._by_stamp:
                self._by_stamp.move_to_end(stamp_ns)
            return self._by_stamp.get(stamp_ns)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._by_stamp.clear()
