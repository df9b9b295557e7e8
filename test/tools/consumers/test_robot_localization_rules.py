"""Settings of robot_localization that drop or spoil odometry are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moe3d_ros.tools.consumers import robot_localization
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import POSE
from moe3d_ros.tools.consumers.facts import Stream
from moe3d_ros.tools.consumers.facts import Trouble
import pytest

Find = Callable[..., list[Trouble]]
ODOM = '/moe3d/odometry'
ALL = [True] * 12 + [False] * 3
GOOD = {
    'two_d_mode': False,
    'frequency': 30.0,
    'smooth_lagged_data': True,
    'history_length': 1.0,
    'odom0': ODOM,
    'odom0_config': ALL,
}


def changed(outputs: Outputs, **fields: object) -> Outputs:
    stream = replace(outputs.streams[ODOM], **fields)
    return replace(outputs, streams={**outputs.streams, ODOM: stream})


def test_good_filter_has_no_trouble(find: Find) -> None:
    assert not find(robot_localization, GOOD)


@pytest.mark.parametrize(
    ('name', 'value', 'effect'),
    [
        ('odom0_config', [False] * 15, 'not even subscribed'),
        ('odom0_config', None, 'not even subscribed'),
        ('odom0_config', [True] * 6, 'nothing of it is fused'),
        ('odom0', '/moe3d/odom', 'nobody publishes'),
        ('smooth_lagged_data', False, 'as if it were of now'),
        ('history_length', 0.0, 'cannot go back'),
        ('odom0_queue_size', 0, 'between two steps'),
    ],
)
def test_filter_setting_that_drops_odometry_is_named(
    find: Find, name: str, value: object, effect: str
) -> None:
    parameters = GOOD | {name: value} | ({'frequency': 20.0} if 'queue' in name else {})
    troubles = [t for t in find(robot_localization, parameters) if t.severe]

    (trouble,) = (t for t in troubles if t.setting == name)
    assert effect in trouble.effect


def test_axes_that_two_d_mode_throws_away_are_told(find: Find) -> None:
    (trouble,) = find(robot_localization, GOOD | {'two_d_mode': True})

    assert 'z, roll, pitch' in trouble.effect
    assert not trouble.severe


@pytest.mark.parametrize(('variance', 'effect'), [(0.0, 'blind trust'), (-1.0, 'absolute value')])
def test_variance_that_is_trusted_blindly_is_named(
    find: Find, outputs: Outputs, variance: float, effect: str
) -> None:
    heard = changed(outputs, pose_variances=(0.1, 0.1, variance, 0.1, 0.1, 0.1))

    (trouble,) = find(robot_localization, GOOD, heard=heard)
    assert trouble.value == 'z'
    assert effect in trouble.effect
    without_z = [True, True, False, *ALL[3:]]
    assert not find(robot_localization, GOOD | {'odom0_config': without_z}, heard=heard)


def test_pose_of_another_frame_than_the_base_is_named(find: Find, outputs: Outputs) -> None:
    heard = changed(outputs, child_frame='camera_optical')
    told = {'odom0_pose_use_child_frame': True}

    (trouble,) = find(robot_localization, GOOD, heard=heard)
    assert 'camera_optical' in trouble.effect
    assert not find(robot_localization, GOOD | told, heard=heard)


def test_pose_of_the_camera_as_pose0_is_named(find: Find, outputs: Outputs) -> None:
    topic = '/moe3d/camera/pose'
    heard = replace(
        outputs,
        streams={**outputs.streams, topic: Stream(POSE)},
        published=outputs.published | {topic},
    )
    parameters = {'pose0': topic, 'pose0_config': ALL}

    assert any(
        'pose of the camera' in t.effect for t in find(robot_localization, parameters, heard=heard)
    )


def test_two_senders_of_the_same_transform_are_named(find: Find, outputs: Outputs) -> None:
    both = replace(outputs, sends_tf=True)

    (trouble,) = find(robot_localization, GOOD, heard=both)
    assert 'two parents' in trouble.effect
    assert not find(robot_localization, GOOD | {'publish_tf': False}, heard=both)


def test_frame_of_the_world_is_needed_for_poses_alone() -> None:
    velocities = [False] * 6 + [True] * 6 + [False] * 3
    poses = Consumer('/ekf', GOOD | {'world_frame': 'map'})

    assert robot_localization.frames(poses) == [('world_frame', 'map')]
    assert not robot_localization.frames(Consumer('/ekf', GOOD | {'odom0_config': velocities}))
