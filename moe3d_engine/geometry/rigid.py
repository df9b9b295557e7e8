"""Small motions of rigid bodies: rotation vectors, and steps of an optimiser on SE(3)."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import quaternion_from_rotation
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import ArrayLike

_TINY = 1e-9  # rad; below it the series of sine and cosine end after their first terms


def cross_matrix(vector: ArrayLike) -> Float64Array:
    """Return the matrices (..., 3, 3) that multiply by (..., 3) vectors: `[v]x @ a = v x a`."""
    x, y, z = np.moveaxis(np.asarray(vector, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_angle(rotation: ArrayLike) -> Float64Array:
    """Return the angles (...) in rad by which rotations (..., 3, 3) turn, from 0 to pi."""
    trace = np.trace(np.asarray(rotation, np.float64), axis1=-2, axis2=-1)
    angle: Float64Array = np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0))
    return angle


def rotation_from_vector(vector: ArrayLike) -> Float64Array:
    """
    Return the rotations (..., 3, 3) about (..., 3) axes by their lengths in rad.

    Notes
    -----
    Rodrigues: R = I + sin(a) / a [v]x + (1 - cos(a)) / a^2 [v]x^2.
    """
    vector = np.asarray(vector, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    small = angle < _TINY
    safe = np.where(small, 1.0, angle)
    first = np.where(small, 1.0, np.sin(safe) / safe)
    second = np.where(small, 0.5, (1.0 - np.cos(safe)) / safe**2)
    cross = cross_matrix(vector)
    rotation: Float64Array = np.eye(3) + first * cross + second * (cross @ cross)
    return rotation


def vector_from_rotation(rotation: Float64Array) -> Float64Array:
    """Return the rotation vectors (..., 3) in rad, of at most pi, of (..., 3, 3) rotations."""
    quaternion = quaternion_from_rotation(rotation)
    imaginary, real = quaternion[..., :3], quaternion[..., 3:]
    length = np.linalg.norm(imaginary, axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(length, real)
    vector: Float64Array = imaginary * np.where(
        length < _TINY, 2.0, angle / np.where(length < _TINY, 1.0, length)
    )
    return vector


def moved(a_from_b: Float64Array, step: Float64Array) -> Float64Array:
    """
    Return (..., 4, 4) transforms after a small motion in frame a.

    Parameters
    ----------
    a_from_b : (..., 4, 4).
    step : (..., 6): translation, then rotation vector in rad; the rotation turns about a's origin.

    Notes
    -----
    The rotation is brought back to an orthonormal one (a step of Newton's iteration for the polar
    decomposition), for products with inverses by transposition let its error grow exponentially.
    """
    rotation = rotation_from_vector(step[..., 3:])
    result = np.array(a_from_b, np.float64)
    turned = rotation @ a_from_b[..., :3, :3]
    square = np.swapaxes(turned, -1, -2) @ turned
    result[..., :3, :3] = turned @ (1.5 * np.eye(3) - 0.5 * square)
    result[..., :3, 3] = (rotation @ a_from_b[..., :3, 3:])[..., 0] + step[..., :3]
    return result


def motion_between(a_from_b: Float64Array, a_from_c: Float64Array) -> Float64Array:
    """Return the (..., 6) step by which `moved(a_from_b, step)` becomes `a_from_c`."""
    rotation = a_from_c[..., :3, :3] @ np.swapaxes(a_from_b[..., :3, :3], -1, -2)
    translation = a_from_c[..., :3, 3] - (rotation @ a_from_b[..., :3, 3:])[..., 0]
    return np.concatenate([translation, vector_from_rotation(rotation)], axis=-1)


def adjoint(a_from_b: Float64Array) -> Float64Array:
    """
    Return the matrix (6, 6) that turns a motion in frame b into the same motion in frame a.

    Parameters
    ----------
    a_from_b : (4, 4); motions are translation first, then rotation, as in `moved`.
    """
    rotation = a_from_b[:3, :3]
    result = np.zeros((6, 6))
    result[:3, :3] = result[3:, 3:] = rotation
    result[:3, 3:] = cross_matrix(a_from_b[:3, 3]) @ rotation
    return result
