"""A camera's messages become views, or a drop with a reason; what is odd is told once."""

from __future__ import annotations

from array import array
from collections.abc import Callable
import struct
from typing import Any

import cv2
from moe3d_engine.intake.camera import CameraIntake
from moe3d_engine.intake.drops import DroppedFrameError
from moe3d_engine.intake.drops import DropReason
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

Message = Any
HW = (48, 64)
K = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
PIXELS = np.asarray(
    cv2.resize(
        np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8),
        HW[::-1],
        interpolation=cv2.INTER_CUBIC,
    )
)


def raw_message(frame_id: str = 'optical') -> Message:
    """Return the picture as an Image."""
    message = Image(height=HW[0], width=HW[1], encoding='rgb8', step=HW[1] * 3)
    message.header.frame_id = frame_id
    message.data = array('B', PIXELS.tobytes())
    return message


def compressed_message(format_: str = 'rgb8; png compressed bgr8') -> Message:
    """Return the picture as a CompressedImage."""
    data = cv2.imencode('.png', PIXELS[..., ::-1])[1].tobytes()
    return CompressedImage(format=format_, data=data)


def info_of(**fields: Any) -> Message:  # noqa: ANN401
    """Return a camera_info; fields replace what it holds."""
    info = CameraInfo(height=HW[0], width=HW[1], distortion_model='plumb_bob')
    info.k = K.ravel().tolist()
    info.p = np.hstack([K, np.zeros((3, 1))]).ravel().tolist()
    for name, value in fields.items():
        setattr(info, name, value)
    return info


@pytest.mark.parametrize('is_compressed', [False, True])
def test_view_has_the_pixels_and_intrinsics_of_the_camera(is_compressed: bool) -> None:
    camera = CameraIntake(compressed=is_compressed, camera='front', warn=pytest.fail)
    image = compressed_message() if is_compressed else raw_message()
    image.header.frame_id = 'optical'

    view = camera.view_of(image, info_of())

    np.testing.assert_array_equal(view.image, PIXELS)
    np.testing.assert_array_equal(view.intrinsics, K)
    assert (view.frame_id, view.camera, view.seen) == ('optical', 'front', None)


def test_rectified_images_are_not_rectified_again_and_have_p() -> None:
    info = info_of(d=[-0.35, 0.12, 0.0, 0.0, 0.0], k=(K * [[1.2], [1.2], [1]]).ravel().tolist())
    rectified, unknown = (
        CameraIntake(compressed=False, rectified=kind).view_of(raw_message(), info)
        for kind in (True, None)
    )

    np.testing.assert_array_equal(rectified.image, PIXELS)
    np.testing.assert_array_equal(rectified.intrinsics, K)
    assert not np.array_equal(unknown.image, PIXELS)


def spoil_size(data: bytes) -> bytes:
    """Return a PNG that declares 30000x20000 pixels."""
    return data[:16] + struct.pack('>II', 30_000, 20_000) + data[24:]


def drop_of(image: Message, info: Message) -> DroppedFrameError:
    """Return why a frame is dropped."""
    camera = CameraIntake(compressed=isinstance(image, CompressedImage), warn=pytest.fail)
    with pytest.raises(DroppedFrameError) as raised:
        camera.view_of(image, info)
    return raised.value


@pytest.mark.parametrize('make', [raw_message, compressed_message])
@pytest.mark.parametrize(
    ('fields', 'text'),
    [
        ({'r': [float('nan')] * 9}, 'R = [nan'),
        ({'height': 96, 'width': 128}, '128x96'),
        ({'height': 0, 'width': 0}, '0x0'),
        ({'k': [1e-300] * 9}, 'K = [1e-300'),
    ],
)
def test_bad_camera_info_is_blamed_whatever_the_transport(
    make: Callable[[], Message], fields: dict[str, Any], text: str
) -> None:
    drop = drop_of(make(), info_of(**fields))

    assert drop.reason is DropReason.BAD_CAMERA_INFO
    assert text in str(drop)


def test_bomb_and_depth_are_bad_images() -> None:
    bomb = compressed_message()
    bomb.data = spoil_size(bytes(bomb.data))
    depth = compressed_message('16UC1; png compressed ')
    raw_depth = raw_message()
    raw_depth.encoding = '16UC1'

    for image, text in (
        (bomb, '30000x20000'),
        (depth, 'holds depth'),
        (raw_depth, "encoding '16UC1'"),
    ):
        drop = drop_of(image, info_of())
        assert drop.reason is DropReason.BAD_IMAGE
        assert text in str(drop)


def test_what_is_odd_is_told_once_each() -> None:
    told: list[str] = []
    camera = CameraIntake(compressed=False, warn=told.append)
    quarter = (np.diag([0.5, 0.5, 1]) @ K).ravel().tolist()

    for _ in range(5):
        view = camera.view_of(raw_message('/optical'), info_of(k=quarter, p=[0.0] * 12))

    assert view.frame_id == 'optical'
    assert len(told) == 2
    assert '0.5 times as large' in told[0]
    assert "'optical'" in told[1]
