"""Draw a cloud as a picture: points as small squares, nearest on top."""

from __future__ import annotations

from collections.abc import Iterator
import math
from typing import NamedTuple
from typing import TypeAlias

import cv2
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]

OVERSAMPLING = 2  # the picture is drawn larger and shrunk, so that points have soft edges
FOCAL_WIDTHS = 1.6  # focal length in widths of the picture: a calm perspective
FIT_PERCENTILE = 97.0  # of the points that must be inside the picture
MAX_SPLAT_PX = 9
USUAL_TILT_DEG = 16.0  # cameras mostly look down a little; upright things shall stand upright


class ViewCamera(NamedTuple):
    """Where a cloud is seen from, and the size (H, W) of the picture."""

    view_from_cloud: Float64Array
    focal_px: float
    center_px: tuple[float, float]
    image_hw: tuple[int, int]


def side_camera(
    points: Float32Array, image_hw: tuple[int, int], yaw_deg: float, pitch_deg: float
) -> ViewCamera:
    """
    Return a camera that looks at a cloud from the side and from above.

    Parameters
    ----------
    points : (N, 3) in an optical frame (x right, y down, z forward).
    image_hw : (H, W) of the picture.
    yaw_deg : how far the camera walks to the right around the cloud.
    pitch_deg : how far it rises.
    """
    yaw = math.radians(yaw_deg)
    around = np.array([
        [math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]
    ])  # fmt: skip
    rotation = _tilt(pitch_deg) @ around @ _tilt(-USUAL_TILT_DEG)
    rotated = points @ rotation.T
    low, high = np.percentile(rotated, (100 - FIT_PERCENTILE, FIT_PERCENTILE), axis=0)
    centred = rotated - (low + high) / 2
    focal_px = FOCAL_WIDTHS * image_hw[1]
    needed = [
        2.0 * focal_px * np.abs(centred[:, axis]) / side - centred[:, 2]
        for axis, side in ((0, image_hw[1]), (1, image_hw[0]))
    ]
    distance = np.percentile(np.maximum(*needed), FIT_PERCENTILE)
    view_from_cloud = np.eye(4)
    view_from_cloud[:3, :3] = rotation
    view_from_cloud[:3, 3] = (0, 0, distance) - (low + high) / 2
    center_px = ((image_hw[1] - 1) / 2, (image_hw[0] - 1) / 2)
    return ViewCamera(view_from_cloud, focal_px, center_px, image_hw)


def _tilt(angle_deg: float) -> Float64Array:
    """Return the rotation about the x axis for a camera that looks down by an angle."""
    sin, cos = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def render_cloud(
    points: Float32Array,
    colors: UInt8Array,
    spacing: Float32Array,
    camera: ViewCamera,
    background: tuple[int, int, int],
) -> UInt8Array:
    """
    Draw points with a depth buffer.

    Parameters
    ----------
    points : (N, 3) in the cloud's frame.
    colors : (N, 3) uint8, RGB.
    spacing : (N,) distance between neighbouring points, in the unit of `points`: the side of the
        square that stands for one.
    camera : from side_camera.
    background : RGB.
    """
    height, width = (OVERSAMPLING * side for side in camera.image_hw)
    focal_px = OVERSAMPLING * camera.focal_px
    x, y, z = transform_points(camera.view_from_cloud, points).T
    visible = z > 1e-3 * focal_px / width
    x, y, z, colors, spacing = (a[visible] for a in (x, y, z, colors, spacing))
    column = focal_px * x / z + OVERSAMPLING * (camera.center_px[0] + 0.5) - 0.5
    row = focal_px * y / z + OVERSAMPLING * (camera.center_px[1] + 0.5) - 0.5
    side = np.clip(np.rint(focal_px * spacing / z), 2, MAX_SPLAT_PX).astype(np.int64)
    left, top = (np.rint(at - (side - 1) / 2).astype(np.int64) for at in (column, row))

    nearest = np.full(height * width, np.inf, np.float32)
    targets = list(_covered_pixels(left, top, side, height, width))
    for index, pixel in targets:
        np.minimum.at(nearest, pixel, z[index])
    picture = np.empty((height * width, 3), np.uint8)
    picture[:] = background
    for index, pixel in targets:
        wins = z[index] == nearest[pixel]
        picture[pixel[wins]] = colors[index[wins]]
    shrunk = cv2.resize(
        picture.reshape(height, width, 3), camera.image_hw[::-1], interpolation=cv2.INTER_AREA
    )
    return np.asarray(shrunk, np.uint8)


def _covered_pixels(
    left: IntArray, top: IntArray, side: IntArray, height: int, width: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield (points, flat pixels) for each offset within the squares."""
    for down in range(int(side.max(initial=0))):
        for right in range(int(side.max(initial=0))):
            covers = (side > max(down, right)) & (left + right >= 0) & (left + right < width)
            covers &= (top + down >= 0) & (top + down < height)
            index = np.nonzero(covers)[0]
            yield index, (top[index] + down) * width + left[index] + right
