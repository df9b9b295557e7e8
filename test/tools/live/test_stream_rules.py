"""Streams that every consumer drops, and clocks that differ, are named."""

from __future__ import annotations

from dataclasses import replace

from moe3d_ros.tools.consumers.facts import CAMERA_INFO
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Stream
from moe3d_ros.tools.live.stream_rules import clock_troubles
from moe3d_ros.tools.live.stream_rules import pair_troubles
from moe3d_ros.tools.live.stream_rules import stream_troubles
import pytest

DEPTH, INFO = '/moe3d/camera/depth/image_rect', '/moe3d/camera/depth/camera_info'
GOOD = Stream(IMAGE, stamps_ns=(1, 2, 3, 4), latencies_s=(0.2,) * 4, frame='f', size=(4, 3))


def outputs(depth: Stream, info: Stream | None) -> Outputs:
    streams = {DEPTH: depth} | ({INFO: replace(info, type=CAMERA_INFO)} if info else {})
    return Outputs(streams=streams, published=frozenset(streams))


def test_good_streams_have_no_trouble() -> None:
    assert not [*stream_troubles(DEPTH, GOOD)]
    assert not [*stream_troubles(DEPTH, Stream(IMAGE))]
    assert not [*pair_troubles(outputs(GOOD, GOOD))]


@pytest.mark.parametrize(
    ('stream', 'effect'),
    [
        (replace(GOOD, stamps_ns=(0, 1)), 'the stamp is 0'),
        (replace(GOOD, stamps_ns=(1, 3, 2)), 'not newer than the one before'),
        (replace(GOOD, stamps_ns=(1, 1)), 'not newer than the one before'),
        (replace(GOOD, frame=''), 'no consumer can transform'),
        (replace(GOOD, latencies_s=(11.0,)), 'every transform has been forgotten'),
        (replace(GOOD, latencies_s=(-3.0,)), 'in the future'),
    ],
)
def test_stream_that_every_consumer_drops_is_named(stream: Stream, effect: str) -> None:
    (trouble,) = stream_troubles(DEPTH, stream)

    assert effect in trouble.effect


def test_depth_without_camera_info_of_its_stamps_is_named() -> None:
    (missing,) = pair_troubles(outputs(GOOD, None))
    (unequal,) = pair_troubles(outputs(GOOD, replace(GOOD, stamps_ns=(11, 12, 13, 14))))
    (larger,) = pair_troubles(outputs(GOOD, replace(GOOD, size=(8, 6))))

    assert 'wait for a camera_info' in missing.effect
    assert 'exact synchronisation drops' in unequal.effect
    assert 'rays go wrong' in larger.effect


def test_nodes_that_wait_for_a_clock_that_nobody_publishes_are_named() -> None:
    nodes = {'/rtabmap': True, '/moe3d': False}

    (stands,) = clock_troubles(nodes, is_clock_there=False)
    (crosses,) = clock_troubles(nodes, is_clock_there=True)

    assert 'the time of /rtabmap stands at 0' in stands.effect
    assert '/moe3d go by the wall clock, /rtabmap by /clock' in crosses.effect
    assert not [*clock_troubles(dict.fromkeys(nodes, True), is_clock_there=True)]
    assert not [*clock_troubles(dict.fromkeys(nodes, False), is_clock_there=False)]
