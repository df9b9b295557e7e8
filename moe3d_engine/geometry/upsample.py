"""
Depth on more pixels than the network has: each is on one surface, which the image chooses.

Between four pixels of the network that are on one surface depth is interpolated. Across a step
each pixel takes that one of the four whose place and colour are most like its own, and the depth
of its surface: a joint bilateral filter (Kopf et al. 2007) that picks instead of averaging, so
that edges follow the image and no depth is on neither side. One of the four that itself lies
between two surfaces is taken only where there is no other.
"""

from __future__ import annotations

import cv2
from moe3d_engine.geometry.resample import axis_samples
from moe3d_engine.geometry.resample import AxisSamples
from moe3d_engine.geometry.resample import blend
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

STEP = 0.05  # relative; neighbours that differ by more are two surfaces
SLANT = 0.01  # relative; what a surface may add to the depth of the pixel that was picked
LEVELS_PER_PX2 = 18.0  # sum of differences of R, G and B that counts as a pixel of distance
FAR = np.float32(1e9)  # stands for +Inf while ratios are compared


def upsample(
    depth: Float32Array,
    confidence: Float32Array,
    image: UInt8Array,
    guide: UInt8Array,
    fitted_from_guide: Float64Array,
) -> tuple[Float32Array, Float32Array]:
    """
    Return depth and boundary confidence on the pixels of an image.

    Parameters
    ----------
    depth : (H, W) as published at the network's resolution; NaN = unknown, +Inf = beyond range.
    confidence : (H, W), 0 where depth is NaN.
    image : (H, W, 3) uint8, RGB, the pixels that belong to the depth pixels.
    guide : (h, w, 3) uint8, the same image on the pixels that are wanted.
    fitted_from_guide : (3, 3) from the guide's pixels to those of the depth, scale and shift only.

    Returns
    -------
    depth : (h, w); NaN where the nearest pixel of the network is, and outside what it has seen.
    confidence : (h, w), the nearest pixel's or the picked one's; 0 where depth is NaN.
    """
    rows = axis_samples(fitted_from_guide[1, [1, 2]], guide.shape[0], depth.shape[0])
    columns = axis_samples(fitted_from_guide[0, [0, 2]], guide.shape[1], depth.shape[1])
    unknown = np.isnan(depth)
    finite = np.where(unknown, 0, np.minimum(depth, FAR))
    dense = blend(finite, rows, columns)
    dense_confidence = confidence[rows.nearest].take(columns.nearest, axis=1)

    outside = unknown[rows.nearest].take(columns.nearest, axis=1)
    outside |= ~(rows.inside[:, None] & columns.inside)
    across = _steps(finite)[rows.before].take(columns.before, axis=1) & ~outside
    pixels = np.flatnonzero(across)
    row, column = np.divmod(pixels, guide.shape[1])
    rows, columns = rows.at(row), columns.at(column)
    picked = _pick(finite, image, guide.reshape(-1, 3)[pixels], rows, columns)
    dense.ravel()[pixels] = _on_surface(finite, picked, rows, columns)
    dense_confidence.ravel()[pixels] = confidence.ravel()[picked]

    dense[dense > FAR / 2] = np.inf
    dense[outside] = np.nan
    dense_confidence[outside] = 0.0
    return dense, dense_confidence


def _steps(depth: Float32Array) -> NDArray[np.bool_]:
    """Return (H, W) whether each pixel, those right, below and between span a step; 0 unknown."""
    padded = np.pad(depth, ((0, 1), (0, 1)), mode='edge')
    far, near = (
        pick(pick(padded[:-1, :-1], padded[:-1, 1:]), pick(padded[1:, :-1], padded[1:, 1:]))
        for pick in (np.maximum, np.minimum)
    )
    steps: NDArray[np.bool_] = far > np.float32(1 + STEP) * near
    return steps


def _pick(
    depth: Float32Array,
    image: UInt8Array,
    wanted: UInt8Array,
    rows: AxisSamples,
    columns: AxisSamples,
) -> NDArray[np.intp]:
    """Return the flat index of the known one of four pixels that is most like each of N."""
    penalty = _penalty(depth).ravel()
    planes = [
        (image[..., c].astype(np.int16).ravel(), wanted[:, c].astype(np.int16)) for c in range(3)
    ]
    best = np.full(len(wanted), np.inf, np.float32)
    picked = np.zeros(len(wanted), np.intp)
    for row, beside_y in ((rows.before, rows.weight_after), (rows.after, 1 - rows.weight_after)):
        for column, beside_x in (
            (columns.before, columns.weight_after),
            (columns.after, 1 - columns.weight_after),
        ):
            index = row * depth.shape[1] + column
            difference = sum(np.abs(plane[index] - color) for plane, color in planes)
            cost = difference * np.float32(1 / LEVELS_PER_PX2) + penalty[index]
            cost += beside_y**2 + beside_x**2
            better = cost < best
            np.copyto(best, cost, where=better)
            np.copyto(picked, index, where=better)
    return picked


def _penalty(depth: Float32Array) -> Float32Array:
    """Return (H, W), 0 for pixels on a surface, more between two, most where depth is unknown."""
    window = np.ones((3, 3), np.uint8)
    near = cv2.erode(np.where(depth > 0, depth, FAR), window)
    far = cv2.dilate(depth, window)
    between = (depth > (1 + STEP) * near) & (far > (1 + STEP) * depth)
    return np.where(depth > 0, np.where(between, np.float32(1e4), 0), np.float32(1e8))


def _on_surface(
    depth: Float32Array, picked: NDArray[np.intp], rows: AxisSamples, columns: AxisSamples
) -> Float32Array:
    """Return the depth of the picked pixels' surfaces at N places beside them."""
    inverse = np.reciprocal(np.maximum(depth, np.float32(1e-9)))
    row, column = np.divmod(picked, depth.shape[1])
    change = _slope(inverse, 0).ravel()[picked] * (rows.position - row)
    change += _slope(inverse, 1).ravel()[picked] * (columns.position - column)
    there = inverse.ravel()[picked]
    limit = np.float32(SLANT) * there
    on_surface: Float32Array = np.reciprocal(there + np.clip(change, -limit, limit))
    return on_surface


def _slope(inverse: Float32Array, axis: int) -> Float32Array:
    """Return the change per pixel along an axis: the smaller one of both sides, 0 at peaks."""
    difference = np.diff(inverse, axis=axis)
    pad = [(1, 1) if a == axis else (0, 0) for a in range(2)]
    padded = np.pad(difference, pad, mode='edge')
    before, after = (
        padded.take(range(start, start + inverse.shape[axis]), axis) for start in (0, 1)
    )
    smaller = np.where(np.abs(before) < np.abs(after), before, after)
    slope: Float32Array = np.where(before * after > 0, smaller, np.float32(0))
    return slope
