"""Whether two frames put the same thing in the same place, as a mapper needs it."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import lift_pixels
from moe3d_engine.geometry.points import project_points
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
import numpy as np
from numpy.typing import NDArray

APART = 5  # frames between the two
POINTS_PER_FRAME = 2000
SAME_SURFACE = 0.03  # of the depth, by which the truths of both frames may differ


class _Frame(NamedTuple):
    """What a frame has published, and the truth of it."""

    depth: Float32Array  # (H, W), NaN = rejected
    true_depth: Float32Array
    intrinsics: Float64Array
    odom_from_cam: Float64Array
    world_from_cam: Float64Array


class PlaceJudge:
    """
    Compares where each frame puts things with where the fifth before it has put them.

    Truth tells which pixels show the same; places are those of published depth at published poses,
    so errors of both count, and what both share (a drift, a wrong scale) does not.
    """

    def __init__(self) -> None:
        self._past: deque[_Frame] = deque(maxlen=APART)
        self._distances_m: list[Float64Array] = []

    def add(
        self,
        result: Reconstruction,
        world_from_cam: Float64Array | None,
        true_depth: Float32Array | None,
    ) -> None:
        """
        Add a frame; one without pose or truth begins anew.

        Parameters
        ----------
        result : its first published view counts.
        world_from_cam : (4, 4) true pose.
        true_depth : (H, W) on the pixels of the result, NaN = unknown.
        """
        pose = result.results[0].view.pose
        if pose is None or world_from_cam is None or true_depth is None:
            self._past.clear()
            return
        frame = _Frame(
            result.depth[0], true_depth, result.intrinsics[0],
            invert_rigid(pose.cam_from_world), world_from_cam,
        )  # fmt: skip
        if len(self._past) == APART:
            self._distances_m.append(_distances(self._past[0], frame))
        self._past.append(frame)

    def figures(self) -> dict[str, float]:
        """Return the median and the 90th percentile in metres; empty where nothing is known."""
        distances = np.concatenate(self._distances_m) if self._distances_m else np.empty(0)
        if not distances.size:
            return {}
        return {
            'place_m': float(np.median(distances)),
            'place_p90_m': float(np.quantile(distances, 0.9)),
        }


def _distances(before: _Frame, now: _Frame) -> Float64Array:
    """Return how far apart both frames put the same pixels, (N,) metres."""
    rows, columns = np.nonzero(np.isfinite(now.true_depth) & np.isfinite(now.depth))
    step = max(1, len(rows) // POINTS_PER_FRAME)
    pixels = np.stack((columns[::step], rows[::step]), axis=1)
    before_from_now = invert_rigid(before.world_from_cam) @ now.world_from_cam
    true_points = _lifted(pixels, now.true_depth, now.intrinsics)
    seen = transform_points(before_from_now, true_points)
    height, width = before.depth.shape
    pixels_before = np.rint(project_points(seen, before.intrinsics))
    inside = (pixels_before >= 0).all(1) & (pixels_before < (width, height)).all(1)
    inside &= seen[:, 2] > 0
    pixels, seen = pixels[inside], seen[inside]
    pixels_before = pixels_before[inside].astype(np.int64)
    u, v = pixels_before.T
    same = np.abs(before.true_depth[v, u] - seen[:, 2]) < SAME_SURFACE * seen[:, 2]
    same &= np.isfinite(before.depth[v, u])
    places = transform_points(now.odom_from_cam, _lifted(pixels[same], now.depth, now.intrinsics))
    places_before = transform_points(
        before.odom_from_cam, _lifted(pixels_before[same], before.depth, before.intrinsics)
    )
    distances: Float64Array = np.linalg.norm(places - places_before, axis=1)
    return distances


def _lifted(
    pixels: NDArray[np.int64], depth: Float32Array, intrinsics: Float64Array
) -> Float64Array:
    """Return the points (N, 3) that a depth map (H, W) has at pixels (N, 2)."""
    u, v = pixels.T
    return lift_pixels(pixels.astype(np.float64), depth[v, u].astype(np.float64), intrinsics)
