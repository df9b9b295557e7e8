"""From camera_info to undistorted images and the intrinsics that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import crop_intrinsics
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.intake.messages import Message
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray

# Distortion model -> numbers of coefficients that it may have (REP 104, OpenCV).
_MODELS = {'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}
_TOLERANCE = 1e-6  # of a rotation matrix


@dataclass(frozen=True, slots=True, eq=False)
class Rectifier:
    """
    Undistorts the images of one calibration.

    Parameters
    ----------
    intrinsics : (3, 3) float64, pixels of the rectified image.
    maps : what cv2.remap takes; None where images are rectified already.
    """

    intrinsics: Float64Array
    maps: tuple[Any, Any] | None

    def rectify(self, image: UInt8Array) -> UInt8Array:
        """Return the rectified image; black where the camera has not seen anything."""
        if self.maps is None:
            return image
        return np.asarray(cv2.remap(image, *self.maps, cv2.INTER_LINEAR), np.uint8)

    def seen(self, image_hw: tuple[int, int], input_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which pixels of an image fitted to the network the camera has seen."""
        white = self.rectify(np.full((*image_hw, 3), 255, np.uint8))
        seen: NDArray[np.bool_] = fit_view(View(white), input_hw).image[..., 0] == 255
        return seen


def calibration_key(info: Message) -> tuple[object, ...]:
    """Return what two camera_infos have in common if one rectifier serves both."""
    roi = info.roi
    return (
        info.height, info.width, info.distortion_model, tuple(info.d), tuple(info.k),
        tuple(info.r), tuple(info.p), info.binning_x, info.binning_y,
        roi.x_offset, roi.y_offset, roi.height, roi.width,
    )  # fmt: skip


def open_rectifier(info: Message, image_hw: tuple[int, int]) -> Rectifier:
    """
    Return the rectifier of a camera_info for images of size (H, W).

    Raises
    ------
    InputError
        If the camera is not calibrated, or the camera_info contradicts itself or the image.
    """
    _check_size(info, image_hw)
    raw_intrinsics = _of_image(np.reshape(info.k, (3, 3)), info)
    if raw_intrinsics is None:
        raise InputError(
            f'camera_info has no usable K (fx = {info.k[0]:g}, fy = {info.k[4]:g}): the camera '
            f'is not calibrated. Calibrate it, or let its driver load the calibration.'
        )
    projection = np.reshape(info.p, (3, 4))[:, :3]
    intrinsics = _of_image(projection, info)
    if intrinsics is None:
        intrinsics = raw_intrinsics
    distortion = np.asarray(info.d, np.float64)
    if not np.isfinite(distortion).all():
        raise InputError('camera_info has distortion coefficients that are not finite.')
    rotation = np.asarray(info.r, np.float64).reshape(3, 3)
    if not rotation.any():
        rotation = np.eye(3)
    is_rotated = not np.allclose(rotation, np.eye(3), atol=_TOLERANCE)
    if not distortion.any() and not is_rotated and np.array_equal(intrinsics, raw_intrinsics):
        return Rectifier(intrinsics, None)
    size_wh = image_hw[::-1]
    maps = _undistortion(info, raw_intrinsics, distortion, rotation, intrinsics, size_wh)
    return Rectifier(intrinsics, maps)


def _check_size(info: Message, image_hw: tuple[int, int]) -> None:
    """Raise InputError unless the camera_info is of images of this size."""
    height = (info.roi.height or info.height) // max(1, info.binning_y)
    width = (info.roi.width or info.width) // max(1, info.binning_x)
    if (height, width) != image_hw:
        raise InputError(
            f'camera_info is of images of {width}x{height}, but the image has '
            f'{image_hw[1]}x{image_hw[0]}. Calibrate at the resolution in use, or let the driver '
            f'scale its camera_info.'
        )


def _of_image(matrix: Float64Array, info: Message) -> Float64Array | None:
    """Return a 3x3 of K or P in pixels of the cut and binned image; None if it is not valid."""
    focal = matrix[0, 0], matrix[1, 1]
    if not np.isfinite(matrix).all() or min(focal) <= 0.0:
        return None
    intrinsics = np.array([[focal[0], 0, matrix[0, 2]], [0, focal[1], matrix[1, 2]], [0, 0, 1]])
    cut = crop_intrinsics(intrinsics, info.roi.x_offset, info.roi.y_offset)
    return scale_intrinsics(cut, 1 / max(1, info.binning_x), 1 / max(1, info.binning_y))


def _undistortion(
    info: Message,
    raw_intrinsics: Float64Array,
    distortion: Float64Array,
    rotation: Float64Array,
    intrinsics: Float64Array,
    size_wh: tuple[int, int],
) -> tuple[Any, Any]:
    """Return the maps from rectified to raw pixels."""
    arguments = (rotation, intrinsics, size_wh, cv2.CV_16SC2)
    if not distortion.any():
        return cv2.initUndistortRectifyMap(raw_intrinsics, np.zeros(5), *arguments)
    lengths = _MODELS.get(info.distortion_model)
    if lengths is None or len(distortion) not in lengths:
        known = ', '.join(f'{name} {sizes}' for name, sizes in _MODELS.items())
        raise InputError(
            f'camera_info has the distortion model {info.distortion_model!r} with '
            f'{len(distortion)} coefficients; known are {known}.'
        )
    if info.distortion_model == 'equidistant':
        return cv2.fisheye.initUndistortRectifyMap(raw_intrinsics, distortion, *arguments)
    return cv2.initUndistortRectifyMap(raw_intrinsics, distortion, *arguments)
