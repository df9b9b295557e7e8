"""MCAP files are read as far as they go, in the order of log times."""

from __future__ import annotations

from pathlib import Path
import struct

import lz4.frame
from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.mcap import McapFile
from moe3d_engine.errors import InputError
import pytest

MAGIC = b'\x89MCAP0\r\n'


def record(opcode: int, content: bytes) -> bytes:
    return struct.pack('<BQ', opcode, len(content)) + content


def text(value: str) -> bytes:
    return struct.pack('<I', len(value)) + value.encode()


def message(log_ns: int, channel: int = 1) -> bytes:
    return record(5, struct.pack('<HIQQ', channel, 0, log_ns, log_ns) + str(log_ns).encode())


def channel(number: int = 1, topic: str = '/a') -> bytes:
    schema = record(3, struct.pack('<H', 1) + text('std_msgs/msg/Header') + text('') + text(''))
    head = struct.pack('<HH', number, 1)
    return schema + record(4, head + text(topic) + text('cdr') + struct.pack('<I', 0))


def chunk(content: bytes, first_ns: int, compression: str = '') -> bytes:
    packed = lz4.frame.compress(content) if compression == 'lz4' else content
    head = struct.pack('<QQQI', first_ns, first_ns, len(content), 0) + text(compression)
    return record(6, head + struct.pack('<Q', len(packed)) + packed)


FOOTER = record(2, bytes(20)) + MAGIC


def read(path: Path, *parts: bytes) -> tuple[list[int], Damage]:
    """Write a file, and return the log times of topic 1 and what is wrong with it."""
    path.write_bytes(MAGIC + b''.join(parts))
    damage = Damage()
    file = McapFile(path, path, damage)
    rows = list(file.rows([1]))
    file.close()
    assert [row.data for row in rows] == [str(row.log_ns).encode() for row in rows]
    return [row.log_ns for row in rows], damage


def test_chunks_that_overlap_in_time_come_in_the_order_of_log_times(tmp_path: Path) -> None:
    parts = [
        chunk(channel() + message(3) + message(1) + message(9), 1),
        chunk(message(8) + message(2), 2, 'lz4'),
        message(4),
    ]

    times, damage = read(tmp_path / 'a.mcap', *parts, FOOTER)

    assert times == [1, 2, 3, 4, 8, 9]
    assert damage.lines == []


def test_messages_of_other_topics_are_not_given_out(tmp_path: Path) -> None:
    parts = [channel(), channel(2, '/b'), message(1), message(2, channel=2), message(3)]

    assert read(tmp_path / 'a.mcap', *parts, FOOTER)[0] == [1, 3]


@pytest.mark.parametrize('lost', [1, 20, 36])
def test_a_file_without_its_end_gives_its_whole_records(tmp_path: Path, lost: int) -> None:
    whole = chunk(channel() + message(1) + message(2), 1) + chunk(message(3) + message(4), 3)

    without_footer = read(tmp_path / 'a.mcap', (whole + FOOTER)[:-lost])[0]
    times, damage = read(tmp_path / 'b.mcap', whole[:-lost])

    assert without_footer == [1, 2, 3, 4]
    assert times == [1, 2]
    assert damage.lost_bytes > 0
    assert 'ends early' in damage.lines[0]


def test_the_index_leads_past_a_damaged_record(tmp_path: Path) -> None:
    first, second, third = (chunk(channel() + message(n), n) for n in (1, 2, 3))
    start = len(MAGIC) + len(first)
    at = start + len(second)
    broken = second[:1] + b'\xff' * 8 + second[9:]  # a length that leads nowhere
    index = record(8, struct.pack('<QQQQ', 3, 3, at, len(third)))
    footer = record(2, struct.pack('<QQI', at + len(third), 0, 0)) + MAGIC

    times, damage = read(tmp_path / 'a.mcap', first, broken, third, index, footer)

    assert times == [1, 3]
    assert f'damaged at byte {start}' in damage.lines[0]


def test_a_chunk_that_claims_to_be_small_is_not_unpacked_beyond(tmp_path: Path) -> None:
    bomb = lz4.frame.compress(bytes(50_000_000))
    head = struct.pack('<QQQI', 2, 2, 100, 0) + text('lz4') + struct.pack('<Q', len(bomb))

    times, damage = read(
        tmp_path / 'a.mcap', channel(), message(1), record(6, head + bomb), FOOTER
    )

    assert times == [1]
    assert 'holds 101 bytes and not 100' in damage.lines[0]


def test_what_does_not_begin_as_mcap_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'a.mcap').write_bytes(b'MCAP')

    with pytest.raises(InputError, match='magic'):
        McapFile(tmp_path / 'a.mcap', tmp_path / 'a.mcap', Damage())
