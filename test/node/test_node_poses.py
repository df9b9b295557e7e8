"""Poses come out at the rate of the images, and every image is accounted for."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Any

from moe3d_engine.intake.drops import DropReason
from moe3d_engine.scale.estimator import ScaleObservation
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from moe3d_ros.outputs.drops import from_event
from moe3d_ros.threads.poses import ROOM
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

# What the fixtures of conftest.py make.
Rig = Any
Message = Any
MakeRig = Callable[..., Rig]
MakeMessage = Callable[..., Message]

DEPTH = '/moe3d/camera/depth/image_rect'
SECOND_NS = 1_000_000_000


@pytest.fixture
def pose_rig(rig: Rig) -> Rig:
    """Return an active node with a camera, and a listener to its odometry alone."""
    rig.start()
    rig.connect_camera()
    rig.listen(Odometry, '/moe3d/odometry')
    return rig


def num_tracked(rig: Rig) -> int:
    """Return how many images have been tracked, whatever came of it."""
    return sum(rig.count(f'tracked.{status}') for status in ('starting', 'tracking', 'lost'))


def is_accounted_for(rig: Rig) -> bool:
    """Return whether each image is published or dropped, and has a pose or was dropped before."""
    frames_in = rig.count('frames_in')
    return bool(rig.num_done == frames_in == num_tracked(rig) + rig.count('untracked'))


def stamp_ns(message: Message) -> int:
    """Return the stamp of a message."""
    return int(message.header.stamp.sec) * SECOND_NS + int(message.header.stamp.nanosec)


def test_odometry_of_every_image_comes_while_the_network_is_busy(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    odometry = live_rig.listen(Odometry, '/moe3d/odometry')
    poses = live_rig.listen(PoseWithCovarianceStamped, '/moe3d/camera/pose')
    live_rig.backend.entered.clear()
    live_rig.backend.free.clear()
    sent = []
    for number in range(12):
        live_rig.send(image_message(), info_message())
        sent.append(live_rig.stamp_ns)
        live_rig.wait_until(lambda: len(odometry) == number + 1)  # noqa: B023 (called here)

    assert live_rig.backend.entered.is_set()
    assert not live_rig.received[DEPTH]
    assert [stamp_ns(message) for message in odometry] == sent
    live_rig.wait_until(lambda: len(poses) == 12)
    live_rig.wait_until(lambda: num_tracked(live_rig) == 12)
    live_rig.backend.free.set()
    live_rig.wait_until(lambda: is_accounted_for(live_rig))
    assert live_rig.count('published') == 2  # the one that was begun, and the newest
    assert live_rig.count('dropped.busy') == 10
    values = live_rig.node.statistics.values()
    assert float(values['pose_latency_ms.p50']) >= float(values['track_ms.p50']) > 0


def test_where_tracking_cannot_keep_up_the_oldest_that_wait_are_dropped(
    live_rig: Rig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = live_rig.listen(DiagnosticArray, '/moe3d/drops')
    begun, free = threading.Event(), threading.Event()

    def wait(*arguments: object) -> None:
        begun.set()
        free.wait(20.0)

    monkeypatch.setattr(live_rig.node._active._side_inputs, 'prior_at', wait)
    live_rig.send(image_message(), info_message())
    live_rig.wait_until(begun.is_set)
    sent = []
    for number in range(ROOM + 3):
        live_rig.send(image_message(), info_message())
        sent.append(live_rig.stamp_ns)
        live_rig.wait_until(lambda: live_rig.count('frames_in') == number + 2)  # noqa: B023
    free.set()

    live_rig.wait_until(lambda: is_accounted_for(live_rig))
    assert live_rig.count('dropped.tracking_busy') == live_rig.count('untracked') == 3
    assert num_tracked(live_rig) == ROOM + 1
    live_rig.wait_until(lambda: len(events) >= 3)
    drops = [from_event(event) for event in events]
    late = [drop.stamp_ns for drop in drops if drop.reason is DropReason.TRACKING_BUSY]
    assert late == sent[:3]


def test_lost_is_said_with_a_pose_that_nobody_can_trust(
    pose_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    odometry = pose_rig.received['/moe3d/odometry']
    pose_rig.send(image_message(), info_message())
    pose_rig.send(image_message(height=28, width=42), info_message(height=28, width=42))

    pose_rig.wait_until(lambda: len(odometry) == 2)

    assert (pose_rig.count('tracked.starting'), pose_rig.count('tracked.lost')) == (1, 1)
    assert odometry[0].pose.covariance[0] < 1
    assert odometry[1].pose.covariance[0] >= 9999


def test_reset_begins_poses_path_and_window_anew(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    paths = live_rig.listen(Path, '/moe3d/path')
    client = live_rig.peer.create_client(Trigger, '/moe3d/reset')
    live_rig.wait_until(client.service_is_ready)
    for _ in range(3):
        live_rig.send_and_wait(image_message(), info_message())
    live_rig.wait_until(lambda: bool(paths))

    answer = client.call_async(Trigger.Request())
    live_rig.wait_until(answer.done)
    live_rig.send_and_wait(image_message(), info_message())
    live_rig.wait_until(lambda: stamp_ns(paths[-1].poses[-1]) == live_rig.stamp_ns)

    assert answer.result().success
    assert [stamp_ns(pose) for pose in paths[-1].poses] == [live_rig.stamp_ns]
    assert live_rig.count('tracking_restarts.requested') == 1
    assert live_rig.count('window_restarts.requested') == 1


def test_time_that_jumps_back_begins_poses_and_path_anew(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    paths = live_rig.listen(Path, '/moe3d/path')
    odometry = live_rig.listen(Odometry, '/moe3d/odometry')
    live_rig.send_and_wait(image_message(), info_message())
    live_rig.stamp_ns -= 5 * SECOND_NS
    live_rig.send_and_wait(image_message(), info_message())

    live_rig.wait_until(lambda: len(odometry) == len(paths) == 2)

    assert [stamp_ns(pose) for pose in paths[-1].poses] == [live_rig.stamp_ns]
    assert live_rig.count('tracking_restarts.time_jumped') == 1
    assert live_rig.count('window_restarts.time_jumped') == 1


def test_poses_alone_need_the_network_but_publish_no_depth(
    pose_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    num_windows = pose_rig.backend.num_windows
    for _ in range(3):
        pose_rig.send_and_wait(image_message(), info_message())

    assert (
        pose_rig.backend.num_windows == num_windows + 3
    )  # a map that starts takes its unit there
    assert pose_rig.count('dropped.no_subscriber') == 3
    assert pose_rig.count('published') == 0
    pose_rig.wait_until(lambda: is_accounted_for(pose_rig))
    assert num_tracked(pose_rig) == 3


def test_map_is_forgotten_when_nobody_listens_any_more(
    pose_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    pose_rig.send_and_wait(image_message(), info_message())
    for subscription in list(pose_rig.peer.subscriptions):
        if subscription.topic_name == '/moe3d/odometry':
            pose_rig.peer.destroy_subscription(subscription)
    pose_rig.wait_until(lambda: pose_rig.node.count_subscribers('/moe3d/odometry') == 0)

    for _ in range(2):
        pose_rig.send_and_wait(image_message(), info_message())

    pose_rig.wait_until(lambda: is_accounted_for(pose_rig))
    assert pose_rig.count('untracked') == 2
    assert pose_rig.count('tracking_restarts.no_subscriber') == 1


def test_poses_by_the_network_leave_no_topic_of_poses_and_no_second_thread(
    make_rig: MakeRig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig = make_rig(poses__source='network')
    rig.start()
    rig.connect_camera()
    depths = rig.listen(Image, DEPTH)
    rig.send_and_wait(image_message(), info_message())
    rig.wait_until(lambda: bool(depths))

    topics = {publisher.topic_name for publisher in rig.node.publishers}
    assert not topics & {'/moe3d/odometry', '/moe3d/path', '/moe3d/camera/pose', '/moe3d/scale'}
    assert 'moe3d_tracking' not in {thread.name for thread in threading.enumerate()}
    assert num_tracked(rig) == rig.count('untracked') == 0
    np.testing.assert_allclose(np.frombuffer(depths[0].data, np.float32), 1.8, rtol=1e-5)


def test_nothing_in_metres_comes_before_the_scale_is_locked(
    make_rig: MakeRig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rig = make_rig(
        scale__require_lock=True,
        scale__source='odometry',
        poses__odometry_topic='/wheels',
        poses__base_from_camera='0 0 0 0 0 0 1',
    )
    rig.start()
    rig.connect_camera()
    depths, odometry = rig.listen(Image, DEPTH), rig.listen(Odometry, '/moe3d/odometry')
    rig.send_and_wait(image_message(), info_message())

    assert rig.count('dropped.scale_unknown') == rig.count('poses_held_back') == 1
    estimator = rig.node._active._session.tracking._estimator
    for number in range(30):
        estimator.observe(ScaleObservation(0.0, 0.01, number, 'odometry'))
    assert estimator.scale.locked
    rig.send_and_wait(image_message(), info_message())
    rig.wait_until(lambda: bool(depths and odometry))

    assert stamp_ns(depths[0]) == stamp_ns(odometry[0]) == rig.stamp_ns
    assert rig.count('dropped.scale_unknown') == rig.count('poses_held_back') == 1
    assert is_accounted_for(rig)


def test_diagnostics_tell_scale_and_poses(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    reports = live_rig.listen(DiagnosticArray, '/diagnostics')
    live_rig.send_and_wait(image_message(), info_message())
    live_rig.wait_until(lambda: bool(reports) and value_of(reports[-1], 'published') == '1')

    report = reports[-1]
    assert value_of(report, 'tracked.starting') == '1'
    assert value_of(report, 'poses.source') == 'tracking'
    assert (value_of(report, 'scale.source'), value_of(report, 'scale.state')) == (
        'network',
        'estimating',
    )
    assert float(value_of(report, 'scale.std')) > 0.2


def value_of(report: Message, key: str) -> str:
    """Return a value of the only component of a report."""
    return {pair.key: pair.value for pair in report.status[0].values}[key]
