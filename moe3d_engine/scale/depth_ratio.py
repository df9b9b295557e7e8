"""The scale by depth: a depth camera, a lidar or the network against the tracked points."""

from __future__ import annotations

from dataclasses import dataclass
import math

from moe3d_engine.errors import ShapeError
from moe3d_engine.scale.estimator import ScaleObservation
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray

MIN_POINTS = 12  # fewer cannot outvote a moving object
CELL_PX = 8  # reference depth is looked up in squares of this side
MAX_CELL_RATIO = 1.1  # a square whose depths span more holds two surfaces
MAX_REFERENCE_POINTS = 20_000  # more would cost time and say nothing new
CORRELATION = 4.0  # errors of neighbouring points are alike: so many count as one


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceDepth:
    """
    Depth in metres that somebody else has measured; sparse is enough.

    Parameters
    ----------
    stamp_ns : when it was measured.
    points_cam : (N, 3) float64 in metres in the camera's optical frame.
    source : `reference_depth`, or `rig`: points that two cameras of a rig see.
    common_log_std : error of all lengths of this source, where its own is known.

    Raises
    ------
    ShapeError
        If the points have another shape.
    """

    stamp_ns: int
    points_cam: Float64Array
    source: str = 'reference_depth'
    common_log_std: float = 0.0

    def __post_init__(self) -> None:
        """Check the shape once."""
        if self.points_cam.ndim != 2 or self.points_cam.shape[1] != 3:
            raise ShapeError(f'Reference points are (N, 3); got {self.points_cam.shape}.')

    def at(
        self, pixels: Float64Array, intrinsics: Float64Array, image_hw: tuple[int, int]
    ) -> Float64Array:
        """
        Return the depth at pixels of an image, in metres along optical z.

        Parameters
        ----------
        pixels : (M, 2), u and v.
        intrinsics : (3, 3) of the image.
        image_hw : its size.

        Returns
        -------
        (M,) float64; NaN where nothing was measured nearby, or more than one surface.
        """
        step = -(-len(self.points_cam) // MAX_REFERENCE_POINTS) or 1
        x, y, z = self.points_cam[::step].T
        with np.errstate(divide='ignore', invalid='ignore'):
            seen = np.stack(
                [
                    intrinsics[0, 0] * x / z + intrinsics[0, 2],
                    intrinsics[1, 1] * y / z + intrinsics[1, 2],
                ],
                axis=1,
            )
            usable = np.isfinite(seen).all(axis=1) & np.isfinite(z) & (z > 0)
        cells, depth = _cells(seen[usable], image_hw), z[usable]
        inside = cells >= 0
        count = np.prod(_grid(image_hw))
        nearest, farthest = np.full(count, np.inf), np.zeros(count)
        np.minimum.at(nearest, cells[inside], depth[inside])
        np.maximum.at(farthest, cells[inside], depth[inside])
        with np.errstate(invalid='ignore'):
            one_surface = farthest <= MAX_CELL_RATIO * nearest
            middle = np.where(one_surface & (farthest > 0), (nearest + farthest) / 2, np.nan)
        wanted = _cells(pixels, image_hw)
        return np.where(wanted >= 0, middle[wanted], np.nan)


def _grid(image_hw: tuple[int, int]) -> tuple[int, int]:
    """Return how many squares an image has, in rows and columns."""
    return -(-image_hw[0] // CELL_PX), -(-image_hw[1] // CELL_PX)


def _cells(pixels: Float64Array, image_hw: tuple[int, int]) -> NDArray[np.int64]:
    """Return the index of the square of each pixel; -1 outside the image."""
    height, width = image_hw
    u, v = pixels[:, 0] + 0.5, pixels[:, 1] + 0.5
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    columns = np.where(inside, u, 0).astype(np.int64) // CELL_PX
    rows = np.where(inside, v, 0).astype(np.int64) // CELL_PX
    return np.where(inside, rows * _grid(image_hw)[1] + columns, -1)


def depth_observation(
    metres: ArrayLike,
    units: ArrayLike,
    stamp_ns: int,
    source: str,
    common_log_std: float = 0.0,
) -> ScaleObservation | None:
    """
    Return what depths of the same points say of the scale.

    Parameters
    ----------
    metres : (N,) by the source; not finite or not positive = unknown.
    units : (N,) by the tracker's map.
    stamp_ns : of the image.
    source : `rig`, `reference_depth` or `network`.
    common_log_std : as that of ScaleObservation.

    Returns
    -------
    ScaleObservation : the median log ratio; its deviation comes from the median absolute
        deviation. None where fewer than 12 points are known in both.
    """
    metres, units = np.asarray(metres, np.float64), np.asarray(units, np.float64)
    known = np.isfinite(metres) & np.isfinite(units) & (metres > 0) & (units > 0)
    count = np.count_nonzero(known)
    if count < MIN_POINTS:
        return None
    log_ratio = np.log(metres[known] / units[known])
    median = float(np.median(log_ratio))
    scatter = 1.4826 * float(np.median(np.abs(log_ratio - median)))
    std = 1.2533 * scatter * math.sqrt(CORRELATION / count)
    return ScaleObservation(median, max(std, 1e-4), stamp_ns, source, common_log_std)
