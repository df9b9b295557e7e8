"""What the engine has reconstructed, as messages; arrays are copied once, never element-wise."""

from __future__ import annotations

import sys
from typing import Any

from builtin_interfaces.msg import Time
from moe3d_engine.geometry.cameras import strided_intrinsics
from moe3d_engine.geometry.output_view import OutputView
from moe3d_engine.geometry.points import best_in_voxels
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_ros.settings.cloud import CloudForm
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import Image
from sensor_msgs.msg import PointCloud2
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

CLOUD_FIELDS = ('x', 'y', 'z', 'rgb', 'confidence')  # float32 each; rgb is packed as 0x00rrggbb
_IS_BIG_ENDIAN = sys.byteorder == 'big'
_MAX_MM = np.iinfo(np.uint16).max


def fill_data(message: Image | PointCloud2, array: NDArray[Any]) -> None:
    """
    Copy an array's bytes into the `data` of a new message.

    The setter of `data` would copy twice, or walk over the elements where it is given an array of
    numpy: 400 ms instead of 0.5 for a 1080p depth image.
    """
    message.data.frombytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def to_stamp(nanoseconds: int) -> Time:
    """Return a time in nanoseconds as a message."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def to_image(header: Header, array: NDArray[Any], encoding: str) -> Image:
    """Return an (H, W[, C]) array as an image message."""
    height, width = array.shape[:2]
    message = Image(header=header, height=height, width=width, encoding=encoding)
    message.step = array.nbytes // height
    message.is_bigendian = int(_IS_BIG_ENDIAN)
    fill_data(message, array)
    return message


def to_depth_image(header: Header, depth_m: Float32Array, encoding: str) -> Image:
    """
    Return a depth map as an image message (REP 118).

    Parameters
    ----------
    depth_m : (H, W); NaN = unknown, +Inf = beyond range.
    encoding : `32FC1` = as it is; `16UC1` = millimetres, 0 where unknown, beyond range, or more
        than 65.535 m.
    """
    if encoding == '32FC1':
        return to_image(header, depth_m, encoding)
    with np.errstate(invalid='ignore'):
        depth_mm = np.rint(depth_m * np.float32(1e3))
        fits = (depth_mm >= 0) & (depth_mm <= _MAX_MM)  # False for NaN
        return to_image(header, np.where(fits, depth_mm, 0).astype(np.uint16), encoding)


def to_camera_info(
    header: Header, intrinsics: Float64Array, image_hw: tuple[int, int]
) -> CameraInfo:
    """Return the camera_info of rectified pixels: no distortion, no rotation."""
    message = CameraInfo(header=header, height=image_hw[0], width=image_hw[1])
    message.distortion_model = 'plumb_bob'
    message.d = []
    message.k = intrinsics.ravel().tolist()
    message.r = np.eye(3).ravel().tolist()
    message.p = np.hstack([intrinsics, np.zeros((3, 1))]).ravel().tolist()
    return message


def cloud_values(maps: OutputView, form: CloudForm) -> Float32Array:
    """
    Return the values of the points of a depth map, in the camera's optical frame.

    Parameters
    ----------
    maps : in metres; pixels whose depth is NaN or Inf have no point.
    form : which pixels become points, and how they lie.

    Returns
    -------
    (rows, columns, 5) float32, in the order of CLOUD_FIELDS; one row where not organised.
    """
    every = slice(None, None, form.stride)
    depth_m, image = maps.depth[every, every], maps.image[every, every]
    intrinsics = strided_intrinsics(maps.intrinsics, form.stride)
    points = np.empty((*depth_m.shape, len(CLOUD_FIELDS)), np.float32)
    points[..., :3] = unproject_depth(depth_m[None], intrinsics[None])[0]
    red, green, blue = np.moveaxis(image.astype(np.uint32), -1, 0)
    points.view(np.uint32)[..., 3] = red << 16 | green << 8 | blue
    points[..., 4] = maps.boundary_confidence[every, every]
    if form.organized:
        return points
    points = points[np.isfinite(depth_m)]
    if form.voxel_m > 0.0:
        points = points[best_in_voxels(points[:, :3], points[:, 4], form.voxel_m)]
    return points[None]


def colors_of(values: Float32Array) -> UInt8Array:
    """Return the (N, 3) RGB of points (N, 5) of `cloud_values`."""
    packed = np.ascontiguousarray(values[:, 3]).view(np.uint32)
    return np.stack([packed >> 16, packed >> 8, packed], axis=-1).astype(np.uint8)


def to_cloud(header: Header, maps: OutputView, form: CloudForm) -> PointCloud2:
    """Return the points of `cloud_values` as a message."""
    return to_cloud_message(header, cloud_values(maps, form), is_dense=not form.organized)


def to_cloud_message(header: Header, points: Float32Array, *, is_dense: bool) -> PointCloud2:
    """Return points (rows, columns, 5), as those of `cloud_values`, as a message."""
    message = PointCloud2(header=header, height=points.shape[0], width=points.shape[1])
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(CLOUD_FIELDS)
    ]
    message.is_bigendian = _IS_BIG_ENDIAN
    message.point_step = 4 * len(CLOUD_FIELDS)
    message.row_step = message.point_step * message.width
    message.is_dense = is_dense
    fill_data(message, points)
    return message
