"""Places of points from depth that somebody else knows: the network, or a depth camera."""

from __future__ import annotations

from moe3d_engine.geometry.points import lift_pixels
from moe3d_engine.mapping.sightings import Sighting
from moe3d_engine.mapping.sparse_map import Points
from moe3d_engine.mapping.sparse_map import PointState
from moe3d_engine.mapping.sparse_map import SparseMap
from moe3d_engine.types import Float64Array
from moe3d_engine.types import ViewResult
import numpy as np

# How wrong a depth may be, relative: the network's counts for the direction of a point, hardly for
# its distance.
DEPTH_STD = {PointState.GUESSED: 0.6, PointState.MEASURED: 0.02}
MIN_SHARED = 20  # triangulated points, to bring the network's depth to the unit of the map


def depth_at(result: ViewResult, sighting: Sighting) -> Float64Array:
    """
    Return the network's depth (N,) at the corners of a sighting; NaN = it does not see them.

    Before rejection: what mappers are shown decides nothing about where the camera is.
    """
    fitted_from_source = result.intrinsics @ np.linalg.inv(_source_intrinsics(sighting))
    pixels = np.c_[sighting.source_pixels(), np.ones(len(sighting.corners.pixels))]
    place = np.rint(pixels @ fitted_from_source.T).astype(np.int64)
    height, width = result.depth_raw.shape
    u, v = place[:, 0], place[:, 1]
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    depth = result.depth_raw[v.clip(0, height - 1), u.clip(0, width - 1)].astype(np.float64)
    return np.where(inside & np.isfinite(depth) & (depth > 0), depth, np.nan)


def unit_of(sparse_map: SparseMap, sighting: Sighting, depth: Float64Array) -> float | None:
    """Return the median of depth over that of the map; None where too few points are placed."""
    known = sparse_map.points(sighting.corners.identities)
    pose = sighting.cam_from_map
    depth_map = known.places @ pose[2, :3] + pose[2, 3]
    shared = (known.states == PointState.TRIANGULATED) & np.isfinite(depth) & (depth_map > 0)
    if np.count_nonzero(shared) < MIN_SHARED:
        return None
    return float(np.exp(np.median(np.log(depth[shared] / depth_map[shared]))))


def guess_places(
    sparse_map: SparseMap, sighting: Sighting, depth: Float64Array, state: PointState
) -> None:
    """
    Place the points that are not triangulated yet.

    Parameters
    ----------
    sparse_map : in which the corners of the sighting are known by their identities.
    sighting : who sees them.
    depth : (N,) along z in the unit of the map; NaN = unknown.
    state : GUESSED or MEASURED; a place that is known as well or better is kept.
    """
    corners = sighting.corners
    known = sparse_map.points(corners.identities)
    chosen = (known.states < state) & np.isfinite(depth)
    if not chosen.any():
        return
    map_from_cam = sighting.map_from_cam()
    points_cam = lift_pixels(corners.pixels[chosen], depth[chosen], sighting.intrinsics)
    offset = points_cam @ map_from_cam[:3, :3].T
    states = np.full(len(offset), state, np.uint8)
    guess = Points(offset + map_from_cam[:3, 3], states, DEPTH_STD[state] * offset)
    sparse_map.set_points(corners.identities[chosen], guess)


def _source_intrinsics(sighting: Sighting) -> Float64Array:
    """Return the intrinsics (3, 3) on the view's own pixels."""
    intrinsics: Float64Array = sighting.source_from_tracked @ sighting.intrinsics
    return intrinsics
