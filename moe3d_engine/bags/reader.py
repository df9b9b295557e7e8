"""Topics and messages of a bag, and which topics of it are a camera; without ROS."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import logging
import struct
from typing import NamedTuple

from moe3d_engine.bags.bag import Bag
from moe3d_engine.bags.bag import BagMessage
from moe3d_engine.bags.bag import BagTopic
from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.bag import Source
from moe3d_engine.errors import InputError
from moe3d_engine.intake.messages import beside_image
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import DEPTH_ENCODINGS
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.messages import Message

logger = logging.getLogger(__name__)


class CameraTopics(NamedTuple):
    """The topics of one camera; `depth` is ground truth on the image's pixels."""

    image: str
    camera_info: str
    depth: str | None


def read_topics(source: Source) -> dict[str, BagTopic]:
    """
    Return the topics of a bag that hold messages, by name.

    Raises
    ------
    InputError
        If the bag cannot be read.
    """
    with open_bag(source) as bag:
        return bag.topics


def read_messages(source: Source, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
    """
    Yield the serialized messages of a bag in the order of their log times.

    Parameters
    ----------
    source : rosbag2 folder, a file of one, or an open bag.
    topics : names; None = all.

    Raises
    ------
    InputError
        If the bag cannot be read.
    """
    with open_bag(source) as bag:
        yield from bag.messages(topics)


def read_decoded(source: Source, topics: Collection[str]) -> Iterator[tuple[str, int, Message]]:
    """
    Yield (topic, log time in ns, message object) in the order of their log times.

    Raises
    ------
    InputError
        If the bag cannot be read.
    """
    with open_bag(source) as bag:
        yield from bag.decoded(topics)


def serialized_stamp_ns(data: bytes) -> int:
    """Return the stamp of a serialized message whose first field is its header."""
    order = '<' if data[1] & 1 else '>'
    sec, nanosec = struct.unpack_from(f'{order}iI', data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


def listing(topics: Mapping[str, BagTopic]) -> str:
    """Return the topics with their types, for a message to people."""
    return ', '.join(f'{name} ({topics[name].type})' for name in sorted(topics)) or 'nothing'


def choose_camera(
    source: Source,
    image: str | None = None,
    camera_info: str | None = None,
    depth: str | None = None,
) -> CameraTopics:
    """
    Return the camera of a bag: asked topics where given, the likeliest otherwise.

    For images and camera_info see `choose_image` and `choose_camera_info`. A depth topic counts
    as ground truth if its name contains `depth` and its images have the colour image's frame and
    the camera_info's size.

    Raises
    ------
    InputError
        If the bag cannot be read, or lacks an asked topic, an image or its camera_info.
    """
    with open_bag(source) as bag:
        if depth is not None:
            _check_asked(bag, depth)
        image = choose_image(bag, image)
        found = choose_camera_info(bag, image, camera_info)
        if found is None:
            raise InputError(
                f'{bag.path} has no {beside_image(image, "camera_info")} for the images on '
                f'{image}, and no other camera_info. It has: {listing(bag.topics)}.'
            )
        if depth is None:
            first = _first_messages(bag)
            candidates = sorted(name for name in first if _is_ground_truth(name, first, found))
            depth = candidates[0] if candidates else None
        return CameraTopics(image, found, depth)


def choose_image(bag: Bag, asked: str | None = None) -> str:
    """
    Return the topic of a bag's colour images: the asked one where given, the likeliest otherwise.

    Topics named `image_raw` come before others, raw images before compressed ones. If other
    cameras are in the bag, the choice is logged.

    Raises
    ------
    InputError
        If the asked topic is not there or holds no images, or if there are no colour images.
    """
    if asked is not None:
        return _check_asked(bag, asked, (IMAGE, COMPRESSED_IMAGE))
    colour = [
        name
        for name, message in _first_messages(bag).items()
        if bag.topics[name].type in (IMAGE, COMPRESSED_IMAGE) and not _is_depth(message)
    ]
    if not colour and bag.damage.lines:
        raise InputError(f'{bag.path} has no colour image that can be read, see above.')
    if not colour:
        raise InputError(f'{bag.path} has no colour images. It has: {listing(bag.topics)}.')

    def rank(name: str) -> tuple[bool, bool, str]:
        is_raw = bag.topics[name].type == IMAGE
        return not name.removesuffix('/compressed').endswith('/image_raw'), not is_raw, name

    chosen = min(colour, key=rank)
    others = {name.removesuffix('/compressed') for name in colour}
    if len(others) > 1:
        logger.info('Of %d colour image topics %s is taken.', len(others), chosen)
    return chosen


def choose_camera_info(bag: Bag, image: str, asked: str | None = None) -> str | None:
    """
    Return the camera_info of an image topic; None if the bag has none at all.

    It is the asked one where given, otherwise the one beside the images, or the only one.

    Raises
    ------
    InputError
        If the asked topic is not there or is no camera_info, or if there are several elsewhere.
    """
    if asked is not None:
        return _check_asked(bag, asked, (CAMERA_INFO,))
    beside = beside_image(image, 'camera_info')
    found = [topic.name for topic in bag.topics.values() if topic.type == CAMERA_INFO]
    if beside in found:
        return beside
    if len(found) > 1:
        raise InputError(
            f'{bag.path} has no {beside} for the images on {image}, and {len(found)} other '
            f'camera_info topics. Name one with --camera-info-topic.'
        )
    return found[0] if found else None


def _check_asked(bag: Bag, asked: str, types: Collection[str] = ()) -> str:
    """Return an asked topic if it is there and has one of some types."""
    if asked not in bag.topics:
        raise InputError(f'{bag.path} has no topic {asked}. It has: {listing(bag.topics)}.')
    if types and bag.topics[asked].type not in types:
        raise InputError(
            f'{asked} is a {bag.topics[asked].type}; expected is a {" or ".join(types)}.'
        )
    return asked


def _first_messages(bag: Bag) -> dict[str, Message]:
    """Return the first message that can be read of each image and camera_info topic."""
    first: dict[str, Message] = {}
    for topic in bag.topics.values():
        if topic.type in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO):
            for name, _, message in bag.decoded([topic.name]):
                first[name] = message
                break
    return first


def _is_depth(image: Message) -> bool:
    """Return whether an Image or CompressedImage holds depth."""
    encoding: str = image.encoding if hasattr(image, 'encoding') else image.format
    return encoding.startswith(DEPTH_ENCODINGS) or 'compressedDepth' in encoding


def _is_ground_truth(name: str, first: Mapping[str, Message], camera_info: str) -> bool:
    """Return whether a topic holds depth on the pixels of the camera's images."""
    image, info = first[name], first.get(camera_info)
    return (
        'depth' in name
        and info is not None
        and getattr(image, 'encoding', None) in DEPTH_ENCODINGS
        and (image.width, image.height) == (info.width, info.height)
        and image.header.frame_id == info.header.frame_id
    )
