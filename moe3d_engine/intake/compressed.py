"""Pictures in compressed form, of messages and files: whole, of bearable size, no depth."""

from __future__ import annotations

import re
from typing import Any
from typing import NamedTuple

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.errors import SizeMismatchError
from moe3d_engine.intake.encodings import COLOURS
from moe3d_engine.intake.encodings import Pixels
from moe3d_engine.intake.jpeg import Jpeg
from moe3d_engine.intake.jpeg import read_jpeg
from moe3d_engine.intake.picture_size import picture_hw
from moe3d_engine.intake.png import MAGIC as PNG_MAGIC
from moe3d_engine.intake.png import plain_png
import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 64 * 1024 * 1024  # an 8K frame has 33 million; more than this is no camera's

# As compressed_image_transport writes it: "rgb8; jpeg compressed bgr8". What comes last is left
# out for pictures without colour.
_FORMAT = re.compile(r'\s*(?P<raw>\w+)\s*;\s*\w+\s+compressed\b\s*(?P<stored>\w*)\s*')
_DEPTHS = re.compile(r'\s*(16uc1|16sc1|32fc1|64fc1)\b')


class Format(NamedTuple):
    """What `format` of a CompressedImage declares, in lower case; '' = nothing."""

    raw: str  # encoding of the image before
    stored: str  # order of the picture's channels


def parse_format(text: str) -> Format:
    """
    Return what the `format` of a CompressedImage declares.

    Raises
    ------
    InputError
        If it declares depth; the message continues "The image ... ".
    """
    text = text.lower()
    if 'compresseddepth' in text or _DEPTHS.match(text):
        raise InputError(
            'holds depth, and a picture is expected: choose the topic of the colour image'
        )
    match = _FORMAT.fullmatch(text)
    return Format(match['raw'], match['stored']) if match else Format('', '')


def read_picture(
    data: bytes,
    declared: Format,
    expected_hw: tuple[int, int] | None = None,
    mono16_bits: int | None = None,
) -> Pixels:
    """
    Return the values of a compressed picture and their encoding.

    Parameters
    ----------
    data : of a JPEG, PNG, BMP, TIFF or WebP.
    declared : what is known of it.
    expected_hw : (H, W) that it must have; None = any.
    mono16_bits : not None = undeclared 16-bit grey is a picture.

    Raises
    ------
    InputError
        If the data are no such file, are cut off, hold depth, too many pixels, or have another
        size; the message continues "The image ... ".
    """
    _check_size(data, expected_hw)
    jpeg: Jpeg | None = None
    if data.startswith(b'\xff\xd8'):
        jpeg = read_jpeg(data)
        data = jpeg.data()
    elif data.startswith(PNG_MAGIC):
        data = plain_png(data)
    values = _decode(data)
    if values is None:
        raise InputError('cannot be decoded: it is damaged or cut off')
    if jpeg is not None and not jpeg.is_whole(values, _decode):
        raise InputError('ends early: it is cut off inside a scan')
    return Pixels(values, COLOURS[_encoding(values, declared, mono16_bits)])


def _check_size(data: bytes, expected_hw: tuple[int, int] | None) -> None:
    """Raise InputError unless the header declares a size that is expected and can be borne."""
    if not data:
        raise InputError('is empty')
    size = picture_hw(data)
    if size is None:
        raise InputError(
            'cannot be decoded: it does not begin as a whole JPEG, PNG, BMP, TIFF or WebP does'
        )
    height, width = size
    if not 0 < height * width <= MAX_PIXELS:
        raise InputError(
            f'declares {width}x{height} pixels; from 1 to {MAX_PIXELS} are decoded, more are '
            f'taken for a mistake or an attack'
        )
    if expected_hw is not None and size != expected_hw:
        raise SizeMismatchError(
            f'has {width}x{height} pixels, but its camera_info is of images of '
            f'{expected_hw[1]}x{expected_hw[0]}. Calibrate at the resolution in use, or let the '
            f'driver scale its camera_info'
        )


def _decode(data: bytes) -> NDArray[Any] | None:
    """Return the pixels as they are stored; None where OpenCV cannot."""
    try:  # some decoders raise, others return None
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if values is None else np.asarray(values)


def _encoding(values: NDArray[Any], declared: Format, mono16_bits: int | None) -> str:
    """Return the name of the encoding that the decoded values have."""
    bits = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}.get(values.dtype)
    channels = 1 if values.ndim == 2 else values.shape[2]
    if bits is None or channels not in (1, 3, 4):
        raise InputError(
            f'holds {channels} channels of {values.dtype}, which is no picture in grey or colour '
            f'of 8 or 16 bits'
        )
    if channels > 1:
        is_rgb = (declared.stored or declared.raw).startswith('rgb')
        return f'{"rgb" if is_rgb else "bgr"}{"a" if channels == 4 else ""}{bits}'
    if declared.raw.startswith('bayer_'):
        return _mosaic_encoding(declared, bits)
    if bits == 16 and not declared.raw and mono16_bits is None:
        raise InputError(
            'holds one channel of 16 bits, which may be depth. If it is a grey picture, declare '
            'it: a format "mono16; png compressed", or the setting mono16_bits'
        )
    return f'mono{bits}'


def _mosaic_encoding(declared: Format, bits: int) -> str:
    """Return the encoding of one channel that began as a Bayer mosaic."""
    if declared.stored.startswith('mono'):  # the transport has turned it into grey
        return f'mono{bits}'
    name = f'{declared.raw.rstrip("0123456789")}{bits}'
    if declared.stored not in ('', declared.raw) or name not in COLOURS:
        raise InputError(
            f'has the format {declared.raw}, stored as {declared.stored or declared.raw}, but one '
            f'channel: neither colour nor a mosaic that is known. Let the driver publish bgr8'
        )
    return name
