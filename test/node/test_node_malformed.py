"""Malformed messages over the middleware: each is accounted for, and good ones still come out."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.lab.fuzz.damage import damaged
from moe3d_engine.lab.fuzz.damage import detailed_pictures
from moe3d_engine.lab.fuzz.damage import with_lying_header
from moe3d_engine.lab.fuzz.messages import HW
from moe3d_engine.lab.fuzz.messages import reshape
from moe3d_engine.lab.fuzz.messages import spoil_format
from moe3d_engine.lab.fuzz.messages import spoil_image
from moe3d_engine.lab.fuzz.messages import spoil_info
from moe3d_ros.outputs.drops import from_event
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

# What the fixtures of conftest.py make.
Rig = Any
Message = Any
MakeMessage = Callable[..., Message]
MakeRig = Callable[..., Rig]

BURST = 4  # malformed ones between two good ones
COUNTS = [300, pytest.param(5000, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])]


class Account:
    """Sends frames to a node and holds its counts against what was sent."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.num_sent = 0
        self.depths = rig.listen(Image, '/moe3d/camera/depth/image_rect')
        self.confidences = rig.listen(Image, '/moe3d/camera/boundary_confidence')
        self.drops = rig.listen(DiagnosticArray, '/moe3d/drops')

    def send(self, image: Message, info: Message) -> None:
        """Send a frame, whatever becomes of it."""
        self.num_sent += 1
        self.rig.send(image, info)

    def settle(self) -> None:
        """Wait until all that was sent is accounted for."""
        self.rig.wait_until(lambda: self.rig.count('frames_in') == self.num_sent)
        self.rig.wait_until(lambda: self.rig.num_done == self.num_sent)

    def send_good(self, image: Message, info: Message) -> None:
        """Send a good frame, and see that it is published."""
        published = self.rig.count('published')
        self.send(image, info)
        self.settle()
        assert self.rig.count('published') == published + 1, self.rig.node.statistics.summary()

    def check(self) -> None:
        """Hold counts, drop events and published values against what was sent."""
        self.settle()
        published = self.rig.count('published')
        self.rig.wait_until(lambda: len(self.depths) == len(self.confidences) == published)
        dropped = Counter({r: self.rig.count(f'dropped.{r.value}') for r in DropReason})
        assert self.num_sent == published + dropped.total()
        self.rig.wait_until(lambda: len(self.drops) == dropped.total())
        assert Counter(from_event(event).reason for event in self.drops) == +dropped
        for pair in zip(self.depths, self.confidences, strict=True):
            depth, confidence = map(values, pair)
            assert (np.isnan(depth) | (depth > 0)).all()
            assert ((confidence >= 0) & (confidence <= 1)).all()
            assert not confidence[np.isnan(depth)].any()


def values(message: Message) -> np.ndarray[Any, Any]:
    """Return the values of a message of one channel."""
    assert message.encoding == '32FC1'
    return np.frombuffer(message.data, np.float32)


@pytest.mark.parametrize('count', COUNTS)
def test_raw_images_and_camera_infos_that_are_malformed_do_no_harm(
    count: int, make_rig: MakeRig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    rng = Random(count)
    rig = make_rig(camera_info__timeout_s=0.5)
    rig.start()
    rig.connect_camera()
    account = Account(rig)

    for number in range(count):
        image, info = image_message(*HW), info_message(*HW)
        if rng.random() < 0.5:
            reshape(rng, image, info)
        spoil = rng.choice((spoil_image, spoil_info))
        spoil(rng, image if spoil is spoil_image else info)
        account.send(image, info)
        if number % BURST == 0:
            account.settle()
            account.send_good(image_message(*HW), info_message(*HW))

    account.check()


@pytest.mark.parametrize('count', COUNTS)
def test_pictures_that_are_damaged_do_no_harm(
    count: int, make_rig: MakeRig, info_message: MakeMessage
) -> None:
    rng = Random(count)
    pictures = detailed_pictures()
    rig = make_rig(input__transport='compressed', camera_info__timeout_s=0.5)
    rig.start()
    rig.connect_camera(CompressedImage, name='image_raw/compressed')
    account = Account(rig)

    for number in range(count):
        data = damaged(rng, rng.choice(pictures), pictures)
        if rng.random() < 0.2:
            data = with_lying_header(rng, rng.choice(pictures))
        image = CompressedImage(format='jpeg', data=array('B', data))
        if rng.random() < 0.3:
            spoil_format(rng, image)
        account.send(image, info_message(*HW))
        if number % BURST == 0:
            account.settle()
            good = CompressedImage(format='jpeg', data=array('B', pictures[0]))
            account.send_good(good, info_message(*HW))

    account.check()
