"""Depth maps from one pixel grid to another, never blending across a boundary."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

AGREE_TOLERANCE = 0.02  # relative; neighbours that differ by more may be two surfaces


class SourceMaps(NamedTuple):
    """One view's maps on the pixels of its source image, each (h, w) float32."""

    depth_raw: Float32Array
    depth: Float32Array
    boundary_confidence: Float32Array


def maps_on_source(
    maps: SourceMaps, fitted_from_source: Float64Array, source_hw: tuple[int, int]
) -> SourceMaps:
    """
    Sample a view's maps at the pixels of its source image.

    Parameters
    ----------
    maps : (H, W) each, at the network's resolution, as a Reconstruction holds them.
    fitted_from_source : (3, 3) homogeneous pixels, scale and shift only.
    source_hw : (h, w) of the source image.

    Returns
    -------
    SourceMaps : (h, w) each; outside the network's crop both depths are NaN and the confidence 0.

    Notes
    -----
    Bilinear where the four neighbours agree within 2 % in depth, nearest elsewhere; so every value
    lies on a surface that the network published. Rejection (NaN, Inf) is always the nearest
    pixel's.
    """
    columns = axis_samples(fitted_from_source[0, [0, 2]], source_hw[1], maps.depth.shape[1])
    rows = axis_samples(fitted_from_source[1, [1, 2]], source_hw[0], maps.depth.shape[0])
    nearest = np.ix_(rows.nearest, columns.nearest)
    inside = rows.inside[:, None] & columns.inside

    corners = _corners(maps.depth_raw, rows, columns)
    agree = corners.max(axis=0) - corners.min(axis=0) <= AGREE_TOLERANCE * corners.min(axis=0)
    depth_raw = np.where(agree, _blend(corners, rows, columns), maps.depth_raw[nearest])
    depth_nearest = maps.depth[nearest]
    depth = np.where(np.isfinite(depth_nearest), depth_raw, depth_nearest)
    confidence = np.where(
        agree,
        _blend(_corners(maps.boundary_confidence, rows, columns), rows, columns),
        maps.boundary_confidence[nearest],
    )

    depth_raw[~inside] = np.nan
    depth[~inside] = np.nan
    confidence[np.isnan(depth)] = 0.0
    return SourceMaps(depth_raw, depth, confidence)


def resample_nearest(
    depth: Float32Array,
    intrinsics: Float64Array,
    intrinsics_out: Float64Array,
    out_hw: tuple[int, int],
) -> Float32Array:
    """
    Sample a depth map at the pixels of another camera in the same place, by nearest neighbour.

    Parameters
    ----------
    depth : (h, w).
    intrinsics : (3, 3) in pixels of `depth`.
    intrinsics_out : (3, 3) in pixels of the result.
    out_hw : (H, W) of the result.

    Returns
    -------
    (H, W) float32, NaN where `depth` does not see the ray.
    """
    in_from_out = intrinsics @ np.linalg.inv(intrinsics_out)
    columns = axis_samples(in_from_out[0, [0, 2]], out_hw[1], depth.shape[1])
    rows = axis_samples(in_from_out[1, [1, 2]], out_hw[0], depth.shape[0])
    sampled = depth[np.ix_(rows.nearest, columns.nearest)].astype(np.float32)
    sampled[~(rows.inside[:, None] & columns.inside)] = np.nan
    return sampled


class AxisSamples(NamedTuple):
    """Where the samples of one axis lie in the array that is sampled."""

    position: Float32Array
    nearest: NDArray[np.intp]
    before: NDArray[np.intp]
    after: NDArray[np.intp]
    weight_after: Float32Array
    inside: NDArray[np.bool_]

    def at(self, index: NDArray[np.intp]) -> AxisSamples:
        """Return some of the samples."""
        return AxisSamples(
            self.position[index],
            self.nearest[index],
            self.before[index],
            self.after[index],
            self.weight_after[index],
            self.inside[index],
        )


def axis_samples(scale_shift: Float64Array, num_samples: int, length: int) -> AxisSamples:
    """Map `num_samples` pixels by (scale, shift) into an axis of `length` pixels."""
    position = scale_shift[0] * np.arange(num_samples) + scale_shift[1]
    inside = (position >= -0.5) & (position <= length - 0.5)
    clamped = np.clip(position, 0, length - 1)
    before = np.floor(clamped).astype(np.intp)
    return AxisSamples(
        position=clamped.astype(np.float32),
        nearest=np.rint(clamped).astype(np.intp),
        before=before,
        after=np.minimum(before + 1, length - 1),
        weight_after=(clamped - before).astype(np.float32),
        inside=inside,
    )


def _corners(values: Float32Array, rows: AxisSamples, columns: AxisSamples) -> Float32Array:
    """Return the (4, h, w) neighbours of each sample."""
    return np.stack(
        [
            values[np.ix_(row, column)]
            for row in (rows.before, rows.after)
            for column in (columns.before, columns.after)
        ]
    )


def blend(values: Float32Array, rows: AxisSamples, columns: AxisSamples) -> Float32Array:
    """Sample (H, W) values bilinearly."""
    below = rows.weight_after[:, None]
    lines = values[rows.before] * (1 - below) + values[rows.after] * below
    right = columns.weight_after
    blended: Float32Array = lines.take(columns.before, axis=1)
    blended *= 1 - right
    blended += lines.take(columns.after, axis=1) * right
    return blended


def _blend(corners: Float32Array, rows: AxisSamples, columns: AxisSamples) -> Float32Array:
    """Interpolate (4, h, w) neighbours bilinearly."""
    right, below = columns.weight_after[None, :], rows.weight_after[:, None]
    above = corners[0] * (1 - right) + corners[1] * right
    under = corners[2] * (1 - right) + corners[3] * right
    blended: Float32Array = above * (1 - below) + under * below
    return blended
