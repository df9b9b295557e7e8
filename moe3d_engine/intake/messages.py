"""What the engine knows of ROS messages without ROS: type names, stamps, frames, topics."""

from __future__ import annotations

from collections.abc import Callable
import re
from typing import Any
from typing import TypeAlias

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
POSE = 'geometry_msgs/msg/PoseStamped'
DEPTH_ENCODINGS = ('16UC1', '32FC1')

# Any object with a message's fields: rclpy's classes, or those that rosbags makes at run time.
Message: TypeAlias = Any
Warn: TypeAlias = Callable[[str], object]  # takes a warning, for a log

MAX_QUOTED = 40  # characters of a text from outside that a message to people repeats
MAX_WARNINGS = 20  # different texts of one stream; a calibration may change with every image
_RECTIFIED = re.compile(r'(^|/)image_rect(_\w+)?(/(compressed|compressedDepth|theora|zstd))?$')


class WarnOnce:
    """
    Hands each text on once, and not more than MAX_WARNINGS of them.

    Parameters
    ----------
    warn : takes the texts that are new.
    """

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._told: set[str] = set()

    def __call__(self, text: str) -> None:
        """Hand a text on if it is new."""
        if text not in self._told and len(self._told) < MAX_WARNINGS:
            self._told.add(text)
            self._warn(text)


def stamp_ns(message: Message) -> int:
    """Return the stamp of a message's header in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def quoted(text: str) -> str:
    """Return a text from outside in quotes, on one line and not longer than a log can bear."""
    rest = len(text) - MAX_QUOTED
    return repr(text) if rest <= 0 else f'{text[:MAX_QUOTED]!r} and {rest} more characters'


def clean_frame_id(frame_id: str, warn: Warn) -> str:
    """
    Return a frame's name as tf2 takes it: without a leading slash.

    Parameters
    ----------
    frame_id : of a message's header.
    warn : told of a slash that was taken away, and of an empty name: an image has depth without
        one, but nobody can transform it.
    """
    clean = frame_id.lstrip('/')
    remedy = "Set the frame in the camera's driver (usually its parameter frame_id)."
    if not clean:
        warn(
            f'The images have the frame_id {frame_id!r}: depth and clouds cannot be transformed, '
            f'and a map or costmap will refuse them. {remedy}'
        )
    elif clean != frame_id:
        warn(
            f'The frame_id {quoted(frame_id)} begins with a slash, which tf2 refuses; published '
            f'is {quoted(clean)}. {remedy}'
        )
    return clean


def is_rectified_topic(name: str) -> bool:
    """Return whether a topic holds rectified images by image_proc's names (image_rect...)."""
    return _RECTIFIED.search(name) is not None


def beside_image(image_topic: str, name: str) -> str:
    """Return the topic of this name in the namespace of an image topic, raw or compressed."""
    return f'{image_topic.removesuffix("/compressed").rpartition("/")[0]}/{name}'
