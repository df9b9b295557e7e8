"""What a map has that the truth has not, and the other way round: phantoms and lost surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from moe3d_engine.errors import ShapeError
from moe3d_engine.lab.metrics.mapping import CELL_M
from moe3d_engine.lab.metrics.voxels.maps import best_nearby
from moe3d_engine.lab.metrics.voxels.maps import VoxelMap
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

TOLERANCE_M = 0.1  # an occupied voxel farther than this from every true surface is a phantom
OBSTACLE_HEIGHTS_M = (0.1, 1.5)  # above the floor: what stops a small robot
FLOOR_SHARE = 0.02  # of the true surface voxels may lie below the floor: noise of the truth


class _Counts(NamedTuple):
    """What is counted in a map at one threshold of evidence."""

    occupied: float
    phantoms: float
    obstacles: float  # phantom cells of the costmap
    covered: float
    cleared: float


class VoxelJudge:
    """
    Compares maps with the map that the same mapper has made of the truth.

    Parameters
    ----------
    truth : of true depth at true poses.
    up : (3,) unit vector along an axis of the world, away from the floor.
    tolerance_m : how far from its true place a surface may be.

    Raises
    ------
    ShapeError
        If the map of the truth holds no surface.

    Notes
    -----
    The floor is the height that 2 % of the true surface voxels lie below. A cell of the costmap
    is an obstacle if its column holds an occupied voxel between .1 and 1.5 m above the floor.
    """

    def __init__(
        self, truth: VoxelMap, up: Float64Array, tolerance_m: float = TOLERANCE_M
    ) -> None:
        if not len(truth.occupied):
            raise ShapeError(
                'The map of the truth holds no surface. Check that the bag has depth in metres.'
            )
        self._truth = truth
        self._up = up
        self._radius = tolerance_m / truth.voxel_m
        heights = self._heights(truth.occupied)
        self.floor_m = float(np.quantile(heights, FLOOR_SHARE))
        self._known_cells = np.unique(self._cells(truth.keys), axis=0)
        self._true_cells = np.unique(self._cells(truth.occupied), axis=0)

    def coverage(self, tested: VoxelMap) -> float:
        """Return the share of true surface voxels with an occupied voxel within the tolerance."""
        return float(np.mean(self._best_at_surfaces(tested) >= 0))

    def figures(self, tested: VoxelMap, coverage: float | None = None) -> dict[str, float]:
        """
        Compare a map with the truth.

        Parameters
        ----------
        tested : of the same voxels.
        coverage : voxels of little evidence are no longer called occupied until the coverage is
            this; None = the map as it is.

        Returns
        -------
        `map_phantoms`, `map_obstacles_m2`, `map_cleared`, `map_coverage`; NaN where nothing is
        occupied. Their meanings stand in `lab.reports.facts`.

        Raises
        ------
        ShapeError
            If the voxels of the maps have different sides.

        Notes
        -----
        Voxels of equal evidence cannot be told apart. Where a coverage lies between that with
        them and that without, counts are interpolated: what a random choice gives on the mean.
        """
        if tested.voxel_m != self._truth.voxel_m:
            raise ShapeError(
                f'Voxels of {tested.voxel_m} m cannot be compared with those of '
                f'{self._truth.voxel_m} m.'
            )
        best = self._best_at_surfaces(tested)
        if coverage is None:
            counts = self._count(tested, best, 0.0)
        else:
            low, high, share = _levels(best, coverage)
            lower, upper = (np.array(self._count(tested, best, least)) for least in (low, high))
            counts = _Counts(*(share * lower + (1 - share) * upper).tolist())
        area_m2 = len(self._known_cells) * CELL_M**2
        number = len(self._truth.occupied)
        return {
            'map_phantoms': counts.phantoms / counts.occupied if counts.occupied else np.nan,
            'map_obstacles_m2': counts.obstacles / area_m2 if area_m2 else np.nan,
            'map_cleared': counts.cleared / number,
            'map_coverage': counts.covered / number,
        }

    def _count(self, tested: VoxelMap, best: Float64Array, least: float) -> _Counts:
        """Count in a map whose voxels are occupied from an evidence of `least` on."""
        surfaces = self._truth.occupied
        keys = tested.keys[tested.evidence >= least]
        phantom = ~np.isfinite(best_nearby(keys, surfaces, np.zeros(len(surfaces)), self._radius))
        known = best_nearby(surfaces, tested.keys, tested.evidence, 0.0)
        covered = best >= least
        return _Counts(
            float(len(keys)),
            float(np.count_nonzero(phantom)),
            self._phantom_cells(keys),
            float(np.count_nonzero(covered)),
            float(np.count_nonzero(~covered & np.isfinite(known) & (known < 0))),
        )

    def _phantom_cells(self, keys: NDArray[np.int64]) -> float:
        """Return how many cells, of those that the truth knows, hold obstacles far from any."""
        cells = np.unique(self._cells(keys), axis=0)
        radius = self._radius * self._truth.voxel_m / CELL_M
        far = ~np.isfinite(
            best_nearby(cells, self._true_cells, np.zeros(len(self._true_cells)), radius)
        )
        known = best_nearby(cells, self._known_cells, np.zeros(len(self._known_cells)), 0.0)
        return float(np.count_nonzero(far & np.isfinite(known)))

    def _best_at_surfaces(self, tested: VoxelMap) -> Float64Array:
        """Return the most evidence near each true surface voxel, -inf where none is known."""
        return best_nearby(self._truth.occupied, tested.keys, tested.evidence, self._radius)

    def _heights(self, keys: NDArray[np.int64]) -> Float64Array:
        """Return the heights (N,) of voxels' centres in metres."""
        heights: Float64Array = (keys + 0.5) @ self._up * self._truth.voxel_m
        return heights

    def _cells(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the costmap's cells (M, 3) of voxels at an obstacle's height, 0 along `up`."""
        above_m = self._heights(keys) - self.floor_m
        low, high = OBSTACLE_HEIGHTS_M
        centres = (keys[(above_m >= low) & (above_m <= high)] + 0.5) * self._truth.voxel_m
        flat: NDArray[np.int64] = np.floor(centres * (self._up == 0) / CELL_M).astype(np.int64)
        return flat


def up_axis(world_from_cam: Sequence[Float64Array]) -> Float64Array:
    """
    Return the axis of the world, as a unit vector (3,), that the cameras' upper sides point along.

    Parameters
    ----------
    world_from_cam : N poses (4, 4) of optical frames (y down).
    """
    mean = -np.mean([pose[:3, 1] for pose in world_from_cam], axis=0)
    axis = int(np.argmax(np.abs(mean)))
    up: Float64Array = np.zeros(3)
    up[axis] = np.sign(mean[axis])
    return up


def _levels(best: Float64Array, coverage: float) -> tuple[float, float, float]:
    """
    Return two neighbouring thresholds of evidence around a coverage and the share of the lower.

    A coverage that no threshold reaches gets the lowest threshold there is, 0.
    """
    levels, counts = np.unique(best[best >= 0], return_counts=True)
    covered = np.cumsum(counts[::-1])[::-1] / len(best)  # falls as levels rise
    enough = np.flatnonzero(covered >= coverage)
    if not len(enough):
        return 0.0, 0.0, 1.0
    low = enough[-1]
    above = covered[low + 1] if low + 1 < len(levels) else 0.0
    high = levels[low + 1] if low + 1 < len(levels) else np.inf
    return float(levels[low]), float(high), float((coverage - above) / (covered[low] - above))
