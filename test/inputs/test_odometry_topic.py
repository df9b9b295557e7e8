"""Odometry over the middleware: interpolated at stamps of images; what is bad is counted."""

from __future__ import annotations

from collections.abc import Callable
import math
import threading
from types import SimpleNamespace
from typing import Any

from moe3d_engine.geometry.cameras import rotation_from_quaternion
from moe3d_engine.types import MotionErrors
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from nav_msgs.msg import Odometry

Rig = Any
Message = Any

MS = 1_000_000
BEGIN_NS = 1_731_846_203_417_293_651  # a float of seconds cannot hold it
CAMERA = 'camera_optical_frame'
MOUNT = '0.2 0 0.1 -0.5 0.5 -0.5 0.5'  # the camera looks forward


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Return a node that hears odometry, with the camera's place on the robot."""
    return make_rig(poses__odometry_topic='odom', poses__base_from_camera=MOUNT)


def test_pose_between_two_messages_is_interpolated_and_goes_through_the_extrinsics(
    rig: Rig, odometry: Callable[..., Message]
) -> None:
    publisher = rig.publisher(Odometry, '/odom')
    publisher.publish(odometry(BEGIN_NS, x=1.0))
    publisher.publish(odometry(BEGIN_NS + 100 * MS, x=2.0, yaw=0.2))
    rig.wait_until(lambda: rig.count('odometry.received') == 2)

    prior = rig.inputs.prior_at(BEGIN_NS + 25 * MS, CAMERA)

    world_from_base = np.eye(4)
    world_from_base[:3, :3] = rotation_from_quaternion((0, 0, np.sin(0.025), np.cos(0.025)))
    world_from_base[0, 3] = 1.25
    base_from_camera = np.eye(4)
    base_from_camera[:3, :3] = rotation_from_quaternion((-0.5, 0.5, -0.5, 0.5))
    base_from_camera[:3, 3] = 0.2, 0.0, 0.1
    expected = np.linalg.inv(world_from_base @ base_from_camera)
    np.testing.assert_allclose(prior.cam_from_world, expected, atol=1e-9)
    assert prior.source == 'odometry'


def test_poses_say_how_wrong_the_parameters_take_odometry_to_be(
    make_rig: Callable[..., Rig], odometry: Callable[..., Message]
) -> None:
    rig = make_rig(
        poses__odometry_topic='odom', poses__base_from_camera=MOUNT,
        poses__odometry_error=0.005, poses__odometry_error_deg=0.05,
    )  # fmt: skip
    rig.publisher(Odometry, '/odom').publish(odometry(BEGIN_NS))
    rig.wait_until(lambda: rig.count('odometry.received') == 1)

    prior = rig.inputs.prior_at(BEGIN_NS, CAMERA)

    assert prior.errors == MotionErrors(0.005, math.radians(0.05))


def test_nothing_is_said_of_stamps_that_odometry_has_not_reached(
    rig: Rig, odometry: Callable[..., Message]
) -> None:
    publisher = rig.publisher(Odometry, '/odom')
    publisher.publish(odometry(BEGIN_NS))
    rig.wait_until(lambda: rig.count('odometry.received') == 1)

    assert rig.inputs.prior_at(BEGIN_NS + MS, CAMERA) is None
    assert rig.inputs.prior_at(BEGIN_NS, CAMERA) is not None
    assert (rig.count('odometry.asked'), rig.count('odometry.answered')) == (2, 1)


def test_who_waits_gets_the_pose_that_comes_meanwhile(
    rig: Rig, odometry: Callable[..., Message]
) -> None:
    publisher = rig.publisher(Odometry, '/odom')
    publisher.publish(odometry(BEGIN_NS))
    rig.wait_until(lambda: rig.count('odometry.received') == 1)
    found: list[Any] = []

    def ask() -> None:
        found.append(rig.inputs.prior_at(BEGIN_NS + 10 * MS, CAMERA, wait_s=20.0))

    thread = threading.Thread(target=ask)
    thread.start()
    publisher.publish(odometry(BEGIN_NS + 20 * MS))
    rig.wait_until(lambda: bool(found))
    thread.join()

    assert found[0] is not None


def test_nobody_waits_where_odometry_is_silent(rig: Rig) -> None:
    assert rig.inputs.prior_at(BEGIN_NS, CAMERA, wait_s=3600.0) is None


def spoil_position(message: Message) -> None:
    message.pose.pose.position.y = float('nan')


def spoil_quaternion(message: Message) -> None:
    message.pose.pose.orientation.w = float('inf')


def spoil_variance(message: Message) -> None:
    message.pose.covariance[7] = -1.0


def set_null_quaternion(message: Message) -> None:
    message.pose.pose.orientation.w = message.pose.pose.orientation.z = 0.0


def set_lost_variance(message: Message) -> None:
    message.pose.covariance[0] = 9999.0


def turn_stamp_back(message: Message) -> None:
    message.header.stamp.nanosec -= 150 * MS


@pytest.mark.parametrize(
    ('spoil', 'reason'),
    [
        (spoil_position, 'bad_pose'),
        (spoil_quaternion, 'bad_pose'),
        (spoil_variance, 'bad_pose'),
        (set_null_quaternion, 'lost'),
        (set_lost_variance, 'lost'),
        (turn_stamp_back, 'stale_stamp'),
    ],
)
def test_bad_odometry_is_counted_with_its_reason_and_the_next_is_taken(
    spoil: Callable[[Message], None],
    reason: str,
    rig: Rig,
    odometry: Callable[..., Message],
) -> None:
    publisher = rig.publisher(Odometry, '/odom')
    bad = odometry(BEGIN_NS + 100 * MS, x=50.0)
    spoil(bad)
    publisher.publish(odometry(BEGIN_NS))
    publisher.publish(bad)
    publisher.publish(odometry(BEGIN_NS + 200 * MS))
    rig.wait_until(lambda: rig.count('odometry.received') == 3)

    assert rig.count(f'odometry.dropped.{reason}') == 1
    assert sum(n for name, n in rig.inputs.counts().items() if 'dropped' in name) == 1
    assert rig.inputs.prior_at(BEGIN_NS + 200 * MS, CAMERA) is not None


def test_odometry_that_was_lost_is_not_bridged(rig: Rig, odometry: Callable[..., Message]) -> None:
    publisher = rig.publisher(Odometry, '/odom')
    lost = odometry(BEGIN_NS + 50 * MS)
    set_lost_variance(lost)
    for message in (odometry(BEGIN_NS), lost, odometry(BEGIN_NS + 100 * MS, x=9.0)):
        publisher.publish(message)
    rig.wait_until(lambda: rig.count('odometry.received') == 3)

    assert rig.inputs.prior_at(BEGIN_NS + 75 * MS, CAMERA) is None


def test_stamps_that_go_far_back_begin_anew(rig: Rig, odometry: Callable[..., Message]) -> None:
    publisher = rig.publisher(Odometry, '/odom')
    for stamp_ns in (BEGIN_NS, BEGIN_NS - 60_000 * MS, BEGIN_NS - 59_900 * MS):
        publisher.publish(odometry(stamp_ns))
    rig.wait_until(lambda: rig.count('odometry.received') == 3)

    assert rig.inputs.prior_at(BEGIN_NS, CAMERA) is None
    assert rig.inputs.prior_at(BEGIN_NS - 59_950 * MS, CAMERA) is not None


def test_best_effort_publisher_is_heard(rig: Rig, odometry: Callable[..., Message]) -> None:
    publisher = rig.publisher(Odometry, '/odom', reliable=False)
    publisher.publish(odometry(BEGIN_NS))

    rig.wait_until(lambda: rig.count('odometry.received') == 1)
    assert 'nav_msgs/msg/Odometry, best_effort' in rig.inputs.describe()


def test_silence_is_told_with_who_should_speak(monkeypatch: pytest.MonkeyPatch, rig: Rig) -> None:
    told: list[str] = []
    counts = rig.inputs._counts['odometry']
    monkeypatch.setattr(counts, '_log', SimpleNamespace(warning=told.append))
    rig.inputs.check()
    assert not told

    counts._last_s -= 6.0
    rig.inputs.check()
    rig.inputs.check()

    assert len(told) == 1
    assert 'No odometry for 6 s. /odom' in told[0]
    assert 'no publisher' in told[0]


def test_nothing_is_subscribed_to_that_is_not_named(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()

    assert rig.inputs.describe() == ''
    assert rig.inputs.counts() == {}
    assert rig.inputs.prior_at(BEGIN_NS, CAMERA) is None
    assert rig.inputs.reference_at(BEGIN_NS, CAMERA) is None


def test_what_is_destroyed_listens_no_more(rig: Rig) -> None:
    assert rig.node.count_subscribers('/odom') == 1

    rig.inputs.destroy()

    rig.wait_until(lambda: rig.node.count_subscribers('/odom') == 0)
