"""A bag of outputs that keep all rules: a robot that drives a bend, with depth and cloud."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.geometry.cameras import quaternion_from_rotation
import numpy as np
from numpy.typing import NDArray
import pytest

pytest.importorskip('rosbags')

from moe3d_ros.tools.bags.writer import BagWriter
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

Message = Any
Array = NDArray[np.float64]
Outputs = dict[str, list[Message]]

STORE = get_typestore(Stores.LATEST)
FIRST_NS, PERIOD_NS = 1_800_000_000_000_000_000, 100_000_000
NUM_MESSAGES = 20
HEIGHT, WIDTH = 3, 4
SPEED_M_S, YAW_RATE_RAD_S = 0.5, 1.0
DEPTH = np.array([[1, 2, np.nan, 4], [1, np.inf, 3, 4], [1, 2, 3, 4]], np.float32)
TYPES = {
    '/moe3d/odometry': 'nav_msgs/msg/Odometry',
    '/moe3d/path': 'nav_msgs/msg/Path',
    '/moe3d/scale': 'diagnostic_msgs/msg/DiagnosticArray',
    '/moe3d/camera/pose': 'geometry_msgs/msg/PoseWithCovarianceStamped',
    '/moe3d/camera/depth/image_rect': 'sensor_msgs/msg/Image',
    '/moe3d/camera/depth/camera_info': 'sensor_msgs/msg/CameraInfo',
    '/moe3d/camera/boundary_confidence': 'sensor_msgs/msg/Image',
    '/moe3d/camera/color/image_rect': 'sensor_msgs/msg/Image',
    '/moe3d/camera/points': 'sensor_msgs/msg/PointCloud2',
    '/moe3d/camera/points_clearing': 'sensor_msgs/msg/PointCloud2',
    '/tf': 'tf2_msgs/msg/TFMessage',
}


def new(type_name: str, *values: object, **named: object) -> Message:
    return STORE.types[type_name](*values, **named)


def header(stamp_ns: int, frame_id: str) -> Message:
    stamp = new('builtin_interfaces/msg/Time', *divmod(stamp_ns, 1_000_000_000))
    return new('std_msgs/msg/Header', stamp, frame_id)


def vector(values: Array, kind: str = 'Vector3') -> Message:
    return new(f'geometry_msgs/msg/{kind}', *map(float, values))


def place(time_s: float) -> tuple[Array, Array]:
    """Return position and rotation of a robot that has driven a bend for a time."""
    yaw, radius = YAW_RATE_RAD_S * time_s, SPEED_M_S / YAW_RATE_RAD_S
    sine, cosine = np.sin(yaw), np.cos(yaw)
    position = radius * np.array([sine, 1.0 - cosine, 0.0])
    return position, np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


def with_covariance(time_s: float) -> Message:
    position, rotation = place(time_s)
    turn = new('geometry_msgs/msg/Quaternion', *quaternion_from_rotation(rotation).tolist())
    pose = new('geometry_msgs/msg/Pose', vector(position, 'Point'), turn)
    return new('geometry_msgs/msg/PoseWithCovariance', pose, 1e-3 * np.eye(6).ravel())


def image(head: Message, pixels: NDArray[Any], encoding: str) -> Message:
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    shape = pixels.shape[:2]
    return new('sensor_msgs/msg/Image', head, *shape, encoding, 0, data.shape[1], data.ravel())


def cloud(head: Message) -> Message:
    names = ('x', 'y', 'z', 'confidence')
    fields = [new('sensor_msgs/msg/PointField', n, 4 * i, 7, 1) for i, n in enumerate(names)]
    points = np.full((HEIGHT, WIDTH, 4), 0.5, np.float32)
    points[~np.isfinite(DEPTH), :3] = np.nan
    data = points.view(np.uint8).ravel()
    return new(
        'sensor_msgs/msg/PointCloud2', head, HEIGHT, WIDTH, fields, False, 16, 16 * WIDTH, data,
        False,
    )  # fmt: skip


def info(head: Message) -> Message:
    k = np.array([[5.0, 0, 1.5], [0, 5.0, 1.0], [0, 0, 1]])
    p = np.hstack([k, np.zeros((3, 1))])
    return new(
        'sensor_msgs/msg/CameraInfo', head, HEIGHT, WIDTH, 'plumb_bob', np.zeros(0), k.ravel(),
        np.eye(3).ravel(), p.ravel(), 0, 0,
        new('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False),
    )  # fmt: skip


def scale(head: Message) -> Message:
    values = {'factor': '1.02', 'std': '0.01', 'source': 'odometry', 'state': 'locked'}
    pairs = [new('diagnostic_msgs/msg/KeyValue', key, value) for key, value in values.items()]
    status = new('diagnostic_msgs/msg/DiagnosticStatus', 0, 'camera: scale', '', '', pairs)
    return new('diagnostic_msgs/msg/DiagnosticArray', head, [status])


def outputs_at(number: int) -> dict[str, Message]:
    stamp_ns, time_s = FIRST_NS + number * PERIOD_NS, 1e-9 * number * PERIOD_NS
    odom, optical = header(stamp_ns, 'odom'), header(stamp_ns, 'optical')
    pose = with_covariance(time_s)
    rates = vector([SPEED_M_S, 0, 0]), vector([0, 0, YAW_RATE_RAD_S])
    twist = new('geometry_msgs/msg/Twist', *rates)
    twist = new('geometry_msgs/msg/TwistWithCovariance', twist, 1e-3 * np.eye(6).ravel())
    stamped = new('geometry_msgs/msg/PoseStamped', deepcopy(odom), pose.pose)
    position, turn = pose.pose.position, pose.pose.orientation
    moved = new('geometry_msgs/msg/Vector3', position.x, position.y, position.z)
    transform = new('geometry_msgs/msg/Transform', moved, turn)
    stamped_transform = new('geometry_msgs/msg/TransformStamped', odom, 'base_link', transform)
    confidence = np.where(np.isnan(DEPTH), 0, 0.75).astype(np.float32)
    messages = {
        '/moe3d/odometry': new('nav_msgs/msg/Odometry', odom, 'base_link', pose, twist),
        '/moe3d/path': new('nav_msgs/msg/Path', odom, [stamped]),
        '/moe3d/scale': scale(optical),
        '/moe3d/camera/pose': new('geometry_msgs/msg/PoseWithCovarianceStamped', odom, pose),
        '/moe3d/camera/depth/image_rect': image(optical, DEPTH, '32FC1'),
        '/moe3d/camera/depth/camera_info': info(optical),
        '/moe3d/camera/boundary_confidence': image(optical, confidence, '32FC1'),
        '/moe3d/camera/color/image_rect': image(
            optical, np.zeros((HEIGHT, WIDTH, 3), np.uint8), 'rgb8'
        ),
        '/moe3d/camera/points': cloud(optical),
        '/moe3d/camera/points_clearing': cloud(optical),
        '/tf': new('tf2_msgs/msg/TFMessage', [stamped_transform]),
    }
    return {topic: deepcopy(message) for topic, message in messages.items()}


@pytest.fixture
def outputs() -> Outputs:
    """Return good messages by topic, which a test may spoil."""
    by_number = [outputs_at(number) for number in range(NUM_MESSAGES)]
    return {topic: [messages[topic] for messages in by_number] for topic in TYPES}


@pytest.fixture
def write_outputs(tmp_path: Path) -> Callable[[Outputs], Path]:
    """Return a function that writes messages as a bag."""

    def write(outputs: Outputs) -> Path:
        path = tmp_path / 'output'
        writer = BagWriter(path)
        for topic, messages in outputs.items():
            type_name = messages[0].__msgtype__
            writer.add_topic(topic, type_name, OfferedQos())
            for number, message in enumerate(messages):
                log_ns = FIRST_NS + number * PERIOD_NS
                writer.write(topic, log_ns, writer.serialize(message, type_name))
        writer.close()
        return path

    return write
