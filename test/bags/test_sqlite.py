"""A damaged database gives what is on its whole pages, and its reading ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import sqlite3
import struct

from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.sqlite import SqliteFile
import pytest

PAGE = 512
ROWS = 60
ROOT_CELLS = 12  # where the addresses of the cells of an inner page begin


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database of a topic whose messages fill several pages."""
    path = tmp_path / 'bag.db3'
    connection = sqlite3.connect(path)
    connection.execute(f'PRAGMA page_size = {PAGE}')
    connection.execute(
        'CREATE TABLE topics (id INTEGER PRIMARY KEY, name, type, serialization_format)'
    )
    connection.execute(
        'CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id, timestamp, data BLOB)'
    )
    connection.execute("INSERT INTO topics VALUES (1, '/a', 'std_msgs/msg/Header', 'cdr')")
    rows = [(number, 1, number, b'\0' * 100) for number in range(1, ROWS + 1)]
    connection.executemany('INSERT INTO messages VALUES (?, ?, ?, ?)', rows)
    connection.commit()
    connection.close()
    return path


def root_of_messages(path: Path) -> int:
    """Return where in the file the uppermost page of the messages begins."""
    connection = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'messages'"
    (page,) = connection.execute(query).fetchone()
    connection.close()
    return (int(page) - 1) * PAGE


def cells(data: bytes, page: int) -> Iterator[int]:
    """Yield where the cells of an inner page are, each of which begins with a page's number."""
    (count,) = struct.unpack_from('>H', data, page + 3)
    for number in range(count):
        (offset,) = struct.unpack_from('>H', data, page + ROOT_CELLS + 2 * number)
        yield page + offset


def rows_of(path: Path, scratch: Path) -> list[int]:
    """Return the log times of all messages that can be read."""
    file = SqliteFile(path, path, scratch, Damage())
    try:
        return [row.log_ns for row in file.rows({1})]
    finally:
        file.close()


@pytest.mark.timeout(20)
def test_pages_that_lie_in_the_wrong_order_are_read_once(database: Path, tmp_path: Path) -> None:
    root = root_of_messages(database)
    data = bytearray(database.read_bytes())
    first, _, third, fourth, *_ = cells(bytes(data), root)
    (page,) = struct.unpack_from('>I', data, fourth)
    data[third : third + 4] = data[first : first + 4]  # rows go back here, ...
    data[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)  # ... and behind it nothing can be read
    database.write_bytes(data)

    rows = rows_of(database, tmp_path)

    assert len(rows) == len(set(rows))
    assert {1, ROWS} <= set(rows)


@pytest.mark.timeout(20)
def test_numbers_up_to_a_damaged_last_row_are_not_tried_one_by_one(
    database: Path, tmp_path: Path
) -> None:
    connection = sqlite3.connect(database)
    connection.execute(f'UPDATE messages SET id = {2**62} WHERE id = {ROWS}')
    connection.commit()
    connection.close()
    data = bytearray(database.read_bytes())
    number = b'\xa0' + b'\x80' * 7 + b'\0'  # 2**62 as SQLite writes it
    data[data.index(number) + len(number)] = 0x7F  # a head longer than its row
    database.write_bytes(data)

    assert rows_of(database, tmp_path) == list(range(1, ROWS))
