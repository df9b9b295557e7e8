"""Record topics into a new bag: what is there and what appears, with the QoS that is offered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
import logging
from pathlib import Path
import time
from typing import Any

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.errors import InputError
from moe3d_ros.tools.bags.message_class import message_class
from moe3d_ros.tools.bags.plain_node import plain_node
from moe3d_ros.tools.bags.replay import to_profile
from moe3d_ros.tools.bags.writer import BagWriter

logger = logging.getLogger(__name__)

DISCOVERY_PERIOD_S = 0.1
QUEUE_DEPTH = 100  # the recorder may fall behind for a moment, but loses nothing


class Recorder:
    """
    Subscribes to the topics that `wanted` accepts and writes what arrives, while it is spun.

    It owns its node and the bag; use it as a context manager. Messages stay serialized; their log
    time is the time of reception.

    Parameters
    ----------
    path : folder of the new bag.
    wanted : whether a topic of this name is to be recorded.

    Raises
    ------
    InputError
        If the folder exists.
    """

    def __init__(self, path: Path, wanted: Callable[[str], bool]) -> None:
        self._path = path
        self._wanted = wanted
        self._ignored: set[str] = set()
        self._stack = ExitStack()
        self.counts: Counter[str] = Counter()
        self.latest: dict[str, bytes] = {}
        self.topics: set[str] = set()

    def __enter__(self) -> Recorder:
        """Open the bag and the node."""
        from rclpy.executors import SingleThreadedExecutor

        with ExitStack() as stack:
            self._writer = BagWriter(self._path)
            stack.callback(self._writer.close)
            self._node = stack.enter_context(plain_node('moe3d_recorder'))
            self._executor = SingleThreadedExecutor(context=self._node.context)
            stack.callback(self._executor.shutdown)
            self._executor.add_node(self._node)
            self._node.create_timer(DISCOVERY_PERIOD_S, self._subscribe_to_new)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """Finish the bag and leave the graph."""
        self._stack.close()

    def spin_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Record until a condition holds; return whether it came true in time."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            self._executor.spin_once(timeout_sec=DISCOVERY_PERIOD_S)
        return True

    def _subscribe_to_new(self) -> None:
        """Subscribe to wanted topics that have a publisher."""
        for name, types in self._node.get_topic_names_and_types():
            if name not in self.topics | self._ignored and self._wanted(name):
                self._subscribe(name, types[0])

    def _subscribe(self, name: str, type_name: str) -> None:
        """Subscribe to a topic if it has publishers already."""
        endpoints = self._node.get_publishers_info_by_topic(name)
        if not endpoints:
            return
        try:
            message_type = message_class(type_name)
            if not self._writer.knows_type(type_name):
                raise InputError(f'The type {type_name} is not known to rosbags.')
        except InputError as error:
            logger.warning('%s is not recorded. %s', name, error)
            self._ignored.add(name)
            return
        qos = _offered(endpoints)
        self._writer.add_topic(name, type_name, qos)
        self.topics.add(name)

        def write(data: bytes) -> None:
            self._writer.write(name, time.time_ns(), data)
            self.counts[name] += 1
            self.latest[name] = data

        profile = to_profile(qos)
        profile.depth = max(qos.depth, QUEUE_DEPTH)
        self._node.create_subscription(message_type, name, write, profile, raw=True)


def _offered(endpoints: list[Any]) -> OfferedQos:
    """Return what all publishers of a topic offer together."""
    from rclpy.qos import DurabilityPolicy
    from rclpy.qos import ReliabilityPolicy

    profiles = [endpoint.qos_profile for endpoint in endpoints]
    return OfferedQos(
        reliable=all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles),
        transient_local=all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles),
        depth=max(p.depth for p in profiles) or OfferedQos().depth,
    )
