"""An image finds the camera_info of exactly its stamp, or none."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_ros.sync import MAX_WAITING_IMAGES
from moe3d_ros.sync import MAX_WAITING_INFOS
from moe3d_ros.sync import StampPairing
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image

Message = Any
SECOND_NS = 1_000_000_000


def stamped(message_type: type[Any], stamp_ns: int) -> Message:
    """Return a message of a stamp."""
    message = message_type()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND_NS)
    return message


class Counting:
    """A pairing with a timeout of 1 s, and the stamps of the images that it has dropped."""

    def __init__(self) -> None:
        self.dropped: list[int] = []
        self.pairing = StampPairing(1.0, self.count)

    def count(self, stamp_ns: int) -> None:
        """Count one."""
        self.dropped.append(stamp_ns)

    @property
    def num_dropped(self) -> int:
        """Return how many were dropped."""
        return len(self.dropped)

    def image(self, stamp_ns: int, received_ns: int = 0) -> Message:
        """Add an image."""
        return self.pairing.add_image(stamped(Image, stamp_ns), received_ns)

    def info(self, stamp_ns: int) -> Message:
        """Add a camera_info."""
        return self.pairing.add_info(stamped(CameraInfo, stamp_ns))


@pytest.fixture
def counting() -> Counting:
    """Return an empty pairing."""
    return Counting()


@pytest.mark.parametrize('order', ['image first', 'info first'])
def test_order_of_arrival_does_not_matter(counting: Counting, order: str) -> None:
    if order == 'image first':
        assert counting.image(5, received_ns=123) is None
        frame = counting.info(5)
    else:
        assert counting.info(5) is None
        frame = counting.image(5, received_ns=123)

    assert frame.image.header.stamp == frame.info.header.stamp
    assert frame.received_ns == 123
    assert counting.num_dropped == 0


def test_one_nanosecond_keeps_them_apart(counting: Counting) -> None:
    assert counting.info(5) is None
    assert counting.image(6) is None
    assert counting.info(7) is None


def test_camera_info_that_lags_by_two_images_is_found(counting: Counting) -> None:
    for stamp in (1, 2, 3):
        assert counting.image(stamp) is None

    frames = [counting.info(stamp) for stamp in (1, 2, 3)]

    assert [frame.image.header.stamp.nanosec for frame in frames] == [1, 2, 3]
    assert counting.num_dropped == 0


def test_older_images_lose_their_turn(counting: Counting) -> None:
    for stamp in (1, 2, 3):
        counting.image(stamp)

    assert counting.info(3) is not None

    assert counting.dropped == [1, 2]
    assert counting.info(1) is None


def test_image_is_dropped_when_its_time_is_up(counting: Counting) -> None:
    counting.image(1, received_ns=0)

    counting.pairing.expire(SECOND_NS)
    assert counting.num_dropped == 0
    counting.pairing.expire(SECOND_NS + 1)
    assert counting.num_dropped == 1
    assert counting.info(1) is None


def test_memory_is_bounded_and_every_image_is_accounted_for(counting: Counting) -> None:
    for stamp in range(1000):
        counting.image(stamp)
    assert counting.num_dropped == 1000 - MAX_WAITING_IMAGES

    for stamp in range(2000, 2000 + MAX_WAITING_INFOS + 1):
        counting.info(stamp)
    assert counting.image(2000) is None
    assert counting.image(2001) is not None

    counting.pairing.clear()
    assert counting.num_dropped == 1000 + 1


def test_same_stamp_twice_is_counted(counting: Counting) -> None:
    counting.image(1)
    counting.image(1)

    assert counting.info(1) is not None
    assert counting.num_dropped == 1


def test_pairs_are_found_after_time_has_jumped_back(counting: Counting) -> None:
    for stamp in range(100 * SECOND_NS, 110 * SECOND_NS, SECOND_NS):
        counting.info(stamp)
        counting.image(stamp)
    counting.image(110 * SECOND_NS)

    assert counting.info(1) is None
    assert counting.image(1) is not None
