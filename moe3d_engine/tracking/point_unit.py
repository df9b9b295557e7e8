"""The unit of depth by tracked points: depth, poses and clouds then share one scale."""

from __future__ import annotations

import math

from moe3d_engine.geometry.points import move_pixels
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import SparsePoints
import numpy as np

MIN_POINTS = 20  # fewer cannot outvote a moving object


class PointUnit:
    """
    Brings each window's depth to the unit of the tracked points that its image sees.

    Where too few are seen, the ratio of the window before is kept: the network's error in a place
    changes slowly, its unit hardly ever.
    """

    def __init__(self) -> None:
        self._last: float | None = None

    def reset(self) -> None:
        """Forget the windows before."""
        self._last = None

    def unit(
        self, depth: Float32Array, fitted_from_source: Float64Array, points: SparsePoints | None
    ) -> float | None:
        """
        Return the published unit per unit of the network; None where it was never known.

        Parameters
        ----------
        depth : (H, W) by the network.
        fitted_from_source : (3, 3) from the view's pixels to those of `depth`.
        points : that the view sees, in the published unit; None = it was not tracked.
        """
        if points is not None:
            log_ratio = _log_ratios(depth, fitted_from_source, points)
            if len(log_ratio) >= MIN_POINTS:
                self._last = math.exp(float(np.median(log_ratio)))
        return self._last


def _log_ratios(
    depth: Float32Array, fitted_from_source: Float64Array, points: SparsePoints
) -> Float64Array:
    """Return log(tracked / network) at the points that the depth covers."""
    place = np.rint(move_pixels(points.pixels, fitted_from_source)).astype(np.int64)
    height, width = depth.shape
    u, v = place[:, 0], place[:, 1]
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (points.depth > 0)
    ratio: Float64Array = np.log(points.depth[inside]) - np.log(
        depth[v[inside], u[inside]].astype(np.float64)
    )
    return ratio
