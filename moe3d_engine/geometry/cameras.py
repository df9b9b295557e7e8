"""
Intrinsics, rigid transforms and VGGT's pose encoding; the conventions of the package live here.

* Axes: OpenCV, which is ROS's optical frame (REP 103): x right, y down, z forward.
* Pixel centres lie at integer coordinates: the top left pixel's centre is (0, 0) and an image of
  width W covers u in [-0.5, W - 0.5]. So `u = fx * x / z + cx`, without a half.
* `K`/`intrinsics` is 3x3, in pixels of the array that it accompanies, with zero skew.
* A matrix is named by its two frames: `x_a = a_from_b @ x_b`.
* Depth is along the optical z axis, not along the ray.
"""

from __future__ import annotations

from collections.abc import Sequence

from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import ArrayLike


def scale_intrinsics(intrinsics: Float64Array, scale_x: float, scale_y: float) -> Float64Array:
    """
    Return the intrinsics of an image resized by `scale_x`, `scale_y`.

    Parameters
    ----------
    intrinsics : (..., 3, 3) in pixels of the image before.
    scale_x, scale_y : new size over old size, per axis.

    Notes
    -----
    Resizing keeps the image's corners, which lie half a pixel outside the first centres, hence
    cx' = (cx + 0.5) * scale_x - 0.5.
    """
    scaled = np.array(intrinsics, np.float64)
    scaled[..., 0, :] *= scale_x
    scaled[..., 1, :] *= scale_y
    scaled[..., 0, 2] += 0.5 * scale_x - 0.5
    scaled[..., 1, 2] += 0.5 * scale_y - 0.5
    return scaled


def crop_intrinsics(intrinsics: Float64Array, left: float, top: float) -> Float64Array:
    """Return the intrinsics of an image whose first `left` columns and `top` rows were cut."""
    cropped = np.array(intrinsics, np.float64)
    cropped[..., 0, 2] -= left
    cropped[..., 1, 2] -= top
    return cropped


def strided_intrinsics(intrinsics: Float64Array, stride: int) -> Float64Array:
    """Return the intrinsics of every n-th row and column of an image, from the first on."""
    strided = np.array(intrinsics, np.float64)
    strided[..., :2, :] /= stride
    return strided


def intrinsics_from_fov(
    fov_h: ArrayLike, fov_w: ArrayLike, image_hw: tuple[int, int]
) -> Float64Array:
    """
    Return the intrinsics of cameras given by their fields of view.

    Parameters
    ----------
    fov_h, fov_w : (...) full vertical and horizontal field of view in rad.
    image_hw : (H, W) of the image that the field of view spans.

    Returns
    -------
    (..., 3, 3) float64.

    Raises
    ------
    ShapeError
        If a field of view is not between 0 and pi.

    Notes
    -----
    VGGT: fy = (H / 2) / tan(fov_h / 2), principal point in the middle of the image. VGGT writes
    the middle as (W / 2, H / 2), counted from the image's corner; with pixel centres at integers
    the same place is ((W - 1) / 2, (H - 1) / 2).
    """
    fov_h = np.asarray(fov_h, np.float64)
    fov_w = np.asarray(fov_w, np.float64)
    for fov in (fov_h, fov_w):
        if not ((fov > 0.0) & (fov < np.pi)).all():
            raise ShapeError(
                f'A field of view lies between 0 and pi rad; got {np.ravel(fov).tolist()}. '
                f'Give the camera its own intrinsics.'
            )
    height, width = image_hw
    intrinsics = np.zeros((*fov_h.shape, 3, 3))
    intrinsics[..., 0, 0] = width / 2 / np.tan(fov_w / 2)
    intrinsics[..., 1, 1] = height / 2 / np.tan(fov_h / 2)
    intrinsics[..., 0, 2] = (width - 1) / 2
    intrinsics[..., 1, 2] = (height - 1) / 2
    intrinsics[..., 2, 2] = 1.0
    return intrinsics


def intrinsics_of(
    known: Sequence[Float64Array | None], pose_encoding: Float32Array, image_hw: tuple[int, int]
) -> Float64Array:
    """
    Return each view's intrinsics: its own, or the network's where the camera is not calibrated.

    Parameters
    ----------
    known : V matrices (3, 3) in pixels of the network's input, or None.
    pose_encoding : (V, 9), of which fov_h, fov_w in rad are read where `known` is None.
    image_hw : (H, W) of the network's input.

    Returns
    -------
    (V, 3, 3) float64.

    Raises
    ------
    ShapeError
        If the network's field of view is needed and is no angle between 0 and pi.
    """
    return np.stack(
        [
            intrinsics_from_fov(encoding[7], encoding[8], image_hw) if own is None else own
            for own, encoding in zip(known, pose_encoding, strict=True)
        ]
    )


def fov_from_intrinsics(
    intrinsics: Float64Array, image_hw: tuple[int, int]
) -> tuple[Float64Array, Float64Array]:
    """Return (fov_h, fov_w) in rad of (..., 3, 3) intrinsics, as VGGT defines them."""
    height, width = image_hw
    fov_h = 2 * np.arctan(height / 2 / intrinsics[..., 1, 1])
    fov_w = 2 * np.arctan(width / 2 / intrinsics[..., 0, 0])
    return fov_h, fov_w


def invert_rigid(a_from_b: Float64Array) -> Float64Array:
    """Return b_from_a of (..., 4, 4) rigid transforms."""
    b_from_a = np.zeros_like(a_from_b)
    rotation = np.swapaxes(a_from_b[..., :3, :3], -1, -2)
    b_from_a[..., :3, :3] = rotation
    b_from_a[..., :3, 3] = -(rotation @ a_from_b[..., :3, 3:])[..., 0]
    b_from_a[..., 3, 3] = 1.0
    return b_from_a


def rotation_from_quaternion(quaternion: ArrayLike) -> Float64Array:
    """
    Return the rotation matrices of quaternions of any length but zero.

    Parameters
    ----------
    quaternion : (..., 4), in the order x, y, z, w.

    Raises
    ------
    ShapeError
        If a quaternion is zero or not finite.
    """
    quaternion = np.asarray(quaternion, np.float64)
    norm = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    if not (np.isfinite(norm) & (norm > 1e-12)).all():
        raise ShapeError(f'A rotation needs finite quaternions other than zero; got {quaternion}.')
    x, y, z, w = np.moveaxis(quaternion / norm, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_rotation(rotation: Float64Array) -> Float64Array:
    """
    Return the unit quaternions (..., 4) in the order x, y, z, w, with w >= 0.

    Parameters
    ----------
    rotation : (..., 3, 3) rotation matrices.

    Notes
    -----
    All products of two components follow from the matrix. The row of the largest component is
    the quaternion times that component, so dividing by its norm is stable (Shepperd 1978).
    """
    m = np.asarray(rotation, np.float64)
    plus, minus = m + np.swapaxes(m, -1, -2), m - np.swapaxes(m, -1, -2)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    xy, xz, yz = plus[..., 1, 0], plus[..., 2, 0], plus[..., 2, 1]
    wx, wy, wz = minus[..., 2, 1], minus[..., 0, 2], minus[..., 1, 0]
    products = [
        [1 + xx - yy - zz, xy, xz, wx],
        [xy, 1 - xx + yy - zz, yz, wy],
        [xz, yz, 1 - xx - yy + zz, wz],
        [wx, wy, wz, 1 + xx + yy + zz],
    ]
    table = np.stack([np.stack(row, axis=-1) for row in products], axis=-2)
    largest = np.argmax(np.diagonal(table, axis1=-2, axis2=-1), axis=-1)
    quaternion = np.take_along_axis(table, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    unit: Float64Array = np.where(quaternion[..., 3:] < 0, -quaternion, quaternion)
    return unit


def cam_from_world_from_pose_encoding(pose_encoding: ArrayLike) -> Float64Array:
    """
    Decode VGGT's pose encoding, with the first camera as the world.

    Parameters
    ----------
    pose_encoding : (V, 9): translation of cam_from_world, quaternion x, y, z, w (any length),
        fov_h, fov_w in rad.

    Returns
    -------
    (V, 4, 4) float64, in the encoding's unit; the first is exactly the identity.

    Raises
    ------
    ShapeError
        If the encoding is not (V, 9) or holds a zero quaternion.
    """
    encoding = np.asarray(pose_encoding, np.float64)
    if encoding.ndim != 2 or encoding.shape[1] != 9:
        raise ShapeError(f'A pose encoding has the shape (V, 9); got {encoding.shape}.')
    cam_from_net = np.zeros((len(encoding), 4, 4))
    cam_from_net[:, :3, :3] = rotation_from_quaternion(encoding[:, 3:7])
    cam_from_net[:, :3, 3] = encoding[:, :3]
    cam_from_net[:, 3, 3] = 1.0
    cam_from_world = cam_from_net @ invert_rigid(cam_from_net[0])
    cam_from_world[0] = np.eye(4)
    return cam_from_world


def pose_encoding_from_cameras(
    cam_from_world: Float64Array, intrinsics: Float64Array, image_hw: tuple[int, int]
) -> Float64Array:
    """
    Encode cameras as VGGT does: the inverse of the decoding, up to the principal point.

    Parameters
    ----------
    cam_from_world : (V, 4, 4), of any world; the first need not be the identity.
    intrinsics : (V, 3, 3) in pixels of an image of size `image_hw`.
    image_hw : (H, W).

    Returns
    -------
    (V, 9) float64: translation, quaternion x, y, z, w with w >= 0, fov_h, fov_w in rad.
    """
    fov_h, fov_w = fov_from_intrinsics(intrinsics, image_hw)
    quaternion = quaternion_from_rotation(cam_from_world[:, :3, :3])
    translation = cam_from_world[:, :3, 3]
    return np.concatenate([translation, quaternion, fov_h[:, None], fov_w[:, None]], axis=1)
