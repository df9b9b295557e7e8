"""Pixels of ROS image messages as RGB arrays, with everything in them checked first; no ROS."""

from __future__ import annotations

import sys
from typing import Any
from typing import NamedTuple

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import Message
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray


class _Encoding(NamedTuple):
    """How pixels lie in an image message, and OpenCV's code that makes them RGB."""

    channels: int
    to_rgb: int | None
    dtype: type[np.generic] = np.uint8
    even_width: bool = False


# ROS names a Bayer pattern by its first two rows, OpenCV by the second row's second and third
# pixel: bayer_rggb8 is BayerBG.
_ENCODINGS = {
    'rgb8': _Encoding(3, None),
    'bgr8': _Encoding(3, cv2.COLOR_BGR2RGB),
    'rgba8': _Encoding(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Encoding(4, cv2.COLOR_BGRA2RGB),
    'mono8': _Encoding(1, cv2.COLOR_GRAY2RGB),
    'mono16': _Encoding(1, cv2.COLOR_GRAY2RGB, np.uint16),
    'yuv422': _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    'uyvy': _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
    'yuv422_yuy2': _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
    'yuyv': _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
    'bayer_rggb8': _Encoding(1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _Encoding(1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _Encoding(1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _Encoding(1, cv2.COLOR_BayerGB2RGB),
}

_VALUES = {'16UC1': _Encoding(1, None, np.uint16), '32FC1': _Encoding(1, None, np.float32)}


def decode_raw(message: Message) -> UInt8Array:
    """
    Return the RGB pixels (H, W, 3) of a sensor_msgs/Image.

    The array may share memory with the message.

    Raises
    ------
    InputError
        If the encoding is unknown, or size, step and data contradict each other.
    """
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        raise InputError(
            f'Images of encoding {message.encoding!r} cannot be read; known are '
            f'{", ".join(_ENCODINGS)}.'
        )
    pixels = _pixels(message, encoding)
    if encoding.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if encoding.to_rgb is None:
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.cvtColor(pixels, encoding.to_rgb), np.uint8)


def decode_compressed(message: Message) -> UInt8Array:
    """
    Return the RGB pixels (H, W, 3) of a sensor_msgs/CompressedImage, as the sensor saw them.

    Raises
    ------
    InputError
        If the data are no image, are cut off, or hold depth.
    """
    source = f'The compressed image (format {message.format!r}, {len(message.data)} bytes)'
    if 'compressedDepth' in message.format:
        raise InputError(f'{source} holds depth; a whole JPEG or PNG in colour is expected.')
    return decode_image_bytes(message.data, source)


def decode_image_bytes(data: bytes | UInt8Array, source: str) -> UInt8Array:
    """
    Return the RGB pixels (H, W, 3) of an encoded image, as the sensor saw them.

    Parameters
    ----------
    data : JPEG, PNG or another format of a picture.
    source : what to call it in an error.

    Raises
    ------
    InputError
        If the data are no image, are cut off, or hold 16-bit values in one channel, as depth does.
    """
    encoded = np.frombuffer(data, np.uint8)
    cut = _is_jpeg(encoded) and not _has_jpeg_end(encoded)
    if cut or not encoded.size:
        what = 'ends early' if cut else 'is empty'
        raise InputError(f'{source} {what}; a whole JPEG or PNG in colour is expected.')
    if _is_grey_png16(encoded):
        raise InputError(
            f'{source} is a PNG of one channel of 16 bits, as depth is stored; a JPEG or PNG in '
            f'colour is expected.'
        )
    # The camera_info is of the pixels as stored, so a rotation in EXIF must not be applied.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(encoded, flags)
    except cv2.error:  # some decoders raise it, others return None
        bgr = None
    if bgr is None:
        raise InputError(f'{source} cannot be decoded; a JPEG or PNG is expected.')
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def decode_depth(message: Message) -> Float32Array:
    """
    Return the depth (H, W) of a sensor_msgs/Image in metres; NaN = unknown (REP 118).

    `16UC1` is millimetres with 0 for unknown, `32FC1` is metres.

    Raises
    ------
    InputError
        If the encoding is none of depth, or size, step and data contradict each other.
    """
    values = decode_values(message)
    scale = np.float32(1e-3) if values.dtype == np.uint16 else np.float32(1.0)
    return np.where(values > 0, values * scale, np.float32(np.nan)).astype(np.float32)


def decode_values(message: Message) -> NDArray[Any]:
    """
    Return the values (H, W) of a single-channel image of encoding 16UC1 or 32FC1 as they are.

    Raises
    ------
    InputError
        If the encoding is another, or size, step and data contradict each other.
    """
    encoding = _VALUES.get(message.encoding)
    if encoding is None:
        raise InputError(
            f'Depth of encoding {message.encoding!r} cannot be read; known are '
            f'{", ".join(_VALUES)}.'
        )
    return _pixels(message, encoding)


def _pixels(message: Message, encoding: _Encoding) -> NDArray[Any]:
    """Return the message's pixels (H, W[, C]) without the padding of the rows."""
    itemsize = np.dtype(encoding.dtype).itemsize
    row_bytes = message.width * encoding.channels * itemsize
    num_bytes = message.height * message.step
    complaint = None
    if not message.width or not message.height:
        complaint = 'it has no pixels'
    elif message.step < row_bytes:
        complaint = f'a row needs a step of at least {row_bytes}'
    elif len(message.data) != num_bytes:
        complaint = f'height x step is {num_bytes} bytes'
    elif encoding.even_width and message.width % 2:
        complaint = 'two neighbours share their colour, so the width must be even'
    if complaint is not None:
        raise InputError(
            f'The image ({message.width}x{message.height}, {message.encoding}, step '
            f'{message.step}, {len(message.data)} bytes) is not valid: {complaint}.'
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels = np.ascontiguousarray(rows[:, :row_bytes]).view(encoding.dtype)
    if itemsize > 1 and bool(message.is_bigendian) != (sys.byteorder == 'big'):
        pixels = pixels.byteswap()
    if encoding.channels == 1:
        return pixels
    return pixels.reshape(message.height, message.width, encoding.channels)


def _is_jpeg(data: UInt8Array) -> bool:
    """Return whether data begin as a JPEG does."""
    return data[:2].tobytes() == b'\xff\xd8'


def _is_grey_png16(data: UInt8Array) -> bool:
    """Return whether data are a PNG of one channel of 16 bits."""
    head = data[:26].tobytes()
    return head.startswith(b'\x89PNG\r\n\x1a\n') and head[24:26] == bytes((16, 0))


def _has_jpeg_end(data: UInt8Array) -> bool:
    """Return whether a JPEG has its end marker; OpenCV fills what is missing with grey."""
    return data[-64:].tobytes().rstrip(b'\0').endswith(b'\xff\xd9')
