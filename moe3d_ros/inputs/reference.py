"""Depth that another sensor has measured near the stamp of an image."""

from __future__ import annotations

from collections import deque
import threading
import time
from typing import NamedTuple

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import SideDropReason
from moe3d_engine.intake.measured.points import cloud_points
from moe3d_engine.intake.measured.points import DepthPoints
from moe3d_engine.intake.messages import beside_image
from moe3d_engine.intake.messages import is_rectified_topic
from moe3d_engine.intake.messages import stamp_ns as stamp_of
from moe3d_engine.intake.order import TIME_JUMP_NS
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.types import Float64Array
from moe3d_ros.camera import FollowingSubscription
from moe3d_ros.inputs.counts import InputCounts
from moe3d_ros.inputs.frames import Frames
from moe3d_ros.sync import Frame
from moe3d_ros.sync import StampPairing
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2

QUEUE_DEPTH = 10
KEPT = 8  # of the last measurements; images ask for the newest
MAX_OFFSET_NS = 50_000_000  # between image and measurement: half the period of a lidar at 10 Hz
TYPES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/PointCloud2': PointCloud2}
_SAME = np.eye(4)


class _Measured(NamedTuple):
    """Points of one message, (N, 3) in metres in the sensor's frame."""

    stamp_ns: int
    frame_id: str
    points: Float64Array


class ReferenceInput:
    """
    Takes depth images or clouds, whichever the topic holds.

    A depth image belongs to the camera_info of its stamp, which is beside it
    (`<namespace>/camera_info`): its own, or that of the camera where it lies on its pixels.

    Parameters
    ----------
    node : owns the subscriptions.
    topic : its name; subscribed to as soon as somebody publishes it, by his type.
    counts : is told of each message.
    camera_from_reference : (4, 4), the sensor's frame in that of the camera; None = by TF, unless
        it is the same.
    frames : TF, if there is one.
    info_timeout_s : how long a depth image waits for its camera_info.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        counts: InputCounts,
        camera_from_reference: Float64Array | None,
        frames: Frames | None,
        info_timeout_s: float,
    ) -> None:
        self._node = node
        self._topic: str = node.resolve_topic_name(topic)
        self._counts = counts
        self._camera_from_reference = camera_from_reference
        self._frames = frames
        self._mutex = threading.Lock()
        self._kept: deque[_Measured] = deque(maxlen=KEPT)
        self._subscriptions: list[FollowingSubscription] = []
        self._refused_types: set[str] = set()
        self._pairing = StampPairing(info_timeout_s, self._on_unpaired, camera='reference')
        rectified = is_rectified_topic(self._topic) or None
        self._depth_points = DepthPoints(rectified, node.get_logger().warning)
        self.check()

    def at(self, stamp_ns: int, camera_frame: str) -> ReferenceDepth | None:
        """Return the measurement next to a stamp, within 50 ms, in the camera's frame."""
        with self._mutex:
            nearest = min(self._kept, key=lambda m: abs(m.stamp_ns - stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - stamp_ns) > MAX_OFFSET_NS:
            return None
        camera_from_sensor = self._mount(camera_frame, nearest.frame_id)
        if camera_from_sensor is None:
            return None
        return ReferenceDepth(
            nearest.stamp_ns, transform_points(camera_from_sensor, nearest.points)
        )

    def check(self) -> None:
        """Subscribe once the type is known, then follow the publishers; once a second."""
        if not self._subscriptions:
            self._subscribe()
        for subscription in self._subscriptions:
            subscription.follow()
        self._pairing.expire(time.monotonic_ns())
        self._counts.check_silence(self.describe)

    def describe(self) -> str:
        """Return what is subscribed to, and who publishes it."""
        if not self._subscriptions:
            return f'{self._topic} (depth image or cloud): no publisher'
        return '; '.join(subscription.describe() for subscription in self._subscriptions)

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            subscription.destroy()

    def _subscribe(self) -> None:
        """Subscribe to what is published, if anything is."""
        offers = self._node.get_publishers_info_by_topic(self._topic)
        for name in sorted({offer.topic_type for offer in offers} - self._refused_types):
            if name not in TYPES:
                self._refused_types.add(name)
                self._node.get_logger().error(
                    f'scale.reference_topic {self._topic} holds {name}; expected is one of '
                    f'{", ".join(TYPES)}.'
                )
                continue
            inputs = [(PointCloud2, self._topic, self._take_cloud)]
            if TYPES[name] is Image:
                info_topic = beside_image(self._topic, 'camera_info')
                inputs = [
                    (CameraInfo, info_topic, self._take_info),
                    (Image, self._topic, self._take_image),
                ]
            self._subscriptions = [
                FollowingSubscription(self._node, *each, QUEUE_DEPTH, 'auto') for each in inputs
            ]
            self._node.get_logger().info(f'Reference depth: {self.describe()}')
            return

    # The executor's thread

    def _take_image(self, message: Image) -> None:
        """Take a depth image."""
        self._counts.add_received()
        self._keep_frame(self._pairing.add_image(message, time.monotonic_ns()))

    def _take_info(self, message: CameraInfo) -> None:
        """Take a camera_info."""
        self._keep_frame(self._pairing.add_info(message, time.monotonic_ns()))

    def _take_cloud(self, message: PointCloud2) -> None:
        """Take a cloud."""
        self._counts.add_received()
        try:
            points = cloud_points(message)
        except InputError as error:
            self._counts.drop(SideDropReason.BAD_DEPTH, str(error))
            return
        self._keep(_Measured(stamp_of(message), message.header.frame_id.lstrip('/'), points))

    def _keep_frame(self, frame: Frame | None) -> None:
        """Keep the points of a depth image."""
        if frame is None:
            return
        try:
            points = self._depth_points.points_of(frame.image, frame.info)
        except InputError as error:
            self._counts.drop(SideDropReason.BAD_DEPTH, str(error))
            return
        frame_id = frame.image.header.frame_id.lstrip('/')
        self._keep(_Measured(frame.stamp_ns, frame_id, points))

    def _keep(self, measured: _Measured) -> None:
        """Keep a measurement, if it is newer than the last."""
        with self._mutex:
            back_ns = self._kept[-1].stamp_ns - measured.stamp_ns if self._kept else -1
            if back_ns > TIME_JUMP_NS:
                self._kept.clear()
            elif back_ns >= 0:
                self._counts.drop(
                    SideDropReason.STALE_STAMP,
                    f'its stamp is {back_ns / 1e6:.1f} ms before the last one. Is there a second '
                    f'publisher on the topic?',
                )
                return
            self._kept.append(measured)

    def _on_unpaired(self, drop: Drop) -> None:
        """Count a depth image that has found no camera_info."""
        self._counts.drop(SideDropReason(drop.reason.value), drop.text)

    # The thread of those who ask

    def _mount(self, camera_frame: str, frame_id: str) -> Float64Array | None:
        """Return the transform from the sensor to the camera; None where nobody knows it."""
        if self._camera_from_reference is not None:
            return self._camera_from_reference
        if frame_id == camera_frame:
            return _SAME
        found = None if self._frames is None else self._frames.at(camera_frame, frame_id)
        if found is None:
            why = 'tf2_ros is not found' if self._frames is None else self._frames.problem
            self._counts.drop(
                SideDropReason.NO_EXTRINSICS,
                f'nobody says where its frame {frame_id!r} is in {camera_frame!r} ({why}). Set '
                f'scale.camera_from_reference.',
            )
        return found
