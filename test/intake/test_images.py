"""Each encoding becomes the same RGB pixels, and nothing that contradicts itself is read."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
from moe3d_engine.errors import InputError
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.images import ImageDecoder
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
def test_sixteen_bits_become_the_nearest_of_eight(is_bigendian: int) -> None:
    grey = np.linspace(0, 65535, 24).reshape(4, 6).astype(np.uint16)
    sent = grey.astype('>u2' if is_bigendian else '<u2')

    decoded = decode_raw(message_of(sent, 'mono16', 4, is_bigendian))

    assert np.array_equal(decoded[..., 0], np.rint(grey / 257))


@pytest.mark.parametrize('bits', [10, 12, 14])
@pytest.mark.parametrize('encoding', ['mono16', 'bayer_rggb16', 'bgr16'])
def test_bits_that_a_sensor_fills_span_black_to_white(bits: int, encoding: str) -> None:
    channels = 3 if encoding == 'bgr16' else 1
    white = np.full((4, 6, channels), 2**bits - 1, np.uint16)

    decoded = decode_raw(message_of(white, encoding), mono16_bits=bits)
    half = decode_raw(message_of(white // 2, encoding), mono16_bits=bits)

    assert (decoded == 255).all()
    assert (half == 127).all()


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [
        ('rgb16', [0, 1, 2]),
        ('bgr16', [2, 1, 0]),
        ('rgba16', [0, 1, 2, 0]),
        ('bgra16', [2, 1, 0, 0]),
    ],
)
def test_colour_of_sixteen_bits_becomes_rgb(encoding: str, order: list[int]) -> None:
    sent = colour_image()[..., order].astype(np.uint16) * 257

    assert np.array_equal(decode_raw(message_of(sent, encoding)), colour_image())


def watched(largest: list[int], bits: int | None = None) -> list[str]:
    """Return what a decoder tells of grey images with these largest values."""
    told: list[str] = []
    decoder = ImageDecoder(compressed=False, warn=told.append, mono16_bits=bits)
    for value in largest:
        image = np.linspace(0, value, 24).reshape(4, 6).astype(np.uint16)
        assert decoder.decode(message_of(image, 'mono16')).max() == min(
            255, round(value * 255 / (2 ** (bits or 16) - 1))
        )
    return told


@pytest.mark.parametrize(('bits', 'largest'), [(10, 1023), (12, 4000), (14, 16383)])
def test_sensor_that_fills_the_low_bits_is_told_once_with_the_numbers(
    bits: int, largest: int
) -> None:
    (told,) = watched([0, largest - 1, largest, 300, 200, 400, 500])

    assert f' is {largest} of 65535' in told
    assert f'input.mono16_bits to {bits}' in told


def test_sensor_that_fills_sixteen_bits_is_not_complained_of() -> None:
    assert not watched([20_000, 400, 300, 200, 100])
    assert not watched([400] * 5, bits=16)
    assert not watched([4095] * 5, bits=12)


def test_values_that_the_declared_bits_cannot_hold_are_told_once() -> None:
    (told,) = watched([4000, 4096, 5000], bits=12)

    assert '4096, more than input.mono16_bits = 12' in told


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


def test_message_to_people_repeats_forty_characters_of_an_encoding_at_most() -> None:
    with pytest.raises(InputError, match='9999960 more characters') as raised:
        decode_raw(message_of(colour_image(), 'x' * 10_000_000))

    assert len(str(raised.value)) < 600


def test_odd_width_of_yuv_is_refused() -> None:
    with pytest.raises(InputError, match='must be even'):
        decode_raw(message_of(np.zeros((4, 5, 2), np.uint8), 'yuyv'))


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
def test_decoder_of_compressed_images_passes_the_size_on(extension: str) -> None:
    image = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    data = cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    decoder = ImageDecoder(compressed=True, warn=pytest.fail)
    message = CompressedImage(format=extension[1:], data=data)

    np.testing.assert_allclose(decoder.decode(message, (32, 48)), image, atol=3)
    with pytest.raises(InputError, match=r'has 48x32 pixels.*of 640x480'):
        decoder.decode(message, (480, 640))
