"""From camera_info to undistorted images and the intrinsics that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
import logging
from typing import Any

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.errors import SizeMismatchError
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.intake.calibration import Calibration
from moe3d_engine.intake.calibration import check_calibration
from moe3d_engine.intake.calibration import MAX_COEFFICIENTS
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import Warn
from moe3d_engine.intake.messages import WarnOnce
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MAX_REMAPPED = 32_766  # pixels per axis that cv2.remap can address
_MIN_SEEN = 0.01  # share of the rectified image that the camera must have seen
_FEW_SEEN = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Rectifier:
    """
    Undistorts the images of one calibration.

    Parameters
    ----------
    intrinsics : (3, 3) float64, pixels of the rectified image.
    maps : what cv2.remap takes; None where images are rectified already.
    warnings : what is improbable in the calibration, with numbers.
    """

    intrinsics: Float64Array
    maps: tuple[Any, Any] | None
    warnings: tuple[str, ...] = ()

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


class Rectifiers:
    """
    The rectifier of a camera's images, opened anew where its calibration changes.

    Parameters
    ----------
    rectified : see open_rectifier.
    warn : told once of each calibration that is improbable.
    """

    def __init__(self, rectified: bool | None = None, warn: Warn = logger.warning) -> None:
        self._rectified = rectified
        self._warn = WarnOnce(warn)
        self._key: tuple[object, ...] = ()
        self._rectifier: Rectifier | None = None

    def open(self, info: Message, image_hw: tuple[int, int]) -> Rectifier:
        """
        Return the rectifier of a camera_info for images of size (H, W).

        Raises
        ------
        InputError
            As open_rectifier.
        """
        key = (image_hw, *calibration_key(info))
        if self._rectifier is None or key != self._key:
            self._rectifier = open_rectifier(info, image_hw, rectified=self._rectified)
            self._key = key
            if self._rectifier.warnings:
                self._warn(f'camera_info is improbable: {"; ".join(self._rectifier.warnings)}.')
        return self._rectifier


def calibration_key(info: Message) -> tuple[object, ...]:
    """Return what two camera_infos have in common if one rectifier serves both."""
    roi = info.roi
    return (
        info.height, info.width, info.distortion_model,
        len(info.d), tuple(islice(info.d, MAX_COEFFICIENTS)), tuple(info.k),
        tuple(info.r), tuple(info.p), info.binning_x, info.binning_y,
        roi.x_offset, roi.y_offset, roi.height, roi.width,
    )  # fmt: skip


def open_rectifier(
    info: Message, image_hw: tuple[int, int], *, rectified: bool | None = None
) -> Rectifier:
    """
    Return the rectifier of a camera_info for images of size (H, W).

    Parameters
    ----------
    info : of the raw and the rectified images of one camera, as drivers publish it.
    image_hw : (H, W) of the images.
    rectified : True = they are rectified: P belongs to them, D and R do not. False = they are
        raw. None = not known: raw, with a warning where that makes a difference though there is
        neither distortion nor rotation.

    Raises
    ------
    InputError
        If the camera is not calibrated, the camera_info holds what cannot be right, or it
        contradicts the image.
    """
    calibration = check_calibration(info)
    if calibration.image_hw != image_hw:
        binning = f' (binned by {info.binning_x}x{info.binning_y})' if info.binning_x > 1 else ''
        raise SizeMismatchError(
            f'camera_info is of images of {calibration.image_hw[1]}x{calibration.image_hw[0]}'
            f'{binning}, but the image has {image_hw[1]}x{image_hw[0]}. Calibrate at the '
            f'resolution in use, or let the driver scale its camera_info.'
        )
    if rectified:
        return _of_rectified(calibration)
    if calibration.raw is None:
        raise InputError(_without_k(calibration))
    return _of_raw(calibration, calibration.raw, is_declared=rectified is not None)


def _without_k(calibration: Calibration) -> str:
    """Return what is wrong with a camera_info whose K is zero."""
    if calibration.rectified is None:
        return (
            'camera_info has K = 0 (fx = 0, fy = 0): the camera is not calibrated. Calibrate it, '
            'or let its driver load the calibration.'
        )
    return (
        'camera_info has K = 0 (fx = 0, fy = 0) but a P: raw images are not calibrated, rectified '
        'ones are. If these are rectified, set input.rectified to true.'
    )


def _of_rectified(calibration: Calibration) -> Rectifier:
    """Return the rectifier of images that are rectified already."""
    intrinsics = calibration.rectified
    if intrinsics is None and not calibration.distortion.size and not calibration.is_rotated():
        intrinsics = calibration.raw
    if intrinsics is None:
        raise InputError(
            'camera_info has P = 0, so the focal length of its rectified images is not known. Let '
            'the driver publish P, or use the raw images.'
        )
    return Rectifier(intrinsics, None, calibration.warnings)


def _of_raw(calibration: Calibration, raw: Float64Array, *, is_declared: bool) -> Rectifier:
    """Return the rectifier of raw images."""
    intrinsics = raw if calibration.rectified is None else calibration.rectified
    is_plain = not calibration.distortion.size and not calibration.is_rotated()
    if is_plain and np.array_equal(intrinsics, raw):
        return Rectifier(intrinsics, None, calibration.warnings)
    if max(calibration.image_hw) > MAX_REMAPPED:
        raise InputError(
            f'Images of {calibration.image_hw[1]}x{calibration.image_hw[0]} cannot be rectified: '
            f'{MAX_REMAPPED} pixels per axis are the most. Bin or cut them.'
        )
    maps = _undistortion(calibration, raw, intrinsics)
    warnings = [*calibration.warnings, *_about_maps(maps, calibration.image_hw)]
    if is_plain and not is_declared:
        warnings.append(
            f'P (fx = {intrinsics[0, 0]:g}) differs from K (fx = {raw[0, 0]:g}), though there is '
            f'neither distortion nor rotation: the images are taken for raw (if they are '
            f'rectified, set input.rectified to true)'
        )
    return Rectifier(intrinsics, maps, tuple(warnings))


def _undistortion(
    calibration: Calibration, raw: Float64Array, intrinsics: Float64Array
) -> tuple[Any, Any]:
    """Return the maps from rectified to raw pixels."""
    size_wh = calibration.image_hw[::-1]
    distortion = calibration.distortion if calibration.distortion.size else np.zeros(5)
    arguments = raw, distortion, calibration.rotation, intrinsics, size_wh, cv2.CV_16SC2
    if calibration.distortion.size and calibration.model == 'equidistant':
        return cv2.fisheye.initUndistortRectifyMap(*arguments)
    return cv2.initUndistortRectifyMap(*arguments)


def _about_maps(maps: tuple[Any, Any], image_hw: tuple[int, int]) -> list[str]:
    """
    Return what is improbable in the maps from rectified to raw pixels.

    Raises
    ------
    InputError
        If nothing of the rectified image has been seen.
    """
    columns, rows = np.moveaxis(maps[0], -1, 0)
    inside = (columns >= 0) & (columns < image_hw[1]) & (rows >= 0) & (rows < image_hw[0])
    share = float(inside.mean())
    if share < _MIN_SEEN:
        raise InputError(
            f'camera_info contradicts itself: by its K, D, R and P the camera has seen '
            f'{share:.1%} of the rectified image. Calibrate it anew.'
        )
    if share < _FEW_SEEN:
        return [f'by K, D, R and P the camera has seen {share:.0%} of the rectified image only']
    return []
