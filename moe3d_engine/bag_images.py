"""Views from a bag, without a ROS graph: rectified colour images and their camera_info."""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.errors import InputError
from moe3d_engine.image_messages import decode_compressed
from moe3d_engine.image_messages import decode_raw
from moe3d_engine.messages import CAMERA_INFO
from moe3d_engine.messages import COMPRESSED_IMAGE
from moe3d_engine.messages import DEPTH_ENCODINGS
from moe3d_engine.messages import IMAGE
from moe3d_engine.messages import Message
from moe3d_engine.messages import stamp_ns
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.highlevel.anyreader import AnyReaderError
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

logger = logging.getLogger(__name__)


def is_bag(path: Path) -> bool:
    """Return whether a path is a rosbag2 folder or a bag file."""
    return (path / 'metadata.yaml').is_file() or path.suffix in ('.mcap', '.db3')


def read_bag_views(
    path: Path,
    topic: str | None = None,
    intrinsics: Float64Array | None = None,
    every: int = 1,
) -> list[View]:
    """
    Read the colour images of a bag.

    Parameters
    ----------
    path : rosbag2 folder, or an .mcap or .db3 file.
    topic : image topic; None = the only colour topic of the bag.
    intrinsics : (3, 3) of all images; None = the camera_info of the same stamp, and no intrinsics
        where the bag has no camera_info beside the topic or its K is zero.
    every : read each so manieth image only.

    Returns
    -------
    list of View, in the order of the bag. Images that lack a camera_info of their stamp, while
    the topic is there, are left out and counted in the log.

    Raises
    ------
    InputError
        If the bag cannot be read, the topic is not clear, an image cannot be decoded, or the
        images need rectification.
    """
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.LATEST)) as reader:
            images = _image_connection(reader, topic)
            camera = None if intrinsics is not None else _read_intrinsics(reader, images.topic)
            return _read_views(reader, images, camera or (lambda message: intrinsics), every)
    except (AnyReaderError, OSError) as error:
        raise InputError(f'The bag {path} cannot be read: {error}.') from error


def _image_connection(reader: AnyReader, topic: str | None) -> Connection:
    """Return the connection of the asked topic, or of the only colour topic."""
    images = [
        c for c in reader.connections if c.msgtype in (IMAGE, COMPRESSED_IMAGE) and c.msgcount
    ]
    listed = ', '.join(sorted({c.topic for c in images})) or 'none'
    if topic is not None:
        chosen = [c for c in images if c.topic == topic]
        if not chosen:
            raise InputError(f'The bag has no images on {topic}. Image topics: {listed}.')
        return chosen[0]
    by_camera = {}
    for connection in sorted(images, key=lambda c: c.msgtype == IMAGE):  # raw before compressed
        if not _is_depth(reader, connection):
            by_camera[connection.topic.removesuffix('/compressed')] = connection
    if len(by_camera) != 1:
        raise InputError(
            f'The bag has {len(by_camera)} colour image topics, one is expected; name one with '
            f'--topic. Image topics: {listed}.'
        )
    return next(iter(by_camera.values()))


def _is_depth(reader: AnyReader, connection: Connection) -> bool:
    """Return whether a topic's first image is a depth map."""
    _, _, rawdata = next(reader.messages(connections=[connection]))
    message: Message = reader.deserialize(rawdata, connection.msgtype)
    encoding = message.encoding if connection.msgtype == IMAGE else message.format
    return encoding.startswith(DEPTH_ENCODINGS) or 'compressedDepth' in encoding


def _read_intrinsics(
    reader: AnyReader, image_topic: str
) -> Callable[[Message], Float64Array | None] | None:
    """Return a lookup of intrinsics by an image's stamp; None where the bag has no camera_info."""
    info_topic = image_topic.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'
    found = [c for c in reader.connections if (c.topic, c.msgtype) == (info_topic, CAMERA_INFO)]
    if not found:
        logger.info('The bag has no %s: the network estimates the intrinsics.', info_topic)
        return None
    known = {}
    for connection, _, rawdata in reader.messages(connections=found):
        message: Message = reader.deserialize(rawdata, connection.msgtype)
        known[stamp_ns(message)] = _rectified_intrinsics(message, info_topic)
    return lambda image: known[stamp_ns(image)]


def _rectified_intrinsics(info: Message, topic: str) -> Float64Array | None:
    """Return the K of a camera_info whose images need no rectification."""
    matrix = np.asarray(info.k, np.float64).reshape(3, 3)
    if matrix[0, 0] <= 0.0 or matrix[1, 1] <= 0.0:
        return None  # REP 104: an uncalibrated camera
    rotation = np.asarray(info.r).reshape(3, 3)
    rotated = rotation.any() and not np.allclose(rotation, np.eye(3), atol=1e-6)
    cut = info.binning_x > 1 or info.binning_y > 1 or info.roi.width or info.roi.height
    if np.any(info.d) or rotated or cut:
        raise InputError(
            f'The images beside {topic} are not rectified (D = {np.asarray(info.d).tolist()}) or '
            f'are binned or cut. Use the node, which rectifies (moe3d run with moe3d replay), or '
            f'give a rectified topic.'
        )
    return matrix


def _read_views(
    reader: AnyReader,
    images: Connection,
    intrinsics_of: Callable[[Message], Float64Array | None],
    every: int,
) -> list[View]:
    """Decode each `every`-th image."""
    views, unpaired = [], 0
    for count, (connection, _, rawdata) in enumerate(reader.messages(connections=[images])):
        if count % every:
            continue
        message: Message = reader.deserialize(rawdata, connection.msgtype)
        try:
            intrinsics = intrinsics_of(message)
        except KeyError:
            unpaired += 1
            continue
        decode = decode_compressed if connection.msgtype == COMPRESSED_IMAGE else decode_raw
        image = decode(message)
        views.append(View(image, intrinsics, stamp_ns(message), message.header.frame_id))
    if unpaired:
        logger.warning('%d images have no camera_info of their stamp: left out.', unpaired)
    if not views:
        raise InputError(
            f'No image of {images.topic} can be used ({unpaired} lack a camera_info of their '
            f'stamp). Give the intrinsics with --intrinsics.'
        )
    return views
