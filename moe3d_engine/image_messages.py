"""Pixels of ROS image messages: checked, rows without padding, colours as RGB; no ROS needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.types import UInt8Array
import numpy as np
from rosbags.image import image_to_cvimage
from rosbags.image.image import ImageError
from rosbags.image.image import to_cvtype

# Any object with the fields of sensor_msgs/Image or CompressedImage: rclpy's, rosbags' or ours.
Message = Any


def decode_compressed(message: Message) -> UInt8Array:
    """
    Return the RGB image (H, W, 3) of a CompressedImage.

    Raises
    ------
    InputError
        If the data are no image.
    """
    data = np.frombuffer(message.data, np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if decoded is None:
        raise InputError(
            f'A compressed image ({message.format!r}, {data.size} bytes) cannot be decoded; '
            'JPEG and PNG are expected.'
        )
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def decode_raw(message: Message) -> UInt8Array:
    """
    Return the RGB image (H, W, 3) of an Image, whatever its encoding and padding.

    Raises
    ------
    InputError
        If the encoding is unknown, the step is too small or data are missing.
    """
    dense = dense_image(message)
    try:
        return np.array(image_to_cvimage(dense, 'rgb8'), np.uint8)
    except (ImageError, ValueError, cv2.error) as error:
        raise InputError(f'A {message.encoding} image cannot become RGB: {error}.') from error


def dense_image(message: Message) -> SimpleNamespace:
    """
    Return the fields of an Image whose rows have no padding.

    Raises
    ------
    InputError
        If the encoding is unknown, the step is too small or data are missing.
    """
    height, width, step = message.height, message.width, message.step
    data = np.frombuffer(message.data, np.uint8)
    try:
        _, _, type_name, channels = to_cvtype(message.encoding)
    except ImageError as error:
        raise InputError(
            f'The image encoding {message.encoding!r} is unknown; rgb8, bgr8, mono8, yuv422 and '
            'Bayer encodings are among those expected.'
        ) from error
    row_bytes = width * channels * np.dtype(type_name).itemsize
    if height < 1 or width < 1 or step < row_bytes:
        raise InputError(
            f'A {width}x{height} {message.encoding} image has rows of {row_bytes} bytes; got step '
            f'{step}. The driver fills the message wrongly.'
        )
    if data.size < (height - 1) * step + row_bytes:
        raise InputError(
            f'A {width}x{height} {message.encoding} image with step {step} has {height * step} '
            f'bytes; got {data.size}. The message is truncated.'
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row_bytes), (step, 1), writeable=False)
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=message.encoding,
        is_bigendian=bool(message.is_bigendian),
        step=row_bytes,
        data=np.ascontiguousarray(rows).ravel(),
    )
