"""The publishers of depth: what is published of a view, and whether anybody listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moe3d_engine.clearing import clearing_points
from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.output_view import at_resolution
from moe3d_engine.geometry.output_view import OutputView
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.types import ViewResult
from moe3d_ros.outputs.merged import merged_values
from moe3d_ros.outputs.messages import to_camera_info
from moe3d_ros.outputs.messages import to_cloud
from moe3d_ros.outputs.messages import to_cloud_message
from moe3d_ros.outputs.messages import to_depth_image
from moe3d_ros.outputs.messages import to_image
from moe3d_ros.outputs.messages import to_stamp
from moe3d_ros.outputs.pose_messages import to_xyz_cloud
from moe3d_ros.outputs.publisher import create_output
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.topics import MERGED_POINTS
from moe3d_ros.topics import output_topics
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecyclePublisher
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header


class DepthOutputs:
    """
    The lifecycle publishers of all cameras.

    Relative depth has topics of its own, and nothing that claims metres is published beside it.

    Parameters
    ----------
    node : owns the publishers.
    config : names and formats.
    metric : whether depth will be metres.

    Raises
    ------
    ConfigError
        If relative depth is to be published in millimetres.
    """

    def __init__(self, node: LifecycleNode, config: NodeConfig, *, metric: bool) -> None:
        if not metric and config.depth_encoding != '32FC1':
            raise ConfigError(
                f'depth.encoding {config.depth_encoding} means millimetres, but depth is relative '
                f'with these weights and this scale.source. Use 32FC1, or scale.source fixed.'
            )
        self._node, self._metric = node, metric
        self.config = config
        self._last: dict[str, ViewResult] = {}
        self._cameras = {
            camera: _CameraOutputs(node, camera, metric=metric) for camera in config.rig.cameras
        }
        self._merged: LifecyclePublisher | None = None
        if metric and config.rig.merged:
            self._merged = create_output(node, PointCloud2, MERGED_POINTS)

    def configure(self, config: NodeConfig) -> None:
        """Use what may change at run time from the next view on; any thread may call it."""
        self.config = config

    def last_results(self) -> list[ViewResult]:
        """Return the last published view of each camera, where it is in metres."""
        return list(self._last.values()) if self._metric else []

    def wanted(self) -> bool:
        """Return whether anybody listens to any output."""
        if self._merged is not None and self._merged.get_subscription_count():
            return True
        return any(camera.wanted() for camera in self._cameras.values())

    def publish(self, result: ViewResult) -> None:
        """Publish a view to those who listen; all messages get stamp and frame of its image."""
        self._last[result.view.camera] = result
        self._cameras[result.view.camera].publish(result, self.config)

    def publish_merged(self, results: Sequence[ViewResult], rig: Rig, frame: str) -> None:
        """Publish the clouds of one moment as one, where somebody listens."""
        if self._merged is None or not self._merged.get_subscription_count():
            return
        config = self.config
        values = merged_values(results, rig, config.resolution, config.cloud)
        header = Header(stamp=to_stamp(results[0].view.stamp_ns), frame_id=frame)
        self._merged.publish(to_cloud_message(header, values, is_dense=True))

    def destroy(self) -> None:
        """Destroy the publishers; a second call does nothing."""
        for camera in self._cameras.values():
            camera.destroy()
        if self._merged is not None:
            self._node.destroy_lifecycle_publisher(self._merged)
        self._merged = None


class _CameraOutputs:
    """The lifecycle publishers of one camera."""

    def __init__(self, node: LifecycleNode, camera: str, *, metric: bool) -> None:
        self._node = node
        self._publishers: list[LifecyclePublisher] = []
        topics = output_topics(camera, metric=metric)
        self._depth = self._create(Image, topics.depth)
        self._info = self._create(CameraInfo, topics.camera_info)
        self._confidence = self._create(Image, topics.boundary_confidence)
        self._color = self._create(Image, topics.color)
        self._cloud = self._create(PointCloud2, topics.points) if metric else None
        self._clearing = self._create(PointCloud2, topics.points_clearing) if metric else None

    def wanted(self) -> bool:
        """Return whether anybody listens."""
        return any(publisher.get_subscription_count() for publisher in self._publishers)

    def publish(self, result: ViewResult, config: NodeConfig) -> None:
        """Publish a view to those who listen."""
        header = Header(stamp=to_stamp(result.view.stamp_ns), frame_id=result.view.frame_id)
        if any(p.get_subscription_count() for p in self._publishers if p is not self._clearing):
            self._publish_maps(header, at_resolution(result, config.resolution), config)
        if self._clearing is not None and self._clearing.get_subscription_count():
            thresholds = config.session.thresholds
            self._clearing.publish(to_xyz_cloud(header, clearing_points(result, thresholds)))

    def destroy(self) -> None:
        """Destroy the publishers; a second call does nothing."""
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())

    def _publish_maps(self, header: Header, maps: OutputView, config: NodeConfig) -> None:
        """Publish the maps of a view, and their cloud."""
        if self._info.get_subscription_count():
            self._info.publish(to_camera_info(header, maps.intrinsics, maps.depth.shape))
        if self._depth.get_subscription_count():
            self._depth.publish(to_depth_image(header, maps.depth, config.depth_encoding))
        if self._confidence.get_subscription_count():
            self._confidence.publish(to_image(header, maps.boundary_confidence, '32FC1'))
        if self._color.get_subscription_count():
            self._color.publish(to_image(header, maps.image, 'rgb8'))
        if self._cloud is not None and self._cloud.get_subscription_count():
            self._cloud.publish(to_cloud(header, maps, config.cloud))

    def _create(self, message_type: type[Any], topic: str) -> LifecyclePublisher:
        """Create a publisher, and remember it."""
        self._publishers.append(create_output(self._node, message_type, topic))
        return self._publishers[-1]
