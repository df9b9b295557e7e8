"""Whether two frames put the same thing in the same place, as a mapper needs it."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import Reconstruction
import numpy as np

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
    known = np.flatnonzero(np.isfinite(now.true_depth) & np.isfinite(now.depth))
    chosen = known[:: max(1, len(known) // POINTS_PER_FRAME)]
    true_points = _points(now.true_depth, now.intrinsics)[chosen]
    before_from_now = invert_rigid(before.world_from_cam) @ now.world_from_cam
    seen = transform_points(before_from_now, true_points)
    height, width = before.depth.shape
    with np.errstate(divide='ignore', invalid='ignore'):
        pixels = np.rint((seen @ before.intrinsics.T)[:, :2] / seen[:, 2:])
    inside = (seen[:, 2] > 0) & (pixels >= 0).all(1) & (pixels < (width, height)).all(1)
    u, v = np.where(inside[:, None], pixels, 0).astype(np.int64).T
    same = np.abs(before.true_depth[v, u] - seen[:, 2]) < SAME_SURFACE * seen[:, 2]
    same &= inside & np.isfinite(before.depth[v, u])
    places = transform_points(now.odom_from_cam, _points(now.depth, now.intrinsics)[chosen[same]])
    index = (v * width + u)[same]
    places_before = transform_points(
        before.odom_from_cam, _points(before.depth, before.intrinsics)[index]
    )
    distances: Float64Array = np.linalg.norm(places - places_before, axis=1)
    return distances


def _points(depth: Float32Array, intrinsics: Float64Array) -> Float64Array:
    """Return the points (H * W, 3) of a depth map in its camera."""
    points: Float64Array = unproject_depth(depth[None], intrinsics[None])[0].astype(np.float64)
    return points.reshape(-1, 3)
