"""TF: asked by tf2_ros's own names, only where it is needed, with a clear error where missing."""

from __future__ import annotations

from collections.abc import Callable
import inspect
import sys
from types import ModuleType
from types import SimpleNamespace
from typing import Any
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.errors import ConfigError
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2

Rig = Any
Message = Any

BEGIN_NS = 1_731_846_203_417_293_651
CAMERA = 'camera_optical_frame'
NO_WAIT = Duration()

# Public signatures of tf2_ros, without annotations, read in github.com/ros2/geometry2 at d0dbd51
# (humble) and 646342c (jazzy), alike in both: tf2_ros_py/tf2_ros/buffer.py, transform_listener.py;
# the exceptions are those of tf2_py/src/tf2_py.cpp.
SIGNATURES = {
    'Buffer': '(cache_time=None, node=None)',
    'Buffer.lookup_transform': '(self, target_frame, source_frame, time, timeout=Duration())',
    'TransformListener': '(buffer, node, *, spin_thread=False, qos=None, static_qos=None)',
    'TransformListener.unregister': '(self)',
}
# How many arguments are given to each, all by position.
GIVEN = {
    'Buffer': 0,
    'Buffer.lookup_transform': 5,
    'TransformListener': 2,
    'TransformListener.unregister': 1,
}


class TransformException(Exception):  # noqa: N818 - its name in tf2
    """Base of all that tf2 raises."""


class LookupException(TransformException):
    """A frame that does not exist."""


class Buffer:
    """Knows the transforms that a test puts in."""

    known: ClassVar[dict[tuple[str, str, int], tuple[float, ...]]] = {}
    asked: ClassVar[list[tuple[str, str, int, int]]] = []

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        assert cache_time is None or isinstance(cache_time, Duration)

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_WAIT
    ) -> Message:
        assert isinstance(time, Time)
        assert isinstance(timeout, Duration)
        key = target_frame, source_frame, time.nanoseconds
        self.asked.append((*key, timeout.nanoseconds))
        if key not in self.known:
            raise LookupException(f'"{source_frame}" passed to lookupTransform does not exist')
        x, y, z, qx, qy, qz, qw = self.known[key]
        transform = SimpleNamespace(
            translation=SimpleNamespace(x=x, y=y, z=z),
            rotation=SimpleNamespace(x=qx, y=qy, z=qz, w=qw),
        )
        return SimpleNamespace(transform=transform)


class TransformListener:
    """Fills no buffer; knows whether it still listens."""

    listening = 0

    def __init__(
        self,
        buffer: Buffer,
        node: Node,
        *,
        spin_thread: bool = False,
        qos: object = None,
        static_qos: object = None,
    ) -> None:
        assert isinstance(buffer, Buffer)
        assert isinstance(node, Node)
        assert not spin_thread  # a second thread may not spin a node that an executor has
        TransformListener.listening += 1

    def unregister(self) -> None:
        TransformListener.listening -= 1


@pytest.fixture
def tf(monkeypatch: pytest.MonkeyPatch) -> type[Buffer]:
    """Put a double in the place of tf2_ros, and return its buffer."""
    double = ModuleType('tf2_ros')
    for each in (Buffer, TransformListener, TransformException, LookupException):
        setattr(double, each.__name__, each)
    monkeypatch.setitem(sys.modules, 'tf2_ros', double)
    monkeypatch.setattr(Buffer, 'known', {})
    monkeypatch.setattr(Buffer, 'asked', [])
    monkeypatch.setattr(TransformListener, 'listening', 0)
    return Buffer


@pytest.fixture
def no_tf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tf2_ros be missing, also where it is installed."""
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)


def signature_of(module: object, name: str) -> inspect.Signature:
    """Return the signature of a class or a method of a module, without annotations."""
    owner, _, method = name.partition('.')
    found: Any = getattr(module, owner)
    signature = inspect.signature(getattr(found, method) if method else found)
    empty = inspect.Parameter.empty
    parameters = [each.replace(annotation=empty) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=empty)


@pytest.mark.parametrize('name', SIGNATURES)
def test_double_has_the_signatures_of_tf2_ros(name: str) -> None:
    own = str(signature_of(sys.modules[__name__], name))

    assert own.replace(repr(NO_WAIT), 'Duration()') == SIGNATURES[name]


@pytest.mark.parametrize('name', SIGNATURES)
def test_tf2_ros_takes_what_it_is_given(name: str) -> None:
    tf2_ros = pytest.importorskip('tf2_ros', reason='needs a ROS distribution')

    signature_of(tf2_ros, name).bind(*range(GIVEN[name]))
    assert issubclass(tf2_ros.LookupException, tf2_ros.TransformException)


def test_odometry_by_tf_is_the_camera_in_its_frame_at_the_stamp(
    tf: type[Buffer], make_rig: Callable[..., Rig]
) -> None:
    tf.known['wheels', CAMERA, BEGIN_NS] = (1.0, 2.0, 3.0, -0.5, 0.5, -0.5, 0.5)
    rig = make_rig(poses__odometry_from='tf', poses__odometry_frame='wheels')

    prior = rig.inputs.prior_at(BEGIN_NS, CAMERA, wait_s=0.02)

    # The camera looks along x of the world: 5 m ahead is 5 m deep.
    np.testing.assert_allclose(prior.cam_from_world @ [6.0, 2.0, 3.0, 1.0], [0, 0, 5, 1])
    assert tf.asked == [('wheels', CAMERA, BEGIN_NS, 20_000_000)]


def test_stamp_that_tf_does_not_know_has_no_pose_and_the_reason_is_told(
    tf: type[Buffer], make_rig: Callable[..., Rig]
) -> None:
    rig = make_rig(poses__odometry_from='tf')

    assert rig.inputs.prior_at(BEGIN_NS, CAMERA) is None
    assert rig.count('odometry.dropped.no_transform') == 1
    assert rig.count('odometry.answered') == 0
    assert 'does not exist' in rig.inputs._frames.problem


def test_place_of_the_camera_is_asked_of_tf_once_it_is_known(
    tf: type[Buffer], make_rig: Callable[..., Rig], odometry: Callable[..., Message]
) -> None:
    rig = make_rig(poses__odometry_topic='odom')
    rig.publisher(Odometry, '/odom').publish(odometry(BEGIN_NS, x=1.0))
    rig.wait_until(lambda: rig.count('odometry.received') == 1)

    assert rig.inputs.prior_at(BEGIN_NS, CAMERA) is None
    assert rig.count('odometry.dropped.no_extrinsics') == 1
    tf.known['base_link', CAMERA, 0] = (0.5, 0.0, 0.0, -0.5, 0.5, -0.5, 0.5)
    for _ in range(3):
        prior = rig.inputs.prior_at(BEGIN_NS, CAMERA)
        np.testing.assert_allclose(prior.cam_from_world @ [4.5, 0, 0, 1], [0, 0, 3, 1])
    assert len(tf.asked) == 2


def test_reference_of_another_frame_is_placed_by_tf(
    tf: type[Buffer], make_rig: Callable[..., Rig]
) -> None:
    tf.known[CAMERA, 'lidar', 0] = (0.0, -0.1, 0.0, 0.5, -0.5, 0.5, 0.5)
    rig = make_rig(scale__reference_topic='/scan')
    found = rig.inputs._reference._mount(CAMERA, 'lidar')

    np.testing.assert_allclose(found @ [5.0, 0.0, 0.0, 1.0], [0.0, -0.1, 5.0, 1.0])


def test_transform_that_is_not_finite_is_none(
    tf: type[Buffer], make_rig: Callable[..., Rig]
) -> None:
    tf.known['odom', CAMERA, BEGIN_NS] = (float('nan'), 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    rig = make_rig(poses__odometry_from='tf')

    assert rig.inputs.prior_at(BEGIN_NS, CAMERA) is None


def test_listener_is_given_back(tf: type[Buffer], make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(poses__odometry_from='tf')
    assert TransformListener.listening == 1

    rig.inputs.destroy()

    assert TransformListener.listening == 0


@pytest.mark.parametrize(
    'parameters', [{'poses__odometry_from': 'tf'}, {'poses__odometry_topic': 'odom'}]
)
def test_missing_tf2_is_an_error_that_says_what_to_do_where_it_is_needed(
    parameters: dict[str, str], no_tf: None, make_rig: Callable[..., Rig]
) -> None:
    with pytest.raises(ConfigError, match=r'tf2_ros .* not found: source') as error:
        make_rig(**parameters)
    assert 'poses.' in str(error.value)


def test_missing_tf2_is_none_of_the_business_of_those_who_do_not_need_it(
    no_tf: None, make_rig: Callable[..., Rig]
) -> None:
    make_rig()
    make_rig(poses__odometry_topic='odom', poses__base_from_camera='0 0 0 0 0 0 1')
    rig = make_rig(scale__reference_topic='/scan')
    rig.publisher(PointCloud2, '/scan')
