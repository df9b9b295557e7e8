"""What the cameras of a rig see together: metres for the scale, and whether all still sits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from moe3d_engine.mapping.gray_image import gray_image
from moe3d_engine.mapping.pairs import agreeing_pair
from moe3d_engine.mapping.pairs import Features
from moe3d_engine.mapping.pairs import find_features
from moe3d_engine.mapping.pairs import match
from moe3d_engine.rig.check import ExtrinsicsCheck
from moe3d_engine.rig.check import MIN_BASELINE_M
from moe3d_engine.rig.check import Misplaced
from moe3d_engine.rig.extrinsics import Rig
from moe3d_engine.scale.depth_ratio import CELL_PX
from moe3d_engine.scale.depth_ratio import ReferenceDepth
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
import numpy as np

INTERVAL_NS = 5_000_000_000  # between comparisons once the scale is locked
URGENT_NS = 1_000_000_000  # and before
MAX_WIDTH_PX = 640  # of the images that are compared
MAX_FEATURES = 1000
MIN_MATCHES = 30  # that one motion explains; fewer may agree by chance
MIN_AGREEING = 0.5  # of all matches
NOISE_PX = 1.0  # of a match
MAX_OFF_PX = 3.0  # from where the extrinsics allow a match
MAX_LOG_STD = 0.1  # of a triangulated depth


class RigObservation(NamedTuple):
    """
    What a moment says.

    Parameters
    ----------
    references : depth in metres in the first camera of the rig, one for each other camera with
        which it shares enough.
    misplaced : pairs of cameras that do not sit as the extrinsics say.
    """

    references: tuple[ReferenceDepth, ...]
    misplaced: tuple[Misplaced, ...]


class _Seen(NamedTuple):
    """A view as it is compared."""

    view: View
    intrinsics: Float64Array
    features: Features


class RigObserver:
    """
    Compares the images of a moment, now and then. One thread uses it.

    Parameters
    ----------
    rig : where the cameras sit; the first one is that whose depth the scale is told.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._check = ExtrinsicsCheck(rig)
        self._last_ns: int | None = None

    def is_due(self, stamp_ns: int, *, urgent: bool) -> bool:
        """Return whether a moment is to be compared; `urgent` = the scale is not locked yet."""
        if self._last_ns is None or stamp_ns < self._last_ns:
            return True
        return stamp_ns - self._last_ns >= (URGENT_NS if urgent else INTERVAL_NS)

    def observe(self, views: Sequence[View]) -> RigObservation:
        """
        Compare the images of a moment.

        Parameters
        ----------
        views : of cameras of the rig, one each; those without intrinsics are left out.
        """
        stamp_ns = views[0].stamp_ns
        self._last_ns = stamp_ns
        seen = [_described(view) for view in views if view.intrinsics is not None]
        references = []
        for first, second in combinations(seen, 2):
            cameras = first.view.camera, second.view.camera
            places = _shared(first, second)
            if places is None:
                continue
            focal_px = float(np.mean([s.intrinsics[[0, 1], [0, 1]] for s in (first, second)]))
            self._check.observe(stamp_ns, cameras, places, focal_px)
            if cameras[0] == self._rig.cameras[0] and not self._check.is_off(cameras):
                reference = self._reference(first, second, places, focal_px)
                references += [] if reference is None else [reference]
        return RigObservation(tuple(references), self._check.misplaced(stamp_ns))

    def _reference(
        self,
        first: _Seen,
        second: _Seen,
        places: tuple[Float64Array, Float64Array],
        focal_px: float,
    ) -> ReferenceDepth | None:
        """Return the points that two cameras see, in metres; None where they see too few."""
        cameras = first.view.camera, second.view.camera
        if self._rig.baseline_m(*cameras) < MIN_BASELINE_M:
            return None
        depth_m = triangulated_depth(*places, self._rig.second_from_first(*cameras), focal_px)
        known = np.isfinite(depth_m)
        if np.count_nonzero(known) < MIN_MATCHES:
            return None
        around = CELL_PX / first.intrinsics[[0, 1], [0, 1]]
        points = _spread(places[0][known], depth_m[known], around)
        log_std = self._rig.baseline_log_std(*cameras)
        return ReferenceDepth(first.view.stamp_ns, points, 'rig', log_std)


def triangulated_depth(
    first: Float64Array, second: Float64Array, second_from_first: Float64Array, focal_px: float
) -> Float64Array:
    """
    Return the depth (N,) of points that two cameras see, in the first one.

    Parameters
    ----------
    first, second : (N, 2), x / z and y / z of their rays.
    second_from_first : (4, 4); its unit is that of the depth.
    focal_px : pixels per unit of places.

    Returns
    -------
    NaN where the rays do not meet within MAX_OFF_PX, or meet at an angle that says little.
    """
    turned = np.c_[first, np.ones(len(first))] @ second_from_first[:3, :3].T
    moved = second_from_first[:3, 3]
    slope = turned[:, :2] - second * turned[:, 2:]
    offset = second * moved[2] - moved[:2]
    with np.errstate(divide='ignore', invalid='ignore'):
        depth: Float64Array = (slope * offset).sum(axis=1) / (slope**2).sum(axis=1)
        in_second = depth * turned[:, 2] + moved[2]
        landed = (depth[:, None] * turned[:, :2] + moved[:2]) / in_second[:, None]
        off_px = focal_px * np.linalg.norm(landed - second, axis=1)
        log_std = NOISE_PX / focal_px * in_second / (np.linalg.norm(slope, axis=1) * depth)
        good = (depth > 0) & (in_second > 0) & (off_px < MAX_OFF_PX) & (log_std < MAX_LOG_STD)
    return np.where(good, depth, np.nan)


def _described(view: View) -> _Seen:
    """Return a view with its features."""
    assert view.intrinsics is not None
    height, width = view.image.shape[:2]
    shrink = min(1.0, MAX_WIDTH_PX / width)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    gray = gray_image(view, view.intrinsics, size)
    seen = view.seen
    if seen is not None and seen.shape != gray.pixels.shape:
        rows = np.arange(size[1]) * height // size[1]
        columns = np.arange(size[0]) * width // size[0]
        seen = seen[np.ix_(rows, columns)]
    return _Seen(view, gray.intrinsics, find_features(gray.pixels, seen, MAX_FEATURES))


def _shared(first: _Seen, second: _Seen) -> tuple[Float64Array, Float64Array] | None:
    """Return the places (M, 2) of what both see, as x / z and y / z; None where it is little."""
    matches = match(first.features, second.features)
    if len(matches) < MIN_MATCHES:
        return None
    pixels = first.features.pixels, second.features.pixels
    pair = agreeing_pair((0, 1), pixels, (first.intrinsics, second.intrinsics), matches)
    if pair is None or len(pair.places) < max(MIN_MATCHES, MIN_AGREEING * len(matches)):
        return None
    one, two = (
        ((found[rows] - k[:2, 2]) / k[[0, 1], [0, 1]])
        for found, rows, k in zip(
            pixels, pair.places.T, (first.intrinsics, second.intrinsics), strict=True
        )
    )
    return one, two


def _spread(places: Float64Array, depth_m: Float64Array, around: Float64Array) -> Float64Array:
    """
    Return points (9 N, 3) that stand for the surroundings of others.

    Corners that tracking follows are seldom the places of matches, but mostly beside one.
    """
    steps = np.array([(du, dv) for du in (0, -1, 1) for dv in (0, -1, 1)], np.float64) * around
    spread = (places[None] + steps[:, None]).reshape(-1, 2)
    depth = np.tile(depth_m, len(steps))
    points: Float64Array = np.c_[spread * depth[:, None], depth]
    return points
