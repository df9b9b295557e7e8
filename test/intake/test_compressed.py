"""Whole pictures become their colours; cut ones, depth and bombs are refused before it costs."""

from __future__ import annotations

from collections.abc import Callable
import struct
from typing import Any
import zlib

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.intake.picture_size import picture_hw
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_engine.intake.images import decode_compressed
from moe3d_engine.intake.images import decode_image_bytes
from sensor_msgs.msg import CompressedImage

Array = Any
END = b'\xff\xd9'
KINDS = {
    'baseline': [],
    'progressive': [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    'restarts': [cv2.IMWRITE_JPEG_RST_INTERVAL, 5],
    'optimized': [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
}


def picture(seed: int = 0) -> Array:
    """Return an RGB image (120, 160) with details everywhere."""
    noise = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC))


def encode(image: Array, extension: str = '.jpg', flags: list[int] | None = None) -> bytes:
    """Return the file of an image in the order that OpenCV writes (BGR)."""
    encoded: bytes = cv2.imencode(extension, image, flags or [])[1].tobytes()
    return encoded


def jpeg(seed: int = 0, kind: str = 'baseline') -> bytes:
    """Return a JPEG of a picture."""
    return encode(picture(seed)[..., ::-1], '.jpg', KINDS[kind])


def decode(data: bytes, format_: str = 'jpeg', **arguments: Any) -> Array:  # noqa: ANN401
    """Return the RGB pixels of a message."""
    return decode_compressed(CompressedImage(format=format_, data=data), **arguments)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(
    'pad',
    [
        lambda data: data.ljust(40_000, b'\0'),
        lambda data: data + b'\r\n',
        lambda data: data + jpeg(1),
        lambda data: data + jpeg(1)[5_000:-2],
        lambda data: data[:-2],
        lambda data: data[:-2] + bytes(100),
        lambda data: data[:-2] + bytes(100) + END,
        lambda data: data[:-2] + b'\xff\xff' + END,
    ],
    ids=['zeros', 'line end', 'jpeg', 'old scan', 'no end', 'zeros, no end', 'zeros', 'fill'],
)
def test_what_lies_behind_a_whole_scan_changes_nothing(
    kind: str, pad: Callable[[bytes], bytes]
) -> None:
    data = jpeg(kind=kind)

    np.testing.assert_array_equal(decode(pad(data)), decode(data))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('kept', [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    'tail',
    [b'', END, bytes(30) + END, bytes(20_000) + END, jpeg(1), b'\r\n', END + bytes(500)],
    ids=['none', 'end', 'zeros', 'many zeros', 'jpeg', 'line end', 'end, zeros'],
)
def test_jpeg_cut_inside_a_scan_is_refused_whatever_its_tail(
    kind: str, kept: float, tail: bytes
) -> None:
    data = jpeg(kind=kind)

    with pytest.raises(InputError, match=r'ends early|is broken|cut off'):
        decode(data[: int(kept * len(data))] + tail)


def test_stale_rest_of_a_longer_buffer_does_not_complete_a_cut_jpeg() -> None:
    new, old = jpeg(0), jpeg(1)

    with pytest.raises(InputError, match='ends early'):
        decode(new[: len(new) // 2] + old[3 * len(old) // 4 :])


def test_restart_segment_that_was_lost_is_noticed() -> None:
    data = jpeg(kind='restarts')
    first, second = data.index(b'\xff\xd2'), data.index(b'\xff\xd3')

    with pytest.raises(InputError, match='restart markers'):
        decode(data[:first] + data[second:])


@pytest.mark.parametrize('level', [0, 128, 255])
@pytest.mark.parametrize('kind', KINDS)
def test_flat_picture_is_not_taken_for_a_cut_one(kind: str, level: int) -> None:
    """Its code may be a row of zeros, and its last block the grey of one that is missing."""
    flat = np.full((480, 640, 3), level, np.uint8)

    decoded = decode(encode(flat, '.jpg', KINDS[kind]))

    assert (decoded == level).all()


@pytest.mark.parametrize('kept', [0.2, 0.6, 0.99])
def test_png_cut_and_completed_by_a_stale_tail_is_refused(kept: float) -> None:
    new, old = encode(picture(0), '.png'), encode(picture(1), '.png')

    for tail in (b'', old[int(kept * len(new)) :], old[-12:]):
        with pytest.raises(InputError, match='damaged or cut off'):
            decode(new[: int(kept * len(new))] + tail, 'png')


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    checksum = struct.pack('>I', zlib.crc32(name + data))
    return struct.pack('>I', len(data)) + name + data + checksum


def test_png_gives_its_picture_whatever_else_it_holds() -> None:
    data = encode(picture()[..., ::-1], '.png')
    text = chunk(b'zTXt', b'key\0\0' + zlib.compress(bytes(10_000_000)))
    turned = chunk(b'eXIf', exif(6))

    decoded = decode(data[:33] + text + turned + data[33:] + b'behind', 'png')

    np.testing.assert_array_equal(decoded, picture())


def test_png_chunk_that_claims_gigabytes_is_refused() -> None:
    data = bytearray(encode(picture(), '.png'))
    data[33:37] = struct.pack('>I', 2**31 - 1)

    with pytest.raises(InputError, match='chunks reach beyond its end'):
        decode(bytes(data), 'png')


RED = (200, 30, 60)


def red(extension: str, order: str, dtype: type = np.uint8) -> bytes:
    """Return a file of red whose channels were handed to OpenCV in this order."""
    channels = ['rgb'.index(name) if name != 'a' else 1 for name in order]
    image = np.full((32, 48, len(order)), [RED[index] for index in channels], dtype)
    return encode(image * 257 if dtype == np.uint16 else image, extension)


@pytest.mark.parametrize(
    ('format_', 'data'),
    [
        ('jpeg', red('.jpg', 'bgr')),
        ('', red('.jpg', 'bgr')),
        ('rgb8; jpeg compressed bgr8', red('.jpg', 'bgr')),
        ('bgr8; jpeg compressed bgr8', red('.jpg', 'bgr')),
        ('bayer_rggb8; jpeg compressed bgr8', red('.jpg', 'bgr')),
        ('bgr8; jpeg compressed rgb8', red('.jpg', 'rgb')),
        ('rgb8; png compressed ', red('.png', 'rgb')),
        ('rgb8; png compressed', red('.png', 'rgb')),
        ('rgb8; png compressed rgb8', red('.png', 'rgb')),
        ('bgr8; png compressed ', red('.png', 'bgr')),
        (' RGB8 ;PNG   Compressed  BGR8 ', red('.png', 'bgr')),
        ('rgba8; png compressed bgr8', red('.png', 'bgr')),
        ('rgba8; png compressed ', red('.png', 'rgba')),
        ('bgra8; png compressed ', red('.png', 'bgra')),
        ('rgb16; png compressed bgr16', red('.png', 'bgr', np.uint16)),
        ('rgb16; png compressed ', red('.png', 'rgb', np.uint16)),
        ('bgr8; tiff compressed ', red('.tiff', 'bgr')),
        ('yuv422; jpeg compressed bgr8', red('.jpg', 'bgr')),
        ('rgb8;jpeg', red('.jpg', 'bgr')),
    ],
)
def test_declared_order_of_channels_gives_the_right_colour(format_: str, data: bytes) -> None:
    np.testing.assert_allclose(decode(data, format_), np.broadcast_to(RED, (32, 48, 3)), atol=4)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize(
    ('extension', 'bits', 'stored'),
    [('.png', 8, ''), ('.jpg', 8, ''), ('.jpg', 8, 'bayer_{pattern}8'), ('.png', 16, '')],
)
def test_mosaic_in_a_compressed_image_becomes_colour(
    pattern: str, extension: str, bits: int, stored: str
) -> None:
    cell = np.array([RED['rgb'.index(name)] for name in pattern]).reshape(2, 2)
    mosaic = np.tile(cell * (257 if bits == 16 else 1), (16, 24))
    data = encode(mosaic.astype(f'u{bits // 8}'), extension, [cv2.IMWRITE_JPEG_QUALITY, 100])
    codec = 'png' if extension == '.png' else 'jpeg'

    decoded = decode(
        data, f'bayer_{pattern}{bits}; {codec} compressed {stored.format(pattern=pattern)}'
    )

    np.testing.assert_allclose(decoded, np.broadcast_to(RED, decoded.shape), atol=8)


def test_mosaic_that_the_transport_has_turned_into_grey_stays_grey() -> None:
    """So compressed_image_transport of ROS 2 does it."""
    grey = picture()[..., 0]

    decoded = decode(encode(grey, '.png'), 'bayer_rggb8; png compressed mono8')

    np.testing.assert_array_equal(decoded, np.stack([grey] * 3, axis=-1))


def test_one_channel_that_is_declared_to_be_colour_of_a_mosaic_is_refused() -> None:
    with pytest.raises(InputError, match=r'bayer_rggb8.*neither colour nor a mosaic'):
        decode(encode(picture()[..., 0]), 'bayer_rggb8; jpeg compressed bgr8')


SIXTEEN_BITS = (np.arange(32 * 48).reshape(32, 48) * 40).astype(np.uint16)


@pytest.mark.parametrize(
    ('format_', 'image', 'extension'),
    [
        ('16UC1; png compressed ', SIXTEEN_BITS, '.png'),
        ('16uc1;PNG compressed', SIXTEEN_BITS, '.png'),
        ('16UC1; compressedDepth png', SIXTEEN_BITS, '.png'),
        ('16UC1; jpeg compressed mono8', picture()[..., 0], '.jpg'),
        ('32FC1; tiff compressed ', SIXTEEN_BITS.astype(np.float32), '.tiff'),
        ('png', SIXTEEN_BITS, '.png'),
        ('', SIXTEEN_BITS, '.tiff'),
        ('tiff', SIXTEEN_BITS.astype(np.float32), '.tiff'),
    ],
)
def test_depth_in_a_compressed_image_is_no_picture(
    format_: str, image: Array, extension: str
) -> None:
    with pytest.raises(InputError, match=r'depth|no picture'):
        decode(encode(image, extension), format_)


def test_sixteen_bits_that_are_declared_to_be_grey_are_a_picture() -> None:
    data = encode(SIXTEEN_BITS, '.png')
    expected = np.rint(SIXTEEN_BITS / 257)

    for decoded in (decode(data, 'mono16; png compressed '), decode(data, 'png', mono16_bits=16)):
        np.testing.assert_array_equal(decoded[..., 1], expected)


def bomb(extension: str, height: int, width: int) -> bytes:
    """Return a small file whose header declares this size."""
    data = bytearray(encode(np.zeros((8, 8, 3), np.uint8), extension))
    if extension == '.jpg':
        position = data.index(b'\xff\xc0') + 5
        data[position : position + 4] = struct.pack('>HH', height, width)
    else:
        data[16:24] = struct.pack('>II', width, height)
        data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_bomb_is_refused_by_its_header(extension: str) -> None:
    with pytest.raises(InputError, match='declares 30000x20000 pixels'):
        decode(bomb(extension, 20_000, 30_000))


def test_jpeg_whose_scan_cannot_hold_its_pixels_is_refused() -> None:
    with pytest.raises(InputError, match='8000x8000 pixels need 375000 bytes at least'):
        decode(bomb('.jpg', 8000, 8000))


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_size_that_camera_info_does_not_have_is_refused_by_the_header(extension: str) -> None:
    with pytest.raises(InputError, match=r'has 4000x3000 pixels.*640x480'):
        decode(bomb(extension, 3000, 4000), expected_hw=(480, 640))


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.bmp', '.tiff', '.webp'])
@pytest.mark.parametrize('lossless', [False, True])
def test_size_is_read_from_the_header_of_each_kind_of_file(extension: str, lossless: bool) -> None:
    flags = [cv2.IMWRITE_WEBP_QUALITY, 101 if lossless else 80]

    data = encode(picture()[:113, :75], extension, flags)

    assert picture_hw(data) == (113, 75)
    assert decode_image_bytes(data, 'file').shape == (113, 75, 3)


def test_alpha_in_webp_is_dropped() -> None:
    image = np.dstack([picture()[..., ::-1], np.full((120, 160), 90, np.uint8)])
    data = encode(image, '.webp', [cv2.IMWRITE_WEBP_QUALITY, 101])

    assert picture_hw(data) == (120, 160)
    assert decode_image_bytes(data, 'file').shape == (120, 160, 3)


def exif(orientation: int) -> bytes:
    """Return EXIF data that hold a rotation only."""
    tags = struct.pack('>HHHIHHI', 1, 0x0112, 3, 1, orientation, 0, 0)
    return b'MM\0*\0\0\0\x08' + tags


def with_orientation(data: bytes, orientation: int) -> bytes:
    """Return a JPEG with a rotation in EXIF."""
    segment = b'Exif\0\0' + exif(orientation)
    return data[:2] + b'\xff\xe1' + struct.pack('>H', len(segment) + 2) + segment + data[2:]


def test_rotation_in_exif_is_not_applied() -> None:
    data = jpeg()

    turned = with_orientation(data, 6)

    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (160, 120, 3)
    np.testing.assert_array_equal(decode(turned), decode(data))
    np.testing.assert_array_equal(decode_image_bytes(turned, 'a.jpg'), decode(data))


@pytest.mark.parametrize(
    ('data', 'text'),
    [
        (b'', 'room/3.jpg is empty'),
        (b'no image at all', 'room/3.jpg cannot be decoded'),
        (jpeg()[:3000], 'room/3.jpg ends early'),
        (encode(SIXTEEN_BITS, '.png'), 'room/3.jpg holds one channel of 16 bits'),
        (bomb('.png', 20_000, 30_000), 'room/3.jpg declares 30000x20000'),
    ],
)
def test_file_that_cannot_be_used_is_refused_by_name(data: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        decode_image_bytes(data, 'room/3.jpg')


def test_message_to_people_repeats_forty_characters_of_a_format_at_most() -> None:
    with pytest.raises(InputError, match='9960 more characters') as raised:
        decode(b'no image', 'x' * 10_000)

    assert len(str(raised.value)) < 300


@pytest.mark.parametrize('cut', range(2, 620, 3))
def test_cut_inside_the_header_is_an_input_error(cut: int) -> None:
    with pytest.raises(InputError):
        decode(jpeg()[:cut])
