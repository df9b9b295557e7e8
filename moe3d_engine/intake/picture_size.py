"""The size of a compressed picture from its header, before a byte of it is decoded."""

from __future__ import annotations

import struct

from moe3d_engine.intake.png import MAGIC as PNG_MAGIC

SOF_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def picture_hw(data: bytes) -> tuple[int, int] | None:
    """Return (H, W) as a JPEG, PNG, BMP, TIFF or WebP declares it; None = it is none of them."""
    for begins, read in _READERS.items():
        if data.startswith(begins):
            try:
                return read(data)
            except (struct.error, IndexError):  # cut inside the header
                return None
    return None


def _jpeg_hw(data: bytes) -> tuple[int, int] | None:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill
            position += 1
            continue
        if marker in SOF_MARKERS:
            height, width = struct.unpack_from('>HH', data, position + 5)
            return height, width
        (length,) = struct.unpack_from('>H', data, position + 2)
        position += 2 + length
    return None


def _png_hw(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from('>II', data, 16)
    return height, width


def _bmp_hw(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from('<ii', data, 18)
    return abs(height), abs(width)  # a negative height means that rows go down


def _tiff_hw(data: bytes) -> tuple[int, int] | None:
    order = '<' if data[:2] == b'II' else '>'
    (directory,) = struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}H', data, directory)
    sizes: dict[int, int] = {}
    for index in range(count):
        entry = directory + 2 + 12 * index
        tag, kind = struct.unpack_from(f'{order}HH', data, entry)
        if tag in (256, 257):  # width, height: 16 or 32 bits
            sizes[tag] = struct.unpack_from(
                f'{order}{"H" if kind == 3 else "I"}', data, entry + 8
            )[0]
    return (sizes[257], sizes[256]) if len(sizes) == 2 else None


def _webp_hw(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<HH', data, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b'VP8L':
        (sizes,) = struct.unpack_from('<I', data, 21)
        return (sizes >> 14 & 0x3FFF) + 1, (sizes & 0x3FFF) + 1
    if kind == b'VP8X':
        low = struct.unpack_from('<HBHB', data, 24)
        return (low[2] | low[3] << 16) + 1, (low[0] | low[1] << 16) + 1
    return None


_READERS = {
    b'\xff\xd8': _jpeg_hw,
    PNG_MAGIC: _png_hw,
    b'BM': _bmp_hw,
    b'II*\0': _tiff_hw,
    b'MM\0*': _tiff_hw,
    b'RIFF': _webp_hw,
}
