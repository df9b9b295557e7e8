"""What is possible in a calibration, but so rare that it is more likely a mistake."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import fov_from_intrinsics
from moe3d_engine.geometry.rigid import rotation_angle
from moe3d_engine.types import Float64Array
import numpy as np

FIELD_OF_VIEW_DEG = 3.0, 170.0
FOCAL_RATIO = 1.3
MAX_ROTATION_DEG = 30.0
_OTHER_SIZES = 0.25, 0.5, 2.0, 4.0  # of which images K may be by mistake
_CENTRE_TOLERANCE = 0.12  # relative: how far a principal point lies from the middle at most


def doubts_about(
    raw: Float64Array | None,
    rectified: Float64Array | None,
    rotation: Float64Array,
    full_hw: tuple[int, int],
) -> tuple[str, ...]:
    """
    Return what is improbable in a calibration, with numbers; one text for each doubt.

    Parameters
    ----------
    raw, rectified : (3, 3), of K and P in pixels of the full sensor; None = not given.
    rotation : (3, 3), R.
    full_hw : (H, W) of the full sensor.
    """
    doubts = [] if raw is None else _about_intrinsics(raw, 'K', full_hw)
    if rectified is not None and (raw is None or not np.array_equal(raw, rectified)):
        doubts += _about_intrinsics(rectified, 'P', full_hw)
    angle = np.degrees(rotation_angle(rotation))
    if angle > MAX_ROTATION_DEG:
        doubts.append(f'R turns by {angle:.0f} degrees to rectify')
    return tuple(doubts)


def _about_intrinsics(matrix: Float64Array, name: str, full_hw: tuple[int, int]) -> list[str]:
    """Return what is improbable in one matrix."""
    height, width = full_hw
    focal, centre = matrix[[0, 1], [0, 1]], matrix[:2, 2]
    doubts = []
    if focal.max() > FOCAL_RATIO * focal.min():
        doubts.append(
            f'{name} has fx = {focal[0]:g} and fy = {focal[1]:g}, though pixels are square'
        )
    fov_deg = np.degrees(fov_from_intrinsics(matrix, full_hw)[::-1])
    if fov_deg.min() < FIELD_OF_VIEW_DEG[0] or fov_deg.max() > FIELD_OF_VIEW_DEG[1]:
        doubts.append(f'{name} has a field of view of {fov_deg[0]:.3g} x {fov_deg[1]:.3g} degrees')
    place = f'the principal point at ({centre[0]:g}, {centre[1]:g}) of {width}x{height} pixels'
    other = _size_of_other_images(centre, full_hw)
    if other is not None:
        doubts.append(f'{name} has {place}, as if it were of images {other:g} times as large')
    elif not ((centre >= -0.5) & (centre <= [width - 0.5, height - 0.5])).all():
        doubts.append(f'{name} has {place}, outside the image')
    return doubts


def _size_of_other_images(centre: Float64Array, full_hw: tuple[int, int]) -> float | None:
    """Return how many times as large the images are in whose middle the principal point lies."""
    ratios = (centre + 0.5) * 2 / np.array(full_hw[::-1])
    for size in _OTHER_SIZES:
        if (np.abs(ratios / size - 1) < _CENTRE_TOLERANCE).all():
            return size
    return None
