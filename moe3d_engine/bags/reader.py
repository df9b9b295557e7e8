"""Bags on disk, without ROS: which topics they hold, and their messages in log order."""

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
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import DEPTH_ENCODINGS
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.messages import Message
from rosbags.highlevel import AnyReader
from rosbags.highlevel.anyreader import AnyReaderError
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosReliability
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

if TYPE_CHECKING:
    from rosbags.interfaces import Connection


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
    with open_bag(path) as reader:
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
    with open_bag(path) as reader:
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
    with open_bag(path) as reader:
        for connection, log_ns, data in _messages(reader, topics):
            yield connection.topic, log_ns, reader.deserialize(data, connection.msgtype)


def serialized_stamp_ns(data: bytes) -> int:
    """Return the stamp of a serialized message whose first field is its header."""
    order = '<' if data[1] & 1 else '>'
    sec, nanosec = struct.unpack_from(f'{order}iI', data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


def listing(topics: Mapping[str, BagTopic]) -> str:
    """Return the topics with their types, for a message to people."""
    return ', '.join(f'{name} ({topics[name].type})' for name in sorted(topics)) or 'nothing'


def beside_image(image_topic: str, name: str) -> str:
    """Return the topic of this name in the namespace of an image topic, raw or compressed."""
    return f'{image_topic.removesuffix("/compressed").rpartition("/")[0]}/{name}'


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
            raise InputError(f'{path} has no topic {asked}. It has: {listing(topics)}.')
    first = first_messages(path, topics.values())
    image = image or _choose_image(path, first, topics)
    camera_info = camera_info or _choose_camera_info(path, image, topics)
    if depth is None and camera_info in first:
        candidates = sorted(name for name in first if _is_ground_truth(name, first, camera_info))
        depth = candidates[0] if candidates else None
    return CameraTopics(image, camera_info, depth)


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """Open a bag and turn what rosbags raises into InputError."""
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
            yield reader
    except (AnyReaderError, ReaderError, OSError) as error:
        bags = sorted(str(metadata.parent) for metadata in path.glob('*/metadata.yaml'))
        if bags and not (path / 'metadata.yaml').exists():
            raise InputError(f'{path} is no bag, but holds some: {", ".join(bags)}.') from error
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


def first_messages(path: Path, topics: Collection[BagTopic]) -> dict[str, Message]:
    """Return the first message of each image and camera_info topic."""
    first: dict[str, Message] = {}
    with open_bag(path) as reader:
        for topic in topics:
            if topic.type in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO):
                for connection, _, data in _messages(reader, [topic.name]):
                    first[topic.name] = reader.deserialize(data, connection.msgtype)
                    break
    return first


def is_depth(image: Message) -> bool:
    """Return whether an Image or CompressedImage holds depth."""
    encoding: str = image.encoding if hasattr(image, 'encoding') else image.format
    return encoding.startswith(DEPTH_ENCODINGS) or 'compressedDepth' in encoding


def colour_topics(topics: Mapping[str, BagTopic], first: Mapping[str, Message]) -> list[str]:
    """Return the topics of colour images, given the first message of each image topic."""
    return [
        name
        for name, message in first.items()
        if topics[name].type in (IMAGE, COMPRESSED_IMAGE) and not is_depth(message)
    ]


def _choose_image(path: Path, first: Mapping[str, Message], topics: Mapping[str, BagTopic]) -> str:
    """Return the likeliest colour topic."""
    colour = colour_topics(topics, first)
    if not colour:
        raise InputError(f'{path} has no colour images. It has: {listing(topics)}.')

    def rank(name: str) -> tuple[bool, bool, str]:
        is_raw = topics[name].type == IMAGE
        return not name.removesuffix('/compressed').endswith('/image_raw'), not is_raw, name

    return min(colour, key=rank)


def _choose_camera_info(path: Path, image: str, topics: dict[str, BagTopic]) -> str:
    """Return the camera_info beside an image topic, or the only one of the bag."""
    beside = beside_image(image, 'camera_info')
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
