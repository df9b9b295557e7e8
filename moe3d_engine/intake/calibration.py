"""
The one check of a camera_info: what cannot be right is refused, what is improbable is told.

REP 104 and sensor_msgs/CameraInfo say what the fields mean: K is of the raw image, P of the
rectified one, both in pixels of the full sensor; nine zeros stand for what is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import crop_intrinsics
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.intake.improbable import doubts_about
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import quoted
from moe3d_engine.types import Float64Array
import numpy as np

# Distortion model -> numbers of coefficients that OpenCV takes; zeros fill what is missing.
_MODELS = {'plumb_bob': (5,), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}
_LEAST_COEFFICIENTS = 4
MAX_COEFFICIENTS = 32  # of which those beyond a model's are zero
_MAX_COEFFICIENT = 1e6

# R comes from text files with four digits and more.
ROTATION_TOLERANCE = 1e-3
_EXACT = 1e-6  # of what is 0 or 1 by definition, and of an R that turns nothing
_MAX_SKEW = 1e-2  # of the focal length
_FOCAL_RANGE = 1e-2, 1e6  # of the image's width or height: 178.9 degrees, 0.2 arc seconds
_MAX_CENTRE = 100.0  # of the image's width or height, to either side


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """
    A camera_info that holds nothing impossible.

    Parameters
    ----------
    image_hw : (H, W) of its images, cut and binned.
    raw : (3, 3), K in pixels of these images; None = not known.
    rectified : (3, 3), P in pixels of these images once they are rectified; None = not known.
    rotation : (3, 3), R.
    model : distortion model.
    distortion : (N,) as OpenCV takes them; (0,) = none.
    warnings : what is improbable, with numbers.
    """

    image_hw: tuple[int, int]
    raw: Float64Array | None
    rectified: Float64Array | None
    rotation: Float64Array
    model: str
    distortion: Float64Array
    warnings: tuple[str, ...]

    def is_rotated(self) -> bool:
        """Return whether R turns anything."""
        return not np.allclose(self.rotation, np.eye(3), atol=_EXACT)


def is_calibrated(info: Message) -> bool:
    """Return whether a camera_info says anything of its camera (REP 104: else K is zero)."""
    return bool(np.any(info.k) or np.any(info.p))


def image_hw_of(info: Message) -> tuple[int, int]:
    """
    Return (H, W) of the images of a camera_info: cut to its ROI, then binned.

    Raises
    ------
    InputError
        If it has no size, or its ROI does not lie on the sensor.
    """
    if not info.height or not info.width:
        raise InputError(
            f'camera_info is of images of {info.width}x{info.height}: its driver has not filled '
            f'it in. Calibrate the camera, or let its driver load the calibration.'
        )
    roi = info.roi
    has_size = bool(roi.width), bool(roi.height)
    fits = roi.x_offset + roi.width <= info.width and roi.y_offset + roi.height <= info.height
    if has_size[0] != has_size[1] or not fits or (not all(has_size) and _has_offset(info)):
        raise InputError(
            f'camera_info has a roi of {roi.width}x{roi.height} at ({roi.x_offset}, '
            f'{roi.y_offset}), which is no part of its {info.width}x{info.height} pixels. Four '
            f'zeros stand for all of them.'
        )
    height = (roi.height or info.height) // max(1, info.binning_y)
    width = (roi.width or info.width) // max(1, info.binning_x)
    return height, width


def check_calibration(info: Message) -> Calibration:
    """
    Return what a camera_info says, once all of it was looked at.

    Raises
    ------
    InputError
        If a size, matrix or coefficient cannot be right; the message names it and its value.
    """
    image_hw = image_hw_of(info)
    full_hw = info.height, info.width
    raw = _intrinsics(np.reshape(info.k, (3, 3)).astype(np.float64), 'K', full_hw)
    projection = np.reshape(info.p, (3, 4)).astype(np.float64)
    if not np.isfinite(projection).all():
        raise _refused('P', projection, 'twelve finite numbers')
    rectified = _intrinsics(projection[:, :3], 'P', full_hw)
    rotation = _rotation(np.reshape(info.r, (3, 3)).astype(np.float64))
    model, distortion = _distortion(info)
    return Calibration(
        image_hw,
        None if raw is None else _of_image(raw, info),
        None if rectified is None else _of_image(rectified, info),
        rotation,
        model,
        distortion,
        doubts_about(raw, rectified, rotation, full_hw),
    )


def _has_offset(info: Message) -> bool:
    """Return whether an ROI begins elsewhere than the image."""
    return bool(info.roi.x_offset or info.roi.y_offset)


def _refused(name: str, matrix: Float64Array, expected: str) -> InputError:
    """Return an error that names a matrix with its values."""
    values = ', '.join(f'{value:g}' for value in matrix.ravel())
    return InputError(
        f'camera_info has {name} = [{values}]; expected {expected}. Calibrate the camera, or let '
        f'its driver load the calibration.'
    )


def _intrinsics(matrix: Float64Array, name: str, full_hw: tuple[int, int]) -> Float64Array | None:
    """Return the intrinsics in K or P without their skew; None where all of them are zero."""
    if not matrix[:2].any():
        return None
    (focal_x, skew, centre_x), (below, focal_y, centre_y) = matrix[:2]
    size = np.array(full_hw[::-1], np.float64)
    focal, centre = np.array([focal_x, focal_y]), np.array([centre_x, centre_y])
    least, most = _FOCAL_RANGE
    if not np.isfinite(matrix).all():
        raise _refused(name, matrix, 'finite numbers')
    if not ((focal >= least * size) & (focal <= most * size)).all():
        raise _refused(
            name, matrix, f'focal lengths that images of {full_hw[1]}x{full_hw[0]} pixels can have'
        )
    if (np.abs(centre) > _MAX_CENTRE * size).any():
        raise _refused(name, matrix, 'a principal point near the image')
    if abs(below) > _EXACT * focal_y or abs(skew) > _MAX_SKEW * focal_x:
        raise _refused(name, matrix, 'rows of (fx, 0, cx), (0, fy, cy), (0, 0, 1)')
    if not np.allclose(matrix[2], [0, 0, 1], atol=_EXACT):
        raise _refused(name, matrix, '(0, 0, 1) as the last row')
    return np.array([[focal_x, 0, centre_x], [0, focal_y, centre_y], [0, 0, 1]])


def _rotation(matrix: Float64Array) -> Float64Array:
    """Return R, the identity where it is not given."""
    if not matrix.any():
        return np.eye(3)
    expected = (
        f'orthonormal rows and the determinant +1 within {ROTATION_TOLERANCE:g}, the identity for '
        f'a single camera, or nine zeros'
    )
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 2:
        raise _refused('R', matrix, expected)
    is_orthonormal = np.allclose(matrix @ matrix.T, np.eye(3), rtol=0, atol=ROTATION_TOLERANCE)
    if not is_orthonormal or np.linalg.det(matrix) < 0:
        raise _refused('R', matrix, expected)
    if matrix[2, 2] <= 0:
        raise _refused('R', matrix, 'a rectified camera that looks where the raw one looks')
    return matrix


def _distortion(info: Message) -> tuple[str, Float64Array]:
    """Return the distortion model and its coefficients; zeros at their end mean nothing."""
    if len(info.d) > MAX_COEFFICIENTS:
        raise InputError(
            f'camera_info has {len(info.d)} distortion coefficients in D; no model has more than '
            f'{max(map(max, _MODELS.values()))}.'
        )
    given = np.asarray(info.d, np.float64)
    if not (np.abs(given) <= _MAX_COEFFICIENT).all():
        raise _refused('D', given, f'finite coefficients up to {_MAX_COEFFICIENT:g}')
    model = info.distortion_model
    if not given.any():
        return model, np.zeros(0)
    used = np.trim_zeros(given, 'b')
    lengths = _MODELS.get(model, ())
    length = next((n for n in lengths if n >= len(used)), None)
    if length is None or len(given) < _LEAST_COEFFICIENTS:
        known = ', '.join(f'{name} (up to {sizes[-1]})' for name, sizes in _MODELS.items())
        raise InputError(
            f'camera_info has the distortion model {quoted(model)} with D of {len(given)} '
            f'coefficients, {len(used)} of them up to the last that is not zero; known are '
            f'{known}, with {_LEAST_COEFFICIENTS} at least.'
        )
    return model, np.pad(used, (0, length - len(used)))


def _of_image(intrinsics: Float64Array, info: Message) -> Float64Array:
    """Return intrinsics of the sensor in pixels of the cut and binned image."""
    cut = crop_intrinsics(intrinsics, info.roi.x_offset, info.roi.y_offset)
    return scale_intrinsics(cut, 1 / max(1, info.binning_x), 1 / max(1, info.binning_y))
