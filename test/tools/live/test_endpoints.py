"""Ends that do not match are named as DDS judges them."""

from __future__ import annotations

from itertools import product

from moe3d_ros.tools.live.endpoints import conflicts
from moe3d_ros.tools.live.endpoints import DURABILITIES
from moe3d_ros.tools.live.endpoints import Endpoint
from moe3d_ros.tools.live.endpoints import LIVELINESS
from moe3d_ros.tools.live.endpoints import mismatches
from moe3d_ros.tools.live.endpoints import RELIABILITIES
import pytest

pytest.importorskip('rclpy')

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy
from rclpy.qos import LivelinessPolicy
from rclpy.qos import qos_check_compatible
from rclpy.qos import QoSCompatibility
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy

CLOUD, SCAN = 'sensor_msgs/msg/PointCloud2', 'sensor_msgs/msg/LaserScan'
DEADLINES_NS = (0, 1_000_000, 2_000_000)
ENDS = [
    Endpoint('/node', CLOUD, *policies)
    for policies in product(RELIABILITIES, DURABILITIES, LIVELINESS, DEADLINES_NS)
]


def profile(end: Endpoint) -> QoSProfile:
    made = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy[end.reliability.upper()],
        durability=DurabilityPolicy[end.durability.upper()],
        liveliness=LivelinessPolicy[end.liveliness.upper()],
    )
    if end.deadline_ns:
        made.deadline = Duration(nanoseconds=end.deadline_ns)
    return made


def test_ends_match_exactly_when_the_middleware_says_so() -> None:
    for offered, requested in product(ENDS, ENDS):
        verdict, _ = qos_check_compatible(profile(offered), profile(requested))
        assert bool([*conflicts(offered, requested)]) == (verdict == QoSCompatibility.ERROR)


def test_mismatch_names_both_nodes_the_policy_and_a_remedy() -> None:
    publisher = Endpoint('/camera', CLOUD, reliability='best_effort')
    subscription = Endpoint('/rtabmap', CLOUD)

    (trouble,) = mismatches('/points', [publisher], [subscription])

    assert trouble.value == 'from /camera to /rtabmap'
    assert (
        'the reliability that is offered is best_effort, reliable is asked for' in trouble.effect
    )
    assert 'Let /rtabmap ask for best_effort' in trouble.remedy


def test_types_that_differ_are_named() -> None:
    (trouble,) = mismatches('/points', [Endpoint('/a', CLOUD)], [Endpoint('/b', SCAN)])

    assert SCAN in trouble.effect


def test_policy_that_the_graph_does_not_tell_is_no_conflict() -> None:
    assert not [*conflicts(Endpoint('/a', CLOUD, 'unknown'), Endpoint('/b', CLOUD))]


def test_every_pair_is_looked_at() -> None:
    publishers = [Endpoint('/good', CLOUD), Endpoint('/bad', CLOUD, 'best_effort')]
    subscriptions = [Endpoint('/strict', CLOUD), Endpoint('/lenient', CLOUD, 'best_effort')]

    (trouble,) = mismatches('/points', publishers, subscriptions)
    assert trouble.value == 'from /bad to /strict'
