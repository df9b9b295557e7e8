"""A node in this process, a fake backend, and a camera that feeds it over the middleware."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import gc
import threading
from typing import Any

from moe3d_engine.backend import check_images
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_ros.node import Moe3dNode
import rclpy
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from spinning import spin_until

# Messages are made by a generator, and the wheels carry no types for them.
Message = Any
Value = bool | int | float | str

FRAME_ID = 'camera_optical_frame'
PERIOD_NS = 33_333_333
FIRST_STAMP_NS = 1_731_846_203_417_293_651  # a float of seconds cannot hold it


class FakeBackend:
    """Red in [0, 1] becomes depth 1 + 4 * red, green the agreement, blue the confidence."""

    name = 'fake'

    def __init__(self, metric: bool = True) -> None:
        self.spec = NetworkSpec('fake', (28, 42), 4, metric, 0.05)
        self.returns_nan = False
        self.free = threading.Event()  # while it is not set, reconstruct does not return
        self.free.set()
        self.entered = threading.Event()
        self.num_closed = 0
        self.num_windows = 0

    def encode(self, images: Float32Array) -> list[object]:
        """Return the images themselves."""
        check_images(images, self.spec)
        return list(images)

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """Read depth, agreement and confidence off the published images."""
        self.entered.set()
        self.free.wait(20.0)
        self.num_windows += 1
        images = np.stack([np.asarray(features[index]) for index in publish])
        pose_encoding = np.zeros((len(features), 9), np.float32)
        pose_encoding[:, 6] = 1.0
        pose_encoding[:, 7:] = (0.8, 1.1)
        depth = 1.0 + 4.0 * images[:, 0]
        if self.returns_nan:
            depth[0, 0, 0] = np.nan
        agreement, confidence = images[:, 1].copy(), images[:, 2].copy()
        return RawOutputs(depth, confidence, agreement, pose_encoding, np.ones_like(depth))

    def estimate_cameras(self, features: Sequence[object]) -> Float32Array:
        """Refuse: the cameras come with depth."""
        raise NotImplementedError

    def close(self) -> None:
        """Count the calls."""
        self.num_closed += 1


class Rig:
    """The node under test and a peer that plays camera and listener, on one executor."""

    def __init__(
        self, context: rclpy.Context, backend: FakeBackend, parameters: dict[str, Value]
    ) -> None:
        self.backend = backend
        self.node = Moe3dNode(
            lambda name, weights, threads: backend,
            context=context,
            parameter_overrides=[Parameter(name, value=v) for name, v in parameters.items()],
        )
        self.peer = rclpy.create_node('peer', context=context, start_parameter_services=False)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.peer)
        self.received: dict[str, list[Message]] = {}
        self.images: Publisher | None = None
        self.infos: Publisher | None = None
        self.stamp_ns = FIRST_STAMP_NS

    def close(self) -> None:
        """Destroy everything."""
        self.backend.free.set()
        self.executor.shutdown()
        self.node.destroy_node()
        self.peer.destroy_node()
        gc.collect()  # a lifecycle node ends in rcl only when Python forgets it

    def start(self) -> None:
        """Configure and activate the node."""
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Spin until a condition holds; fail if it does not in time."""
        spin_until(self.executor, condition, timeout_s, self.node.statistics.summary)

    def listen(self, message_type: type[Any], topic: str) -> list[Message]:
        """Subscribe and return the list that messages are put into."""
        messages = self.received.setdefault(topic, [])
        self.peer.create_subscription(message_type, topic, messages.append, 10)
        self.wait_until(lambda: self.node.count_subscribers(topic) > 0)
        self.wait_until(lambda: self.peer.count_publishers(topic) > 0)
        return messages

    def publish(self, message_type: type[Any], topic: str, qos: QoSProfile) -> Publisher:
        """Create a publisher of the peer; rclpy's own callbacks raise a DeprecationWarning."""
        events = PublisherEventCallbacks(use_default_callbacks=False)
        return self.peer.create_publisher(message_type, topic, qos, event_callbacks=events)

    def connect_camera(
        self, image_type: type[Any] = Image, reliability: str = 'reliable', name: str = 'image_raw'
    ) -> None:
        """Create the camera's publishers and wait until the node takes both."""
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[reliability.upper()])
        self.images = self.publish(image_type, f'/camera/{name}', qos)
        self.infos = self.publish(CameraInfo, '/camera/camera_info', qos)
        self.wait_until(lambda: self.images.get_subscription_count() > 0)
        self.wait_until(lambda: self.infos.get_subscription_count() > 0)

    def disconnect_camera(self) -> None:
        """Destroy the camera's publishers."""
        self.peer.destroy_publisher(self.images)
        self.peer.destroy_publisher(self.infos)

    def next_stamp(self) -> Message:
        """Return the stamp of the camera's next frame."""
        self.stamp_ns += PERIOD_NS
        return to_stamp(self.stamp_ns)

    def send(self, image: Message, info: Message) -> None:
        """Stamp and publish a frame."""
        image.header.stamp = info.header.stamp = self.next_stamp()
        self.infos.publish(info)
        self.images.publish(image)

    def send_and_wait(self, image: Message, info: Message) -> None:
        """Publish a frame and wait until it is published or dropped."""
        done = self.num_done + 1
        self.send(image, info)
        self.wait_until(lambda: self.num_done >= done)

    @property
    def num_done(self) -> int:
        """How many frames were published or dropped."""
        values = self.node.statistics.values()
        return sum(int(n) for k, n in values.items() if k == 'published' or 'dropped.' in k)

    def count(self, name: str) -> int:
        """Return a count of the node's statistics."""
        return int(self.node.statistics.values()[name])

    @property
    def state(self) -> str:
        """The lifecycle state."""
        label: str = self.node._state_machine.current_state[1]
        return label


def to_stamp(nanoseconds: int) -> Message:
    """Return a message's stamp."""
    stamp = Image().header.stamp
    stamp.sec, stamp.nanosec = divmod(nanoseconds, 1_000_000_000)
    return stamp


def make_image(
    height: int = 56, width: int = 84, rgb: tuple[int, int, int] = (51, 255, 204)
) -> Message:
    """Return a message of one colour; the default becomes depth 1.8, confidence 0.8."""
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.header.frame_id = FRAME_ID
    message.data = array('B', np.full((height, width, 3), rgb, np.uint8).tobytes())
    return message


def make_info(height: int = 56, width: int = 84) -> Message:
    """Return a camera_info without distortion, whose principal point is off the centre."""
    message = CameraInfo(height=height, width=width, distortion_model='plumb_bob')
    message.header.frame_id = FRAME_ID
    message.d = [0.0] * 5
    message.k = [70.0, 0.0, 40.0, 0.0, 71.0, 30.0, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [70.0, 0.0, 40.0, 0.0, 0.0, 71.0, 30.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


@pytest.fixture
def make_rig(ros_context: rclpy.Context) -> Iterator[Callable[..., Rig]]:
    """Return a function that makes rigs; they are closed after the test."""
    rigs = []

    def make(backend: FakeBackend | None = None, **parameters: Value) -> Rig:
        named = {name.replace('__', '.'): value for name, value in parameters.items()}
        rigs.append(Rig(ros_context, backend or FakeBackend(), named))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Return a node that is not configured."""
    return make_rig()


@pytest.fixture
def live_rig(rig: Rig) -> Rig:
    """Return an active node with a camera, and a listener to its depth."""
    rig.start()
    rig.connect_camera()
    rig.listen(Image, '/moe3d/camera/depth/image_rect')
    return rig


@pytest.fixture
def fake_backend() -> type[FakeBackend]:
    """Return the class, so that a test chooses metric or relative weights."""
    return FakeBackend


@pytest.fixture
def image_message() -> Callable[..., Message]:
    """Return the function that makes images."""
    return make_image


@pytest.fixture
def info_message() -> Callable[..., Message]:
    """Return the function that makes camera_infos."""
    return make_info
