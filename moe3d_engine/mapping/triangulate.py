"""Points from rays."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray


def rays_in_map(
    cam_from_map: Float64Array,
    intrinsics: Float64Array,
    camera: NDArray[np.int64],
    pixels: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """
    Return the centres (M, 3) and unit directions (M, 3) of the rays through pixels.

    Parameters
    ----------
    cam_from_map : (C, 4, 4).
    intrinsics : (C, 3, 3).
    camera : (M,) whose pixel it is.
    pixels : (M, 2).
    """
    map_from_cam = invert_rigid(cam_from_map)
    inverse = np.linalg.inv(intrinsics)
    turn = (map_from_cam[:, :3, :3] @ inverse)[camera]
    rays = np.einsum('mij,mj->mi', turn, np.c_[pixels, np.ones(len(pixels))])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return map_from_cam[camera, :3, 3], rays


def nearest_to_rays(
    centers: Float64Array, rays: Float64Array, point: NDArray[np.int64], count: int
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """
    Return the points nearest to their rays, and what says how surely they are known.

    Parameters
    ----------
    centers, rays : (M, 3).
    point : (M,) to which point a ray belongs.

    Returns
    -------
    places : (count, 3), least squares of the distances to the rays.
    angle : (count,) in rad, the widest from the first ray; 0 for a point with one ray.
    first : (count, 3) the first ray.
    """
    normal = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    matrix = np.zeros((count, 3, 3))
    right = np.zeros((count, 3))
    np.add.at(matrix, point, normal)
    np.add.at(right, point, np.einsum('mij,mj->mi', normal, centers))
    solved = np.linalg.solve(matrix + 1e-9 * np.eye(3), right[..., None])
    places = np.asarray(solved[..., 0], np.float64)
    first = np.zeros((count, 3))
    first[point[::-1]] = rays[::-1]  # the first sighting is written last
    cosine = np.clip(np.sum(first[point] * rays, axis=1), -1.0, 1.0)
    angle = np.zeros(count)
    np.maximum.at(angle, point, np.arccos(cosine))
    return places, angle, first
