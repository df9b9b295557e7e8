"""TF in `moe3d doctor --live`; where tf2_msgs is built by test/tf2_msgs/build.sh."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import threading

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')
pytest.importorskip('tf2_msgs', reason='needs tf2_msgs, see test/tf2_msgs/build.sh')

from moe3d_engine.cli.doctor import Check
from moe3d_ros.tools.live.examine import live_checks
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from .doubles import Moe3d
from .doubles import Octomap
from .doubles import Transforms

pytestmark = pytest.mark.filterwarnings('ignore:failed to send response:RuntimeWarning')
OLD_S = 3
Examine = Callable[..., dict[str, Check]]


@pytest.fixture
def examine(ros_context: Context) -> Iterator[Examine]:
    """Return a function that examines an octomap_server with a frame, TF being late."""
    stop = threading.Event()

    def run(frame: str, late_s: int = 0) -> dict[str, Check]:
        nodes: list[Node] = [
            Moe3d(ros_context),
            Transforms(ros_context, late_s),
            Octomap(
                ros_context,
                {'frame_id': frame, 'sensor_model.max_range': 6.0},
                '/moe3d/camera/points',
            ),
        ]
        executor = SingleThreadedExecutor(context=ros_context)
        for node in nodes:
            executor.add_node(node)

        def spin() -> None:
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.05)

        thread = threading.Thread(target=spin)
        thread.start()
        try:
            return {check.name: check for check in live_checks('/moe3d', 2.0)}
        finally:
            stop.set()
            thread.join()
            executor.shutdown()
            for node in nodes:
                node.destroy_node()

    yield run
    stop.set()


def test_frame_that_tf_reaches_at_the_stamps_is_no_failure(examine: Examine) -> None:
    checks = examine('odom')

    assert checks['TF'].ok
    assert checks['/octomap_server'].ok, checks


def test_frame_that_nobody_sends_is_named_with_what_there_is(examine: Examine) -> None:
    detail = examine('map')['/octomap_server frame_id'].detail

    assert 'TF has no frame map; it has base_link, camera_optical, odom' in detail
    assert '/moe3d/camera/points is dropped' in detail


def test_transform_that_comes_later_than_the_queue_lasts_is_named(examine: Examine) -> None:
    detail = examine('odom', OLD_S)['/octomap_server /moe3d/camera/points'].detail

    assert 'TF comes 3.0' in detail
    assert 'only 5 messages wait' in detail
