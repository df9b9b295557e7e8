"""The node connects to publishers whatever they offer and whenever they come."""

from __future__ import annotations

from collections.abc import Callable
import time
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

import moe3d_ros.camera
from rclpy.context import Context
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

# What the fixtures of conftest.py make.
Rig = Any
Message = Any
MakeRig = Callable[..., Rig]
MakeMessage = Callable[..., Message]

DEPTH_TOPIC = '/moe3d/camera/depth/image_rect'


def subscription(rig: Rig, topic: str = '/camera/image_raw') -> Message:
    """Return the node's subscription to a topic."""
    (found,) = [s for s in rig.node.subscriptions if s.topic_name == topic]
    return found


def send_until_published(rig: Rig, make_image: MakeMessage, make_info: MakeMessage) -> None:
    """Send frames until one more is published."""
    wanted = rig.count('published') + 1
    end_s = time.monotonic() + 30.0
    while rig.count('published') < wanted:
        assert time.monotonic() < end_s
        rig.send(make_image(), make_info())
        for _ in range(10):
            rig.executor.spin_once(timeout_sec=0.01)


@pytest.mark.parametrize('reliability', ['reliable', 'best_effort'])
def test_late_publisher_is_heard_with_what_it_offers(
    rig: Rig, image_message: MakeMessage, info_message: MakeMessage, reliability: str
) -> None:
    rig.start()
    rig.listen(Image, DEPTH_TOPIC)

    rig.connect_camera(reliability=reliability)
    send_until_published(rig, image_message, info_message)

    wanted = ReliabilityPolicy[reliability.upper()]
    assert subscription(rig).qos_profile.reliability == wanted
    assert subscription(rig, '/camera/camera_info').qos_profile.reliability == wanted


def test_publisher_that_restarts_with_another_offer_is_heard_again(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    for reliability in ('best_effort', 'reliable'):
        live_rig.disconnect_camera()
        live_rig.wait_until(lambda: live_rig.node.count_publishers('/camera/image_raw') == 0)
        live_rig.connect_camera(reliability=reliability)
        send_until_published(live_rig, image_message, info_message)
        wanted = ReliabilityPolicy[reliability.upper()]
        live_rig.wait_until(
            lambda wanted=wanted: subscription(live_rig).qos_profile.reliability == wanted
        )

    send_until_published(live_rig, image_message, info_message)


def test_one_best_effort_publisher_among_reliable_ones_is_heard(live_rig: Rig) -> None:
    live_rig.connect_camera(reliability='best_effort')

    live_rig.wait_until(
        lambda: subscription(live_rig).qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    )


def test_publisher_that_does_not_fit_a_fixed_reliability_is_explained(
    make_rig: MakeRig, capfd: pytest.CaptureFixture[str]
) -> None:
    rig = make_rig(input__reliability='reliable')
    rig.start()
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    rig.publish(Image, '/camera/image_raw', qos)
    logged = []

    def is_explained() -> bool:
        logged.append(capfd.readouterr().err)
        return 'Set input.reliability to auto' in ''.join(logged)

    rig.wait_until(is_explained)

    assert subscription(rig).qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_silence_is_explained_with_topics_and_publishers(
    rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moe3d_ros.camera, 'SILENCE_S', 0.1)
    rig.peer.create_publisher(Image, '/camera/image_raw', 1)
    rig.start()
    logged = []

    def is_explained() -> bool:
        logged.append(capfd.readouterr().err)
        return 'No image for' in ''.join(logged)

    rig.wait_until(is_explained)

    text = ''.join(logged)
    assert '/camera/camera_info (sensor_msgs/msg/CameraInfo, reliable): no publisher' in text
    assert 'published by /peer (sensor_msgs/msg/Image, reliable)' in text


@pytest.mark.parametrize('pauses_s', [[6.5] * 4, [15.0] * 4, [12.0, 6.0, 25.0, 9.0]])
def test_slow_camera_is_silent_only_when_it_misses_images_of_its_own_period(
    rig: Rig, image_message: MakeMessage, monkeypatch: pytest.MonkeyPatch, pauses_s: list[float]
) -> None:
    rig.start()
    inputs, now_s = rig.node._active._inputs['camera'], [time.monotonic()]
    monkeypatch.setattr(moe3d_ros.camera, 'time', SimpleNamespace(monotonic=lambda: now_s[0]))

    for pause_s in pauses_s:
        inputs._take_image(image_message())
        now_s[0] += pause_s
        assert not inputs.is_silent()

    now_s[0] += 3 * max(pauses_s)
    assert inputs.is_silent()


@pytest.mark.parametrize('lead', [0, 1, 4])
def test_node_that_takes_every_ninth_image_has_the_camera_info_of_each(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage, lead: int
) -> None:
    """Camera_infos may be ahead of their images, as of those that have to be compressed."""
    stamps = [live_rig.next_stamp() for _ in range(90)]
    for number, stamp in enumerate(stamps):
        image, info = image_message(), info_message()
        info.header.stamp, image.header.stamp = stamp, stamps[max(0, number - lead)]
        live_rig.infos.publish(info)
        if number >= lead:
            live_rig.images.publish(image)
        if number % 9 == 8:
            taken = live_rig.count('frames_in')
            live_rig.wait_until(lambda taken=taken: live_rig.count('frames_in') > taken)

    live_rig.wait_until(lambda: live_rig.num_done == live_rig.count('frames_in'))
    assert live_rig.count('dropped.no_camera_info') == 0


def test_names_can_be_remapped(ros_context: Context) -> None:
    from moe3d_ros.node import Moe3dNode

    node = Moe3dNode(
        context=ros_context,
        cli_args=['--ros-args', '-r', 'camera/image_raw:=/front/image'],
    )
    try:
        assert node.resolve_topic_name('camera/image_raw') == '/front/image'
    finally:
        node.destroy_node()
