"""An image finds the camera_info of exactly its stamp, or none."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
import moe3d_ros.sync
from moe3d_ros.sync import INFO_KEEP_NS
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

    def __init__(self, timeout_s: float = 1.0, *, latched: bool = False) -> None:
        self.drops: list[Drop] = []
        self.pairing = StampPairing(timeout_s, self.drops.append, latched=latched)

    @property
    def dropped(self) -> list[int]:
        """Return the stamps of what was dropped."""
        return [drop.stamp_ns for drop in self.drops]

    @property
    def num_dropped(self) -> int:
        """Return how many were dropped."""
        return len(self.dropped)

    def image(self, stamp_ns: int, received_ns: int = 0) -> Message:
        """Add an image."""
        return self.pairing.add_image(stamped(Image, stamp_ns), received_ns)

    def info(self, stamp_ns: int, received_ns: int = 0) -> Message:
        """Add a camera_info."""
        return self.pairing.add_info(stamped(CameraInfo, stamp_ns), received_ns)


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


@pytest.mark.parametrize(('rate_hz', 'late'), [(30, 6), (10, 9), (120, 110)])
def test_images_wait_as_long_as_the_parameter_says(
    counting: Counting, rate_hz: int, late: int
) -> None:
    """Each camera_info comes so many images after its own."""
    period_ns = SECOND_NS // rate_hz
    frames = []
    for number in range(late + 50):
        counting.image(number * period_ns, received_ns=number * period_ns)
        if number >= late:
            frames.append(counting.info((number - late) * period_ns, number * period_ns))

    assert [frame.stamp_ns for frame in frames] == [n * period_ns for n in range(50)]
    assert not counting.drops


@pytest.mark.parametrize(('rate_hz', 'late'), [(60, 72), (30, 200), (100, 900)])
def test_camera_info_waits_for_an_image_that_is_late(
    counting: Counting, rate_hz: int, late: int
) -> None:
    """Each image comes so many camera_infos after its own."""
    period_ns = SECOND_NS // rate_hz
    frames = []
    for number in range(late + 50):
        counting.info(number * period_ns, number * period_ns)
        if number >= late:
            frames.append(counting.image((number - late) * period_ns, number * period_ns))

    assert None not in frames
    assert not counting.drops


def test_camera_info_that_nobody_asked_for_is_let_go_and_said(counting: Counting) -> None:
    counting.info(1, received_ns=0)
    after_ns = INFO_KEEP_NS + 1

    assert counting.image(1, received_ns=after_ns) is None
    counting.pairing.expire(after_ns + SECOND_NS + 1)

    assert '1 camera_infos found no image' in counting.drops[0].text
    assert 'within 1 s' in counting.drops[0].text


def test_memory_is_bounded_and_what_it_costs_is_named_apart(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moe3d_ros.sync, 'MAX_WAITING_BYTES', 1000)
    for stamp in range(8):
        image = stamped(Image, stamp)
        image.data.frombytes(bytes(300))
        counting.pairing.add_image(image, 0)

    assert counting.dropped == [0, 1, 2, 3, 4]
    assert {drop.reason for drop in counting.drops} == {DropReason.QUEUE_FULL}
    assert counting.info(7).stamp_ns == 7


def test_camera_infos_are_bounded(counting: Counting) -> None:
    for stamp in range(MAX_WAITING_INFOS + 1):
        counting.info(stamp)

    assert counting.image(0) is None
    assert counting.image(1) is not None


def test_second_image_of_a_stamp_replaces_the_first_and_is_named(counting: Counting) -> None:
    counting.image(5)
    counting.image(5)

    assert [drop.reason for drop in counting.drops] == [DropReason.STALE_STAMP]
    assert counting.info(5) is not None


def test_latched_camera_info_belongs_to_every_image() -> None:
    counting = Counting(latched=True)
    assert counting.image(3) is None
    assert counting.image(4) is None

    first = counting.info(0)
    later = counting.image(9)

    assert (first.stamp_ns, later.stamp_ns) == (4, 9)
    assert first.info is later.info
    assert counting.dropped == [3]
