"""Unpack what recorders compress: chunks, messages and whole files; never more than it may be."""

from __future__ import annotations

from pathlib import Path
import sys

from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]
from moe3d_engine.bags.damage import Damage

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
MAX_MESSAGE_BYTES = 1 << 30
_BLOCK = 1 << 20


def unpack_chunk(compression: str, packed: bytes, size: int) -> bytes:
    """
    Return the content of an MCAP chunk, of which `size` is the length.

    Raises
    ------
    ValueError
        If the compression is unknown, the data are damaged, or the length is another.
    """
    try:
        if compression == '':
            content = packed
        elif compression == 'zstd':
            content = zstd.ZstdDecompressor().decompress(packed, size + 1)
        elif compression == 'lz4':
            content = LZ4FrameDecompressor().decompress(packed, size + 1)
        else:
            raise ValueError(f'its compression {compression!r} is not known')
    except (zstd.ZstdError, RuntimeError, EOFError, OverflowError, MemoryError) as error:
        raise ValueError(f'it cannot be unpacked: {error}') from error
    if len(content) != size:
        raise ValueError(f'it holds {len(content)} bytes and not {size}')
    return content


def unpack_message(packed: bytes) -> bytes:
    """
    Return a message that was compressed with zstd.

    Raises
    ------
    ValueError
        If it is cut or damaged, or becomes longer than `MAX_MESSAGE_BYTES`.
    """
    decompressor = zstd.ZstdDecompressor()
    try:
        data = decompressor.decompress(packed, MAX_MESSAGE_BYTES)
    except (zstd.ZstdError, MemoryError) as error:
        raise ValueError(f'it cannot be unpacked: {error}') from error
    if not decompressor.eof:
        raise ValueError(f'of its compressed data only {len(packed)} bytes are there')
    return data


def unpack_file(file: Path, folder: Path, damage: Damage) -> Path:
    """Return an unpacked copy of a file that was compressed with zstd, as far as it goes."""
    target = folder / file.stem
    decompressor = zstd.ZstdDecompressor()
    with file.open('rb') as packed, target.open('wb') as unpacked:
        try:
            while not decompressor.eof:
                block = packed.read(_BLOCK) if decompressor.needs_input else b''
                if decompressor.needs_input and not block:
                    raise EOFError('the file ends early')
                unpacked.write(decompressor.decompress(block, _BLOCK))
        except (EOFError, zstd.ZstdError) as error:
            damage.add(
                f'{file}: only the first {unpacked.tell()} bytes could be unpacked: {error}.'
            )
    return target
