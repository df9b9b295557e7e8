"""Checks for `moe3d doctor`: does ROS work here, and why is a topic silent."""

from __future__ import annotations

from collections import Counter
from functools import partial
import os
import time
from typing import Any
from typing import TYPE_CHECKING

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.bags.reader import serialized_stamp_ns
from moe3d_engine.cli.doctor import Check
from moe3d_engine.cli.doctor import run_check
from moe3d_engine.errors import InputError
from moe3d_engine.errors import Moe3dError
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_ros.fastdds_profile import profile_in_use
from moe3d_ros.fastdds_profile import SEGMENT_BYTES
from moe3d_ros.fastdds_profile import shared_memory
from moe3d_ros.fastdds_profile import shared_memory_troubles
from moe3d_ros.tools.bags.message_class import message_class
from moe3d_ros.tools.bags.replay import to_profile

if TYPE_CHECKING:
    from rclpy.node import Node

LINK_BYTES, LINK_RATE_HZ, LINK_COUNT = 640 * 480 * 3, 20.0, 20
LINK_LOSS = 0.5  # a busy machine loses some; without the profile hardly anything arrives
DISCOVERY_S = 2.0
MATCHED_STAMPS = 0.9  # the ends of the listening interval cut pairs apart


def ros_checks() -> list[Check]:
    """Return the checks of the middleware; later ones are left out when rclpy fails."""
    rclpy = run_check('rclpy', _check_rclpy)
    link = [run_check('link', _check_link)] if rclpy.ok else []
    return [rclpy, _profile_check(), run_check('shared memory', _check_shared_memory), *link]


def topic_checks(image_topic: str, camera_info_topic: str | None, seconds: float) -> list[Check]:
    """
    Listen to a camera and say what there is.

    Parameters
    ----------
    image_topic : raw or compressed images.
    camera_info_topic : None = the one beside the images.
    seconds : how long to listen.
    """
    from moe3d_ros.tools.bags.plain_node import plain_node
    from rclpy.validate_topic_name import validate_topic_name

    beside = image_topic.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'
    topics = (image_topic, camera_info_topic or beside)
    try:
        with plain_node('moe3d_doctor') as node:
            for topic in topics:
                validate_topic_name(topic)
            time.sleep(DISCOVERY_S)
            publishers = {topic: node.get_publishers_info_by_topic(topic) for topic in topics}
            stamps_ns = _listen(node, publishers, seconds)
    except Moe3dError as error:
        return [Check(image_topic, False, str(error))]
    checks = [
        run_check(topic, partial(_describe_topic, publishers[topic], stamps_ns[topic], seconds))
        for topic in topics
    ]
    if all(check.ok for check in checks):
        checks.append(run_check('stamps', lambda: _compare_stamps(*stamps_ns.values())))
    return checks


def _check_rclpy() -> str:
    """Import rclpy with its middleware."""
    import rclpy
    from rclpy.utilities import get_rmw_implementation_identifier

    domain = os.environ.get('ROS_DOMAIN_ID', '0')
    distribution = os.environ.get('ROS_DISTRO', 'none sourced')
    return (
        f'{get_rmw_implementation_identifier()}, ROS_DOMAIN_ID {domain}, distribution '
        f'{distribution}, {os.path.dirname(rclpy.__file__)}'
    )


def _profile_check() -> Check:
    """Say which Fast DDS profile this process uses."""
    profile = profile_in_use()
    if profile is None:
        return Check('fastdds', False, 'no profile: large images will be lost', required=False)
    detail = f'{profile} (the process of the camera driver needs it, too)'
    return Check('fastdds', os.path.isfile(profile), detail)


def _check_shared_memory() -> str:
    """Look for room for images, and for segments of processes that were killed."""
    memory = shared_memory()
    if memory is None:
        return 'this machine has none'
    troubles = ' '.join(shared_memory_troubles())
    if troubles and memory.free < SEGMENT_BYTES:
        raise Moe3dError(troubles)
    return troubles or f'{memory.free / 1e6:.0f} MB free'


def _check_link() -> str:
    """Send images between two processes, as they are set up here."""
    from moe3d_ros.tools.link_check import measure_link

    report = measure_link(LINK_BYTES, LINK_RATE_HZ, LINK_COUNT, 'best_effort')
    detail = f'{report.received} of {LINK_COUNT} images of 640x480 arrived'
    if report.received < (1 - LINK_LOSS) * LINK_COUNT:
        raise Moe3dError(
            f'{detail}. Let both processes use config/fastdds.xml (FASTDDS_DEFAULT_PROFILES_FILE).'
        )
    return f'{detail}, median {report.median_ms:.1f} ms'


def _listen(node: Node, publishers: dict[str, list[Any]], seconds: float) -> dict[str, list[int]]:
    """Return the stamps of what arrives on each topic."""
    from rclpy.executors import SingleThreadedExecutor

    stamps_ns: dict[str, list[int]] = {topic: [] for topic in publishers}
    for topic, offers in publishers.items():
        if not offers:
            continue
        reliable = all(offer.qos_profile.reliability.name == 'RELIABLE' for offer in offers)
        node.create_subscription(
            message_class(offers[0].topic_type),
            topic,
            lambda data, t=topic: stamps_ns[t].append(serialized_stamp_ns(data)),
            to_profile(OfferedQos(reliable=reliable)),
            raw=True,
        )
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    return stamps_ns


def _describe_topic(offers: list[Any], stamps_ns: list[int], seconds: float) -> str:
    """Return publishers, QoS and rate."""
    if not offers:
        raise InputError(
            'no publisher. Is the driver running, with the same ROS_DOMAIN_ID? Compare names: '
            'ros2 topic list'
        )
    kinds = Counter((o.topic_type, o.qos_profile.reliability.name.lower()) for o in offers)
    described = ', '.join(f'{n} x {kind} ({qos})' for (kind, qos), n in kinds.items())
    if not stamps_ns:
        raise InputError(
            f'{described}, but nothing arrived within {seconds:g} s. If the messages are large, '
            f'start the driver with config/fastdds.xml, too.'
        )
    return f'{described}, {len(stamps_ns) / seconds:.1f} Hz'


def _compare_stamps(image_ns: list[int], info_ns: list[int]) -> str:
    """Say whether images and camera_info share their stamps."""
    shared = len(set(image_ns) & set(info_ns))
    detail = f'{shared} of {len(image_ns)} images have a {CAMERA_INFO} of exactly their stamp'
    if shared < MATCHED_STAMPS * (len(image_ns) - 1):
        raise InputError(f'{detail}; the node drops the others. The driver must stamp both alike.')
    return detail
