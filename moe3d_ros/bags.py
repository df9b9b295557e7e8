"""Bags on disk: which topics they hold, their serialized messages in log order, new MCAP bags."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
import struct
from typing import NamedTuple
from typing import TYPE_CHECKING

from moe3d_engine.errors import InputError
from moe3d_engine.messages import CAMERA_INFO
from moe3d_engine.messages import COMPRESSED_IMAGE
from moe3d_engine.messages import DEPTH_ENCODINGS
from moe3d_engine.messages import IMAGE
from moe3d_engine.messages import Message
from rosbags.highlevel import AnyReader
from rosbags.highlevel.anyreader import AnyReaderError
from rosbags.interfaces import Qos
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosHistory
from rosbags.interfaces import QosLiveliness
from rosbags.interfaces import QosReliability
from rosbags.interfaces import QosTime
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_FOREVER = QosTime(9223372036, 854775807)


@dataclass(frozen=True, slots=True)
class OfferedQos:
    """What a publisher offers, as far as it decides who gets its messages."""

    reliable: bool = True
    transient_local: bool = False
    depth: int = 10


@dataclass(frozen=True, slots=True)
class BagTopic:
    """A topic of a bag."""

    name: str
    type: str
    count: int
    qos: OfferedQos


class BagMessage(NamedTuple):
    """A message as the bag holds it; `data` is serialized."""

    topic: str
    log_ns: int
    data: bytes


class CameraTopics(NamedTuple):
    """The topics of one camera; `depth` is ground truth on the image's pixels."""

    image: str
    camera_info: str
    depth: str | None


def read_topics(path: Path) -> dict[str, BagTopic]:
    """
    Return the topics of a bag that hold messages, by name.

    Raises
    ------
    InputError
        If the bag cannot be read.
    """
    with _open_reader(path) as reader:
        by_name: dict[str, list[Connection]] = {}
        for connection in reader.connections:
            by_name.setdefault(connection.topic, []).append(connection)
        topics = [
            BagTopic(name, group[0].msgtype, sum(c.msgcount for c in group), _offered_qos(group))
            for name, group in by_name.items()
        ]
    return {topic.name: topic for topic in topics if topic.count}


def read_messages(path: Path, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
    """
    Yield the serialized messages of a bag in the order of their log times.

    Parameters
    ----------
    path : rosbag2 folder, or an .mcap or .db3 file.
    topics : names; None = all.

    Raises
    ------
    InputError
        If the bag cannot be read.
    """
    with _open_reader(path) as reader:
        for connection, log_ns, data in _messages(reader, topics):
            yield BagMessage(connection.topic, log_ns, bytes(data))


def read_decoded(path: Path, topics: Collection[str]) -> Iterator[tuple[str, int, Message]]:
    """
    Yield (topic, log time in ns, message object) in the order of their log times.

    Raises
    ------
    InputError
        If the bag cannot be read.
    """
    with _open_reader(path) as reader:
        for connection, log_ns, data in _messages(reader, topics):
            yield connection.topic, log_ns, reader.deserialize(data, connection.msgtype)


def serialized_stamp_ns(data: bytes) -> int:
    """Return the stamp of a serialized message whose first field is its header."""
    order = '<' if data[1] & 1 else '>'
    sec, nanosec = struct.unpack_from(f'{order}iI', data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


def choose_camera(
    path: Path,
    image: str | None = None,
    camera_info: str | None = None,
    depth: str | None = None,
) -> CameraTopics:
    """
    Return the camera of a bag: asked topics where given, the likeliest otherwise.

    Colour images named `image_raw` come before others, raw before compressed. Its camera_info
    lies beside the image. A depth topic counts as ground truth if its name contains `depth` and
    its images have the colour image's frame and the camera_info's size.

    Raises
    ------
    InputError
        If the bag cannot be read, or lacks an asked topic, an image or its camera_info.
    """
    topics = read_topics(path)
    for asked in (image, camera_info, depth):
        if asked is not None and asked not in topics:
            raise InputError(f'{path} has no topic {asked}. It has: {", ".join(sorted(topics))}.')
    first = _first_messages(path, topics)
    image = image or _choose_image(path, first, topics)
    camera_info = camera_info or _choose_camera_info(path, image, topics)
    if depth is None:
        candidates = sorted(name for name in first if _is_ground_truth(name, first, camera_info))
        depth = candidates[0] if candidates else None
    return CameraTopics(image, camera_info, depth)


class BagWriter:
    """
    Writes a new MCAP bag.

    Parameters
    ----------
    path : folder of the bag; it must not exist, its parents may.

    Raises
    ------
    InputError
        If the folder exists.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise InputError(f'The bag {path} exists already. Remove it or name another.')
        self._typestore = get_typestore(Stores.LATEST)
        self._writer: Writer | None = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Connection] = {}

    def knows_type(self, type_name: str) -> bool:
        """Return whether messages of this type can be written."""
        return type_name in self._typestore.fielddefs

    def add_topic(self, name: str, type_name: str, qos: OfferedQos) -> None:
        """Announce a topic and the QoS that its publishers offer."""
        assert self._writer is not None
        self._connections[name] = self._writer.add_connection(
            name, type_name, typestore=self._typestore, offered_qos_profiles=[_to_bag_qos(qos)]
        )

    def write(self, topic: str, log_ns: int, data: bytes) -> None:
        """Append a serialized message of an announced topic."""
        assert self._writer is not None
        self._writer.write(self._connections[topic], log_ns, data)

    def serialize(self, message: Message, type_name: str) -> bytes:
        """Serialize a message object made of `self.types`."""
        return bytes(self._typestore.serialize_cdr(message, type_name))

    @property
    def types(self) -> Mapping[str, Message]:
        """The message classes by type name."""
        types: Mapping[str, Message] = self._typestore.types
        return types

    def close(self) -> None:
        """Finish the bag; a second call does nothing."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


@contextmanager
def _open_reader(path: Path) -> Iterator[AnyReader]:
    """Open a bag and turn what rosbags raises into InputError."""
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
            yield reader
    except (AnyReaderError, OSError) as error:
        raise InputError(f'The bag {path} cannot be read: {error}') from error


def _messages(
    reader: AnyReader, topics: Collection[str] | None
) -> Iterator[tuple[Connection, int, bytes]]:
    """Yield the messages of some topics."""
    connections = [c for c in reader.connections if topics is None or c.topic in topics]
    if connections:  # rosbags takes an empty list for all of them
        yield from reader.messages(connections)


def _offered_qos(connections: Collection[Connection]) -> OfferedQos:
    """Return what all publishers of a recorded topic offered together."""
    profiles = [p for c in connections for p in getattr(c.ext, 'offered_qos_profiles', [])]
    return OfferedQos(
        reliable=all(p.reliability != QosReliability.BEST_EFFORT for p in profiles),
        transient_local=bool(profiles)
        and all(p.durability == QosDurability.TRANSIENT_LOCAL for p in profiles),
        depth=max([p.depth for p in profiles], default=0) or OfferedQos().depth,
    )


def _to_bag_qos(qos: OfferedQos) -> Qos:
    """Return the profile that the bag's metadata hold."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=qos.depth,
        reliability=QosReliability.RELIABLE if qos.reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL
        if qos.transient_local
        else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def _first_messages(path: Path, topics: dict[str, BagTopic]) -> dict[str, Message]:
    """Return the first message of each image and camera_info topic."""
    first: dict[str, Message] = {}
    with _open_reader(path) as reader:
        for topic in topics.values():
            if topic.type in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO):
                connection, _, data = next(_messages(reader, [topic.name]))
                first[topic.name] = reader.deserialize(data, connection.msgtype)
    return first


def _choose_image(path: Path, first: dict[str, Message], topics: dict[str, BagTopic]) -> str:
    """Return the likeliest colour topic."""
    colour = [
        name
        for name, message in first.items()
        if (topics[name].type == IMAGE and message.encoding not in DEPTH_ENCODINGS)
        or (topics[name].type == COMPRESSED_IMAGE and 'compressedDepth' not in message.format)
    ]
    if not colour:
        raise InputError(
            f'{path} has no colour images. It has: {", ".join(sorted(topics)) or "nothing"}.'
        )

    def rank(name: str) -> tuple[bool, bool, str]:
        is_raw = topics[name].type == IMAGE
        return not name.removesuffix('/compressed').endswith('/image_raw'), not is_raw, name

    return min(colour, key=rank)


def _choose_camera_info(path: Path, image: str, topics: dict[str, BagTopic]) -> str:
    """Return the camera_info beside an image topic, or the only one of the bag."""
    beside = image.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'
    found = [topic.name for topic in topics.values() if topic.type == CAMERA_INFO]
    if beside in found:
        return beside
    if len(found) != 1:
        raise InputError(
            f'{path} has no {beside} for the images on {image}, and {len(found)} other '
            f'camera_info topics. Name one with --camera-info-topic.'
        )
    return found[0]


def _is_ground_truth(name: str, first: dict[str, Message], camera_info: str) -> bool:
    """Return whether a topic holds depth on the pixels of the camera's images."""
    image, info = first[name], first[camera_info]
    return (
        'depth' in name
        and getattr(image, 'encoding', None) in DEPTH_ENCODINGS
        and (image.width, image.height) == (info.width, info.height)
        and image.header.frame_id == info.header.frame_id
    )
