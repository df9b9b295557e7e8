"""How pixels lie in a picture of each encoding, and how they become RGB; facts of sensor_msgs."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import cv2
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray


class Encoding(NamedTuple):
    """How pixels lie in a picture, and OpenCV's code that makes them RGB (None = they are)."""

    channels: int
    to_rgb: int | None
    dtype: type[np.generic] = np.uint8
    even_width: bool = False


class Pixels(NamedTuple):
    """The values of a picture as the camera sent them."""

    values: NDArray[Any]  # (H, W[, C]) uint8 or uint16
    encoding: Encoding


# ROS names a Bayer pattern by its first two rows, OpenCV by the second row's second and third
# pixel: bayer_rggb8 is BayerBG.
_BAYER = {
    'bayer_rggb': cv2.COLOR_BayerBG2RGB,
    'bayer_bggr': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg': cv2.COLOR_BayerGR2RGB,
    'bayer_grbg': cv2.COLOR_BayerGB2RGB,
}
_ORDERS = {
    'rgb': (3, None),
    'bgr': (3, cv2.COLOR_BGR2RGB),
    'rgba': (4, cv2.COLOR_RGBA2RGB),
    'bgra': (4, cv2.COLOR_BGRA2RGB),
    'mono': (1, cv2.COLOR_GRAY2RGB),
    **{pattern: (1, code) for pattern, code in _BAYER.items()},
}
_UYVY = Encoding(2, cv2.COLOR_YUV2RGB_UYVY, even_width=True)
_YUYV = Encoding(2, cv2.COLOR_YUV2RGB_YUY2, even_width=True)

COLOURS = {
    **{f'{name}8': Encoding(*order) for name, order in _ORDERS.items()},
    **{f'{name}16': Encoding(*order, np.uint16) for name, order in _ORDERS.items()},
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
}
DEPTHS = {'16UC1': Encoding(1, None, np.uint16), '32FC1': Encoding(1, None, np.float32)}


def to_rgb(pixels: Pixels, bits: int | None = None) -> UInt8Array:
    """
    Return the RGB picture (H, W, 3); it may share memory with the values.

    Parameters
    ----------
    pixels : of any encoding in `COLOURS`.
    bits : how many of 16 the sensor fills, from the lowest on; None = 16. What is brighter is
        white.
    """
    values, encoding = pixels
    if encoding.to_rgb is not None:
        values = cv2.cvtColor(values, encoding.to_rgb)
    if encoding.dtype == np.uint16:
        values = cv2.convertScaleAbs(values, alpha=255 / (2 ** (bits or 16) - 1))
    return np.ascontiguousarray(values, np.uint8)
