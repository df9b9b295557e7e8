"""The QoS of a recorded topic is read from names and numbers, whole or in part."""

from __future__ import annotations

from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.bags.qos import read_qos
import pytest


@pytest.mark.parametrize(
    ('profiles', 'expected'),
    [
        ('', OfferedQos()),
        ([], OfferedQos()),
        ([{'reliability': 2, 'durability': 1, 'depth': 3}], OfferedQos(False, True, 3)),
        ('- {reliability: best_effort, durability: Transient_Local}', OfferedQos(False, True)),
        ('- reliability: 1\n  depth: 0\n  deadline: {sec: 0}', OfferedQos()),
        ([{'depth': 4294967295}], OfferedQos()),
        ([{'depth': -1}, {'depth': 7, 'durability': 1}], OfferedQos(depth=7)),
        ([{'reliability': 1}, {'reliability': 2}], OfferedQos(reliable=False)),
        ('a: b', None),
        ('- {', None),
        ('just words', None),
        ([1], None),
        (7, None),
    ],
)
def test_profiles_are_read_as_all_publishers_offer_them(
    profiles: object, expected: OfferedQos | None
) -> None:
    assert read_qos(profiles) == expected
