"""Our decoder gives what cv_bridge gives, for every encoding that both know."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
from moe3d_engine.intake.encodings import COLOURS
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')
pytest.importorskip('cv_bridge', reason='needs the ROS package cv_bridge')

import cv_bridge
from moe3d_engine.intake.images import decode_compressed
from moe3d_engine.intake.images import decode_raw
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

HW = (36, 48)


def smooth(channels: int, dtype: type[np.generic]) -> Any:  # noqa: ANN401
    """Return an image (36, 48, channels) with all values of its type."""
    noise = np.random.default_rng(4).random((9, 12, channels), np.float32)
    image = cv2.resize(noise, HW[::-1], interpolation=cv2.INTER_CUBIC).reshape(*HW, channels)
    image = (image - image.min()) / (image.max() - image.min())
    return np.rint(image * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize('encoding', COLOURS)
@pytest.mark.parametrize('padded', [False, True])
@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_image_is_decoded_as_by_cv_bridge(encoding: str, padded: bool, is_bigendian: int) -> None:
    bridge = cv_bridge.CvBridge()
    try:
        bridge.encoding_to_cvtype2(encoding)
    except cv_bridge.CvBridgeError:
        pytest.skip(f'this cv_bridge does not know {encoding}')
    pixels = smooth(COLOURS[encoding].channels, COLOURS[encoding].dtype)
    sent = pixels.astype(pixels.dtype.newbyteorder('>' if is_bigendian else '<'))
    rows = np.ascontiguousarray(sent).view(np.uint8).reshape(HW[0], -1)
    rows = np.pad(rows, ((0, 0), (0, 24 if padded else 0)), constant_values=77)
    message = Image(height=HW[0], width=HW[1], encoding=encoding, step=rows.shape[1])
    message.is_bigendian = is_bigendian
    message.data = array('B', rows.tobytes())

    decoded = decode_raw(message)

    np.testing.assert_array_equal(decoded, bridge.imgmsg_to_cv2(message, 'rgb8'))


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
@pytest.mark.parametrize('channels', [1, 3])
def test_compressed_image_is_decoded_as_by_cv_bridge(extension: str, channels: int) -> None:
    data = cv2.imencode(extension, smooth(channels, np.uint8))[1].tobytes()
    message = CompressedImage(format=extension[1:], data=data)

    theirs = cv_bridge.CvBridge().compressed_imgmsg_to_cv2(message)

    if channels == 1:
        theirs = np.stack([theirs] * 3, axis=-1)
    np.testing.assert_array_equal(decode_compressed(message), theirs[..., ::-1])
