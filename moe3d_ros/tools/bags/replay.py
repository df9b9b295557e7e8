"""Play a bag: its serialized messages on its topics, with its QoS, in log order and pace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
import logging
from pathlib import Path
import time
from typing import TYPE_CHECKING

from moe3d_engine.bags.bag import BagMessage
from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_ros.tools.bags.message_class import message_class
from moe3d_ros.tools.bags.plain_node import plain_node
from moe3d_ros.tools.bags.playable import check_loop
from moe3d_ros.tools.bags.playable import playable_camera
from moe3d_ros.tools.bags.playable import playable_topics

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher
    from rclpy.qos import QoSProfile

logger = logging.getLogger(__name__)

CLOCK_STEP_S = 0.01  # longest time between two messages on /clock
MATCH_POLL_S = 0.02
ACK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """
    How a bag is played.

    Parameters
    ----------
    rate : 2 plays twice as fast as recorded.
    clock : publish the log time on /clock.
    loop : start again at the end, until interrupted.
    topics : topics to play; None = all whose type is installed.
    image_topic : the images that `subscribers` and `frames` speak of; None = the likeliest.
    camera_info_topic : its camera_info; None = the one beside it.
    subscribers : so many must listen to images and camera_info before the first message; 0 =
        nobody is waited for.
    timeout_s : longest time to wait for them.
    frames : stop before image number `frames` + 1; None = play to the end.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    rate: float = 1.0
    clock: bool = False
    loop: bool = False
    topics: Collection[str] | None = None
    image_topic: str | None = None
    camera_info_topic: str | None = None
    subscribers: int = 1
    timeout_s: float = 30.0
    frames: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers once."""
        if not 0.0 < self.rate < float('inf'):
            raise ConfigError(f'--rate is a number above 0; got {self.rate}.')
        if self.subscribers < 0:
            raise ConfigError(f'--wait-for-subscribers is at least 0; got {self.subscribers}.')
        if self.frames is not None and self.frames < 1:
            raise ConfigError(f'--frames is at least 1; got {self.frames}.')


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """
    What was played.

    Parameters
    ----------
    sent : messages per topic.
    skipped : topics of the bag that cannot be played: the message type is not installed, or the
        name is none.
    damaged : messages per topic that are in the bag but cannot be read.
    acknowledged : whether all reliable subscribers confirmed all messages.
    first_log_ns : log time of the first message.
    first_sent_ns : wall-clock time at which it was sent; a message of log time t was due at
        `first_sent_ns` + (t - `first_log_ns`) / rate.
    most_late_ms : longest delay of a message behind that schedule.
    """

    sent: dict[str, int]
    skipped: list[str]
    damaged: dict[str, int]
    acknowledged: bool
    first_log_ns: int
    first_sent_ns: int
    most_late_ms: float


def replay(
    source: Path, options: ReplayOptions, on_sent: Callable[[], object] = lambda: None
) -> ReplaySummary:
    """
    Publish a bag from this process and return when all of it has been delivered.

    Parameters
    ----------
    source : rosbag2 folder, or an .mcap or .db3 file.
    options : how it is played.
    on_sent : called after each message.

    Raises
    ------
    InputError
        If the bag cannot be read, lacks an asked topic or holds nothing that can be played, if
        nobody listens within `options.timeout_s`, or if a loop would be too short.
    """
    with open_bag(source) as bag, plain_node('moe3d_replay') as node:
        camera = playable_camera(
            bag, options.image_topic, options.camera_info_topic, needed=options.frames is not None
        )
        topics, skipped = playable_topics(bag, options.topics)
        if options.loop and camera.image is not None:
            check_loop(bag, camera.image)
        publishers = {
            name: node.create_publisher(message_class(topic.type), name, to_profile(topic.qos))
            for name, topic in topics.items()
        }
        awaited = [name for name in camera if name in topics] or list(topics)
        _wait_for_subscribers({name: publishers[name] for name in awaited}, options)
        player = _Player(node, publishers, options, on_sent)
        try:
            while True:
                player.play(_until_frame(bag.messages(topics), camera.image, options.frames))
                if not options.loop:
                    break
        except KeyboardInterrupt:
            if not options.loop:
                raise
        acknowledged = _wait_for_acknowledgement(publishers)
        if not player.sent:
            raise InputError(f'{source} holds no message that can be played, see above.')
    return ReplaySummary(
        sent=dict(player.sent),
        skipped=skipped,
        damaged={name: count for name in topics if (count := bag.damage.messages(name))},
        acknowledged=acknowledged,
        first_log_ns=player.first_log_ns,
        first_sent_ns=player.first_sent_ns,
        most_late_ms=round(1e3 * player.most_late_s, 3),
    )


def to_profile(qos: OfferedQos) -> QoSProfile:
    """Return the rclpy profile of a recorded QoS."""
    from rclpy.qos import DurabilityPolicy
    from rclpy.qos import QoSProfile
    from rclpy.qos import ReliabilityPolicy

    return QoSProfile(
        depth=qos.depth,
        reliability=ReliabilityPolicy.RELIABLE if qos.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL
        if qos.transient_local
        else DurabilityPolicy.VOLATILE,
    )


class _Player:
    """Publishes messages on schedule and counts them."""

    def __init__(
        self,
        node: Node,
        publishers: dict[str, Publisher],
        options: ReplayOptions,
        on_sent: Callable[[], object],
    ) -> None:
        self._publishers = publishers
        self._rate = options.rate
        self._clock = _Clock(node) if options.clock else None
        self._on_sent = on_sent
        self.sent: Counter[str] = Counter()
        self.first_log_ns = 0
        self.first_sent_ns = 0
        self.most_late_s = 0.0

    def play(self, messages: Iterator[BagMessage]) -> None:
        """Publish each message when it is due."""
        start_s = 0.0
        for index, message in enumerate(messages):
            if index == 0:
                start_s = time.monotonic()
                self.first_log_ns, self.first_sent_ns = message.log_ns, time.time_ns()
            due_s = start_s + (message.log_ns - self.first_log_ns) * 1e-9 / self._rate
            self._wait_until(due_s, message.log_ns)
            self.most_late_s = max(self.most_late_s, time.monotonic() - due_s)
            self._publishers[message.topic].publish(message.data)
            self.sent[message.topic] += 1
            self._on_sent()

    def _wait_until(self, due_s: float, log_ns: int) -> None:
        """Sleep, with the clock running, until a message of log time `log_ns` is due."""
        while (remaining_s := due_s - time.monotonic()) > 0.0:
            if self._clock is not None:
                self._clock.publish(log_ns - round(1e9 * remaining_s * self._rate))
                remaining_s = min(remaining_s, CLOCK_STEP_S)
            time.sleep(remaining_s)
        if self._clock is not None:
            self._clock.publish(log_ns)


class _Clock:
    """The publisher of /clock."""

    def __init__(self, node: Node) -> None:
        from rosgraph_msgs.msg import Clock

        self._message = Clock()
        self._publisher = node.create_publisher(Clock, '/clock', 1)

    def publish(self, time_ns: int) -> None:
        """Publish a time."""
        self._message.clock.sec, self._message.clock.nanosec = divmod(time_ns, 1_000_000_000)
        self._publisher.publish(self._message)


def _wait_for_subscribers(publishers: dict[str, Publisher], options: ReplayOptions) -> None:
    """Return once enough subscribers are matched on each topic."""
    deadline_s = time.monotonic() + options.timeout_s
    while True:
        short = [
            name
            for name, publisher in publishers.items()
            if publisher.get_subscription_count() < options.subscribers
        ]
        if not short:
            return
        if time.monotonic() > deadline_s:
            raise InputError(
                f'{", ".join(short)}: fewer than {options.subscribers} subscribers within '
                f'{options.timeout_s:g} s. Start the subscriber on the same ROS_DOMAIN_ID, or '
                f'play without waiting: --wait-for-subscribers 0.'
            )
        time.sleep(MATCH_POLL_S)


def _until_frame(
    messages: Iterator[BagMessage], image_topic: str | None, frames: int | None
) -> Iterator[BagMessage]:
    """Yield the messages before image number `frames` + 1."""
    count = 0
    for message in messages:
        count += message.topic == image_topic
        if frames is not None and count > frames:
            return
        yield message


def _wait_for_acknowledgement(publishers: dict[str, Publisher]) -> bool:
    """Return whether all reliable subscribers confirmed everything in time."""
    from rclpy.duration import Duration

    deadline_s = time.monotonic() + ACK_TIMEOUT_S
    complete = True
    for name, publisher in publishers.items():
        remaining_s = max(0.0, deadline_s - time.monotonic())
        if not publisher.wait_for_all_acked(Duration(seconds=remaining_s)):
            logger.warning('%s: not all messages were acknowledged.', name)
            complete = False
    return complete
