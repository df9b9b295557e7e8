"""What the node publishes, as consumers' rules are told it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace

from moe3d_ros.tools.consumers.catalogue import Rules
from moe3d_ros.tools.consumers.facts import CAMERA_INFO
from moe3d_ros.tools.consumers.facts import CLOUD
from moe3d_ros.tools.consumers.facts import Consumer
from moe3d_ros.tools.consumers.facts import IMAGE
from moe3d_ros.tools.consumers.facts import ODOMETRY
from moe3d_ros.tools.consumers.facts import Outputs
from moe3d_ros.tools.consumers.facts import Stream
from moe3d_ros.tools.consumers.facts import Trouble
from moe3d_ros.topics import motion_topics
from moe3d_ros.topics import output_topics
import pytest

SECONDS = 5.0
DEPTH_NS = tuple(range(1_000_000_000, 6_000_000_000, 333_000_000))  # 3 Hz
POSE_NS = tuple(range(1_000_000_000, 6_000_000_000, 33_300_000))  # 30 Hz, the depth's among them
FRAME = 'camera_optical'
Find = Callable[..., list[Trouble]]


@pytest.fixture
def outputs() -> Outputs:
    """Return outputs of /moe3d as they should be: depth at 3 Hz, odometry at 30 Hz."""
    topics = output_topics('camera', metric=True, node='/moe3d')
    depth = {'stamps_ns': DEPTH_NS, 'latencies_s': (0.3,) * 16, 'frame': FRAME, 'seconds': SECONDS}
    image = Stream(IMAGE, size=(192, 144), **depth)
    cloud = Stream(CLOUD, size=(192, 144), **depth)
    streams = {
        topics.depth: replace(image, encoding='32FC1'),
        topics.color: replace(image, encoding='rgb8'),
        topics.camera_info: replace(image, type=CAMERA_INFO),
        topics.points: cloud,
        topics.points_clearing: cloud,
        motion_topics('camera', node='/moe3d').odometry: Stream(
            ODOMETRY,
            stamps_ns=POSE_NS,
            latencies_s=(0.05,) * 150,
            frame='odom',
            child_frame='base_link',
            pose_variances=(0.01,) * 6,
            twist_variances=(0.02,) * 6,
            seconds=SECONDS,
        ),
    }
    return Outputs(streams=streams, published=frozenset(streams))


@pytest.fixture
def find(outputs: Outputs) -> Find:
    """Return a function that applies rules to parameters, inputs and changed outputs."""

    def troubles(
        rules: Rules,
        parameters: Mapping[str, object],
        inputs: Mapping[str, str] | None = None,
        heard: Outputs = outputs,
        name: str = '/consumer',
    ) -> list[Trouble]:
        return list(rules.troubles(Consumer(name, parameters, inputs or {}), heard))

    return troubles
