"""How a camera sits beside another one, from matches and from a first guess, with deviations."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.geometry.rigid import rotation_from_vector
from moe3d_engine.geometry.rigid import vector_from_rotation
from moe3d_engine.types import Float64Array
import numpy as np

WIDTH_PX = 2.0  # of the weights: errors beyond it hardly count
_ITERATIONS = 12
_CONVERGED = 1e-6  # rad, and shares of the baseline


class Correction(NamedTuple):
    """
    What matches say of a given relative pose.

    Parameters
    ----------
    rotation_rad : (3,) rotation vector that the given rotation lacks, in the second camera.
    direction : (2,) what the given unit vector of the translation lacks, across itself.
    covariance : (5, 5) of both together.
    error_px : median distance of the matches from their epipolar lines that is left.
    """

    rotation_rad: Float64Array
    direction: Float64Array
    covariance: Float64Array
    error_px: float


def corrected_pose(
    first: Float64Array, second: Float64Array, second_from_first: Float64Array, focal_px: float
) -> Correction:
    """
    Return by how much a relative pose is off, as matches say.

    Parameters
    ----------
    first, second : (N, 2) places of the same points in two images, x / z and y / z of their rays.
    second_from_first : (4, 4) as it is given; its translation is not 0.
    focal_px : pixels per unit of the places.

    Notes
    -----
    Gauss-Newton on Sampson's distance with Geman-McClure's weights. The deviations come from the
    spread of what is left; a mistake that all matches share is not in them.
    """
    frame = _frame_along(second_from_first[:3, 3])
    rotation, across = second_from_first[:3, :3], np.zeros(2)
    rays = np.c_[first, np.ones(len(first))], np.c_[second, np.ones(len(second))]
    for step in range(_ITERATIONS):
        errors, rows = _linearize(*rays, rotation, frame, across, focal_px)
        width = max(WIDTH_PX, 3.0 * float(np.median(np.abs(errors))) * 0.5**step)
        weight = (width**2 / (width**2 + errors**2)) ** 2
        hessian = rows.T @ (weight[:, None] * rows) + 1e-9 * np.eye(5)
        change = -np.linalg.solve(hessian, rows.T @ (weight * errors))
        rotation, across = rotation_from_vector(change[:3]) @ rotation, across + change[3:]
        if width <= WIDTH_PX and float(np.abs(change).max()) < _CONVERGED:
            break
    errors, rows = _linearize(*rays, rotation, frame, across, focal_px)
    error_px = float(np.median(np.abs(errors)))
    inlying = rows[np.abs(errors) < max(WIDTH_PX, 3 * error_px)]
    spread_px = max(1.4826 * error_px, 0.05)
    information: Float64Array = inlying.T @ inlying + 1e-9 * np.eye(5)
    covariance = np.asarray(spread_px**2 * np.linalg.inv(information), np.float64)
    turned = vector_from_rotation(rotation @ second_from_first[:3, :3].T)
    return Correction(turned, across, covariance, error_px)


def _frame_along(vector: Float64Array) -> Float64Array:
    """Return the axes (3, 3) whose first column is a vector's direction."""
    direction = vector / np.linalg.norm(vector)
    left, _, _ = np.linalg.svd(direction[:, None])
    axes: Float64Array = np.c_[direction, left[:, 1:]]
    return axes


def _linearize(
    first: Float64Array,
    second: Float64Array,
    rotation: Float64Array,
    frame: Float64Array,
    across: Float64Array,
    focal_px: float,
) -> tuple[Float64Array, Float64Array]:
    """Return Sampson's distances (N,) in pixels and their derivatives (N, 5); rays (N, 3)."""
    direction = frame @ np.array([1.0, *across])
    length = float(np.linalg.norm(direction))
    direction = direction / length
    turned = first @ rotation.T
    normal = np.cross(second, direction)
    lines = np.cross(direction, turned)
    back = normal @ rotation
    size = np.sqrt((lines[:, :2] ** 2).sum(axis=1) + (back[:, :2] ** 2).sum(axis=1)) / focal_px
    by_turn = np.cross(turned, normal)
    by_direction = np.cross(turned, second) @ frame[:, 1:] / length
    rows = np.concatenate([by_turn, by_direction], axis=1) / size[:, None]
    return (second * lines).sum(axis=1) / size, rows
