"""A bag of good outputs passes; each rule is broken once, and found where it was broken."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

from moe3d_engine.cli.main import run
from moe3d_engine.conformance.bag_check import BagReport
from moe3d_engine.conformance.bag_check import check_bag
from moe3d_engine.conformance.bag_check import OutputCheck
from moe3d_engine.conformance.findings import MAX_KEPT
from moe3d_engine.errors import InputError
from moe3d_ros.tools.commands import doctor
from moe3d_ros.topics import motion_topics
from moe3d_ros.topics import output_topics
import numpy as np
import pytest

Message = Any
Outputs = dict[str, list[Message]]
Write = Callable[[Outputs], Path]
Spoil = Callable[[Outputs], object]

ODOMETRY, PATH, SCALE = '/moe3d/odometry', '/moe3d/path', '/moe3d/scale'
POSE, CLOUD = '/moe3d/camera/pose', '/moe3d/camera/points'
DEPTH, INFO = '/moe3d/camera/depth/image_rect', '/moe3d/camera/depth/camera_info'
CONFIDENCE, COLOR = '/moe3d/camera/boundary_confidence', '/moe3d/camera/color/image_rect'
SPOILT = 7  # the message that a test spoils
SPOILT_NS = 1_800_000_000_700_000_000


def check(outputs: Outputs) -> BagReport:
    """Check messages without a bag."""
    types = {topic: messages[0].__msgtype__ for topic, messages in outputs.items()}
    check = OutputCheck(types)
    for number in range(max(map(len, outputs.values()))):
        for topic in check.topics:
            if number < len(outputs[topic]):
                check.add(topic, outputs[topic][number])
    return check.report()


def pixels(message: Message) -> Any:  # noqa: ANN401
    """Return the values of an image or cloud, to be written to."""
    message.data = message.data.copy()
    return message.data.view(np.float32)


def spoil_attribute(topic: str, path: str, value: object) -> Spoil:
    """Return what sets an attribute of one message."""

    def spoil(outputs: Outputs) -> None:
        *parents, name = path.split('.')
        target = outputs[topic][SPOILT]
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, name, value)

    return spoil


def spoil_number(topic: str, path: str, index: int, value: float) -> Spoil:
    """Return what sets a number of an array of one message."""

    def spoil(outputs: Outputs) -> None:
        array = outputs[topic][SPOILT]
        for name in path.split('.'):
            array = getattr(array, name)
        array[index] = value

    return spoil


def spoil_pixel(topic: str, index: int, value: float) -> Spoil:
    """Return what sets a value of one image or cloud."""

    def spoil(outputs: Outputs) -> None:
        pixels(outputs[topic][SPOILT])[index] = value

    return spoil


def shift(outputs: Outputs) -> None:
    """Let odom jump by a fifth of a metre, for good."""
    for message in outputs[ODOMETRY][SPOILT:]:
        message.pose.pose.position.x += 0.2


def turn_back(outputs: Outputs) -> None:
    """Give one odometry the stamp of an earlier one."""
    outputs[ODOMETRY][SPOILT].header.stamp = outputs[ODOMETRY][0].header.stamp


def forget_stamp(outputs: Outputs) -> None:
    stamp = outputs[DEPTH][SPOILT].header.stamp
    stamp.sec = stamp.nanosec = 0


def twist_in_odom(outputs: Outputs) -> None:
    """Turn all twists into the frame of the pose, as a careless node does."""
    for message in outputs[ODOMETRY]:
        turn, linear = message.pose.pose.orientation, message.twist.twist.linear
        yaw = 2 * np.arctan2(turn.z, turn.w)
        speed = linear.x
        linear.x, linear.y = speed * np.cos(yaw), speed * np.sin(yaw)


def unset_scale(outputs: Outputs) -> None:
    outputs[SCALE][SPOILT].status[0].values.pop()


def negative_factor(outputs: Outputs) -> None:
    outputs[SCALE][SPOILT].status[0].values[0].value = '-1'


def second_parent(outputs: Outputs) -> None:
    outputs['/tf'][SPOILT].transforms[0].header.frame_id = 'map'


def old_pose_in_path(outputs: Outputs) -> None:
    path = outputs[PATH][SPOILT]
    path.poses.append(path.poses[0])


def other_frame_in_path(outputs: Outputs) -> None:
    outputs[PATH][SPOILT].poses[0].header.frame_id = 'map'


def lose_by_half(outputs: Outputs) -> None:
    outputs[ODOMETRY][SPOILT].pose.covariance[:] = 9999 * np.eye(6).ravel()


def return_to_identity(outputs: Outputs) -> None:
    pose = outputs[ODOMETRY][SPOILT].pose.pose
    pose.position.x = pose.position.y = pose.orientation.z = 0.0
    pose.orientation.w = 1.0


def lean_on_rotation(outputs: Outputs) -> None:
    """Correlate x wholly with y."""
    covariance = outputs[ODOMETRY][SPOILT].pose.covariance
    covariance[1] = covariance[6] = covariance[0]


def lose_an_info(outputs: Outputs) -> None:
    del outputs[INFO][SPOILT]


def distort(outputs: Outputs) -> None:
    outputs[INFO][SPOILT].d = np.zeros(5)


def rename_z(outputs: Outputs) -> None:
    outputs[CLOUD][SPOILT].fields[2].name = 'depth'


def claim_metres(outputs: Outputs) -> None:
    outputs['/moe3d/camera/relative_depth/image_rect'] = outputs.pop(DEPTH)
    outputs['/moe3d/camera/relative_depth/camera_info'] = outputs.pop(INFO)


CASES: list[tuple[str, str, Spoil]] = [
    ('stamp_order', ODOMETRY, turn_back),
    ('stamp_zero', DEPTH, forget_stamp),
    ('frame_empty', ODOMETRY, spoil_attribute(ODOMETRY, 'child_frame_id', '')),
    ('frame_slash', POSE, spoil_attribute(POSE, 'header.frame_id', '/odom')),
    ('covariance_not_finite', POSE, spoil_number(POSE, 'pose.covariance', 3, np.nan)),
    ('covariance_zero', ODOMETRY, spoil_number(ODOMETRY, 'twist.covariance', 7, 0.0)),
    ('covariance_asymmetric', ODOMETRY, spoil_number(ODOMETRY, 'pose.covariance', 1, 1e-4)),
    ('covariance_not_positive', ODOMETRY, lean_on_rotation),
    ('covariance_unset', ODOMETRY, spoil_number(ODOMETRY, 'twist.covariance', 0, 1.0)),
    ('quaternion_length', POSE, spoil_attribute(POSE, 'pose.pose.orientation.w', 0.0)),
    ('not_finite', ODOMETRY, spoil_attribute(ODOMETRY, 'twist.twist.linear.x', np.inf)),
    ('lost_by_half', ODOMETRY, lose_by_half),
    ('pose_identity', ODOMETRY, return_to_identity),
    ('odom_jump', ODOMETRY, shift),
    ('path_frame', PATH, other_frame_in_path),
    ('path_order', PATH, old_pose_in_path),
    ('tf_two_parents', '/tf', second_parent),
    ('encoding', DEPTH, spoil_attribute(DEPTH, 'encoding', 'mono16')),
    ('image_layout', COLOR, spoil_attribute(COLOR, 'step', 11)),
    ('depth_negative_inf', DEPTH, spoil_pixel(DEPTH, 0, -np.inf)),
    ('depth_not_positive', DEPTH, spoil_pixel(DEPTH, 0, 0.0)),
    ('confidence_range', CONFIDENCE, spoil_pixel(CONFIDENCE, 0, np.nan)),
    ('confidence_without_depth', CONFIDENCE, spoil_pixel(CONFIDENCE, 2, 0.25)),
    ('info_missing', DEPTH, lose_an_info),
    ('info_k', INFO, spoil_number(INFO, 'k', 1, 0.5)),
    ('info_p', INFO, spoil_number(INFO, 'p', 3, -0.1)),
    ('info_r', INFO, spoil_number(INFO, 'r', 1, 0.1)),
    ('info_d', INFO, distort),
    ('size', INFO, spoil_attribute(INFO, 'width', 8)),
    ('frame', COLOR, spoil_attribute(COLOR, 'header.frame_id', 'base_link')),
    ('cloud_fields', CLOUD, rename_z),
    ('cloud_layout', CLOUD, spoil_attribute(CLOUD, 'row_step', 65)),
    ('cloud_dense', CLOUD, spoil_attribute(CLOUD, 'is_dense', True)),
    ('cloud_inf', CLOUD, spoil_pixel(CLOUD, 1, np.inf)),
    ('cloud_half', CLOUD, spoil_pixel(CLOUD, 1, np.nan)),
    ('confidence_range', CLOUD, spoil_pixel(CLOUD, 3, 1.5)),
    ('scale_incomplete', SCALE, unset_scale),
    ('scale_value', SCALE, negative_factor),
]


def test_good_outputs_keep_all_rules(outputs: Outputs) -> None:
    report = check(outputs)

    assert not report.findings
    assert report.topics == {topic: len(messages) for topic, messages in outputs.items()}


@pytest.mark.parametrize(('rule', 'topic', 'spoil'), CASES, ids=[c[0] for c in CASES])
def test_broken_rule_is_found_with_its_topic_and_stamp(
    outputs: Outputs, rule: str, topic: str, spoil: Spoil
) -> None:
    spoil(outputs)

    found = [f for f in check(outputs).findings if f.rule == rule]
    assert [finding.topic for finding in found] == [topic]
    moved = rule in ('stamp_order', 'stamp_zero')
    assert moved or found[0].stamp_ns == SPOILT_NS


def test_twist_in_the_frame_of_the_pose_is_found(outputs: Outputs) -> None:
    twist_in_odom(outputs)

    found = check(outputs).findings
    assert {(f.rule, f.topic) for f in found} == {('twist_frame', ODOMETRY)}
    assert 'in the frame of the pose' in found[0].text


def test_twist_that_says_nothing_of_the_motion_is_found(outputs: Outputs) -> None:
    for message in outputs[ODOMETRY]:
        message.twist.twist.linear.x = message.twist.twist.angular.z = 0.0

    found = [f.text for f in check(outputs).findings if f.rule == 'twist_frame']
    assert [text.split()[1] for text in found] == ['linear', 'angular']


def test_jump_while_lost_is_said_and_therefore_none(outputs: Outputs) -> None:
    shift(outputs)
    for covariance in ('pose', 'twist'):
        getattr(outputs[ODOMETRY][SPOILT - 1], covariance).covariance[:] = 9999 * np.eye(6).ravel()

    assert not check(outputs).findings


def test_relative_depth_stands_beside_nothing_in_metres(outputs: Outputs) -> None:
    claim_metres(outputs)

    found = check(outputs).findings
    assert [finding.rule for finding in found] == ['metres_beside_relative']


def test_compact_cloud_without_a_point_and_millimetres_are_fine(outputs: Outputs) -> None:
    for message in outputs[CLOUD]:
        message.height, message.width, message.row_step = 1, 0, 0
        message.data, message.is_dense = np.zeros(0, np.uint8), True
    for message in outputs[DEPTH]:
        message.encoding, message.step = '16UC1', 8
        message.data = np.zeros(24, np.uint8)

    assert not check(outputs).findings


def test_findings_that_repeat_themselves_are_counted(
    outputs: Outputs, write_outputs: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for message in outputs[POSE]:
        message.pose.covariance[0] = 0.0
    path = write_outputs(outputs)

    assert run(['doctor', '--bag', str(path)], [doctor]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == MAX_KEPT + 2
    assert lines[0].startswith('/moe3d/camera/pose at 1800000000.000000000 s: covariance_zero: ')
    assert lines[-2] == '/moe3d/camera/pose: covariance_zero: 15 more'
    assert lines[-1].endswith('20 findings')


def test_command_says_it_in_json_and_by_its_exit_code(
    outputs: Outputs, write_outputs: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_outputs(outputs)

    assert run(['doctor', '--json', '--bag', str(path)], [doctor]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['ok'] is True
    assert report['findings'] == []
    assert report['messages'][ODOMETRY] == len(outputs[ODOMETRY])


def test_bag_without_the_node_is_no_bag_that_keeps_the_rules(
    outputs: Outputs, write_outputs: Write
) -> None:
    path = write_outputs(outputs)

    with pytest.raises(InputError, match='/other'):
        check_bag(path, '/other')


def test_rules_are_of_the_topics_that_the_node_has(outputs: Outputs) -> None:
    node = '/moe3d'
    published = {*output_topics('camera', metric=True, node=node)}
    published |= {*motion_topics('camera', node=node)} - {f'{node}/camera/sparse_points'}

    assert published == outputs.keys() - {'/tf'}
