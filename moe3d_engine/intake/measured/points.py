"""Depth images and clouds that others have measured, as points."""

from __future__ import annotations

import math

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.intake.images import decode_values
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import quoted
from moe3d_engine.intake.messages import Warn
from moe3d_engine.intake.rectification import Rectifiers
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

LIKELY_MILLIMETRES = 100.0  # a median above is no depth in metres that a camera here could see
MAX_POINTS = 20_000  # of a depth image or cloud; more would cost time and say nothing new
_FLOATS = {7: 'f4', 8: 'f8'}  # sensor_msgs/PointField: FLOAT32, FLOAT64


def check_metres(encoding: str, depth: NDArray[np.floating] | NDArray[np.uint16]) -> None:
    """
    Look at depth of an encoding before anything is computed with it.

    Raises
    ------
    InputError
        If it is said to be metres and looks like millimetres.
    """
    known = depth[np.isfinite(depth) & (depth > 0)]
    if encoding == '32FC1' and known.size and np.median(known) > LIKELY_MILLIMETRES:
        raise InputError(
            f'It has a median of {np.median(known):.0f}. 32FC1 is metres (REP 118), but this '
            f'looks like millimetres: divide it by 1000, or write it as 16UC1.'
        )


class DepthPoints:
    """
    Turns the images of a depth camera into points.

    Parameters
    ----------
    rectified : whether the images are rectified; None = not known. See open_rectifier.
    warn : told once of each calibration that is improbable.
    """

    def __init__(self, rectified: bool | None, warn: Warn) -> None:
        self._rectifiers = Rectifiers(rectified, warn)

    def points_of(self, image: Message, info: Message) -> Float64Array:
        """
        Return the points of a depth image, on a grid of at most 20,000 pixels.

        Parameters
        ----------
        image : sensor_msgs/Image, 32FC1 (metres) or 16UC1 (millimetres).
        info : its camera_info.

        Returns
        -------
        (N, 3) float64 in metres in the depth camera's optical frame; pixels without depth have
        no point.

        Raises
        ------
        InputError
            If the image or its calibration cannot be used.
        """
        values = decode_values(image)
        height, width = values.shape
        rectifier = self._rectifiers.open(info, (height, width))
        step = math.ceil(math.sqrt(values.size / MAX_POINTS))
        if rectifier.maps is None:
            sparse = values[::step, ::step]
        else:
            sparse = _looked_up(values, rectifier.maps[0][::step, ::step])
        check_metres(image.encoding, sparse)
        depth = sparse.astype(np.float32)
        if values.dtype == np.uint16:
            depth *= np.float32(1e-3)
        depth[~(depth > 0)] = np.nan
        intrinsics = np.diag([1 / step, 1 / step, 1.0]) @ rectifier.intrinsics
        points: Float32Array = unproject_depth(depth[None], intrinsics[None])[0]
        return points[np.isfinite(depth)].astype(np.float64)


def _looked_up(
    values: NDArray[np.generic], raw_of_rectified: NDArray[np.int16]
) -> NDArray[np.float32]:
    """Return the values at raw pixels (H, W, 2: column, row); NaN outside of the image."""
    height, width = values.shape
    columns, rows = np.moveaxis(raw_of_rectified, -1, 0)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    found = values[np.where(inside, rows, 0), np.where(inside, columns, 0)].astype(np.float32)
    return np.where(inside, found, np.float32(np.nan))


def cloud_points(message: Message) -> Float64Array:
    """
    Return the points of a sensor_msgs/PointCloud2, at most 20,000 of them evenly chosen.

    Returns
    -------
    (N, 3) float64 in metres in the cloud's frame; points that are not finite, or lie in the
    sensor itself as those without an echo do, are left out.

    Raises
    ------
    InputError
        If it has no x, y and z as floats, or size, steps and data contradict each other.
    """
    fields = {field.name: field for field in message.fields}
    if any(name not in fields or fields[name].datatype not in _FLOATS for name in 'xyz'):
        names = ', '.join(f'{quoted(f.name)} of type {f.datatype}' for f in message.fields[:8])
        raise InputError(
            f'A cloud needs fields x, y and z of 4 or 8 byte floats; this has {names or "none"}.'
        )
    order = '>' if message.is_bigendian else '<'
    formats = [order + _FLOATS[fields[name].datatype] for name in 'xyz']
    offsets = [int(fields[name].offset) for name in 'xyz']
    ends = [offset + int(kind[2:]) for offset, kind in zip(offsets, formats, strict=True)]
    row_bytes = message.width * message.point_step
    if (
        max(ends) > message.point_step
        or message.row_step < row_bytes
        or message.height * message.row_step != len(message.data)
    ):
        raise InputError(
            f'The cloud ({message.width}x{message.height} points, point_step '
            f'{message.point_step}, row_step {message.row_step}, {len(message.data)} bytes, x y z '
            f'end at {ends}) is not valid: a point must hold its fields, a row its points, and '
            f'height x row_step is the number of bytes.'
        )
    if not message.width * message.height:
        return np.zeros((0, 3))
    kind = np.dtype(
        {
            'names': list('xyz'),
            'formats': formats,
            'offsets': offsets,
            'itemsize': message.point_step,
        }
    )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.row_step)
    packed = np.ascontiguousarray(rows[:, :row_bytes]).reshape(-1).view(kind)
    packed = packed[:: max(1, -(-len(packed) // MAX_POINTS))]
    points = np.stack([packed[name].astype(np.float64) for name in 'xyz'], axis=1)
    return points[np.isfinite(points).all(axis=1) & points.any(axis=1)]
