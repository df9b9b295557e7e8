"""
Read the .db3 files of rosbag2's sqlite3 storage, with what their recorder has not merged yet.

Nothing is written beside the file: what a killed recorder has left in a `-wal` or `-journal` is
merged by SQLite itself, in a copy. Rows on damaged pages are left out and reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from pathlib import Path
import shutil
import sqlite3
from tempfile import mkdtemp
from typing import NamedTuple

from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.damage import seconds
from moe3d_engine.bags.storage import Channel
from moe3d_engine.bags.storage import Row
from moe3d_engine.errors import InputError

MAGIC = b'SQLite format 3\0'
UNMERGED = ('-wal', '-journal')  # what SQLite keeps beside a database that is written to
MOST_SKIPPED = 1000  # row numbers tried behind damage where the last one is not known
STEPS_PER_HOLE = 100  # the wider a hole already is, the wider the steps: 1 % of it may be missed

_INDEX = 'SELECT rowid, topic_id, timestamp FROM messages WHERE rowid > ? ORDER BY rowid LIMIT ?'
_ALL, _ONE = -1, 1  # limits of that


class _Entry(NamedTuple):
    """Where a message is."""

    log_ns: int
    row: int
    topic: int


class SqliteFile:
    """
    A database of rosbag2, opened for reading.

    Parameters
    ----------
    path : of the file, as it is named in what is said.
    content : the same, or an unpacked copy of it.
    scratch : folder for a copy, if one is needed; whoever gives it removes it.
    damage : gets what cannot be read.

    Raises
    ------
    InputError
        If it is no database with messages and topics.
    """

    def __init__(self, path: Path, content: Path, scratch: Path, damage: Damage) -> None:
        self.path = path
        self._damage = damage
        self._database = _connect(content, scratch)
        try:
            self.channels = self._read_channels()
            self._index = sorted(self._read_index())
        except sqlite3.Error as error:
            self.close()
            raise InputError(f'{path} cannot be read: {error}.') from error
        except InputError:
            self.close()
            raise
        self.counts = Counter(entry.topic for entry in self._index)

    def rows(self, wanted: Collection[int]) -> Iterator[Row]:
        """Yield the messages of some topics in the order of their log times."""
        for log_ns, row, topic in self._index:
            if topic not in wanted:
                continue
            try:
                found = self._database.execute(
                    'SELECT data FROM messages WHERE rowid = ?', (row,)
                ).fetchone()
            except sqlite3.Error as error:
                self._damage.add_message(self.path, self.channels[topic].topic, log_ns, error)
                continue
            data = found[0] if found is not None else b''
            yield Row(log_ns, topic, data if isinstance(data, bytes) else b'')

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _read_channels(self) -> dict[int, Channel]:
        """Return the topics by their numbers."""
        if not {'topics', 'messages'} <= self._names('SELECT name FROM sqlite_master'):
            raise InputError(f'{self.path} is no bag: it has no tables of topics and messages.')
        columns = self._names("SELECT name FROM pragma_table_info('topics')")
        qos = 'offered_qos_profiles' if 'offered_qos_profiles' in columns else "''"
        schemas = self._read_schemas()
        rows = self._database.execute(
            f'SELECT id, name, type, serialization_format, {qos} FROM topics'
        )
        return {
            number: Channel(
                str(name),
                str(kind),
                str(encoding),
                schemas.get(str(kind), ''),
                str(profiles or ''),
            )
            for number, name, kind, encoding, profiles in rows
        }

    def _read_schemas(self) -> dict[str, str]:
        """Return in which language the file defines its types."""
        if 'message_definitions' not in self._names('SELECT name FROM sqlite_master'):
            return {}
        rows = self._database.execute('SELECT topic_type, encoding FROM message_definitions')
        return {str(name): str(encoding) for name, encoding in rows}

    def _names(self, query: str) -> set[str]:
        """Return the first column of what a query gives."""
        return {name for name, *_ in self._database.execute(query)}

    def _read_index(self) -> Iterator[_Entry]:
        """Yield where the messages are, past pages that cannot be read."""
        last, newest = self._last_row(), None
        row = whole = 0  # the last row that was looked at, and that could be read
        limit = _ALL
        hole: sqlite3.Error | None = None
        while row < (whole + MOST_SKIPPED if last is None else last):
            start, is_empty = row, True
            try:
                for found, topic, log_ns in self._database.execute(_INDEX, (row, limit)):
                    is_empty = False
                    if found <= row:  # on a page that lies where another one should
                        continue
                    row = whole = found
                    if topic not in self.channels or not isinstance(log_ns, int):
                        continue
                    entry = _Entry(log_ns, row, topic)
                    if hole is not None:
                        self._report(newest, entry, hole)
                    newest, hole = entry, None
                    yield entry
                if limit == _ALL or is_empty:
                    break
                row, limit = max(row, start + 1), _ALL
            except sqlite3.Error as error:
                # Python has read one row ahead and loses it: ask for it alone before going on.
                if limit == _ONE:
                    row, hole = row + 1 + (row - whole) // STEPS_PER_HOLE, error
                limit = _ONE
        if hole is not None:
            self._report(newest, None, hole)

    def _last_row(self) -> int | None:
        """Return the number of the last message; None where it cannot be read."""
        try:
            (last,) = self._database.execute('SELECT max(rowid) FROM messages').fetchone()
        except sqlite3.Error:
            return None
        return int(last or 0)

    def _report(self, before: _Entry | None, behind: _Entry | None, error: sqlite3.Error) -> None:
        """Say between which messages others are lost."""
        first, last = (
            None
            if entry is None
            else f'that of {self.channels[entry.topic].topic} at {seconds(entry.log_ns)}'
            for entry in (before, behind)
        )
        self._damage.add(
            f'{self.path}: messages between {first or "the first"} and {last or "the last"} are '
            f'left out: {error}.'
        )


def _connect(path: Path, scratch: Path) -> sqlite3.Connection:
    """Open a database so that its folder stays as it is."""
    beside = [path.with_name(path.name + suffix) for suffix in UNMERGED]
    unmerged = [file for file in beside if file.is_file() and file.stat().st_size]
    if unmerged:
        folder = Path(mkdtemp(dir=scratch))
        for file in (path, *unmerged):
            shutil.copyfile(file, folder / file.name)
        address = (folder / path.name).as_uri()
    else:
        address = f'{path.resolve().as_uri()}?immutable=1'
    database = sqlite3.connect(address, uri=True)
    database.text_factory = lambda text: text.decode(errors='replace')
    # With this, SQLite reads what is there of a file that is shorter than it should be.
    database.execute('PRAGMA writable_schema = ON')
    return database
