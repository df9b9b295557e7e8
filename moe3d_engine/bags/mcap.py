"""
Read MCAP files, those too that end early, as a recorder leaves them when it is killed.

An MCAP file is a row of records (opcode, 8 bytes of length, content) between two magic words.
Messages lie in chunks, which may be compressed. The file is read by walking over its records, so
the index at its end is needed only to get past damage. Specification: mcap.dev/spec.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
import heapq
import itertools
import mmap
from pathlib import Path
import struct
from typing import NamedTuple
from typing import TypeAlias
import zlib

from moe3d_engine.bags.compression import unpack_chunk
from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.damage import seconds
from moe3d_engine.bags.storage import Channel
from moe3d_engine.bags.storage import Row
from moe3d_engine.errors import InputError

MAGIC = b'\x89MCAP0\r\n'
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06  # opcodes
MESSAGE_INDEX, CHUNK_INDEX = 0x07, 0x08
_RECORD = struct.Struct('<BQ')
_MESSAGE_HEAD = struct.Struct('<HIQQ')  # channel, sequence, log and publish time
_CHUNK_HEAD = struct.Struct('<QQQI')  # first and last log time, size and checksum of the content
_CHUNK_INDEX_HEAD = struct.Struct('<QQQQ')  # first and last log time, position, length

_Buffer: TypeAlias = bytes | mmap.mmap


class _Schema(NamedTuple):
    """The type of a channel."""

    name: str
    encoding: str


@dataclass(slots=True)
class _Span:
    """A chunk, or a message outside of chunks; positions of its content in the file."""

    first_ns: int
    begin: int
    stop: int
    is_chunk: bool
    counts: dict[int, int] = field(default_factory=dict)  # messages by channel, where it is known


class McapFile:
    """
    An MCAP file, opened for reading.

    Parameters
    ----------
    path : of the file, as it is named in what is said.
    content : the same, or an unpacked copy of it.
    damage : gets what cannot be read.

    Raises
    ------
    InputError
        If the file does not begin as MCAP does.
    """

    def __init__(self, path: Path, content: Path, damage: Damage) -> None:
        self.path = path
        self.channels: dict[int, Channel] = {}
        self.counts: Counter[int] = Counter()
        self._damage = damage
        self._schemas: dict[int, _Schema] = {}
        self._spans: list[_Span] = []
        size = content.stat().st_size
        with content.open('rb') as stream:
            if size < len(MAGIC) or stream.read(len(MAGIC)) != MAGIC:
                raise InputError(f'{path} is no MCAP file: it does not begin with its magic word.')
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._scan(size)

    def rows(self, wanted: Collection[int]) -> Iterator[Row]:
        """Yield the messages of some channels in the order of their log times."""
        pending: list[tuple[int, int, Row]] = []  # chunks may overlap in time
        order = itertools.count()
        for span in sorted(self._spans, key=lambda span: span.first_ns):
            while pending and pending[0][0] < span.first_ns:
                yield heapq.heappop(pending)[2]
            if span.counts.keys().isdisjoint(wanted):
                continue
            for row in self._rows_of(span):
                if row.channel in wanted:
                    heapq.heappush(pending, (row.log_ns, next(order), row))
        while pending:
            yield heapq.heappop(pending)[2]

    def close(self) -> None:
        """Close the file."""
        self._data.close()

    def _scan(self, size: int) -> None:
        """Walk over the records of the file."""
        end, is_whole = len(MAGIC), False
        for opcode, begin, stop in _records(self._data, end, size):
            end, is_whole = stop, opcode == FOOTER
            if is_whole:
                break
            self._read_record(opcode, begin, stop)
        if not is_whole:
            self._get_past(end, size)
        for span in self._spans:
            if not is_whole or not span.counts or not span.counts.keys() <= self.channels.keys():
                self._look_into(span)
            self.counts.update(span.counts)

    def _read_record(self, opcode: int, begin: int, stop: int) -> None:
        """Take what a record at the file's top level says."""
        if opcode in (SCHEMA, CHANNEL):
            self._read_definition(opcode, self._data[begin:stop])
        elif opcode == MESSAGE and stop - begin >= _MESSAGE_HEAD.size:
            channel, _, log_ns, _ = _MESSAGE_HEAD.unpack_from(self._data, begin)
            self._spans.append(_Span(log_ns, begin, stop, False, {channel: 1}))
        elif opcode == CHUNK and stop - begin >= _CHUNK_HEAD.size:
            first_ns, *_ = _CHUNK_HEAD.unpack_from(self._data, begin)
            self._spans.append(_Span(first_ns, begin, stop, True))
        elif opcode == MESSAGE_INDEX and self._spans and stop - begin >= 6:
            channel, num_bytes = struct.unpack_from('<HI', self._data, begin)
            if num_bytes:
                self._spans[-1].counts[channel] = num_bytes // 16

    def _read_definition(self, opcode: int, content: bytes) -> None:
        """Take a schema or a channel."""
        try:
            if opcode == SCHEMA:
                (number,) = struct.unpack_from('<H', content)
                name, position = _text(content, 2)
                self._schemas[number] = _Schema(name, _text(content, position)[0])
                return
            number, schema_number = struct.unpack_from('<HH', content)
            topic, position = _text(content, 4)
            encoding, position = _text(content, position)
            qos = _metadata(content, position).get('offered_qos_profiles', '')
        except (struct.error, UnicodeDecodeError) as error:
            self._damage.add(f'{self.path}: a topic is declared wrongly: {error}.')
            return
        schema = self._schemas.get(schema_number, _Schema('', ''))
        self.channels[number] = Channel(topic, schema.name, encoding, schema.encoding, qos)

    def _get_past(self, end: int, size: int) -> None:
        """Say that the walk has ended too soon; an index at the end names the chunks behind."""
        found = self._spans_behind(end, size)
        if found:
            self._spans += found
            self._damage.add(
                f'{self.path} is damaged at byte {end}: the messages from there to byte '
                f'{found[0].begin} cannot be read.'
            )
            return
        self._damage.lost_bytes += size - end
        self._damage.add(
            f'{self.path} ends early: {size - end} bytes at its end cannot be read. Was the '
            f'recorder stopped before it was done?'
        )

    def _spans_behind(self, end: int, size: int) -> list[_Span]:
        """Return the chunks behind a position that the index at the file's end knows."""
        footer = size - len(MAGIC) - _RECORD.size - 20
        if footer < end or self._data[-len(MAGIC) :] != MAGIC or self._data[footer] != FOOTER:
            return []
        (summary,) = struct.unpack_from('<Q', self._data, footer + _RECORD.size)
        spans = []
        for opcode, begin, stop in _records(self._data, summary or footer, footer):
            if opcode in (SCHEMA, CHANNEL):
                self._read_definition(opcode, self._data[begin:stop])
            elif opcode == CHUNK_INDEX and stop - begin >= _CHUNK_INDEX_HEAD.size:
                first_ns, _, at, length = _CHUNK_INDEX_HEAD.unpack_from(self._data, begin)
                if end <= at and at + length <= footer and self._data[at] == CHUNK:
                    spans.append(_Span(first_ns, at + _RECORD.size, at + length, True))
        return sorted(spans, key=lambda span: span.begin)

    def _look_into(self, span: _Span) -> None:
        """Count the messages of a chunk and take the definitions that lie in it."""
        if not span.is_chunk:
            return
        counts: Counter[int] = Counter()
        content = self._unpack(span)
        for opcode, begin, stop in _records(content, 0, len(content)):
            if opcode in (SCHEMA, CHANNEL):
                self._read_definition(opcode, content[begin:stop])
            elif opcode == MESSAGE and stop - begin >= _MESSAGE_HEAD.size:
                counts[_MESSAGE_HEAD.unpack_from(content, begin)[0]] += 1
        if counts:
            span.counts = dict(counts)

    def _rows_of(self, span: _Span) -> Iterator[Row]:
        """Yield the messages of a chunk, or the message that is outside of one."""
        if not span.is_chunk:
            yield _row(self._data, span.begin, span.stop)
            return
        content, end = self._unpack(span), 0
        for opcode, begin, stop in _records(content, 0, len(content)):
            end = stop
            if opcode == MESSAGE and stop - begin >= _MESSAGE_HEAD.size:
                yield _row(content, begin, stop)
        if end < len(content):
            self._report(span, f'its content is damaged at byte {end} of {len(content)}')

    def _unpack(self, span: _Span) -> bytes:
        """Return the content of a chunk; empty where it cannot be read."""
        record = self._data[span.begin : span.stop]
        try:
            _, _, size, checksum = _CHUNK_HEAD.unpack_from(record)
            compression, position = _text(record, _CHUNK_HEAD.size)
            content = unpack_chunk(compression, record[position + 8 :], size)
            if checksum and zlib.crc32(content) != checksum:
                raise ValueError('its checksum differs')
        except (ValueError, struct.error) as error:
            self._report(span, error)
            return b''
        return content

    def _report(self, span: _Span, why: object) -> None:
        """Say which messages are lost with a chunk."""
        topics = sorted({self.channels[c].topic for c in span.counts if c in self.channels})
        what = f'messages of {", ".join(topics)}' if topics else 'messages'
        self._damage.add(
            f'{self.path}: {what} from {seconds(span.first_ns)} on are left out with the chunk at '
            f'byte {span.begin - _RECORD.size}: {why}.'
        )


def _records(data: _Buffer, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, begin and end of the content of each whole record; end at the first other."""
    while position + _RECORD.size <= end:
        opcode, length = _RECORD.unpack_from(data, position)
        begin = position + _RECORD.size
        position = begin + length
        if opcode == 0 or position > end:
            return
        yield opcode, begin, position


def _row(data: _Buffer, begin: int, stop: int) -> Row:
    """Return the message of a record."""
    channel, _, log_ns, _ = _MESSAGE_HEAD.unpack_from(data, begin)
    return Row(log_ns, channel, data[begin + _MESSAGE_HEAD.size : stop])


def _text(content: bytes, position: int) -> tuple[str, int]:
    """Return a text with its length before it, and the position behind it."""
    (length,) = struct.unpack_from('<I', content, position)
    begin = position + 4
    if begin + length > len(content):
        raise struct.error(f'a text of {length} bytes does not fit')
    return content[begin : begin + length].decode(), begin + length


def _metadata(content: bytes, position: int) -> dict[str, str]:
    """Return a map of texts."""
    (length,) = struct.unpack_from('<I', content, position)
    position, end = position + 4, min(position + 4 + length, len(content))
    found = {}
    while position < end:
        key, position = _text(content, position)
        found[key], position = _text(content, position)
    return found
