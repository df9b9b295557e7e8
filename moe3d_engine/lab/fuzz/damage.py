"""Damage to bytes: flips, cuts, inserts, headers that lie, and pictures that are bombs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
import struct
from typing import Any
import zlib

import cv2
from moe3d_engine.intake.picture_size import SOF_MARKERS
from moe3d_engine.intake.png import MAGIC as PNG_MAGIC
from moe3d_engine.lab.fuzz.messages import GOOD_RGB
from moe3d_engine.lab.fuzz.messages import HW
import numpy as np
from numpy.typing import NDArray

_HEADER = 700  # bytes of a picture or file in which most of its structure lies
_SPECIAL = (0x00, 0x01, 0x7F, 0x80, 0xC0, 0xC2, 0xD0, 0xD9, 0xDA, 0xFF)  # markers of a JPEG, too
_SIDES = (0, 1, 47, 65, 8_191, 8_192, 30_000, 65_535)
_JPEGS = {
    'baseline': [],
    'progressive': [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    'restarts': [cv2.IMWRITE_JPEG_RST_INTERVAL, 5],
    'optimized': [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
}


def good_pictures() -> list[bytes]:
    """Return a JPEG and a PNG of the colour that good frames have."""
    flat = np.full((*HW, 3), GOOD_RGB[::-1], np.uint8)
    return [_encoded('.png', flat), _encoded('.jpg', flat)]


def detailed_pictures() -> list[bytes]:
    """Return pictures of each format and kind, with details everywhere."""
    noise = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    picture = np.asarray(cv2.resize(noise, HW[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    pictures = [_encoded('.jpg', picture, flags) for flags in _JPEGS.values()]
    pictures += [_encoded(name, picture) for name in ('.png', '.bmp', '.tiff', '.webp')]
    pictures += [_encoded(name, picture[..., 0]) for name in ('.jpg', '.png')]
    alpha = np.dstack([picture, picture[..., :1]])
    deep = picture.astype(np.uint16) * 257
    return [*pictures, _encoded('.png', alpha), _encoded('.png', deep), _encoded('.tiff', deep)]


def png_bomb(height: int, width: int) -> bytes:
    """Return a PNG of few bytes whose pixels, black ones, are all there."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    compressor = zlib.compressobj(1)
    row = bytes(3 * width + 1)
    rows = b''.join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    chunks = (b'IHDR', header), (b'IDAT', rows), (b'IEND', b'')
    return PNG_MAGIC + b''.join(_chunk(name, data) for name, data in chunks)


def damaged(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """
    Return damaged bytes.

    Parameters
    ----------
    rng : decides what is done, and where.
    data : what is damaged.
    others : whose ends are put behind it, at times.
    """
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 8, 40))):
        if changed:
            _change(rng, changed)
    kind = rng.random()
    if kind < 0.2 and changed:
        del changed[rng.randrange(len(changed)) :]
    elif kind < 0.3:
        other = rng.choice(others)
        changed += other[rng.randrange(len(other)) :]
    elif kind < 0.35:
        changed += bytes(rng.choice((1, 100, 20_000)))
    return bytes(changed)


def with_lying_header(rng: Random, data: bytes) -> bytes:
    """Return a JPEG, PNG or BMP that declares another size; its checksum is right."""
    height, width = rng.choice(_SIDES), rng.choice(_SIDES)
    changed = bytearray(data)
    if data.startswith(PNG_MAGIC):
        struct.pack_into('>II', changed, 16, width, height)
        struct.pack_into('>I', changed, 29, zlib.crc32(changed[12:29]))
    elif data.startswith(b'BM'):
        struct.pack_into('<ii', changed, 18, width, rng.choice((height, -height)))
    elif data.startswith(b'\xff\xd8'):
        at = next(i for i in range(2, len(data)) if data[i - 1] == 0xFF and data[i] in SOF_MARKERS)
        struct.pack_into('>HH', changed, at + 4, height, width)
    return bytes(changed)


def _change(rng: Random, data: bytearray) -> None:
    """Make one change to some bytes, in their first part as often as anywhere."""
    at = rng.randrange(len(data) if rng.random() < 0.5 else min(_HEADER, len(data)))
    kind = rng.randrange(5)
    if kind == 0:
        data[at] = rng.choice(_SPECIAL)
    elif kind == 1:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 2:
        data[at : at + 8] = bytes([rng.choice((0x00, 0xFF))]) * 8
    elif kind == 3:
        del data[at : at + rng.randrange(1, 200)]
    else:
        data[at:at] = rng.randbytes(rng.choice((1, 4, 9, 300)))


def _encoded(name: str, picture: NDArray[Any], flags: Sequence[int] = ()) -> bytes:
    encoded: bytes = cv2.imencode(name, picture, list(flags))[1].tobytes()
    return encoded


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack('>I', zlib.crc32(name + data))
    return struct.pack('>I', len(data)) + name + data + checksum
