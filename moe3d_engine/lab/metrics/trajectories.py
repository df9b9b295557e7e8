"""Tracked poses against the truth: errors in their own frame, scale, honest covariances."""

from __future__ import annotations

from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.rigid import vector_from_rotation
from moe3d_engine.types import Float64Array
import numpy as np

# Quantiles of the chi-square with the 6 degrees of freedom of a pose.
NEES_BAND = (1.2373, 14.4494)  # 2.5 % and 97.5 %: outside, a covariance is too large or too small
NEES_BOUND = 12.5916  # 95 %: above, it is too small
SCALE_WINDOW_M = 1.0  # way over which the scale of a trajectory is measured


def path_length(poses: Float64Array) -> float:
    """Return the length of the way through poses (N, 4, 4), in their unit."""
    return float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum())


def truth_in_odom(odom_from_cam: Float64Array, world_from_cam: Float64Array) -> Float64Array:
    """
    Return true poses in the frame of tracked ones: the first pose of both is the same.

    Parameters
    ----------
    odom_from_cam : (N, 4, 4) tracked.
    world_from_cam : (N, 4, 4) true, in a world of their own.

    Returns
    -------
    (N, 4, 4), true odom_from_cam.

    Raises
    ------
    ShapeError
        If the shapes differ or there is no pose.
    """
    _check_poses(odom_from_cam, world_from_cam)
    odom_from_world: Float64Array = odom_from_cam[0] @ invert_rigid(world_from_cam[0])
    true_odom_from_cam: Float64Array = odom_from_world @ world_from_cam
    return true_odom_from_cam


def pose_errors(odom_from_cam: Float64Array, true_odom_from_cam: Float64Array) -> Float64Array:
    """
    Return what a covariance of odom_from_cam is about.

    Parameters
    ----------
    odom_from_cam, true_odom_from_cam : (N, 4, 4), in one frame; nothing is aligned.

    Returns
    -------
    (N, 6): translation along the axes of odom, in the unit of the poses, then the rotation vector
    about them in rad, both from the true pose to the tracked one.

    Raises
    ------
    ShapeError
        If the shapes differ or there is no pose.
    """
    _check_poses(odom_from_cam, true_odom_from_cam)
    translation = odom_from_cam[:, :3, 3] - true_odom_from_cam[:, :3, 3]
    rotation = odom_from_cam[:, :3, :3] @ np.swapaxes(true_odom_from_cam[:, :3, :3], 1, 2)
    return np.hstack([translation, vector_from_rotation(rotation)])


def normalized_errors(errors: Float64Array, covariance: Float64Array) -> Float64Array:
    """
    Return the normalised estimation error squared (NEES), e^T C^-1 e, of each pose.

    Where covariances are honest it follows the chi-square of as many degrees of freedom as an
    error has numbers, so its mean is that number.

    Parameters
    ----------
    errors : (N, D), see `pose_errors`.
    covariance : (N, D, D) of these errors, positive definite.

    Raises
    ------
    ShapeError
        If the shapes do not belong together, or a covariance is not positive definite.

    Notes
    -----
    Source: Bar-Shalom, Li and Kirubarajan 2001, section 5.4.2.
    """
    if covariance.shape != (*errors.shape, errors.shape[-1]):
        raise ShapeError(
            f'Errors of shape {errors.shape} need covariances of shape '
            f'{(*errors.shape, errors.shape[-1])}; got {covariance.shape}.'
        )
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise ShapeError(
            'A covariance is not positive definite: it claims to know a direction exactly, or is '
            'no covariance.'
        ) from error
    whitened = np.linalg.solve(factor, errors[..., None])[..., 0]
    nees: Float64Array = np.sum(whitened**2, axis=-1)
    return nees


def local_scales(
    odom_from_cam: Float64Array,
    world_from_cam: Float64Array,
    window_m: float = SCALE_WINDOW_M,
) -> Float64Array:
    """
    Return the scale of a trajectory over time: the tracked length per true length.

    Each pose looks back over the last poses of a true way of `window_m`. Their displacements from
    the window's first camera, in that camera's frame, are compared by least squares, so nothing
    is aligned and noise does not lengthen the way.

    Parameters
    ----------
    odom_from_cam : (N, 4, 4) tracked.
    world_from_cam : (N, 4, 4) true, metres.
    window_m : metres of true way.

    Returns
    -------
    (N,), NaN until the camera has gone so far; 1 where the scale is right.

    Raises
    ------
    ShapeError
        If the shapes differ or there is no pose.
    """
    _check_poses(odom_from_cam, world_from_cam)
    steps = np.linalg.norm(np.diff(world_from_cam[:, :3, 3], axis=0), axis=1)
    way_m = np.concatenate([[0.0], np.cumsum(steps)])
    scales = np.full(len(way_m), np.nan)
    for last in np.flatnonzero(way_m >= window_m):
        first = int(np.searchsorted(way_m, way_m[last] - window_m, side='right')) - 1
        window = slice(max(first, 0), last + 1)
        tracked, true = (_displacements(p[window]) for p in (odom_from_cam, world_from_cam))
        scales[last] = np.sum(tracked * true) / np.sum(true**2)
    return scales


def _displacements(poses: Float64Array) -> Float64Array:
    """Return where cameras (N, 4, 4) stand in the frame of the first one, (N, 3)."""
    return (poses[:, :3, 3] - poses[0, :3, 3]) @ poses[0, :3, :3]


def _check_poses(first: Float64Array, second: Float64Array) -> None:
    """Raise ShapeError unless both are (N, 4, 4) with N >= 1."""
    if (
        first.shape != second.shape
        or first.ndim != 3
        or first.shape[1:] != (4, 4)
        or not len(first)
    ):
        raise ShapeError(
            f'Tracked and true poses have one shape (N, 4, 4); got {first.shape} and '
            f'{second.shape}.'
        )
