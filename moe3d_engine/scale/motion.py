"""The scale by motion: how far odometry says the camera went, over how far vision says it did."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
import math
from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.scale.estimator import ScaleObservation
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
import numpy as np

ODOMETRY_STD_M = 0.003  # of a position, however short the way
GOOD_LOG_STD = 0.035  # a baseline so long that a longer one would rather collect drift
MAX_LOG_STD = 0.1  # shorter baselines, standing still and pure rotation say nothing
MAX_AGE_NS = 30_000_000_000
MAX_POSES = 64
EXTRINSICS_RAD = 0.05  # an error of the mounting that is not the scale's


class _Keyframe(NamedTuple):
    """Where the camera was, by vision in units of the map and by odometry in metres."""

    stamp_ns: int
    map_from_cam: Float64Array
    position_std: float
    world_from_cam: Float64Array
    way_share: float


def odometry_std(length_m: Float64Array | float, way_share: float) -> Float64Array:
    """
    Return the standard deviation in metres of each coordinate of a way that odometry says.

    Parameters
    ----------
    length_m : of the way; any shape.
    way_share : see MotionErrors.
    """
    std: Float64Array = np.hypot(ODOMETRY_STD_M, way_share * np.asarray(length_m))
    return std


class MotionObserver:
    """
    Compares the translations of vision and odometry between keyframes.

    Each keyframe is compared with the youngest one from which the way is long enough; where all
    are short, with the oldest of a full memory. Each is the start of one way only, so that white
    noise of positions averages out. Memory is bounded: 64 keyframes of the last 30 s.
    """

    def __init__(self) -> None:
        self._past: deque[_Keyframe] = deque(maxlen=MAX_POSES)

    def restart(self) -> None:
        """Forget the keyframes: tracking or odometry has begun anew."""
        self._past.clear()

    def observe(
        self, stamp_ns: int, map_from_cam: Float64Array, position_std: float, prior: PosePrior
    ) -> ScaleObservation | None:
        """
        Return what a keyframe says of the scale.

        Parameters
        ----------
        stamp_ns : of its image.
        map_from_cam : (4, 4), the camera's pose by vision.
        position_std : of each coordinate of its position relative to its neighbours, in units of
            the map.
        prior : the camera's pose by odometry.

        Returns
        -------
        ScaleObservation, or None where the way is too short against the noise of either, or the
        two disagree about its direction, which is an error of a pose and not of the scale.
        """
        world_from_cam = invert_rigid(prior.cam_from_world)
        way_share = prior.errors.way_share
        now = _Keyframe(stamp_ns, map_from_cam, position_std, world_from_cam, way_share)
        while self._past and not 0 < stamp_ns - self._past[0].stamp_ns <= MAX_AGE_NS:
            self._past.popleft()
        found = self._compare(now) if self._past else None
        self._past.append(now)
        return found

    def _compare(self, now: _Keyframe) -> ScaleObservation | None:
        """Compare a keyframe with the best of those before, which is then used up."""
        ways = _ways(self._past, now)
        good = np.flatnonzero(ways.log_std <= GOOD_LOG_STD)
        if not good.size and len(self._past) < MAX_POSES:
            return None
        chosen = int(good[-1] if good.size else 0)
        log_std = float(ways.log_std[chosen])
        first = self._past[chosen]
        del self._past[chosen]
        if log_std > MAX_LOG_STD:
            return None
        if _angle(first, now) > EXTRINSICS_RAD + 3 * math.sqrt(2) * log_std:
            return None
        return ScaleObservation(float(ways.log_ratio[chosen]), log_std, now.stamp_ns, 'odometry')


class _Ways(NamedTuple):
    """From each of N keyframes to the newest: (N,) log of metres per unit, and its deviation."""

    log_ratio: Float64Array
    log_std: Float64Array


def _ways(past: Sequence[_Keyframe], now: _Keyframe) -> _Ways:
    """Compare the lengths of all ways that end at `now`."""
    in_map = now.map_from_cam[:3, 3] - np.array([k.map_from_cam for k in past])[:, :3, 3]
    in_world = now.world_from_cam[:3, 3] - np.array([k.world_from_cam for k in past])[:, :3, 3]
    units = np.linalg.norm(in_map, axis=1)
    metres = np.linalg.norm(in_world, axis=1)
    std = np.hypot(now.position_std, [k.position_std for k in past])
    with np.errstate(divide='ignore', invalid='ignore'):
        # Not by its own length: the ways whose noise makes them long would be preferred.
        expected_units = metres * (units.sum() / metres.sum())
        log_std = np.hypot(std / expected_units, odometry_std(metres, now.way_share) / metres)
        log_ratio = np.log(metres / units)
    known = np.isfinite(log_std) & np.isfinite(log_ratio)
    return _Ways(log_ratio, np.where(known, log_std, np.inf))


def _angle(first: _Keyframe, last: _Keyframe) -> float:
    """Return the angle in rad between both ways, each seen from its own first camera."""
    by_vision = first.map_from_cam[:3, :3].T @ (last.map_from_cam - first.map_from_cam)[:3, 3]
    by_odometry = (
        first.world_from_cam[:3, :3].T @ (last.world_from_cam - first.world_from_cam)[:3, 3]
    )
    lengths = math.hypot(*by_vision) * math.hypot(*by_odometry)
    return math.acos(min(max(float(by_vision @ by_odometry) / lengths, -1.0), 1.0))
