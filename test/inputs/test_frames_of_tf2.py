"""TF itself, over the middleware; only where a ROS distribution brings tf2_ros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')
pytest.importorskip('tf2_ros', reason='needs a ROS distribution')

from geometry_msgs.msg import TransformStamped
from moe3d_ros.outputs.messages import to_stamp
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

Rig = Any
Message = Any

MS = 1_000_000
BEGIN_NS = 1_731_846_203_417_293_651
CAMERA = 'camera_optical_frame'


def make_transform(parent: str, child: str, stamp_ns: int, x: float, yaw: float = 0.0) -> Message:
    """Return a transform of a robot on the floor."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, to_stamp(stamp_ns)
    message.transform.translation.x = x
    message.transform.rotation.z = float(np.sin(yaw / 2))
    message.transform.rotation.w = float(np.cos(yaw / 2))
    return message


def send_mount(rig: Rig) -> None:
    """Publish once that the camera looks forward from .5 m before the base."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    message = make_transform('base_link', CAMERA, BEGIN_NS, 0.5)
    turn = message.transform.rotation
    turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
    rig.peer.create_publisher(TFMessage, '/tf_static', latched).publish(
        TFMessage(transforms=[message])
    )


def test_camera_is_interpolated_between_two_transforms(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(poses__odometry_from='tf')
    send_mount(rig)
    publisher = rig.publisher(TFMessage, '/tf')
    for k in range(2):
        transform = make_transform('odom', 'base_link', BEGIN_NS + 100 * k * MS, 1.0 + k)
        publisher.publish(TFMessage(transforms=[transform]))
    at_ns = BEGIN_NS + 25 * MS
    rig.wait_until(lambda: rig.inputs.prior_at(at_ns, CAMERA) is not None)

    prior = rig.inputs.prior_at(at_ns, CAMERA)

    # The robot is at 1.25 m, the camera half a metre before it; 2 m ahead of that is 2 m deep.
    np.testing.assert_allclose(
        prior.cam_from_world @ [3.75, 0.0, 0.0, 1.0], [0, 0, 2, 1], atol=1e-9
    )
    assert rig.inputs.prior_at(BEGIN_NS + 101 * MS, CAMERA) is None
    assert 'extrapolation' in rig.inputs._frames.problem.lower()


def test_place_of_the_camera_comes_from_tf_static(
    make_rig: Callable[..., Rig], odometry: Callable[..., Message]
) -> None:
    rig = make_rig(poses__odometry_topic='odom')
    send_mount(rig)
    rig.publisher(Odometry, '/odom').publish(odometry(BEGIN_NS, x=1.0))
    rig.wait_until(lambda: rig.inputs.prior_at(BEGIN_NS, CAMERA) is not None)

    prior = rig.inputs.prior_at(BEGIN_NS, CAMERA)

    np.testing.assert_allclose(
        prior.cam_from_world @ [3.5, 0.0, 0.0, 1.0], [0, 0, 2, 1], atol=1e-9
    )
