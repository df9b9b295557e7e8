"""Poses that odometry gives, published in place of the tracked ones; vision checks them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.mapping.sightings import MAX_SIGHTINGS
from moe3d_engine.mapping.sparse_map import measured_motion
from moe3d_engine.tracking.odometry_frame import Odometry
from moe3d_engine.tracking.odometry_frame import OdometryFrame
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import View
import numpy as np


class GivenPoses:
    """
    Follows the odometry of a stream; its first pose is the origin of `odom`.

    An image whose stamp odometry does not know is lost.
    """

    def __init__(self) -> None:
        self._last: PosePrior | None = None
        self._stamp_ns = 0
        self._frame = OdometryFrame()
        self._poses: OrderedDict[int, Float64Array] = OrderedDict()

    def at(self, stamp_ns: int) -> Float64Array | None:
        """Return odom_from_cam (4, 4) of a recent image; None = not known."""
        return self._poses.get(stamp_ns)

    def follow(self, view: View, by_vision: TrackedPose) -> TrackedPose:
        """
        Return what is published of a view.

        Parameters
        ----------
        view : with its pose by odometry.
        by_vision : what the tracker says of it. Its text is kept: a disagreement of both, or why
            vision is lost.
        """
        elapsed_s = 0.0 if self._last is None else 1e-9 * (view.stamp_ns - self._stamp_ns)
        if view.pose is None:
            text = 'odometry knows no pose at the stamp of the image'
            return _in_place_of(by_vision, self._frame.hold(elapsed_s), TrackingStatus.LOST, text)
        moved = measured_motion(self._last, view.pose, 1.0)
        if moved is None:
            odometry = self._frame.hold(0.0)
        else:
            before_from_now = invert_rigid(moved.second_from_first)
            noise: Float64Array = np.diag(1.0 / np.diag(moved.information))
            odometry = self._frame.move(before_from_now, noise, elapsed_s)
        self._last, self._stamp_ns = view.pose, view.stamp_ns
        self._poses[view.stamp_ns] = odometry.odom_from_cam
        while len(self._poses) > MAX_SIGHTINGS:
            self._poses.popitem(last=False)
        return _in_place_of(by_vision, odometry, TrackingStatus.TRACKING, by_vision.text)


def _in_place_of(
    by_vision: TrackedPose, odometry: Odometry, status: TrackingStatus, text: str
) -> TrackedPose:
    """Return what is published of odometry in the place of what vision says."""
    return replace(
        by_vision,
        status=status,
        cam_from_odom=invert_rigid(odometry.odom_from_cam),
        covariance=odometry.covariance,
        velocity=odometry.velocity,
        velocity_covariance=odometry.velocity_covariance,
        text=text,
    )
