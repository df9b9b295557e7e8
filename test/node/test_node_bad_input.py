"""Bad input is dropped, counted with a reason and explained in the log; the node lives on."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from diagnostic_msgs.msg import DiagnosticArray
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_ros.outputs.drops import from_event
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

# What the fixtures of conftest.py make.
Rig = Any
Message = Any
MakeRig = Callable[..., Rig]
MakeMessage = Callable[..., Message]

SECOND_NS = 1_000_000_000


def shorten_step(image: Message, info: Message) -> None:
    image.step = image.width


def lengthen_step(image: Message, info: Message) -> None:
    image.step += 4


def truncate(image: Message, info: Message) -> None:
    image.data = array('B', image.data[:1000])


def empty(image: Message, info: Message) -> None:
    image.data = array('B')


def shrink_to_nothing(image: Message, info: Message) -> None:
    image.height = 0


def use_unknown_encoding(image: Message, info: Message) -> None:
    image.encoding = 'rgb565'


def zero_k(image: Message, info: Message) -> None:
    info.k = [0.0] * 9


def spoil_k(image: Message, info: Message) -> None:
    info.k[2] = float('nan')


def use_unknown_model(image: Message, info: Message) -> None:
    info.d, info.distortion_model = [0.1], 'fancy'


def use_info_of_another_size(image: Message, info: Message) -> None:
    info.width *= 2


def wait_for_log(rig: Rig, capfd: pytest.CaptureFixture[str], words: str) -> None:
    """Wait until the log says something: it is written after what happens is counted."""
    said: list[str] = []

    def is_said() -> bool:
        said.append(capfd.readouterr().err)
        return words in ''.join(said)

    rig.wait_until(is_said)


@pytest.mark.parametrize(
    ('spoil', 'reason', 'text'),
    [
        (shorten_step, 'bad_image', 'step of at least 252'),
        (lengthen_step, 'bad_image', 'height x step is 14336 bytes'),
        (truncate, 'bad_image', 'height x step is 14112 bytes'),
        (empty, 'bad_image', '0 bytes'),
        (shrink_to_nothing, 'bad_image', 'no pixels'),
        (use_unknown_encoding, 'bad_image', "'rgb565'"),
        (zero_k, 'bad_camera_info', 'not calibrated'),
        (spoil_k, 'bad_camera_info', 'K = [70, 0, nan'),
        (use_unknown_model, 'bad_camera_info', "'fancy'"),
        (use_info_of_another_size, 'bad_camera_info', '168x56'),
    ],
)
def test_spoilt_frame_is_dropped_with_a_reason_and_the_next_is_published(
    live_rig: Rig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[Message, Message], None],
    reason: str,
    text: str,
) -> None:
    image, info = image_message(), info_message()
    spoil(image, info)

    live_rig.send_and_wait(image, info)
    live_rig.send_and_wait(image_message(), info_message())

    assert live_rig.count(f'dropped.{reason}') == 1
    assert live_rig.count('published') == 1
    logged = capfd.readouterr().err
    assert f'Dropped an image ({reason})' in logged
    assert text in logged


def test_corrupt_jpeg_is_dropped(make_rig: Rig, info_message: MakeMessage) -> None:
    rig = make_rig(input__transport='compressed')
    rig.start()
    rig.connect_camera(CompressedImage, name='image_raw/compressed')
    rig.listen(Image, '/moe3d/camera/depth/image_rect')

    rig.send_and_wait(CompressedImage(format='jpeg', data=b'no image at all'), info_message())

    assert rig.count('dropped.bad_image') == 1


def test_image_without_camera_info_is_dropped_after_its_time(
    make_rig: Rig, image_message: MakeMessage, capfd: pytest.CaptureFixture[str]
) -> None:
    rig = make_rig(camera_info__timeout_s=0.05)
    rig.start()
    rig.connect_camera()
    rig.listen(Image, '/moe3d/camera/depth/image_rect')
    image = image_message()
    image.header.stamp = rig.next_stamp()

    rig.images.publish(image)
    rig.wait_until(lambda: rig.count('dropped.no_camera_info') == 1)

    assert 'no camera_info of exactly its stamp' in capfd.readouterr().err


def test_camera_info_of_another_stamp_is_never_used(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    live_rig.send_and_wait(image_message(), info_message())
    image, info = image_message(), info_message()
    image.header.stamp = live_rig.next_stamp()
    info.header.stamp = live_rig.next_stamp()

    live_rig.infos.publish(info)
    live_rig.images.publish(image)
    live_rig.wait_until(lambda: live_rig.count('dropped.no_camera_info') == 1)

    assert live_rig.count('published') == 1


def test_size_may_change_in_mid_stream(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    live_rig.send_and_wait(image_message(), info_message())

    live_rig.send_and_wait(image_message(80, 120), info_message(80, 120))
    live_rig.send_and_wait(image_message(80, 120), info_message(80, 120))

    assert live_rig.count('published') == 3
    assert live_rig.count('window_restarts.size_changed') == 1


def test_two_sizes_on_one_topic_are_counted_each_time_and_told_once(
    live_rig: Rig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for number in range(8):
        size = ((56, 84), (80, 120))[number % 2]
        live_rig.send_and_wait(image_message(*size), info_message(*size))

    assert live_rig.count('window_restarts.size_changed') == 7
    assert capfd.readouterr().err.count('the window begins anew') == 1


def test_older_image_is_dropped_but_a_jump_back_begins_anew(
    live_rig: Rig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    capfd: pytest.CaptureFixture[str],
) -> None:
    live_rig.send_and_wait(image_message(), info_message())
    live_rig.stamp_ns -= SECOND_NS // 2
    live_rig.send_and_wait(image_message(), info_message())

    assert live_rig.count('dropped.stale_stamp') == 1
    wait_for_log(live_rig, capfd, 'Stamps of a camera must increase')

    live_rig.stamp_ns -= 100 * SECOND_NS
    live_rig.send_and_wait(image_message(), info_message())
    live_rig.send_and_wait(image_message(), info_message())

    assert live_rig.count('published') == 3
    assert live_rig.count('window_restarts.time_jumped') == 1
    wait_for_log(live_rig, capfd, 'Stamps went back by 100.')


def test_numbers_that_are_not_finite_are_never_published(
    live_rig: Rig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    capfd: pytest.CaptureFixture[str],
) -> None:
    live_rig.backend.returns_nan = True
    live_rig.send_and_wait(image_message(), info_message())
    live_rig.backend.returns_nan = False
    live_rig.send_and_wait(image_message(), info_message())

    assert live_rig.count('dropped.bad_output') == 1
    assert live_rig.count('window_restarts.bad_output') == 1
    assert live_rig.count('published') == 1
    wait_for_log(live_rig, capfd, 'not finite')


def test_unforeseen_exception_of_a_frame_does_not_end_the_worker(
    live_rig: Rig,
    image_message: MakeMessage,
    info_message: MakeMessage,
    capfd: pytest.CaptureFixture[str],
) -> None:
    backend = live_rig.backend
    reconstruct = backend.reconstruct
    backend.reconstruct = lambda features, publish, cameras: 1 / 0
    live_rig.send_and_wait(image_message(), info_message())
    backend.reconstruct = reconstruct
    live_rig.send_and_wait(image_message(), info_message())

    assert live_rig.count('dropped.bad_output') == 1
    assert live_rig.count('published') == 1
    assert 'ZeroDivisionError' in capfd.readouterr().err


def test_busy_engine_gets_the_newest_image_and_all_are_accounted_for(
    live_rig: Rig, image_message: MakeMessage, info_message: MakeMessage
) -> None:
    events = live_rig.listen(DiagnosticArray, '/moe3d/drops')
    depths = live_rig.received['/moe3d/camera/depth/image_rect']
    backend = live_rig.backend
    backend.entered.clear()
    backend.free.clear()
    live_rig.send(image_message(), info_message())
    live_rig.wait_until(backend.entered.is_set)
    waiting = []
    for _ in range(4):
        live_rig.send(image_message(), info_message())
        waiting.append(live_rig.stamp_ns)
    live_rig.wait_until(lambda: live_rig.count('tracked.starting') == 5)
    newest = live_rig.stamp_ns
    backend.free.set()

    live_rig.wait_until(lambda: len(depths) == 2)

    assert live_rig.count('dropped.busy') == 3
    assert live_rig.num_done == live_rig.count('frames_in') == 5
    stamp = depths[-1].header.stamp
    assert stamp.sec * SECOND_NS + stamp.nanosec == newest
    live_rig.wait_until(lambda: len(events) == 3)
    drops = [from_event(event) for event in events]
    assert drops == [Drop(DropReason.BUSY, dropped) for dropped in waiting[:-1]]
