"""The one opener of bags: topics and messages of any rosbag2 recording, as far as it is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from dataclasses import dataclass
import heapq
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from typing import TypeAlias

from moe3d_engine.bags.compression import unpack_message
from moe3d_engine.bags.compression import ZSTD_MAGIC
from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.decoding import decoder_of
from moe3d_engine.bags.files import BagFiles
from moe3d_engine.bags.files import find_files
from moe3d_engine.bags.files import open_file
from moe3d_engine.bags.qos import OfferedQos
from moe3d_engine.bags.qos import read_qos
from moe3d_engine.bags.storage import Channel
from moe3d_engine.bags.storage import Storage
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import POSE

CDR, ROS2_SCHEMAS = 'cdr', ('ros2msg', 'ros2idl', 'omgidl', '')
# What the engine reads; these messages are looked at before they are given out.
CHECKED_TYPES = (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO, POSE)
MAX_NAME = 255  # characters of a topic or type, as ROS has it


@dataclass(frozen=True, slots=True)
class BagTopic:
    """A topic of a bag; `count` holds the messages too that were recorded but are lost."""

    name: str
    type: str
    count: int
    qos: OfferedQos


class BagMessage(NamedTuple):
    """A message as the bag holds it; `data` is serialized."""

    topic: str
    log_ns: int
    data: bytes


class _Row(NamedTuple):
    """A message and the file that it lies in."""

    file: Path
    topic: str
    log_ns: int
    data: bytes


class Bag:
    """
    An open bag. See `open_bag`.

    Attributes
    ----------
    path : as it was given.
    topics : by name; only those that hold messages of ROS 2.
    damage : what of it cannot be read, so far.
    """

    def __init__(
        self, path: Path, storages: list[Storage], found: BagFiles, damage: Damage
    ) -> None:
        self.path = path
        self.damage = damage
        self._storages = storages
        self._channels: dict[str, Channel] = {}
        self._counts: Counter[str] = Counter()
        self._taken: list[dict[int, str]] = [{} for _ in storages]  # topics by file and channel
        for storage, taken in zip(storages, self._taken, strict=True):
            for number, channel in storage.channels.items():
                if self._takes(storage, channel):
                    taken[number] = channel.topic
                    self._counts[channel.topic] += storage.counts.get(number, 0)
        self.topics = self._topics(found)

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """
        Yield the serialized messages of some topics (None = all) in the order of their log times.

        What is cut or empty is left out and goes to `damage`.
        """
        checked = {
            name: decoder_of(channel.type)
            for name, channel in self._channels.items()
            if channel.type in CHECKED_TYPES
        }
        for file, topic, log_ns, data in self._rows(topics):
            try:
                checked.get(topic, _check_head)(data)
            except InputError as error:
                self.damage.add_message(file, topic, log_ns, error)
                continue
            yield BagMessage(topic, log_ns, data)

    def decoded(self, topics: Collection[str]) -> Iterator[tuple[str, int, Message]]:
        """Yield (topic, log time in ns, message object), as `messages` does."""
        decoders = {
            name: decoder_of(self._channels[name].type)
            for name in topics
            if name in self._channels
        }
        for file, topic, log_ns, data in self._rows(topics):
            try:
                message = decoders[topic](data)
            except InputError as error:
                self.damage.add_message(file, topic, log_ns, error)
                continue
            yield topic, log_ns, message

    def _takes(self, storage: Storage, channel: Channel) -> bool:
        """Return whether a channel holds messages of ROS 2 and fits its topic; say if not."""
        why = None
        known = self._channels.get(channel.topic, channel)
        if channel.encoding != CDR or channel.schema not in ROS2_SCHEMAS:
            kind = channel.encoding if channel.encoding != CDR else channel.schema
            why = f'its messages are {kind or "of an unknown kind"}, not those of ROS 2'
        elif not channel.type:
            why = 'its messages have no type'
        elif not all(map(_is_name, (channel.topic, channel.type))):
            why = f'its name, or its type {channel.type}, is none'
        elif known.type != channel.type:
            why = f'it holds a {channel.type} too, but is a {known.type}'
        if why is None:
            self._channels.setdefault(channel.topic, channel)
        else:
            self.damage.add(f'{storage.path}: {channel.topic} is left out: {why}.')
        return why is None

    def _topics(self, found: BagFiles) -> dict[str, BagTopic]:
        """Return the topics that hold messages, or should by metadata.yaml."""
        topics, lost = {}, {}
        for name, channel in self._channels.items():
            recorded = found.recorded.get(name)
            count = self._counts[name]
            if recorded is not None and recorded.count is not None and recorded.count > count:
                lost[name] = recorded.count - count
            qos = recorded.qos if recorded is not None else None
            if qos is None:
                qos = read_qos(channel.qos)
            if qos is None:
                qos = OfferedQos()
                self.damage.add(f'{self.path}: the QoS of {name} cannot be read: taken is {qos}.')
            count += lost.get(name, 0)
            if count:
                topics[name] = BagTopic(name, channel.type, count, qos)
        if lost and not self.damage.lines:
            missing = ', '.join(f'{count} of {name}' for name, count in lost.items())
            self.damage.add(
                f'{self.path}: messages that metadata.yaml counts are not in its files: '
                f'{missing}. Is a file of the recording missing (.db3-wal)?'
            )
        return topics

    def _rows(self, topics: Collection[str] | None) -> Iterator[_Row]:
        """Yield all messages of some topics in the order of their log times."""
        rows = (self._rows_of(number, topics) for number in range(len(self._storages)))
        yield from heapq.merge(*rows, key=lambda row: row.log_ns)

    def _rows_of(self, number: int, topics: Collection[str] | None) -> Iterator[_Row]:
        """Yield the messages of one file, unpacked where each is compressed."""
        storage = self._storages[number]
        names = {
            channel: name
            for channel, name in self._taken[number].items()
            if name in self.topics and (topics is None or name in topics)
        }
        for log_ns, channel, data in storage.rows(names):
            row = _Row(storage.path, names[channel], log_ns, data)
            if data.startswith(ZSTD_MAGIC):  # CDR begins with a zero
                try:
                    row = row._replace(data=unpack_message(data))
                except ValueError as error:
                    self.damage.add_message(row.file, row.topic, log_ns, error)
                    continue
            yield row


Source: TypeAlias = Path | Bag


@contextmanager
def open_bag(source: Source) -> Iterator[Bag]:
    """
    Open a bag for reading; its folder stays as it is.

    Read are MCAP and SQLite, compressed or not, with metadata.yaml or without, from a recorder
    that was killed too. What is damaged or foreign is left out with a line in the log.

    Parameters
    ----------
    source : rosbag2 folder, or a file of one. A bag that is open already is given back.

    Raises
    ------
    InputError
        If there is no bag, it is one of ROS 1, or nothing of it can be read.
    """
    if isinstance(source, Bag):
        yield source
        return
    damage = Damage()
    found = find_files(source, damage)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix='moe3d_bag_')))
        storages: list[Storage] = []
        for file in found.files:
            try:
                storages.append(open_file(file, scratch, damage))
            except InputError as error:
                if file == found.files[-1] and not storages:
                    raise
                damage.add(str(error))
                continue
            stack.callback(storages[-1].close)
        yield Bag(source, storages, found, damage)
        damage.say_totals()


def _is_name(text: str) -> bool:
    """Return whether a text of a file, which may hold anything, can be a name in a message."""
    return text.isprintable() and len(text) <= MAX_NAME


def _check_head(data: bytes) -> None:
    """Raise InputError if a message does not even have the four bytes that all begin with."""
    if len(data) < 4:
        raise InputError(f'it has {len(data)} bytes')
