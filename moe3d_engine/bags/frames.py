"""The frames of a bag: images with the camera_info, the true depth and the pose of their stamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from moe3d_engine.bags.bag import open_bag
from moe3d_engine.bags.bag import Source
from moe3d_engine.bags.reader import CameraTopics
from moe3d_engine.bags.reader import choose_camera
from moe3d_engine.bags.reader import listing
from moe3d_engine.bags.reader import serialized_stamp_ns
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.resample import resample_nearest
from moe3d_engine.intake.images import decode_depth
from moe3d_engine.intake.measured.points import check_metres
from moe3d_engine.intake.measured.poses import decode_pose
from moe3d_engine.intake.messages import beside_image
from moe3d_engine.intake.messages import CAMERA_INFO
from moe3d_engine.intake.messages import is_rectified_topic
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import POSE
from moe3d_engine.intake.messages import stamp_ns
from moe3d_engine.intake.rectification import open_rectifier
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np


class FrameTopics(NamedTuple):
    """The topics of a camera and of what is known of its frames; None = not in the bag."""

    camera: CameraTopics
    depth_info: str | None  # the depth's own camera_info; None = that of the images
    pose: str | None


@dataclass(frozen=True, slots=True, eq=False)
class BagFrame:
    """
    The messages of one stamp; what the bag lacks is None.

    Parameters
    ----------
    stamp_ns : of the image and of all others.
    image : Image or CompressedImage.
    info, depth_info : CameraInfo of the image and of the depth.
    depth : Image of true depth.
    pose : PoseStamped, the camera's optical frame in the world.
    """

    stamp_ns: int
    image: Message
    info: Message | None = None
    depth: Message | None = None
    depth_info: Message | None = None
    pose: Message | None = None


def choose_topics(
    source: Source,
    image: str | None = None,
    camera_info: str | None = None,
    depth: str | None = None,
    pose: str | None = None,
) -> FrameTopics:
    """
    Return the topics of a bag: asked ones where given, the likeliest otherwise.

    For images, camera_info and depth see `choose_camera`. The depth's own camera_info and the
    pose are taken from beside depth and images (`<namespace>/camera_info`, `<namespace>/pose`).

    Raises
    ------
    InputError
        If the bag cannot be read, lacks an asked topic, an image or its camera_info, or if an
        asked pose is no PoseStamped.
    """
    with open_bag(source) as bag:
        camera = choose_camera(bag, image, camera_info, depth)
        topics = bag.topics
    if pose is not None and pose not in topics:
        raise InputError(f'{bag.path} has no topic {pose}. It has: {listing(topics)}.')
    if pose is not None and topics[pose].type != POSE:
        raise InputError(
            f'{pose} is a {topics[pose].type}; expected is a {POSE} with the pose of the '
            f"camera's optical frame in the world."
        )
    likely_pose = beside_image(camera.image, 'pose')
    if pose is None and likely_pose in topics and topics[likely_pose].type == POSE:
        pose = likely_pose
    depth_info = None if camera.depth is None else beside_image(camera.depth, 'camera_info')
    if depth_info not in topics or topics[depth_info].type != CAMERA_INFO:
        depth_info = None
    return FrameTopics(camera, depth_info, pose)


def read_frames(source: Source, topics: FrameTopics) -> Iterator[BagFrame]:
    """
    Yield the frames of a bag in the order of its images.

    A frame is yielded as soon as all messages of its stamp have come; which these are is found
    out before, so nothing is waited for in vain. Messages that cannot be read are left out; see
    `Bag.damage`.

    Raises
    ------
    InputError
        If the bag cannot be read.
    """
    camera = topics.camera
    roles = {
        camera.camera_info: ['info'],
        **({} if camera.depth is None else {camera.depth: ['depth']}),
        **({} if topics.pose is None else {topics.pose: ['pose']}),
    }
    if topics.depth_info is not None:  # may be the images' camera_info
        roles[topics.depth_info] = [*roles.get(topics.depth_info, []), 'depth_info']
    yield from _read(source, camera.image, roles)


def read_images(source: Source, image: str) -> Iterator[BagFrame]:
    """Yield the frames of a topic that has nothing beside it, as `read_frames` does."""
    yield from _read(source, image, {})


def _read(source: Source, image: str, roles: Mapping[str, list[str]]) -> Iterator[BagFrame]:
    """Yield the frames of an image topic with the messages of other topics by their roles."""
    wanted = {image, *roles}
    in_bag: dict[str, set[int]] = {topic: set() for topic in wanted}
    arrived: dict[str, set[int]] = {topic: set() for topic in roles}
    parts: dict[int, dict[str, Message]] = {}
    images: deque[Message] = deque()
    with open_bag(source) as bag:
        for serialized in bag.messages(wanted):
            in_bag[serialized.topic].add(serialized_stamp_ns(serialized.data))
        for topic, _, message in bag.decoded(wanted):
            stamp = stamp_ns(message)
            if topic == image:
                images.append(message)
            elif stamp in in_bag[image]:
                arrived[topic].add(stamp)
                parts.setdefault(stamp, {}).update(dict.fromkeys(roles[topic], message))
            while images and all(
                (first := stamp_ns(images[0])) not in in_bag[topic] or first in arrived[topic]
                for topic in roles
            ):
                done = images.popleft()
                yield BagFrame(stamp_ns(done), done, **parts.pop(stamp_ns(done), {}))


def check_depth(source: Source, topics: FrameTopics) -> None:
    """
    Look at the first true depth that has a frame, before anything is computed with it.

    Raises
    ------
    InputError
        If it is no depth, is not in metres, or does not lie on the images' pixels.
    """
    if topics.camera.depth is None:
        return
    for frame in read_frames(source, topics):
        if frame.depth is None or frame.info is None:
            continue
        depth = _decode(frame, topics)
        if not np.isfinite(depth).any():
            continue
        try:
            check_metres(frame.depth.encoding, depth)
        except InputError as error:
            raise InputError(f'The depth on {topics.camera.depth}: {error}') from error
        frames = frame.image.header.frame_id, frame.depth.header.frame_id
        if all(frames) and frames[0] != frames[1]:
            raise InputError(
                f'The depth on {topics.camera.depth} is of the frame {frames[1]!r}, the images '
                f'are of {frames[0]!r}. Give depth that is registered to the images.'
            )
        true_depth(frame, topics, np.eye(3), (1, 1))
        return


def true_depth(
    frame: BagFrame, topics: FrameTopics, intrinsics: Float64Array, out_hw: tuple[int, int]
) -> Float32Array | None:
    """
    Return the true depth of a frame in metres on other pixels of the same camera.

    Parameters
    ----------
    frame, topics : as read.
    intrinsics : (3, 3) in pixels of the result.
    out_hw : (H, W) of the result.

    Returns
    -------
    (H, W) float32, NaN = unknown. None if the frame has no depth, or if its camera must be
    rectified: depth then lies on other pixels than a reconstruction.

    Raises
    ------
    InputError
        If the depth cannot be read, or has another size than its camera_info.
    """
    info = frame.info if topics.depth_info is None else frame.depth_info
    if frame.depth is None or info is None:
        return None
    depth = _decode(frame, topics)
    try:
        rectifier = open_rectifier(
            info, (depth.shape[0], depth.shape[1]), rectified=_is_rectified(topics)
        )
    except InputError as error:
        assert topics.camera.depth is not None
        own = beside_image(topics.camera.depth, 'camera_info')
        raise InputError(
            f'The depth on {topics.camera.depth} ({depth.shape[1]}x{depth.shape[0]}) cannot be '
            f"put on the images' pixels: {error} Depth of another size than the images needs a "
            f'camera_info of its own on {own}.'
        ) from error
    if rectifier.maps is not None:
        return None
    return resample_nearest(depth, rectifier.intrinsics, intrinsics, out_hw)


def true_pose(frame: BagFrame) -> Float64Array | None:
    """Return world_from_cam (4, 4) of a frame; None where it is not known."""
    if frame.pose is None:
        return None
    try:
        return decode_pose(frame.pose.pose)
    except InputError:
        return None


def _is_rectified(topics: FrameTopics) -> bool | None:
    """Return whether the depth is said to lie on rectified pixels; None where it is not."""
    camera = topics.camera
    named = camera.depth if topics.depth_info is not None else camera.image
    return (named is not None and is_rectified_topic(named)) or None


def _decode(frame: BagFrame, topics: FrameTopics) -> Float32Array:
    """Return the depth in metres on its own pixels, with the topic in what is complained of."""
    assert frame.depth is not None
    if not hasattr(frame.depth, 'encoding'):
        raise InputError(
            f'{topics.camera.depth} holds no sensor_msgs/msg/Image. Depth is read as 16UC1 '
            f'(millimetres) or 32FC1 (metres), not compressed.'
        )
    try:
        return decode_depth(frame.depth)
    except InputError as error:
        raise InputError(f'The depth on {topics.camera.depth}: {error}') from error
