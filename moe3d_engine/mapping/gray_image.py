"""Grey images of another size than their views, and how pixels and intrinsics follow."""

from __future__ import annotations

from typing import NamedTuple

import cv2
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np


class GrayImage(NamedTuple):
    """
    A view in grey.

    Parameters
    ----------
    pixels : (h, w) uint8.
    intrinsics : (3, 3) of these pixels.
    source_from_gray : (3, 3) from these pixels to those of the view.
    """

    pixels: UInt8Array
    intrinsics: Float64Array
    source_from_gray: Float64Array


def gray_image(view: View, intrinsics: Float64Array, size: tuple[int, int]) -> GrayImage:
    """
    Return a view in grey at another size.

    Parameters
    ----------
    view : of which the image is read.
    intrinsics : (3, 3) on the view's own pixels.
    size : (width, height) in pixels.
    """
    gray = np.asarray(cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY), np.uint8)
    height, width = gray.shape
    if size == (width, height):
        return GrayImage(gray, intrinsics, np.eye(3))
    interpolation = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(gray, size, interpolation=interpolation), np.uint8)
    scale_x, scale_y = size[0] / width, size[1] / height
    return GrayImage(
        resized,
        scale_intrinsics(intrinsics, scale_x, scale_y),
        scale_intrinsics(np.eye(3), 1 / scale_x, 1 / scale_y),
    )
