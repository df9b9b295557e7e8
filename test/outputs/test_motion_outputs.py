"""What a listener receives of poses: headers, frames, lost, path, points and scale."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from spinning import spin_until

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from moe3d_engine.tracking.types import TrackedPose
from moe3d_engine.tracking.types import TrackingStatus
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Scale
from moe3d_engine.types import SparsePoints
from moe3d_ros.outputs.motion import MAX_PATH
from moe3d_ros.outputs.motion import MotionOutputs
from moe3d_ros.outputs.odom_frame import BODY_FROM_OPTICAL
from moe3d_ros.settings.parameters import node_config
from moe3d_ros.settings.parameters import NodeConfig
from moe3d_ros.settings.table import PARAMETERS
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

Message = Any
STAMP_NS = 1_731_846_203_417_293_651  # a float of seconds cannot hold it
METRES = Scale(1.0, 0.01, 'odometry', metric=True, state='locked')
TOPICS = {
    'camera/pose': PoseWithCovarianceStamped,
    'odometry': Odometry,
    'path': Path,
    'camera/sparse_points': PointCloud2,
}


def settings(**changes: object) -> NodeConfig:
    return replace(node_config({row.name: row.default for row in PARAMETERS}), **changes)


def tracked(number: int = 1, **changes: object) -> TrackedPose:
    """Return the pose of a camera that has gone a metre ahead for each number."""
    cam_from_odom = np.eye(4)
    cam_from_odom[2, 3] = -number
    pose = TrackedPose(
        STAMP_NS + number,
        'camera',
        'optical',
        TrackingStatus.TRACKING,
        cam_from_odom,
        np.diag([1, 2, 3, 4, 5, 6.0]),
        np.arange(1.0, 7.0),
        np.diag([10, 20, 30, 40, 50, 60.0]),
        METRES,
    )
    return replace(pose, **changes)


class Peers:
    """A lifecycle node that publishes, and one that listens."""

    def __init__(self, context: rclpy.Context) -> None:
        self.node = LifecycleNode('moe3d', context=context)
        self.listener = rclpy.create_node('listener', context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.listener)
        self.outputs: MotionOutputs | None = None

    def open(
        self, base_from_camera: Float64Array | None = None, **changes: object
    ) -> MotionOutputs:
        self.outputs = MotionOutputs(self.node, settings(**changes), base_from_camera)
        self.node.trigger_configure()
        self.node.trigger_activate()
        return self.outputs

    def listen(self, topic: str, message_type: type[Any], *, latched: bool = False) -> list[Any]:
        messages: list[Any] = []
        qos = QoSProfile(depth=100)
        if latched:
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        self.listener.create_subscription(message_type, topic, messages.append, qos)
        self.wait_until(lambda: self.node.count_subscribers(topic) > 0)
        self.wait_until(lambda: self.listener.count_publishers(topic) > 0)
        return messages

    def wait_until(self, condition: Callable[[], bool]) -> None:
        spin_until(self.executor, condition)

    def close(self) -> None:
        if self.outputs is not None:
            self.outputs.destroy()
            self.outputs.destroy()  # a second call does nothing
        self.executor.shutdown()
        self.node.destroy_node()
        self.listener.destroy_node()


@pytest.fixture
def peers() -> Iterator[Peers]:
    context = rclpy.Context()
    context.init()
    both = Peers(context)
    yield both
    both.close()
    context.try_shutdown()


def no_points(stamp_ns: int) -> SparsePoints | None:
    raise AssertionError('nobody listens to points')


def stamp_ns(message: Message) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def test_pose_and_odometry_of_a_camera_have_its_stamp_its_frame_and_its_errors(
    peers: Peers,
) -> None:
    outputs = peers.open()
    poses = peers.listen('/moe3d/camera/pose', PoseWithCovarianceStamped)
    odometry = peers.listen('/moe3d/odometry', Odometry)
    outputs.publish(tracked(), no_points)
    peers.wait_until(lambda: bool(poses and odometry))

    (pose,), (motion,) = poses, odometry
    assert stamp_ns(pose) == stamp_ns(motion) == STAMP_NS + 1
    assert pose.header.frame_id == motion.header.frame_id == 'odom'
    assert motion.child_frame_id == 'optical'
    assert pose.pose == motion.pose
    place, turn = pose.pose.pose.position, pose.pose.pose.orientation
    assert (place.x, place.y, place.z) == (1.0, 0.0, 0.0)
    np.testing.assert_allclose([turn.x, turn.y, turn.z, turn.w], [-0.5, 0.5, -0.5, 0.5])
    variances = np.diag(np.reshape(motion.pose.covariance, (6, 6)))
    np.testing.assert_allclose(variances, [3, 1, 2, 6, 4, 5])
    linear, angular = motion.twist.twist.linear, motion.twist.twist.angular
    assert [linear.x, linear.y, linear.z] == [1, 2, 3]
    assert [angular.x, angular.y, angular.z] == [4, 5, 6]
    variances = np.diag(np.reshape(motion.twist.covariance, (6, 6)))
    np.testing.assert_allclose(variances, [10, 20, 30, 40, 50, 60])


def test_odometry_is_of_the_base_where_the_place_of_the_camera_is_known(peers: Peers) -> None:
    ahead = BODY_FROM_OPTICAL.copy()
    ahead[0, 3] = 0.5
    outputs = peers.open(
        base_from_camera=ahead, base_frame='base_footprint', odom_frame='visual_odom'
    )
    poses = peers.listen('/moe3d/camera/pose', PoseWithCovarianceStamped)
    odometry = peers.listen('/moe3d/odometry', Odometry)
    outputs.publish(tracked(), no_points)
    peers.wait_until(lambda: bool(poses and odometry))

    assert odometry[0].header.frame_id == 'visual_odom'
    assert odometry[0].child_frame_id == 'base_footprint'
    assert odometry[0].pose.pose.position.x == pytest.approx(1.0)
    assert odometry[0].pose.pose.orientation.w == pytest.approx(1.0)
    assert poses[0].pose.pose.position.x == pytest.approx(1.5)


def test_lost_is_said_by_variances_of_9999_and_leaves_the_path_alone(peers: Peers) -> None:
    outputs = peers.open()
    odometry = peers.listen('/moe3d/odometry', Odometry)
    paths = peers.listen('/moe3d/path', Path)
    outputs.publish(tracked(1, status=TrackingStatus.LOST, is_keyframe=True), no_points)
    outputs.publish(tracked(2, is_keyframe=True), no_points)
    peers.wait_until(lambda: len(odometry) == 2 and bool(paths))

    lost = odometry[0]
    for covariance in (lost.pose.covariance, lost.twist.covariance):
        assert np.array_equal(np.reshape(covariance, (6, 6)), 9999.0 * np.eye(6))
    turn = lost.pose.pose.orientation
    assert np.linalg.norm([turn.x, turn.y, turn.z, turn.w]) == pytest.approx(1.0)
    assert [stamp_ns(pose) for pose in paths[0].poses] == [STAMP_NS + 2]


def test_path_holds_the_keyframes_only_and_begins_anew_after_a_restart(peers: Peers) -> None:
    outputs = peers.open()
    paths = peers.listen('/moe3d/path', Path)
    for number in range(1, 5):
        outputs.publish(tracked(number, is_keyframe=number % 2 == 0), no_points)
        peers.wait_until(lambda number=number: len(paths) == number // 2)
    outputs.restart()
    outputs.publish(tracked(5, is_keyframe=True), no_points)
    peers.wait_until(lambda: len(paths) == 3)

    xs = [[pose.pose.position.x for pose in path.poses] for path in paths]
    assert xs == [[2.0], [2.0, 4.0], [5.0]]
    assert all(path.header.frame_id == 'odom' for path in paths)


def test_path_does_not_grow_for_ever(peers: Peers) -> None:
    outputs = peers.open()
    for number in range(MAX_PATH + 3):
        outputs.publish(tracked(number, is_keyframe=True), no_points)

    assert len(outputs._keyframes) == MAX_PATH
    assert outputs._keyframes[-1].pose.position.x == MAX_PATH + 2


def test_sparse_points_are_asked_for_only_by_those_who_listen(peers: Peers) -> None:
    outputs = peers.open()
    asked: list[int] = []

    def points_of(stamp: int) -> SparsePoints | None:
        asked.append(stamp)
        points = np.array([[0.0, 0.0, 2.0], [1.0, 0.5, 4.0]])
        return SparsePoints(np.zeros((2, 2)), points[:, 2], points)

    outputs.publish(tracked(1), points_of)
    clouds = peers.listen('/moe3d/camera/sparse_points', PointCloud2)
    outputs.publish(tracked(2), points_of)
    peers.wait_until(lambda: bool(clouds))

    assert asked == [STAMP_NS + 2]
    assert clouds[0].header.frame_id == 'odom'
    assert [field.name for field in clouds[0].fields] == ['x', 'y', 'z']
    points = np.frombuffer(clouds[0].data, '<f4').reshape(-1, 3)
    np.testing.assert_allclose(points, [[2, 0, 0], [4, -1, -0.5]])


def test_scale_reaches_those_who_come_later_and_is_told_when_it_changes(peers: Peers) -> None:
    outputs = peers.open()
    estimating = replace(METRES, state='estimating', std=0.25)
    early = peers.listen('/moe3d/scale', DiagnosticArray, latched=True)
    for stamp, scale in enumerate((estimating, estimating, METRES)):
        outputs.tell_scale(STAMP_NS + stamp, scale)
    peers.wait_until(lambda: len(early) == 2)
    late = peers.listen('/moe3d/scale', DiagnosticArray, latched=True)
    peers.wait_until(lambda: bool(late))

    assert [stamp_ns(message) for message in early] == [STAMP_NS, STAMP_NS + 2]
    assert early[0].status[0].level == DiagnosticStatus.WARN
    assert late == early[1:]
    values = {pair.key: pair.value for pair in late[0].status[0].values}
    assert values == {
        'factor': '1', 'std': '0.01', 'source': 'odometry', 'state': 'locked', 'unit': 'metric',
    }  # fmt: skip


def test_poses_that_are_not_in_metres_are_not_published(peers: Peers) -> None:
    outputs = peers.open()
    heard = [peers.listen(f'/moe3d/{name}', kind) for name, kind in TOPICS.items()]
    relative = Scale(1.0, np.inf, 'none', metric=False, state='estimating')
    outputs.publish(tracked(1, scale=relative, is_keyframe=True), no_points)
    outputs.publish(tracked(2, is_keyframe=True), lambda stamp: None)
    peers.wait_until(lambda: all(heard[:3]))

    assert [stamp_ns(messages[0]) for messages in heard[:3]] == [STAMP_NS + 2] * 3
    assert not heard[3]


def test_nothing_is_wanted_until_somebody_listens(peers: Peers) -> None:
    outputs = peers.open()
    peers.listen('/moe3d/scale', DiagnosticArray)

    assert not outputs.wanted()
    peers.listen('/moe3d/path', Path)
    peers.wait_until(outputs.wanted)
