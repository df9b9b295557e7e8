"""Views from a bag, without a ROS graph: rectified colour images and their camera_info."""

from __future__ import annotations

from collections.abc import Callable
import logging
from pathlib import Path

from moe3d_engine.bags.reader import BagTopic
from moe3d_engine.bags.reader import beside_image
from moe3d_engine.bags.reader import colour_topics
from moe3d_engine.bags.reader import first_messages
from moe3d_engine.bags.reader import read_decoded
from moe3d_engine.bags.reader import read_topics
from moe3d_engine.errors import InputError
from moe3d_engine.intake.images import decode_compressed
from moe3d_engine.intake.images import decode_raw
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import COMPRESSED_IMAGE
from moe3d_engine.intake.messages import IMAGE
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
import numpy as np

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
    topics = read_topics(path)
    images = _choose_images(path, topics, topic)
    camera = None if intrinsics is not None else _read_intrinsics(path, topics, images.name)
    return _read_views(path, images, camera or (lambda message: intrinsics), every)


def _choose_images(path: Path, topics: dict[str, BagTopic], asked: str | None) -> BagTopic:
    """Return the asked topic, or the only colour topic."""
    images = {n: t for n, t in topics.items() if t.type in (IMAGE, COMPRESSED_IMAGE)}
    listed = ', '.join(sorted(images)) or 'none'
    if asked is not None:
        if asked not in images:
            raise InputError(f'The bag has no images on {asked}. Image topics: {listed}.')
        return images[asked]
    colour = colour_topics(images, first_messages(path, images.values()))
    by_camera = {}
    for name in sorted(colour, key=lambda n: images[n].type == IMAGE):  # raw before compressed
        by_camera[name.removesuffix('/compressed')] = images[name]
    if len(by_camera) != 1:
        raise InputError(
            f'The bag has {len(by_camera)} colour image topics, one is expected; name one with '
            f'--topic. Image topics: {listed}.'
        )
    return next(iter(by_camera.values()))


def _read_intrinsics(
    path: Path, topics: dict[str, BagTopic], image_topic: str
) -> Callable[[Message], Float64Array | None] | None:
    """Return a lookup of intrinsics by an image's stamp; None where the bag has no camera_info."""
    info_topic = beside_image(image_topic, 'camera_info')
    if info_topic not in topics or topics[info_topic].type != CAMERA_INFO:
        logger.info('The bag has no %s: the network estimates the intrinsics.', info_topic)
        return None
    known = {
        stamp_ns(message): _rectified_intrinsics(message, info_topic)
        for _, _, message in read_decoded(path, [info_topic])
    }
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
    path: Path,
    images: BagTopic,
    intrinsics_of: Callable[[Message], Float64Array | None],
    every: int,
) -> list[View]:
    """Decode each `every`-th image."""
    decode = decode_compressed if images.type == COMPRESSED_IMAGE else decode_raw
    views, unpaired = [], 0
    for count, (_, _, message) in enumerate(read_decoded(path, [images.name])):
        if count % every:
            continue
        try:
            intrinsics = intrinsics_of(message)
        except KeyError:
            unpaired += 1
            continue
        views.append(View(decode(message), intrinsics, stamp_ns(message), message.header.frame_id))
    if unpaired:
        logger.warning('%d images have no camera_info of their stamp: left out.', unpaired)
    if not views:
        raise InputError(
            f'No image of {images.name} can be used ({unpaired} lack a camera_info of their '
            f'stamp). Give the intrinsics with --intrinsics.'
        )
    return views
