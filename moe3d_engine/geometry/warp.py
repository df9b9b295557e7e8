"""Depth of one view, seen from another: the hint that earlier depth gives."""

from __future__ import annotations

from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

STRIDE = 4  # of the hint's cells, in pixels
LEAST_DEPTH = 1e-3


def warp_depth(
    depth: Float32Array,
    certainty: Float32Array,
    intrinsics: Float64Array,
    other_intrinsics: Float64Array,
    other_from_cam: Float64Array,
) -> Float32Array:
    """
    Return the log depth (2, H / 4, W / 4) that another view should see, and how sure that is.

    Of points that fall into one cell the nearest counts. Cells that none falls into have certainty
    0. Cell j lies on pixel 4 j + 3, as the maps of the network's stem do.

    Parameters
    ----------
    depth : (H, W) along optical z; what is not finite and positive is left out.
    certainty : (H, W) in [0, 1].
    intrinsics, other_intrinsics : (3, 3) in pixels of this size.
    other_from_cam : (4, 4), in the unit of the depth.
    """
    height, width = depth.shape
    y, x = (axis[::2, ::2].ravel() for axis in np.mgrid[:height, :width])
    z = depth[::2, ::2].ravel().astype(np.float64)
    known = np.isfinite(z) & (z > 0)
    x, y, z = x[known], y[known], z[known]
    points = np.stack(
        (
            (x - intrinsics[0, 2]) / intrinsics[0, 0] * z,
            (y - intrinsics[1, 2]) / intrinsics[1, 1] * z,
            z,
        )
    )
    moved = other_from_cam[:3, :3] @ points + other_from_cam[:3, 3:]
    far = np.maximum(moved[2], LEAST_DEPTH)
    u = other_intrinsics[0, 0] * moved[0] / far + other_intrinsics[0, 2]
    v = other_intrinsics[1, 1] * moved[1] / far + other_intrinsics[1, 2]
    rows, columns = height // STRIDE, width // STRIDE
    column = np.rint((u - (STRIDE - 1)) / STRIDE)
    row = np.rint((v - (STRIDE - 1)) / STRIDE)
    inside = (moved[2] > LEAST_DEPTH) & (column >= 0) & (column < columns)
    inside &= (row >= 0) & (row < rows)
    index = (row * columns + column)[inside].astype(np.int64)
    order = np.argsort(-moved[2][inside], kind='stable')  # the nearest is written last
    hint = np.zeros((2, rows * columns), np.float32)
    hint[0, index[order]] = np.log(moved[2][inside])[order]
    hint[1, index[order]] = certainty[::2, ::2].ravel()[known][inside][order]
    return hint.reshape(2, rows, columns)
