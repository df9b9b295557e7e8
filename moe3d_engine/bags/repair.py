"""
Make a bag readable whose MCAP files end early, as a recorder leaves them when it is killed.

An MCAP file is a row of records (opcode, 8 bytes of length, content) between two magic words; its
index comes last. What was written before the end is still there: the whole records are kept, and
an index of their chunks is put behind them. Specification: mcap.dev/spec.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import logging
from pathlib import Path
import shutil
import struct
from tempfile import TemporaryDirectory
from typing import BinaryIO

from moe3d_engine.errors import InputError

logger = logging.getLogger(__name__)

MAGIC = b'\x89MCAP0\r\n'
FOOTER, CHUNK, MESSAGE_INDEX = 0x02, 0x06, 0x07  # opcodes
CHUNK_INDEX, STATISTICS, DATA_END = 0x08, 0x0B, 0x0F
METADATA = 'metadata.yaml'
_RECORD = struct.Struct('<BQ')
_CHUNK_HEAD = struct.Struct('<QQQII')  # first and last log time, size, checksum, compression name


@dataclass(frozen=True, slots=True)
class ReadableBag:
    """A bag that can be read, and how many bytes at the end of its files were lost."""

    path: Path
    lost_bytes: int


@contextmanager
def readable_bag(path: Path) -> Iterator[ReadableBag]:
    """
    Give a bag that can be read: itself, or a repaired copy that lives as long as the block.

    Parameters
    ----------
    path : rosbag2 folder, or an .mcap or .db3 file. A folder without metadata is taken for its
        only .mcap file.

    Raises
    ------
    InputError
        If there is no such bag, or an MCAP file holds no whole record.
    """
    if not path.exists():
        raise InputError(f'There is no bag {path}. Name a rosbag2 folder or an .mcap file.')
    files = sorted(path.glob('*.mcap')) if path.is_dir() else [path]
    if path.is_dir() and not (path / METADATA).is_file() and len(files) == 1:
        path = files[0]
    cut = [file for file in files if file.suffix == '.mcap' and not _is_complete(file)]
    if not cut:
        yield ReadableBag(path, 0)
        return
    with TemporaryDirectory(prefix='moe3d_bag_') as folder:
        lost_bytes = 0
        for file in files:
            copy = Path(folder) / file.name
            if file in cut:
                lost_bytes += _repair(file, copy)
            else:
                copy.symlink_to(file.resolve())
        logger.warning('%s ends early: %d bytes cannot be read.', path, lost_bytes)
        if path.is_dir():
            if (path / METADATA).is_file():
                shutil.copy(path / METADATA, folder)
            yield ReadableBag(Path(folder), lost_bytes)
        else:
            yield ReadableBag(Path(folder) / path.name, lost_bytes)


def _is_complete(file: Path) -> bool:
    """Return whether a file ends as an MCAP file does."""
    with file.open('rb') as stream:
        stream.seek(0, 2)
        if stream.tell() < 2 * len(MAGIC):
            return False
        stream.seek(-len(MAGIC), 2)
        return stream.read() == MAGIC


def _repair(file: Path, copy: Path) -> int:
    """Copy a file's whole records and end it properly; return how many bytes were left out."""
    size = file.stat().st_size
    with file.open('rb') as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise InputError(f'{file} is no MCAP file: it does not begin with its magic word.')
    with file.open('rb') as stream:
        chunks, end = _whole_chunks(stream, size)
    if end == len(MAGIC):
        raise InputError(f'{file} ends before its first record: nothing of it can be read.')
    shutil.copyfile(file, copy)
    with copy.open('r+b') as stream:
        stream.truncate(end)
        stream.seek(end)
        for chunk in chunks:
            stream.write(_record(CHUNK_INDEX, chunk.index()))
        stream.write(_record(STATISTICS, bytes(46)))  # zero; without schemas, readers recount
        stream.write(_record(FOOTER, struct.pack('<QQI', end, 0, 0)))
        stream.write(MAGIC)
    return size - end


@dataclass(slots=True)
class _Chunk:
    """What the index says of a chunk; positions are bytes in the file."""

    start: int
    length: int
    first_ns: int
    last_ns: int
    size: int
    compression: bytes
    compressed_size: int
    message_indices: dict[int, int]  # by channel
    message_indices_length: int = 0

    def index(self) -> bytes:
        """Return the content of its index record."""
        positions = b''.join(struct.pack('<HQ', *item) for item in self.message_indices.items())
        return (
            struct.pack('<QQQQ', self.first_ns, self.last_ns, self.start, self.length)
            + struct.pack('<I', len(positions))
            + positions
            + struct.pack('<Q', self.message_indices_length)
            + struct.pack('<I', len(self.compression))
            + self.compression
            + struct.pack('<QQ', self.compressed_size, self.size)
        )


def _whole_chunks(stream: BinaryIO, file_size: int) -> tuple[list[_Chunk], int]:
    """
    Return the chunks that lie in a file with the indices of all their messages, and their end.

    Only the next record tells that the indices of a chunk are complete.
    """
    chunks: list[_Chunk] = []
    pending: _Chunk | None = None
    end = len(MAGIC)
    for opcode, start, stop in _records(stream, file_size):
        if pending is not None and opcode != MESSAGE_INDEX:
            chunks.append(pending)
            pending, end = None, start
        if stop > file_size or opcode in (FOOTER, DATA_END):
            break
        if opcode == CHUNK:
            pending = _read_chunk(stream, start, stop)
        elif opcode == MESSAGE_INDEX and pending is not None:
            stream.seek(start + _RECORD.size)
            (channel,) = struct.unpack('<H', stream.read(2))
            pending.message_indices[channel] = start
            pending.message_indices_length += stop - start
        else:
            end = stop
    return chunks, end


def _records(stream: BinaryIO, file_size: int) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, begin and end of each record; the last one may end behind the file."""
    position = len(MAGIC)
    while position + _RECORD.size <= file_size:
        stream.seek(position)
        opcode, length = _RECORD.unpack(stream.read(_RECORD.size))
        stop = position + _RECORD.size + length
        yield opcode, position, stop
        position = stop


def _read_chunk(stream: BinaryIO, start: int, stop: int) -> _Chunk:
    """Read the head of a chunk."""
    stream.seek(start + _RECORD.size)
    first_ns, last_ns, size, _, name_length = _CHUNK_HEAD.unpack(stream.read(_CHUNK_HEAD.size))
    compression = stream.read(name_length)
    (compressed_size,) = struct.unpack('<Q', stream.read(8))
    return _Chunk(start, stop - start, first_ns, last_ns, size, compression, compressed_size, {})


def _record(opcode: int, content: bytes) -> bytes:
    """Return a record."""
    return _RECORD.pack(opcode, len(content)) + content
