"""Predictions and ground truth on the pixels that a protocol judges."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.datasets.sequences.scenes import SceneImage
from moe3d_engine.sequences.sequence import reconstruct_windows
from moe3d_engine.session import Session
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray

CUBIC_A = -0.75  # the cubic filter of OpenCV
Weights = Callable[[Float64Array, int], Float64Array]


class Prediction(NamedTuple):
    """V reconstructed views at the network's resolution."""

    depth_raw: Float32Array  # (V, h, w)
    depth: Float32Array  # (V, h, w), NaN = rejected
    intrinsics: Float64Array  # (V, 3, 3), pixels of both, estimated by the network
    cam_from_world: Float64Array  # (V, 4, 4), the world is the first camera
    fitted_from_source: Float64Array  # (3, 3), from the images' pixels

    def points_world(self) -> Float32Array:
        """Return (V, h, w, 3), of all pixels."""
        points = unproject_depth(self.depth_raw, self.intrinsics)
        world_from_cam = invert_rigid(self.cam_from_world)
        moved = [transform_points(*pair) for pair in zip(world_from_cam, points, strict=True)]
        return np.stack(moved)


class PointMaps(NamedTuple):
    """Predicted and true points of the same pixels; NaN where there is none."""

    points: Float32Array  # (V, H, W, 3), the world is the first predicted camera
    points_gt: Float32Array  # (V, H, W, 3), the data set's world
    kept: NDArray[np.bool_]  # (V, H, W), pixels that the product publishes


def predict(session: Session, images: Sequence[UInt8Array]) -> Prediction:
    """
    Reconstruct (H, W, 3) images without telling the network their cameras.

    Images beyond the network's window are reconstructed in windows that share the first one.
    """
    views = [View(image) for image in images]
    spec = session.engine.spec
    results = list(reconstruct_windows(session, views, spec.max_views))
    return Prediction(
        np.concatenate([result.depth_raw for result in results]),
        np.concatenate([result.depth for result in results]),
        np.concatenate([result.intrinsics for result in results]),
        np.concatenate([result.cam_from_world[list(result.published)] for result in results]),
        fit_geometry(images[0].shape[:2], spec.input_hw).fitted_from_source,
    )


def true_points(image: SceneImage, limits_m: tuple[float, float]) -> Float32Array:
    """
    Return the (H, W, 3) points of a frame in the data set's world, NaN outside the limits.

    Raises
    ------
    InputError
        If the frame's camera is not known.
    """
    if image.intrinsics is None or image.world_from_cam is None:
        raise InputError('A frame that the protocol uses has no known pose.')
    known = (image.depth_m >= limits_m[0]) & (image.depth_m <= limits_m[1])
    depth_m = np.where(known, image.depth_m, np.float32(np.nan))
    points = unproject_depth(depth_m[None], image.intrinsics[None])[0]
    return transform_points(image.world_from_cam, points)


def reference_maps(
    prediction: Prediction,
    images: Sequence[SceneImage],
    size_hw: tuple[int, int],
    limits_m: tuple[float, float],
) -> PointMaps:
    """
    Return point maps as the reference codes make them: predictions resized to the true maps.

    Predicted points are interpolated (bilinear, with antialias), which makes points between
    surfaces; true depth is sampled as OpenCV's nearest neighbour, and its focal lengths are
    scaled by the larger of the two ratios.
    """
    source_hw = images[0].depth_m.shape
    ratio = max(size_hw[0] / source_hw[0], size_hw[1] / source_hw[1])
    truth = []
    for image in images:
        size = size_hw[::-1]
        nearest = cv2.resize(image.depth_m, size, interpolation=cv2.INTER_NEAREST)
        depth_m = np.asarray(nearest, np.float32)
        assert image.intrinsics is not None
        intrinsics = scale_intrinsics(image.intrinsics, ratio, ratio)
        resized = SceneImage(image.rgb, depth_m, intrinsics, image.world_from_cam)
        truth.append(true_points(resized, limits_m))
    source_from_target = np.linalg.inv(
        scale_intrinsics(np.eye(3), size_hw[1] / source_hw[1], size_hw[0] / source_hw[0])
    )
    fitted_from_target = prediction.fitted_from_source @ source_from_target
    points = [
        resize_map(view, fitted_from_target, size_hw, linear_weights)
        for view in prediction.points_world()
    ]
    kept = [
        np.isfinite(sample_map(depth, fitted_from_target, size_hw)) for depth in prediction.depth
    ]
    return PointMaps(np.stack(points), np.stack(truth), np.stack(kept))


def native_maps(
    prediction: Prediction, images: Sequence[SceneImage], limits_m: tuple[float, float]
) -> PointMaps:
    """Return point maps at the network's resolution: true points of the nearest pixels."""
    source_from_fitted = np.linalg.inv(prediction.fitted_from_source).astype(np.float64)
    size_hw = prediction.depth.shape[1:]
    truth = [
        sample_map(true_points(image, limits_m), source_from_fitted, size_hw) for image in images
    ]
    return PointMaps(prediction.points_world(), np.stack(truth), np.isfinite(prediction.depth))


def true_depth(points_gt: Float32Array, cam_from_world: Float64Array) -> Float32Array:
    """Return (V, H, W) depth along optical z of (V, H, W, 3) points in the world."""
    depth = [
        transform_points(pose, points)[..., 2]
        for pose, points in zip(cam_from_world, points_gt, strict=True)
    ]
    return np.stack(depth)


def central(maps: PointMaps, share_hw: tuple[float, float]) -> PointMaps:
    """Return the central part of maps, as a share of their height and width."""
    height, width = maps.kept.shape[1:]
    rows, columns = round(share_hw[0] * height), round(share_hw[1] * width)
    top, left = height // 2 - rows // 2, width // 2 - columns // 2
    part = np.s_[:, top : top + rows, left : left + columns]
    return PointMaps(maps.points[part], maps.points_gt[part], maps.kept[part])


def without_rejected(maps: PointMaps) -> PointMaps:
    """Return the maps with only those predicted points that the product publishes."""
    return maps._replace(points=np.where(maps.kept[..., None], maps.points, np.float32(np.nan)))


def resize_map(
    values: Float32Array,
    values_from_target: Float64Array,
    target_hw: tuple[int, int],
    weights: Weights,
) -> Float32Array:
    """
    Interpolate a map at the pixels of a target.

    Parameters
    ----------
    values : (h, w, ...), finite.
    values_from_target : (3, 3) homogeneous pixels, scale and shift only.
    target_hw : (H, W).
    weights : `linear_weights` or `cubic_weights`.

    Returns
    -------
    (H, W, ...) float32, NaN where the target lies outside `values`.
    """
    rows, columns = _positions(values_from_target, target_hw)
    height, width = values.shape[:2]
    channels = values.reshape(height, width, -1)
    half = np.einsum('Hh,hwc->Hwc', weights(rows, height), channels, optimize=True)
    resized = np.matmul(weights(columns, width), half)
    resized[~_inside(rows, columns, (height, width))] = np.nan
    return np.asarray(resized.reshape(*target_hw, *values.shape[2:]), np.float32)


def linear_weights(positions: Float64Array, length: int) -> Float64Array:
    """
    Return (N, length) weights of linear interpolation at N evenly spaced positions.

    Where positions are further apart than 1 the triangle is as wide as their distance
    (antialias); weights add up to 1 at the borders too.
    """
    step = abs(positions[1] - positions[0]) if len(positions) > 1 else 1.0
    distance = np.abs(positions.clip(0, length - 1)[:, None] - np.arange(length))
    weights = np.maximum(0.0, 1.0 - distance / max(step, 1.0))
    normalized: Float64Array = weights / weights.sum(axis=1, keepdims=True)
    return normalized


def cubic_weights(positions: Float64Array, length: int) -> Float64Array:
    """Return (N, length) weights of OpenCV's cubic interpolation; borders are repeated."""
    before = np.floor(positions).astype(int)
    weights = np.zeros((len(positions), length))
    samples = np.arange(len(positions))
    for offset in (-1, 0, 1, 2):
        x = np.abs(positions - (before + offset))
        near = (CUBIC_A + 2) * x**3 - (CUBIC_A + 3) * x**2 + 1
        far = CUBIC_A * (x**3 - 5 * x**2 + 8 * x - 4)
        np.add.at(
            weights, (samples, (before + offset).clip(0, length - 1)), np.where(x <= 1, near, far)
        )
    return weights


def sample_map(
    values: Float32Array, values_from_target: Float64Array, target_hw: tuple[int, int]
) -> Float32Array:
    """Return the nearest values at a target's pixels, (H, W, ...); NaN outside."""
    rows, columns = _positions(values_from_target, target_hw)
    height, width = values.shape[:2]
    nearest = np.ix_(
        np.rint(rows).astype(int).clip(0, height - 1),
        np.rint(columns).astype(int).clip(0, width - 1),
    )
    sampled = np.array(values[nearest], np.float32)
    sampled[~_inside(rows, columns, (height, width))] = np.nan
    return sampled


def _positions(
    values_from_target: Float64Array, target_hw: tuple[int, int]
) -> tuple[Float64Array, Float64Array]:
    """Return where the target's rows and columns lie in the values."""
    rows = values_from_target[1, 1] * np.arange(target_hw[0]) + values_from_target[1, 2]
    columns = values_from_target[0, 0] * np.arange(target_hw[1]) + values_from_target[0, 2]
    return rows, columns


def _inside(
    rows: Float64Array, columns: Float64Array, values_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return (H, W), whether a target's pixel centre lies on the values' pixels."""
    row, column = (
        (at >= -0.5 - 1e-9) & (at <= length - 0.5 + 1e-9)
        for at, length in zip((rows, columns), values_hw, strict=True)
    )
    inside: NDArray[np.bool_] = row[:, None] & column
    return inside
