"""The publishers of poses: odometry, pose, path, sparse points, scale and TF."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from geometry_msgs.msg import PoseWithCovarianceStamped
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale
from moe3d_engine.types import SparsePoints
from moe3d_ros.outputs.messages import to_stamp
from moe3d_ros.outputs.odom_frame import Motion
from moe3d_ros.outputs.odom_frame import OdomFrame
from moe3d_ros.outputs.odom_transform import OdomTransform
from moe3d_ros.outputs.pose_messages import to_odometry
from moe3d_ros.outputs.pose_messages import to_pose
from moe3d_ros.outputs.pose_messages import to_pose_with_covariance
from moe3d_ros.outputs.pose_messages import to_scale_report
from moe3d_ros.outputs.pose_messages import to_transform
from moe3d_ros.outputs.pose_messages import to_xyz_cloud
from moe3d_ros.outputs.publisher import create_output
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.topics import motion_topics
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

QUEUE_DEPTH = 30  # a second of images: a listener that is late for a moment misses no pose
MAX_PATH = 1000  # keyframes; older ones leave the path


class MotionOutputs:
    """
    The lifecycle publishers of one camera's poses, in the axes of REP 103.

    Nothing is published of poses that are not in metres but the scale, which says so. One thread
    publishes.

    Parameters
    ----------
    node : owns the publishers.
    config : names and frames.
    base_from_camera : (4, 4), the camera's optical frame on the robot's base; None = not known:
        then odometry is that of the camera.

    Raises
    ------
    ConfigError
        If TF is asked for and not installed.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: NodeConfig,
        base_from_camera: Float64Array | None = None,
    ) -> None:
        self._node = node
        self._camera = config.camera
        self._odom = config.odom_frame
        self._base = '' if base_from_camera is None else config.base_frame
        self._frame = OdomFrame(base_from_camera)
        self._keyframes: deque[PoseStamped] = deque(maxlen=MAX_PATH)
        self._told = DiagnosticArray()
        self._transform = OdomTransform(node) if config.publish_tf else None
        self._publishers: list[LifecyclePublisher] = []
        topics = motion_topics(config.camera)
        self._pose = self._create(PoseWithCovarianceStamped, topics.pose)
        self._odometry = self._create(Odometry, topics.odometry)
        self._path = self._create(Path, topics.path, 1)
        self._points = self._create(PointCloud2, topics.sparse_points, 1)
        self._scale = self._create(
            DiagnosticArray, topics.scale, 1, DurabilityPolicy.TRANSIENT_LOCAL
        )

    def wanted(self) -> bool:
        """Return whether anybody listens to a pose."""
        return self._transform is not None or any(
            publisher.get_subscription_count()
            for publisher in self._publishers
            if publisher is not self._scale
        )

    def publish(
        self, pose: TrackedPose, sparse_points: Callable[[int], SparsePoints | None]
    ) -> None:
        """
        Publish a pose to those who listen.

        Parameters
        ----------
        pose : of an image that is newer than all before.
        sparse_points : returns the points of an image by its stamp, if it has any; called only
            where somebody listens to them.
        """
        stamp = to_stamp(pose.stamp_ns)
        if not pose.scale.metric:
            return
        header = Header(stamp=stamp, frame_id=self._odom)
        camera, child = self._frame.motions(pose)
        child_frame = self._base or pose.frame_id
        is_lost = pose.status is TrackingStatus.LOST
        if self._transform is not None and not is_lost and child_frame:
            self._transform.send(to_transform(header, child_frame, child.odom_from_child))
        if self._odometry.get_subscription_count():
            self._odometry.publish(to_odometry(header, child_frame, child))
        if self._pose.get_subscription_count():
            self._pose.publish(to_pose_with_covariance(header, camera))
        if pose.is_keyframe and not is_lost:
            self._extend_path(header, child)
        if self._points.get_subscription_count():
            points = sparse_points(pose.stamp_ns)
            if points is not None:
                moved = transform_points(self._frame.odom_from_tracking, points.points_odom)
                self._points.publish(to_xyz_cloud(header, moved))

    def tell_scale(self, stamp_ns: int, scale: Scale) -> None:
        """Publish the scale where it says anything new; who comes later gets the last word."""
        report = to_scale_report(Header(stamp=to_stamp(stamp_ns)), scale, self._camera)
        if report.status != self._told.status:
            self._told = report
            self._scale.publish(report)

    def restart(self) -> None:
        """Begin a new path: poses of before have another odom."""
        self._keyframes.clear()

    def destroy(self) -> None:
        """Destroy the publishers; a second call does nothing."""
        if self._transform is not None:
            self._transform.destroy()
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())

    def _extend_path(self, header: Header, child: Motion) -> None:
        """Keep a keyframe and publish all that are kept."""
        self._keyframes.append(PoseStamped(header=header, pose=to_pose(child.odom_from_child)))
        if self._path.get_subscription_count():
            self._path.publish(Path(header=header, poses=list(self._keyframes)))

    def _create(
        self,
        message_type: type[Any],
        topic: str,
        depth: int = QUEUE_DEPTH,
        durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
    ) -> LifecyclePublisher:
        """Create a publisher, and remember it."""
        self._publishers.append(create_output(self._node, message_type, topic, depth, durability))
        return self._publishers[-1]
