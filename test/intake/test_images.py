"""Each encoding becomes the same RGB pixels, and nothing that contradicts itself is read."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
from moe3d_engine.errors import InputError
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.intake.images import decode_compressed
from moe3d_engine.intake.images import decode_raw
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image

Array = Any
Message = Any
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)


def message_of(pixels: Array, encoding: str, padding: int = 0, is_bigendian: int = 0) -> Message:
    """Return an image message whose rows end with `padding` bytes of 77."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.is_bigendian = is_bigendian
    message.data = array('B', rows.tobytes())
    return message


def colour_image() -> Array:
    """Return a 4x6 image with four different quarters."""
    image = np.empty((4, 6, 3), np.uint8)
    image[:2, :3], image[:2, 3:], image[2:, :3], image[2:, 3:] = RED, GREEN, BLUE, GREY
    return image


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('rgba8', [0, 1, 2, 0]), ('bgra8', [2, 1, 0, 0])],
)
def test_colour_orders_become_rgb(encoding: str, order: list[int], padding: int) -> None:
    image = colour_image()

    decoded = decode_raw(message_of(image[..., order], encoding, padding))

    assert np.array_equal(decoded, image)


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)

    decoded = decode_raw(message_of(grey, 'mono8', padding=3))

    assert np.array_equal(decoded, np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_sixteen_bits_keep_their_upper_eight(is_bigendian: int) -> None:
    grey = np.linspace(0, 65535, 24).reshape(4, 6).astype(np.uint16)
    sent = grey.astype('>u2' if is_bigendian else '<u2')

    decoded = decode_raw(message_of(sent, 'mono16', 4, is_bigendian))

    assert np.array_equal(decoded[..., 0], grey >> 8)


@pytest.mark.parametrize(
    ('encoding', 'is_uyvy'),
    [('yuv422', True), ('uyvy', True), ('yuv422_yuy2', False), ('yuyv', False)],
)
def test_yuv_pairs_become_their_colour(encoding: str, is_uyvy: bool) -> None:
    y, u, v = 81, 90, 240  # red in BT.601
    pair = [u, y, v, y] if is_uyvy else [y, u, y, v]
    pixels = np.tile(np.array(pair, np.uint8), (4, 3)).reshape(4, 6, 2)

    decoded = decode_raw(message_of(pixels, encoding, padding=2))

    np.testing.assert_allclose(decoded, np.broadcast_to(RED, decoded.shape), atol=3)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('colour', [RED, GREEN, BLUE, (200, 100, 50)])
def test_bayer_pattern_becomes_the_colour_behind_it(
    pattern: str, colour: tuple[int, int, int]
) -> None:
    cell = np.array([colour['rgb'.index(name)] for name in pattern], np.uint8).reshape(2, 2)

    decoded = decode_raw(message_of(np.tile(cell, (4, 5)), f'bayer_{pattern}8'))

    assert (decoded == colour).all()


@pytest.mark.parametrize('encoding', ['32FC1', '16UC1', 'rgb565', ''])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(InputError, match=f"encoding '{encoding}'"):
        decode_raw(message_of(colour_image(), encoding))


def test_odd_width_of_yuv_is_refused() -> None:
    with pytest.raises(InputError, match='must be even'):
        decode_raw(message_of(np.zeros((4, 5, 2), np.uint8), 'yuyv'))


def jpeg_of(image: Array) -> bytes:
    """Return the JPEG of an RGB image."""
    encoded: bytes = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return encoded


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
def test_compressed_image_becomes_rgb(extension: str) -> None:
    image = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    data = cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()

    decoded = decode_compressed(CompressedImage(format=extension[1:], data=data))

    np.testing.assert_allclose(decoded, image, atol=3)


def test_padding_behind_a_jpeg_does_no_harm() -> None:
    image = np.full((32, 48, 3), 99, np.uint8)

    decoded = decode_compressed(CompressedImage(format='jpeg', data=jpeg_of(image) + bytes(10)))

    assert decoded.shape == image.shape


@pytest.mark.parametrize('kept', [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize('extension', ['.png', '.jpg'])
def test_compressed_image_that_was_cut_off_is_refused(extension: str, kept: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    data = cv2.imencode(extension, noise)[1].tobytes()

    with pytest.raises(InputError, match='compressed image'):
        decode_compressed(CompressedImage(format='', data=data[: int(kept * len(data))]))


@pytest.mark.parametrize(
    ('format_', 'data', 'text'),
    [
        ('jpeg', b'', 'is empty'),
        ('jpeg', b'no image at all', 'cannot be decoded'),
        ('16UC1; compressedDepth', b'\x89PNG', 'holds depth'),
    ],
)
def test_what_is_no_colour_image_is_refused(format_: str, data: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        decode_compressed(CompressedImage(format=format_, data=data))
