"""Stand-ins for the node and its consumers, with the consumers' parameters and rules."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import TYPE_CHECKING

from geometry_msgs.msg import TransformStamped
from moe3d_ros.topics import motion_topics
from moe3d_ros.topics import output_topics
from nav_msgs.msg import Odometry
import numpy as np
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import LaserScan
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField

if TYPE_CHECKING:
    from rclpy.context import Context

FRAME = 'camera_optical'
CAMERA_HEIGHT_M = 1.0
WIDTH, HEIGHT = 4, 3
PERIOD_S = 0.1
# x right, y down, z forward: a table at 2 m and a wall at 8 m.
SURFACES = np.array([[0.0, 0.5, 2.0], [0.0, -0.5, 8.0], [np.nan] * 3], np.float32)
FREE = np.array([[1.0, -5.0, 40.0], [0.0, 6.0, 40.0]], np.float32)
COSTMAP_DEFAULTS = {  # of a source, as nav2_costmap_2d declares them
    'data_type': 'LaserScan',
    'sensor_frame': '',
    'observation_persistence': 0.0,
    'expected_update_rate': 0.0,
    'min_obstacle_height': 0.0,
    'max_obstacle_height': 0.0,
    'inf_is_valid': False,
    'marking': True,
    'clearing': False,
    'obstacle_max_range': 2.5,
    'obstacle_min_range': 0.0,
    'raytrace_max_range': 3.0,
    'raytrace_min_range': 0.0,
}


class DoubleNode(Node):
    """A node in a context that declares what it is given."""

    def __init__(
        self, name: str, context: Context, parameters: Mapping[str, object], namespace: str = ''
    ) -> None:
        given = [Parameter(key, value=value) for key, value in parameters.items()]
        super().__init__(
            name,
            context=context,
            namespace=namespace,
            use_global_arguments=False,
            parameter_overrides=given,
            automatically_declare_parameters_from_overrides=True,
        )

    def value(self, name: str, default: object) -> object:
        """Return a parameter; declare it with its default where it was not given."""
        if not self.has_parameter(name):
            self.declare_parameter(name, default)
        return self.get_parameter(name).value


class Moe3d(DoubleNode):
    """Publishes what the node publishes, ten times a second."""

    def __init__(self, context: Context) -> None:
        super().__init__('moe3d', context, {'tf.publish': False})
        topics = output_topics('camera', metric=True, node='/moe3d')
        odometry = motion_topics('camera', node='/moe3d').odometry
        self._senders = {
            name: self.create_publisher(kind, name, 1)
            for name, kind in (
                (topics.depth, Image),
                (topics.color, Image),
                (topics.camera_info, CameraInfo),
                (topics.points, PointCloud2),
                (topics.points_clearing, PointCloud2),
                (odometry, Odometry),
            )
        }
        self.create_timer(PERIOD_S, self._send)

    def _send(self) -> None:
        now = self.get_clock().now().to_msg()
        for name, sender in self._senders.items():
            message = sender.msg_type()
            message.header.stamp, message.header.frame_id = now, FRAME
            if sender.msg_type in (Image, CameraInfo):
                message.width, message.height = WIDTH, HEIGHT
            if sender.msg_type is Image:
                message.encoding = 'rgb8' if 'color' in name else '32FC1'
            if sender.msg_type is PointCloud2:
                fill(message, FREE if name.endswith('_clearing') else SURFACES)
            if sender.msg_type is Odometry:
                message.header.frame_id, message.child_frame_id = 'odom', 'base_link'
                message.pose.covariance[::7] = message.twist.covariance[::7] = [0.01] * 6
            sender.publish(message)


def fill(message: PointCloud2, points: np.ndarray) -> None:
    message.height, message.width = 1, len(points)
    message.point_step, message.row_step = 12, points.nbytes
    message.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate('xyz')
    ]
    message.data = points.tobytes()


def xyz(message: PointCloud2) -> np.ndarray:
    return np.frombuffer(bytes(message.data), np.float32).reshape(-1, 3)


class Costmap(DoubleNode):
    """A costmap whose camera looks forward: what its sources mark and what they clear."""

    def __init__(
        self, context: Context, parameters: Mapping[str, object], name: str = 'local_costmap'
    ) -> None:
        super().__init__(name, context, parameters, namespace=f'/{name}')
        self.marked = 0
        self.cleared_m = 0.0  # the longest ray
        for layer in self.value('plugins', ['']):
            if layer == 'inflation_layer':
                continue
            for source in str(self.value(f'{layer}.observation_sources', '')).split():
                self._add(layer, source)

    def _add(self, layer: str, source: str) -> None:
        prefix = f'{layer}.{source}'
        values = {key: self.value(f'{prefix}.{key}', d) for key, d in COSTMAP_DEFAULTS.items()}
        kind = PointCloud2 if values['data_type'] == 'PointCloud2' else LaserScan
        self.create_subscription(
            kind,
            str(self.value(f'{prefix}.topic', source)),
            lambda message: self._take(message, values, layer),
            qos_profile_sensor_data,
        )

    def _take(self, message: PointCloud2, source: Mapping[str, object], layer: str) -> None:
        """Keep what is between the heights (NaN is not), then clear and mark."""
        points = xyz(message)
        up_m = CAMERA_HEIGHT_M - points[:, 1]
        kept = (up_m >= source['min_obstacle_height']) & (up_m <= source['max_obstacle_height'])
        range_m = np.linalg.norm(points[kept], axis=1)
        if source['clearing'] and len(range_m):
            reached_m = np.minimum(range_m, source['raytrace_max_range']).max()
            self.cleared_m = max(self.cleared_m, float(reached_m))
        if source['marking']:
            low, high = (
                self.value(f'{layer}.{end}_obstacle_height', default)
                for end, default in (('min', 0.0), ('max', 2.0))
            )
            near = range_m < source['obstacle_max_range']
            self.marked += int((near & (up_m[kept] >= low) & (up_m[kept] <= high)).sum())


class Octomap(DoubleNode):
    """An octomap_server: points within the range occupy their end, others are only free."""

    def __init__(self, context: Context, parameters: Mapping[str, object], topic: str) -> None:
        super().__init__('octomap_server', context, parameters)
        self.occupied_m: set[float] = set()  # ranges
        self._max_range_m = float(str(self.value('sensor_model.max_range', -1.0)))
        self.value('frame_id', 'map')
        self.create_subscription(PointCloud2, topic, self._take, qos_profile_sensor_data)

    def _take(self, message: PointCloud2) -> None:
        for range_m in np.linalg.norm(xyz(message), axis=1).tolist():
            is_near = self._max_range_m < 0 or range_m <= self._max_range_m
            if is_near and not math.isnan(range_m):
                self.occupied_m.add(round(range_m, 3))


class Rtabmap(DoubleNode):
    """An rtabmap that hears odometry with a profile of its own."""

    def __init__(self, context: Context, topic: str, profile: QoSProfile) -> None:
        parameters = {'subscribe_depth': True, 'approx_sync': True, 'frame_id': 'base_link'}
        super().__init__('rtabmap', context, parameters)
        self.count = 0
        self.create_subscription(Odometry, topic, self._take, profile)

    def _take(self, message: Odometry) -> None:
        self.count += 1


class Transforms(DoubleNode):
    """Sends base_link -> the camera once, and odom -> base_link for some time ago."""

    def __init__(self, context: Context, late_s: int = 0) -> None:
        from tf2_msgs.msg import TFMessage

        super().__init__('transforms', context, {})
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._static = self.create_publisher(TFMessage, '/tf_static', latched)
        self._static.publish(TFMessage(transforms=[self._transform('base_link', FRAME, 0)]))
        sender = self.create_publisher(TFMessage, '/tf', 100)

        def send() -> None:
            moving = self._transform('odom', 'base_link', late_s)
            sender.publish(TFMessage(transforms=[moving]))

        self.create_timer(0.05, send)

    def _transform(self, parent: str, child: str, late_s: int) -> TransformStamped:
        made = TransformStamped(child_frame_id=child)
        made.header.frame_id = parent
        made.header.stamp = self.get_clock().now().to_msg()
        made.header.stamp.sec -= late_s
        made.transform.rotation.w = 1.0
        return made
