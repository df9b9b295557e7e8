"""How many large messages arrive from another process: the question behind a silent topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
import subprocess
import sys
import time
from typing import TYPE_CHECKING
import uuid

from moe3d_engine.errors import ConfigError
from moe3d_ros.tools.own_module import own_module

if TYPE_CHECKING:
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image

RELIABILITIES = ('best_effort', 'reliable')
QUEUE_DEPTH = 5  # as the sensor data profile
GRACE_S = 1.0  # for messages that are still on their way when the sender has sent the last one


@dataclass(frozen=True, slots=True)
class LinkReport:
    """
    What came through between two processes.

    Parameters
    ----------
    size_bytes : payload of one message.
    reliability : of both ends, `best_effort` or `reliable`.
    sent : messages sent after the two ends had found each other; 0 if they never did.
    received : messages that arrived.
    median_ms : median time from just before publishing to the callback; None without a message.
    """

    size_bytes: int
    reliability: str
    sent: int
    received: int
    median_ms: float | None


def measure_link(
    size_bytes: int,
    rate_hz: float,
    count: int,
    reliability: str,
    sender_environment: Mapping[str, str] | None = None,
    match_timeout_s: float = 15.0,
) -> LinkReport:
    """
    Send images from a second process to this one and count what arrives.

    The ends use the middleware, domain and profile that the environment names, so the answer is
    about the links of this machine as they are set up now.

    Parameters
    ----------
    size_bytes : payload of one image message.
    rate_hz : messages per second.
    count : messages to send.
    reliability : `best_effort` or `reliable`, for both ends.
    sender_environment : the sender's environment, None = this process's. Without the variables
        that name a Fast DDS profile it stands for a camera driver that was started without one.
    match_timeout_s : how long the two ends may take to find each other.

    Raises
    ------
    ConfigError
        If `reliability` is unknown or a number is not above 0.
    """
    if reliability not in RELIABILITIES:
        raise ConfigError(f'reliability is one of {RELIABILITIES}; got {reliability!r}.')
    if min(size_bytes, rate_hz, count) <= 0:
        raise ConfigError(
            f'size_bytes, rate_hz and count are above 0; got {size_bytes}, {rate_hz}, {count}.'
        )
    topic = f'moe3d_link_check_{uuid.uuid4().hex}'
    arguments = (topic, reliability, size_bytes, rate_hz, count, match_timeout_s)
    sender = subprocess.Popen(
        own_module('moe3d_ros.tools.link_check', *map(str, arguments)),
        env=None if sender_environment is None else dict(sender_environment),
    )
    try:
        latencies_ms = _receive(topic, reliability, sender, count)
    finally:
        sender.kill()
        sender.wait()
    return LinkReport(
        size_bytes=size_bytes,
        reliability=reliability,
        sent=count if sender.returncode == 0 else 0,
        received=len(latencies_ms),
        median_ms=median(latencies_ms) if latencies_ms else None,
    )


def _receive(
    topic: str, reliability: str, sender: subprocess.Popen[bytes], count: int
) -> list[float]:
    """Return the latency in ms of each message, until all are there or the sender has ended."""
    from moe3d_ros.arguments.ros_errors import ros_errors_in_one_line
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    latencies_ms: list[float] = []

    def on_image(message: Image) -> None:
        sent_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        latencies_ms.append((time.monotonic_ns() - sent_ns) / 1e6)

    context = rclpy.Context()
    with ros_errors_in_one_line():
        context.init()
    node = rclpy.create_node('moe3d_link_receiver', context=context, use_global_arguments=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        node.create_subscription(Image, topic, on_image, _qos(reliability))
        end_s = float('inf')
        while len(latencies_ms) < count and time.monotonic() < end_s:
            executor.spin_once(timeout_sec=0.1)
            if end_s == float('inf') and sender.poll() is not None:
                end_s = time.monotonic() + GRACE_S
        sender.wait(timeout=30.0)  # it has nothing left to do but to end
    finally:
        executor.shutdown()
        node.destroy_node()
        context.shutdown()
    return latencies_ms


def _send(
    topic: str,
    reliability: str,
    size_bytes: int,
    rate_hz: float,
    count: int,
    match_timeout_s: float,
) -> int:
    """Publish `count` images once a receiver is there; return 1 if none came."""
    from array import array

    import rclpy
    from sensor_msgs.msg import Image

    with rclpy.init():
        node = rclpy.create_node('moe3d_link_sender', use_global_arguments=False)
        publisher = node.create_publisher(Image, topic, _qos(reliability))
        message = Image(height=1, width=size_bytes, step=size_bytes, encoding='mono8')
        message.data = array('B', bytes(size_bytes))
        give_up_s = time.monotonic() + match_timeout_s
        while publisher.get_subscription_count() == 0:
            if time.monotonic() > give_up_s:
                return 1
            time.sleep(0.05)
        time.sleep(GRACE_S)  # the receiver may learn of the match later than the sender
        start_s = time.monotonic()
        for index in range(count):
            time.sleep(max(0.0, start_s + index / rate_hz - time.monotonic()))
            sent_ns = time.monotonic_ns()
            message.header.stamp.sec = sent_ns // 1_000_000_000
            message.header.stamp.nanosec = sent_ns % 1_000_000_000
            publisher.publish(message)
        time.sleep(GRACE_S)  # a reliable writer repeats what was lost only while it lives
    return 0


def _qos(reliability: str) -> QoSProfile:
    """Return the profile of both ends."""
    from rclpy.qos import QoSProfile
    from rclpy.qos import ReliabilityPolicy

    policy = ReliabilityPolicy[reliability.upper()]
    return QoSProfile(depth=QUEUE_DEPTH, reliability=policy)


if __name__ == '__main__':
    topic_name, policy_name, size, rate, number, timeout_s = sys.argv[1:]
    sys.exit(_send(topic_name, policy_name, int(size), float(rate), int(number), float(timeout_s)))
