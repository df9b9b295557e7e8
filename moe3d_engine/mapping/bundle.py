"""Bundle adjustment of a few cameras and some hundred points: Levenberg-Marquardt in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

from moe3d_engine.geometry.rigid import adjoint
from moe3d_engine.geometry.rigid import motion_between
from moe3d_engine.geometry.rigid import moved
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

HUBER_PX = 1.0  # for corners that are followed
MIN_DEPTH = 1e-3  # in front of a camera; nearer points are left out of a step


class RelativeMotion(NamedTuple):
    """A measured motion between two cameras of a bundle, such as odometry's."""

    first: int
    second: int
    second_from_first: Float64Array  # (4, 4)
    information: Float64Array  # (6, 6), inverse covariance: translation, then rotation


@dataclass(slots=True, eq=False)
class Bundle:
    """
    Cameras, points and where the points were seen.

    Parameters
    ----------
    cam_from_map : (C, 4, 4).
    points : (P, 3) in the map's frame.
    camera, point : (M,) int, who sees what.
    pixels : (M, 2).
    intrinsics : (C, 3, 3).
    fixed : so many of the first cameras do not move.
    log_depth, log_depth_std : (M,) measured log of the depth along z and its deviation, NaN where
        it was not measured.
    motions : measured motions between cameras.
    keep_length : of the second camera's distance from the first one, where only that is fixed:
        it gives the unit.
    huber_px : error in the image beyond which a sighting pulls no harder.
    """

    cam_from_map: Float64Array
    points: Float64Array
    camera: NDArray[np.int64]
    point: NDArray[np.int64]
    pixels: Float64Array
    intrinsics: Float64Array
    fixed: int = 1
    log_depth: Float64Array | None = None
    log_depth_std: Float64Array | None = None
    motions: list[RelativeMotion] = field(default_factory=list)
    keep_length: bool = False
    huber_px: float = HUBER_PX


class _Linear(NamedTuple):
    """The normal equations at a state; cost is the robust one."""

    cost: float
    camera_hessian: Float64Array  # (6 C, 6 C)
    camera_gradient: Float64Array  # (6 C,)
    point_hessian: Float64Array  # (P, 3, 3)
    point_gradient: Float64Array  # (P, 3)
    coupling: Float64Array  # (P, 6 C, 3)


def reprojection(bundle: Bundle) -> Float64Array:
    """Return the error in pixels (M, 2) of each observation; Inf behind a camera."""
    points_cam = _in_cameras(bundle)
    errors = _project(bundle, points_cam) - bundle.pixels
    errors[points_cam[:, 2] < MIN_DEPTH] = np.inf
    return errors


def adjust(bundle: Bundle, iterations: int = 8, tolerance: float = 1e-4) -> float:
    """
    Move cameras and points of a bundle to where they explain the observations best.

    Parameters
    ----------
    bundle : changed in place.
    iterations : steps at most.
    tolerance : relative gain of the cost below which it ends.

    Returns
    -------
    The robust cost per observation, in pixels squared.

    Notes
    -----
    Huber's loss by reweighting; the points are eliminated by the Schur complement (Triggs et al.,
    Bundle adjustment - a modern synthesis, 2000). With few cameras it is one dense product.
    """
    damping, linear = 1e-4, _linearize(bundle)
    for _ in range(iterations):
        cameras, points = bundle.cam_from_map, bundle.points
        step_cameras, step_points = _solve(bundle, linear, damping)
        bundle.cam_from_map = moved(cameras, step_cameras)
        bundle.points = points + step_points
        trial = _linearize(bundle)
        if not trial.cost < linear.cost:
            bundle.cam_from_map, bundle.points = cameras, points
            damping *= 10.0
            if damping > 1e3:
                break
            continue
        gain, linear = 1.0 - trial.cost / max(linear.cost, 1e-12), trial
        damping = max(damping * 0.2, 1e-7)
        if gain < tolerance:
            break
    return linear.cost / max(len(bundle.pixels), 1)


def _in_cameras(bundle: Bundle) -> Float64Array:
    """Return the observed points (M, 3) in the frames of their cameras."""
    pose = bundle.cam_from_map[bundle.camera]
    turned: Float64Array = np.einsum('mij,mj->mi', pose[:, :3, :3], bundle.points[bundle.point])
    return turned + pose[:, :3, 3]


def _project(bundle: Bundle, points_cam: Float64Array) -> Float64Array:
    """Return the pixels (M, 2) of points in camera frames."""
    intrinsics = bundle.intrinsics[bundle.camera]
    depth = np.maximum(points_cam[:, 2:], MIN_DEPTH)
    focal = np.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], axis=1)
    return points_cam[:, :2] / depth * focal + intrinsics[:, :2, 2]


def _linearize(bundle: Bundle) -> _Linear:
    """Return the normal equations of all observations and measured motions."""
    num_cameras, num_points = len(bundle.cam_from_map), len(bundle.points)
    points_cam = _in_cameras(bundle)
    residual, by_point_cam, cost = _weighted_rows(bundle, points_cam)
    by_camera = np.concatenate([by_point_cam, _turned(by_point_cam, points_cam)], axis=2)
    by_point = by_point_cam @ bundle.cam_from_map[bundle.camera][:, :3, :3]

    hessian = np.zeros((6 * num_cameras, 6 * num_cameras))
    gradient = np.zeros(6 * num_cameras)
    for index in range(num_cameras):
        mine, block = bundle.camera == index, slice(6 * index, 6 * index + 6)
        rows = by_camera[mine].reshape(-1, 6)
        hessian[block, block] = rows.T @ rows
        gradient[block] = rows.T @ residual[mine].reshape(-1)
    products = np.einsum('mki,mkj->mij', by_point, by_point).reshape(-1, 9)
    point_hessian = _sum_by(bundle.point, products, num_points).reshape(-1, 3, 3)
    pulls = np.einsum('mki,mk->mi', by_point, residual)
    point_gradient = _sum_by(bundle.point, pulls, num_points)
    coupling = np.zeros((num_points, num_cameras, 6, 3))
    coupling[bundle.point, bundle.camera] = np.einsum('mki,mkj->mij', by_camera, by_point)
    cost += _add_motions(bundle, hessian, gradient)
    return _Linear(
        cost, hessian, gradient, point_hessian, point_gradient,
        coupling.reshape(num_points, 6 * num_cameras, 3),
    )  # fmt: skip


def _weighted_rows(
    bundle: Bundle, points_cam: Float64Array
) -> tuple[Float64Array, Float64Array, float]:
    """Return residuals (M, 3), their derivatives (M, 3, 3) by points in cameras, and the cost."""
    depth = np.maximum(points_cam[:, 2], MIN_DEPTH)
    intrinsics = bundle.intrinsics[bundle.camera]
    residual = np.zeros((len(depth), 3))
    jacobian = np.zeros((len(depth), 3, 3))
    residual[:, :2] = _project(bundle, points_cam) - bundle.pixels
    for axis in (0, 1):
        focal = intrinsics[:, axis, axis]
        jacobian[:, axis, axis] = focal / depth
        jacobian[:, axis, 2] = -focal * points_cam[:, axis] / depth**2
    error = np.linalg.norm(residual[:, :2], axis=1)
    soft_px = bundle.huber_px
    weight = np.where(error > soft_px, np.sqrt(soft_px / np.maximum(error, soft_px)), 1.0)
    in_front = points_cam[:, 2] >= MIN_DEPTH
    weight *= in_front
    cost = np.where(error > soft_px, soft_px * (2 * error - soft_px), error**2)
    cost = np.where(in_front, cost, 1e4)
    total = float(cost.sum())
    residual[:, :2] *= weight[:, None]
    jacobian[:, :2] *= weight[:, None, None]
    if bundle.log_depth is not None and bundle.log_depth_std is not None:
        measured = np.isfinite(bundle.log_depth) & in_front
        deviation = np.where(measured, bundle.log_depth_std, np.inf)
        expected = np.where(measured, bundle.log_depth, 0.0)
        normalized = (np.log(depth) - expected) / deviation
        error = np.abs(normalized)
        soft = np.where(error > 1.0, np.sqrt(1.0 / np.maximum(error, 1.0)), 1.0)
        residual[:, 2] = normalized * soft
        jacobian[:, 2, 2] = soft / deviation / depth
        total += float(np.where(error > 1.0, 2 * error - 1.0, error**2).sum())
    return residual, jacobian, total


def _turned(by_point_cam: Float64Array, points_cam: Float64Array) -> Float64Array:
    """Return derivatives (M, 3, 3) by the camera's rotation: d(w x p) = -[p]x dw."""
    return np.cross(points_cam[:, None, :], by_point_cam)


def _sum_by(index: NDArray[np.int64], values: Float64Array, count: int) -> Float64Array:
    """Return the sums (count, D) of the rows of `values` (M, D) by index."""
    return np.stack(
        [np.bincount(index, column, minlength=count) for column in values.T], axis=1
    ).astype(np.float64)


def _add_motions(bundle: Bundle, hessian: Float64Array, gradient: Float64Array) -> float:
    """Add the measured motions to the cameras' equations; return their cost."""
    cost = 0.0
    for motion in bundle.motions:
        first_from_map = bundle.cam_from_map[motion.first]
        expected = motion.second_from_first @ first_from_map
        error = motion_between(expected, bundle.cam_from_map[motion.second])
        by_second, by_first = np.eye(6), -adjoint(motion.second_from_first)
        blocks = {motion.first: by_first, motion.second: by_second}
        for one, by_one in blocks.items():
            rows = slice(6 * one, 6 * one + 6)
            gradient[rows] += by_one.T @ motion.information @ error
            for other, by_other in blocks.items():
                columns = slice(6 * other, 6 * other + 6)
                hessian[rows, columns] += by_one.T @ motion.information @ by_other
        cost += float(error @ motion.information @ error)
    return cost


def _length_direction(bundle: Bundle) -> Float64Array:
    """Return the unit step (6 C,) that moves the second camera along the line to the first one."""
    centers = [-pose[:3, :3].T @ pose[:3, 3] for pose in bundle.cam_from_map[:2]]
    direction = bundle.cam_from_map[1, :3, :3] @ (centers[1] - centers[0])
    step = np.zeros(6 * len(bundle.cam_from_map))
    step[6:9] = direction / max(float(np.linalg.norm(direction)), 1e-12)
    return step


def _solve(bundle: Bundle, linear: _Linear, damping: float) -> tuple[Float64Array, Float64Array]:
    """Return the steps (C, 6) of the cameras and (P, 3) of the points."""
    diagonal = np.einsum('pii->pi', linear.point_hessian)
    added = damping * diagonal + 1e-9 * np.maximum(diagonal.max(), 1.0)
    inverse = np.linalg.inv(linear.point_hessian + added[:, :, None] * np.eye(3))
    free = slice(6 * bundle.fixed, None)
    coupling = linear.coupling[:, free]
    weighted = coupling @ inverse  # (P, 6 F, 3)
    num_free = coupling.shape[1]
    flat = weighted.transpose(1, 0, 2).reshape(num_free, -1)
    schur = linear.camera_hessian[free, free].copy()
    schur[np.diag_indices(num_free)] += damping * np.diag(schur) + 1e-9
    schur -= flat @ coupling.transpose(1, 0, 2).reshape(num_free, -1).T
    right = linear.camera_gradient[free] - flat @ linear.point_gradient.reshape(-1)
    if bundle.keep_length:
        held = _length_direction(bundle)[free]
        others = np.eye(num_free) - np.outer(held, held)
        weight = float(np.mean(np.diag(schur)))
        schur = others @ schur @ others + weight * np.outer(held, held)
        right = others @ right
    step = np.zeros(linear.camera_gradient.shape)
    if num_free:
        step[free] = -np.linalg.lstsq(schur, right, rcond=None)[0]
    pulled = linear.point_gradient + np.einsum('pci,c->pi', linear.coupling, step)
    points = -np.einsum('pij,pj->pi', inverse, pulled)
    return step.reshape(-1, 6), points
