"""A PNG reduced to what makes its picture, once all of that is there (ISO/IEC 15948)."""

from __future__ import annotations

from collections.abc import Iterator

from moe3d_engine.errors import InputError

MAGIC = b'\x89PNG\r\n\x1a\n'
_FRAME = 12  # bytes of a chunk around its data: length, name, checksum
_PICTURE = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')


def plain_png(data: bytes) -> bytes:
    """
    Return a PNG without animation, text, profile and what lies behind its end.

    OpenCV reserves what a chunk claims to hold before it looks for it, gigabytes if it says so.

    Raises
    ------
    InputError
        If a chunk reaches beyond the data, or the end is missing; the message continues
        "The image ... ".
    """
    chunks = [chunk for chunk in _chunks(data) if chunk[4:8] in _PICTURE]
    return MAGIC + b''.join(chunks)


def _chunks(data: bytes) -> Iterator[bytes]:
    """Yield the chunks up to the end."""
    position = len(MAGIC)
    name = b''
    while name != b'IEND':
        length = int.from_bytes(data[position : position + 4], 'big')
        end = position + _FRAME + length
        if position + _FRAME > len(data) or end > len(data):
            raise InputError('is damaged or cut off: its chunks reach beyond its end')
        yield data[position:end]
        name = data[position + 4 : position + 8]
        position = end
