"""What the engine knows of ROS messages without ROS: their type names, depth encodings, stamps."""

from __future__ import annotations

from typing import Any
from typing import TypeAlias

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
POSE = 'geometry_msgs/msg/PoseStamped'
DEPTH_ENCODINGS = ('16UC1', '32FC1')

# Any object with a message's fields: rclpy's classes, or those that rosbags makes at run time.
Message: TypeAlias = Any


def stamp_ns(message: Message) -> int:
    """Return the stamp of a message's header in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
