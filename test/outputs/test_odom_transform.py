"""The transform of odom: sent on request, never as a second parent, refused without tf2_msgs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.errors import ConfigError
from moe3d_ros.outputs import odom_transform
from moe3d_ros.outputs.messages import to_stamp
from moe3d_ros.outputs.odom_transform import OdomTransform
from moe3d_ros.outputs.odom_transform import tf_message_type
from moe3d_ros.outputs.pose_messages import to_transform
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from std_msgs.msg import Header

Transform = Any


@dataclass
class TFMessage:
    """Stands in for tf2_msgs/msg/TFMessage where that is not installed."""

    transforms: list[Transform] = field(default_factory=list)


@dataclass
class FakePublisher:
    """Keeps what is published."""

    sent: list[TFMessage] = field(default_factory=list)

    def publish(self, message: TFMessage) -> None:
        self.sent.append(message)


class FakeNode:
    """As much of a node as the transform uses; messages go from hand to hand."""

    def __init__(self) -> None:
        self.publisher = FakePublisher()
        self.callbacks: dict[str, Callable[[TFMessage], None]] = {}
        self.durability: dict[str, DurabilityPolicy] = {}
        self.errors: list[str] = []

    def create_publisher(self, message_type: type, topic: str, qos: QoSProfile) -> FakePublisher:
        assert (message_type, topic) == (TFMessage, '/tf')
        return self.publisher

    def create_subscription(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[TFMessage], None],
        qos: QoSProfile,
    ) -> str:
        assert message_type is TFMessage
        self.callbacks[topic], self.durability[topic] = callback, qos.durability
        return topic

    def destroy_subscription(self, subscription: str) -> None:
        del self.callbacks[subscription]

    def destroy_publisher(self, publisher: FakePublisher) -> None:
        assert publisher is self.publisher

    def get_logger(self) -> FakeNode:
        return self

    def error(self, text: str) -> None:
        self.errors.append(text)


def transform(
    child: str, parent: str = 'odom', stamp_ns: int = 1_700_000_000_000_000_007
) -> Transform:
    return to_transform(Header(stamp=to_stamp(stamp_ns), frame_id=parent), child, np.eye(4))


@pytest.fixture
def tf2_msgs(monkeypatch: pytest.MonkeyPatch) -> None:
    package, messages = ModuleType('tf2_msgs'), ModuleType('tf2_msgs.msg')
    messages.TFMessage = TFMessage  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'tf2_msgs', package)
    monkeypatch.setitem(sys.modules, 'tf2_msgs.msg', messages)


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def sender(
    tf2_msgs: None, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OdomTransform]:
    monkeypatch.setattr(odom_transform, 'LISTEN_S', 0.0)
    sender = OdomTransform(node)  # type: ignore[arg-type]
    yield sender
    sender.destroy()
    sender.destroy()  # a second call does nothing
    assert not node.callbacks


def test_double_has_the_fields_that_ros_defines() -> None:
    store = get_typestore(Stores.LATEST)
    _, fields = store.fielddefs['tf2_msgs/msg/TFMessage']

    assert [name for name, _ in fields] == list(TFMessage.__dataclass_fields__)
    assert 'geometry_msgs/msg/TransformStamped' in str(fields)


def test_latched_transforms_are_heard_as_tf2_publishes_them(
    sender: OdomTransform, node: FakeNode
) -> None:
    assert node.durability == {
        '/tf': DurabilityPolicy.VOLATILE,
        '/tf_static': DurabilityPolicy.TRANSIENT_LOCAL,
    }


def test_transform_is_sent_as_it_is(sender: OdomTransform, node: FakeNode) -> None:
    sent = transform('base_link')

    assert sender.send(sent)
    assert node.publisher.sent == [TFMessage([sent])]


def test_own_transform_that_comes_back_is_no_other_parent(
    sender: OdomTransform, node: FakeNode
) -> None:
    sender.send(transform('base_link'))
    node.callbacks['/tf'](node.publisher.sent[0])

    assert sender.send(transform('base_link', stamp_ns=2))


@pytest.mark.parametrize(
    ('topic', 'other'),
    [
        ('/tf_static', transform('optical', 'base_link', 5)),
        ('/tf', transform('optical', 'map', 5)),
        ('/tf', transform('optical', 'odom', 5)),
    ],
    ids=['a robot carries it', 'a localizer places it', 'another odometry places it'],
)
def test_frame_that_somebody_else_places_is_left_alone_and_the_log_says_so_once(
    sender: OdomTransform, node: FakeNode, topic: str, other: Transform
) -> None:
    assert sender.send(transform('optical', stamp_ns=1))
    node.callbacks[topic](TFMessage([other]))

    assert not sender.send(transform('optical', stamp_ns=6))
    assert not sender.send(transform('optical', stamp_ns=7))
    assert len(node.publisher.sent) == 1
    (error,) = node.errors
    assert other.header.frame_id in error
    assert 'optical' in error


def test_other_frames_of_the_robot_are_in_nobodys_way(
    sender: OdomTransform, node: FakeNode
) -> None:
    node.callbacks['/tf_static'](TFMessage([transform('optical', 'base_link')]))

    assert sender.send(transform('base_link'))


def test_nothing_is_sent_before_a_parent_that_exists_could_be_heard(
    tf2_msgs: None, node: FakeNode
) -> None:
    sender = OdomTransform(node)  # type: ignore[arg-type]

    assert not sender.send(transform('base_link'))
    assert not node.publisher.sent
    assert not node.errors


def test_missing_tf2_msgs_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'tf2_msgs', None)
    monkeypatch.setitem(sys.modules, 'tf2_msgs.msg', None)

    with pytest.raises(ConfigError, match=r'tf\.publish needs the package tf2_msgs.*Source'):
        tf_message_type()
