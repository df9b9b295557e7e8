"""Listens to topics of the graph for some seconds: headers, sizes, variances, TF, clock."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
import time
from typing import Any
from typing import TYPE_CHECKING

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.errors import InputError
from moe3d_ros.tools.bags.message_class import message_class
from moe3d_ros.tools.bags.replay import to_profile
from moe3d_ros.tools.consumers.facts import CAMERA_INFO
from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import ODOMETRY
from moe3d_ros.tools.consumers.facts import POSE
from moe3d_ros.tools.consumers.facts import Stream
from moe3d_ros.tools.live.endpoints import Endpoint
from moe3d_ros.tools.live.front import read_front
from moe3d_ros.tools.live.transforms import TransformLog

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node

HEARD_TYPES = (IMAGE, CAMERA_INFO, CLOUD, ODOMETRY, POSE)
CLOCK = '/clock'
TF_TOPICS = {'/tf': False, '/tf_static': True}
DIAGONAL = slice(0, 36, 7)  # of a 6x6 covariance, row by row


@dataclass(slots=True)
class _Record:
    """What has come on a topic so far."""

    type: str
    stamps_ns: list[int] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    frame: str = ''
    child_frame: str = ''
    size: tuple[int, int] | None = None
    encoding: str = ''
    pose_variances: tuple[float, ...] = ()
    twist_variances: tuple[float, ...] = ()


class Listener:
    """
    Subscribes to topics and keeps what their messages say of themselves.

    Parameters
    ----------
    node : owns the subscriptions.
    publishers : of each topic to hear, and of /clock, /tf and /tf_static where they are there.

    Attributes
    ----------
    transforms : what TF has told; None where tf2_msgs is not installed.
    """

    def __init__(self, node: Node, publishers: Mapping[str, Iterable[Endpoint]]) -> None:
        self._node = node
        self._records: dict[str, _Record] = {}
        self._clock_ns: int | None = None
        self._seconds = 0.0
        for topic, offers in publishers.items():
            ends = list(offers)
            if ends and ends[0].type in HEARD_TYPES:
                self._subscribe(topic, ends)
        if publishers.get(CLOCK):
            self._subscribe_clock()
        self.transforms = self._subscribe_tf()

    def listen(self, executor: Executor, seconds: float) -> None:
        """Take what comes within a time."""
        start_s = time.monotonic()
        while time.monotonic() < start_s + seconds:
            executor.spin_once(timeout_sec=0.1)
        self._seconds += time.monotonic() - start_s

    def streams(self) -> dict[str, Stream]:
        """Return what was heard, by topic; topics on which nothing came included."""
        return {
            topic: Stream(
                type=record.type,
                stamps_ns=tuple(record.stamps_ns),
                latencies_s=tuple(record.latencies_s),
                frame=record.frame,
                child_frame=record.child_frame,
                size=record.size,
                encoding=record.encoding,
                pose_variances=record.pose_variances,
                twist_variances=record.twist_variances,
                seconds=self._seconds,
            )
            for topic, record in self._records.items()
        }

    def _now_ns(self) -> int:
        """Return the time of /clock, or of this machine."""
        return time.time_ns() if self._clock_ns is None else self._clock_ns

    def _subscribe(self, topic: str, offers: list[Endpoint]) -> None:
        """Hear a topic as its publishers offer it."""
        record = self._records[topic] = _Record(offers[0].type)
        reliable = all(offer.reliability == 'reliable' for offer in offers)
        is_odometry = record.type == ODOMETRY
        take: Callable[[Any], None] = (
            (lambda message: self._add_odometry(record, message))
            if is_odometry
            else (lambda data: self._add_raw(record, data))
        )
        self._node.create_subscription(
            message_class(record.type),
            topic,
            take,
            to_profile(OfferedQos(reliable=reliable)),
            raw=not is_odometry,
        )

    def _add_raw(self, record: _Record, data: bytes) -> None:
        """Take a message that is not decoded."""
        try:
            front = read_front(data, record.type)
        except InputError:
            return  # what is cut off says nothing
        record.frame, record.size, record.encoding = front.frame, front.size, front.encoding
        self._add_stamp(record, front.stamp_ns)

    def _add_odometry(self, record: _Record, message: Any) -> None:  # noqa: ANN401
        """Take an odometry."""
        stamp = message.header.stamp
        record.frame, record.child_frame = message.header.frame_id, message.child_frame_id
        record.pose_variances = tuple(map(float, message.pose.covariance[DIAGONAL]))
        record.twist_variances = tuple(map(float, message.twist.covariance[DIAGONAL]))
        self._add_stamp(record, stamp.sec * 1_000_000_000 + stamp.nanosec)

    def _add_stamp(self, record: _Record, stamp_ns: int) -> None:
        """Take the stamp of a message that has just come."""
        record.stamps_ns.append(stamp_ns)
        record.latencies_s.append((self._now_ns() - stamp_ns) / 1e9)

    def _subscribe_clock(self) -> None:
        """Hear /clock."""
        from rclpy.qos import qos_profile_sensor_data
        from rosgraph_msgs.msg import Clock

        def take(message: Any) -> None:  # noqa: ANN401
            self._clock_ns = message.clock.sec * 1_000_000_000 + message.clock.nanosec

        self._node.create_subscription(Clock, CLOCK, take, qos_profile_sensor_data)

    def _subscribe_tf(self) -> TransformLog | None:
        """Hear TF, where its messages are installed."""
        from rclpy.qos import DurabilityPolicy
        from rclpy.qos import QoSProfile

        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            return None
        log = TransformLog()

        def take(message: Any, is_static: bool) -> None:  # noqa: ANN401
            for transform in message.transforms:
                stamp = transform.header.stamp
                log.add(
                    transform.header.frame_id,
                    transform.child_frame_id,
                    stamp.sec * 1_000_000_000 + stamp.nanosec,
                    is_static=is_static,
                    now_ns=self._now_ns(),
                )

        for topic, is_static in TF_TOPICS.items():
            profile = QoSProfile(depth=100)
            if is_static:
                profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
            self._node.create_subscription(
                TFMessage, topic, lambda message, s=is_static: take(message, s), profile
            )
        return log
