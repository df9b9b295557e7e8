"""Pixels of messages and files as RGB arrays, with everything in them checked first; no ROS."""

from __future__ import annotations

import sys
from typing import Any

from moe3d_engine.errors import InputError
from moe3d_engine.intake.compressed import Format
from moe3d_engine.intake.compressed import parse_format
from moe3d_engine.intake.compressed import read_picture
from moe3d_engine.intake.encodings import COLOURS
from moe3d_engine.intake.encodings import DEPTHS
from moe3d_engine.intake.encodings import Encoding
from moe3d_engine.intake.encodings import Pixels
from moe3d_engine.intake.encodings import to_rgb
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import quoted
from moe3d_engine.intake.messages import Warn
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

NUM_WATCHED = 2  # 16-bit images after which the bits that they fill are judged
SENSOR_BITS = (10, 12, 14)


class ImageDecoder:
    """
    Decodes the images of one camera.

    Parameters
    ----------
    compressed : whether they are CompressedImage and not Image.
    mono16_bits : how many of 16 bits the sensor fills, from the lowest on; None = 16.
    warn : told once if the images fill other bits than that.
    """

    def __init__(self, *, compressed: bool, warn: Warn, mono16_bits: int | None = None) -> None:
        self._compressed = compressed
        self._bits = mono16_bits
        self._warn = warn
        self._num_watched = 0
        self._largest = 0
        self._is_judged = False

    def decode(self, message: Message, expected_hw: tuple[int, int] | None = None) -> UInt8Array:
        """
        Return the RGB pixels (H, W, 3) of a message; see decode_raw and decode_compressed.

        Raises
        ------
        InputError
            If the message cannot be used.
        """
        if self._compressed:
            pixels = _compressed_pixels(message, expected_hw, self._bits)
        else:
            pixels = _raw_pixels(message, COLOURS, 'Images')
        if pixels.encoding.dtype == np.uint16 and not self._is_judged:
            self._watch(pixels.values)
        return to_rgb(pixels, self._bits)

    def _watch(self, values: NDArray[Any]) -> None:
        """Judge the bits that the first images fill, or whether more come than were declared."""
        largest = int(values.max())
        if self._bits is not None:
            self._is_judged = largest >= 2**self._bits
            if self._is_judged:
                self._warn(
                    f'An image of 16 bits holds {largest}, more than input.mono16_bits = '
                    f'{self._bits} allows: what is brighter becomes white.'
                )
            return
        self._largest = max(self._largest, largest)
        self._num_watched += largest > 0  # a lens cap says nothing
        self._is_judged = self._num_watched == NUM_WATCHED
        filled = next((bits for bits in SENSOR_BITS if self._largest < 2**bits), None)
        if self._is_judged and filled is not None:
            self._warn(
                f'The largest value of {NUM_WATCHED} images of 16 bits is {self._largest} of '
                f'65535: the network sees them black. Set input.mono16_bits to {filled} if the '
                f'sensor has {filled} bits, to 16 if the scene is dark.'
            )


def decode_raw(message: Message, mono16_bits: int | None = None) -> UInt8Array:
    """
    Return the RGB pixels (H, W, 3) of a sensor_msgs/Image.

    The array may share memory with the message.

    Parameters
    ----------
    message : of an encoding in colour, grey, or of a Bayer mosaic.
    mono16_bits : how many of 16 bits the sensor fills, from the lowest on; None = 16.

    Raises
    ------
    InputError
        If the encoding is unknown, or size, step and data contradict each other.
    """
    return to_rgb(_raw_pixels(message, COLOURS, 'Images'), mono16_bits)


def decode_compressed(
    message: Message,
    expected_hw: tuple[int, int] | None = None,
    mono16_bits: int | None = None,
) -> UInt8Array:
    """
    Return the RGB pixels (H, W, 3) of a sensor_msgs/CompressedImage, as the sensor saw them.

    Parameters
    ----------
    message : a JPEG, PNG, BMP, TIFF or WebP. Its `format` is read as compressed_image_transport
        writes it; a Bayer mosaic becomes colour.
    expected_hw : (H, W) of its camera_info; another size is refused before it is decoded.
    mono16_bits : see decode_raw.

    Raises
    ------
    InputError
        If the data are no image, are cut off, hold depth or too many pixels.
    """
    return to_rgb(_compressed_pixels(message, expected_hw, mono16_bits), mono16_bits)


def decode_image_bytes(data: bytes, source: str, mono16_bits: int | None = None) -> UInt8Array:
    """
    Return the RGB pixels (H, W, 3) of an image file's bytes, as they are stored.

    A rotation in EXIF is not applied: intrinsics belong to the pixels as stored.

    Parameters
    ----------
    data : of a JPEG, PNG, BMP, TIFF or WebP.
    source : where they come from, for messages.
    mono16_bits : declares that 16-bit grey is a picture, not depth, and how many of its bits are
        filled, from the lowest on.

    Raises
    ------
    InputError
        If the data are no such file, are cut off, hold depth or too many pixels.
    """
    try:
        return to_rgb(read_picture(data, Format('', ''), mono16_bits=mono16_bits), mono16_bits)
    except InputError as error:
        raise InputError(f'{source} {error}.') from error


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
    return _raw_pixels(message, DEPTHS, 'Depth').values


def _compressed_pixels(
    message: Message, expected_hw: tuple[int, int] | None, mono16_bits: int | None
) -> Pixels:
    """Return the values of a CompressedImage."""
    data = bytes(message.data)
    try:
        return read_picture(data, parse_format(message.format), expected_hw, mono16_bits)
    except InputError as error:
        raise type(error)(
            f'The compressed image (format {quoted(message.format)}, {len(data)} bytes) {error}.'
        ) from error


def _raw_pixels(message: Message, known: dict[str, Encoding], what: str) -> Pixels:
    """Return the values of an Image of a known encoding, without the padding of the rows."""
    encoding = known.get(message.encoding)
    if encoding is None:
        raise InputError(
            f'{what} of encoding {quoted(message.encoding)} cannot be read; known are '
            f'{", ".join(known)}.'
        )
    itemsize = np.dtype(encoding.dtype).itemsize
    row_bytes = message.width * encoding.channels * itemsize
    _check_layout(message, row_bytes, encoding)
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    values = np.ascontiguousarray(rows[:, :row_bytes]).view(encoding.dtype)
    if itemsize > 1 and bool(message.is_bigendian) != (sys.byteorder == 'big'):
        values = values.byteswap()
    if encoding.channels > 1:
        values = values.reshape(message.height, message.width, encoding.channels)
    return Pixels(values, encoding)


def _check_layout(message: Message, row_bytes: int, encoding: Encoding) -> None:
    """Raise InputError unless size, step and data of an Image agree."""
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
