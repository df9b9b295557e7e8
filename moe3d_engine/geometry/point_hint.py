"""Depth at tracked points, as the network is told of it."""

from __future__ import annotations

from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np

HINT_STRIDE = 4  # pixels of the network's input per cell of a hint
BESIDE = 0.5  # certainty of the cells beside a point's own
_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def point_hint(
    pixels: Float64Array, depth: Float64Array, image_hw: tuple[int, int]
) -> Float32Array:
    """
    Return log depth at points and how sure it is, (2, H / 4, W / 4).

    A point is sure in its own cell and half as sure in the four beside it, which mostly show the
    same surface. Of points that fall into one cell the nearest counts. Elsewhere the certainty
    is 0. Cell j lies on pixel 4 j + 3, as the maps of the network's stem do.

    Parameters
    ----------
    pixels : (N, 2), u and v; points outside the image are left out.
    depth : (N,) along optical z; what is not finite and positive is left out.
    image_hw : of the network's input.
    """
    rows, columns = (side // HINT_STRIDE for side in image_hw)
    usable = np.isfinite(depth) & (depth > 0) & np.isfinite(pixels).all(1)
    column, row = np.rint((pixels[usable] - (HINT_STRIDE - 1)) / HINT_STRIDE).astype(np.int64).T
    farthest_first = np.argsort(-depth[usable], kind='stable')  # the nearest is written last
    column, row = column[farthest_first], row[farthest_first]
    log_depth = np.log(depth[usable][farthest_first])
    hint = np.zeros((2, rows, columns), np.float32)
    for certainty, places in ((BESIDE, _NEIGHBOURS), (1.0, ((0, 0),))):
        for down, right in places:
            y, x = row + down, column + right
            inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
            hint[0, y[inside], x[inside]] = log_depth[inside]
            hint[1, y[inside], x[inside]] = certainty
    return hint
