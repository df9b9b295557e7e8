"""The tracker's map: the last keyframes and the points that they see, refined together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.mapping.bundle import adjust
from moe3d_engine.mapping.bundle import Bundle
from moe3d_engine.mapping.bundle import RelativeMotion
from moe3d_engine.mapping.bundle import reprojection
from moe3d_engine.mapping.triangulate import nearest_to_rays
from moe3d_engine.mapping.triangulate import rays_in_map
from moe3d_engine.scale.motion import odometry_std
from moe3d_engine.types import Float64Array
from moe3d_engine.types import PosePrior
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

WINDOW = 7  # keyframes that are refined together
MIN_ANGLE_RAD = np.radians(1.0)  # between the rays to a point, for its depth to mean something
SIGHTING_NOISE_PX, MIN_SPREAD = 0.7, 0.005  # of a keyframe's corner; of a point's depth, relative
MAX_ERROR_PX = 2.0  # of a point in any keyframe
MIN_BUNDLE_POINTS = 20
CONTRADICTION = (0.08, 0.3)  # share of points that is no doubt yet, and that is beyond doubt
MIN_SIGHTINGS = 3  # of a point, before it can contradict the poses
DEPTH_LOG_STD = 0.02  # of a depth camera or a lidar


class PointState(IntEnum):
    """How a point's place is known."""

    UNKNOWN = 0
    GUESSED = 1  # from the network's depth
    MEASURED = 2  # by a depth camera or a lidar
    TRIANGULATED = 3
    REJECTED = 4  # its sightings contradict each other


@dataclass(slots=True, eq=False)
class Keyframe:
    """
    An image that the map remembers.

    Parameters
    ----------
    stamp_ns : of the image.
    cam_from_map : (4, 4); changes as the map is refined, for as long as it is in the window.
    identities, pixels : (N,), (N, 2) the corners that it sees.
    intrinsics : (3, 3).
    prior : the pose by odometry, if there is one.
    measured_depth : (N,) along z by a depth camera or lidar, in units of the map; NaN = unknown.
    """

    stamp_ns: int
    cam_from_map: Float64Array
    identities: NDArray[np.int64]
    pixels: Float64Array
    intrinsics: Float64Array
    prior: PosePrior | None = None
    measured_depth: Float64Array | None = None


class Points(NamedTuple):
    """
    What is known of points.

    Parameters
    ----------
    places : (N, 3) in the map's frame.
    states : (N,) how they are known, as PointState.
    doubt : (N, 3) one standard deviation of the place, along the ray of the first sighting.
    """

    places: Float64Array
    states: UInt8Array
    doubt: Float64Array


class SparseMap:
    """Keyframes, and points that are named by the identities of their corners."""

    def __init__(self) -> None:
        self.keyframes: list[Keyframe] = []
        self._first = 0  # identity of the first point that is kept
        self._places = np.empty((0, 3))
        self._states = np.empty(0, np.uint8)
        self._doubt = np.empty((0, 3))

    def new_identities(self, count: int) -> NDArray[np.int64]:
        """Return names for new corners, whose places are unknown."""
        next_one = self._first + len(self._states)
        self._places = np.concatenate([self._places, np.zeros((count, 3))])
        self._states = np.concatenate([self._states, np.zeros(count, np.uint8)])
        self._doubt = np.concatenate([self._doubt, np.zeros((count, 3))])
        return np.arange(next_one, next_one + count)

    def points(self, identities: NDArray[np.int64]) -> Points:
        """Return what is known of some corners; those that are forgotten are unknown."""
        index = np.maximum(identities - self._first, 0)
        gone = identities < self._first
        states = np.where(gone, PointState.UNKNOWN, self._states[index]).astype(np.uint8)
        return Points(self._places[index], states, self._doubt[index])

    def set_points(self, identities: NDArray[np.int64], points: Points) -> None:
        """Replace what is known of some corners; those that are forgotten are left out."""
        kept = identities >= self._first
        index = identities[kept] - self._first
        self._places[index], self._states[index] = points.places[kept], points.states[kept]
        self._doubt[index] = points.doubt[kept]

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Remember an image, and forget the oldest one and the points that nobody sees."""
        self.keyframes = [*self.keyframes, keyframe][-WINDOW:]
        oldest = min(
            (int(k.identities[0]) for k in self.keyframes if len(k.identities)),
            default=self._first,
        )  # identities are in ascending order
        self._places = self._places[oldest - self._first :]
        self._states = self._states[oldest - self._first :]
        self._doubt = self._doubt[oldest - self._first :]
        self._first = oldest

    def rescale(self, factor: float) -> None:
        """Let all lengths be so many times as long."""
        for keyframe in self.keyframes:
            keyframe.cam_from_map = keyframe.cam_from_map.copy()
            keyframe.cam_from_map[:3, 3] *= factor
        self._places *= factor
        self._doubt *= factor

    def snapshot(self, unit_m: float | None) -> Refinement:
        """
        Return a copy of everything that a refinement needs.

        Parameters
        ----------
        unit_m : metres per unit of the map, with which odometry is believed; None = it is not.
        """
        identities = np.unique(np.concatenate([k.identities for k in self.keyframes]))
        points = self.points(identities)
        return Refinement(
            tuple(self.keyframes),
            np.stack([k.cam_from_map for k in self.keyframes]),
            identities,
            Points(points.places.copy(), points.states.copy(), points.doubt.copy()),
            [] if unit_m is None else measured_motions(self.keyframes, unit_m),
        )

    def adopt(self, refined: Refinement) -> None:
        """Take over what a refinement has found."""
        for keyframe, pose in zip(refined.keyframes, refined.cam_from_map, strict=True):
            keyframe.cam_from_map = pose
        self.set_points(refined.identities, refined.points)


@dataclass(slots=True, eq=False)
class Refinement:
    """
    A copy of a map that can be refined beside it, in another thread.

    Parameters
    ----------
    keyframes : as they were; only their sightings are read.
    cam_from_map : (C, 4, 4) their poses.
    identities, points : of all corners that they see.
    motions : between keyframes, by odometry.
    contradiction : share of the newest keyframe's well-seen points that no place explains. In a
        scene that stands still there are hardly any; where the poses follow a moving object, they
        are the room.
    is_clean : whether there are enough such points, and hardly any contradicts.
    """

    keyframes: tuple[Keyframe, ...]
    cam_from_map: Float64Array
    identities: NDArray[np.int64]
    points: Points
    motions: list[RelativeMotion]
    contradiction: float = 0.0
    is_clean: bool = False

    def refine(self) -> None:
        """Triangulate what has become visible from two sides, then adjust all together."""
        camera, point, pixels = self._sightings()
        self._triangulate(camera, point, pixels)
        known = self.points.states == PointState.TRIANGULATED
        if np.count_nonzero(known) < MIN_BUNDLE_POINTS or len(self.keyframes) < 2:
            return
        number = np.cumsum(known) - 1
        used = known[point]
        log_depth = np.concatenate([_log_depth(keyframe) for keyframe in self.keyframes])[used]
        bundle = Bundle(
            self.cam_from_map.copy(),
            self.points.places[known],
            camera[used],
            number[point[used]],
            pixels[used],
            np.stack([k.intrinsics for k in self.keyframes]),
            fixed=1 if len(self.keyframes) == 2 or self.motions else 2,
            log_depth=log_depth,
            log_depth_std=np.full(len(log_depth), DEPTH_LOG_STD),
            motions=self.motions,
            keep_length=len(self.keyframes) == 2 and not self.motions,
        )
        adjust(bundle)
        self.cam_from_map = bundle.cam_from_map
        self.points.places[known] = bundle.points
        self._reject(bundle, np.flatnonzero(known))

    def median_depth(self) -> float:
        """Return the median depth of the points in the newest keyframe; 1 where it knows none."""
        seen = np.searchsorted(self.identities, self.keyframes[-1].identities)
        known = seen[self.points.states[seen] == PointState.TRIANGULATED]
        if not len(known):
            return 1.0
        pose = self.cam_from_map[-1]
        return float(np.median(self.points.places[known] @ pose[2, :3] + pose[2, 3]))

    def _sightings(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Float64Array]:
        """Return camera (M,), point (M,) and pixels (M, 2) of all sightings."""
        camera = np.repeat(np.arange(len(self.keyframes)), [len(k.pixels) for k in self.keyframes])
        point = np.concatenate(
            [np.searchsorted(self.identities, k.identities) for k in self.keyframes]
        )
        return camera, point, np.concatenate([k.pixels for k in self.keyframes])

    def _triangulate(
        self, camera: NDArray[np.int64], point: NDArray[np.int64], pixels: Float64Array
    ) -> None:
        """Place the points that were not yet, where their rays meet at a wide enough angle."""
        intrinsics = np.stack([k.intrinsics for k in self.keyframes])
        centers, rays = rays_in_map(self.cam_from_map, intrinsics, camera, pixels)
        places, angle, first = nearest_to_rays(centers, rays, point, len(self.identities))
        errors = np.linalg.norm(
            reprojection(
                Bundle(self.cam_from_map, places, camera, point, pixels, intrinsics)
            ), axis=1,
        )  # fmt: skip
        worst = np.zeros(len(self.identities))
        np.maximum.at(worst, point, errors)
        good = (angle > MIN_ANGLE_RAD) & (worst < MAX_ERROR_PX)
        self._count_contradictions(np.bincount(point, minlength=len(worst)), worst)
        new = good & (self.points.states < PointState.TRIANGULATED)
        self.points.places[new] = places[new]
        self.points.states[new] = PointState.TRIANGULATED
        known = self.points.states == PointState.TRIANGULATED
        focal = float(intrinsics[0, 0, 0])
        spread = np.maximum(SIGHTING_NOISE_PX / focal / np.maximum(angle, 1e-6), MIN_SPREAD)
        distance = np.linalg.norm(places - centers[0], axis=1)  # all cameras stand near each other
        self.points.doubt[known] = (first * (spread * distance)[:, None])[known]

    def _count_contradictions(self, sightings: NDArray[np.int64], worst: Float64Array) -> None:
        """Set the share of points that were seen often enough, and that no place explains."""
        newest = np.isin(self.identities, self.keyframes[-1].identities)
        often = newest & (sightings >= MIN_SIGHTINGS)
        placed = self.points.states == PointState.TRIANGULATED
        wrong = np.count_nonzero(often & ~placed & ~(worst < 2 * MAX_ERROR_PX))
        right = np.count_nonzero(often & placed)
        enough = wrong + right >= MIN_BUNDLE_POINTS
        self.contradiction = wrong / (wrong + right) if enough else 0.0
        self.is_clean = bool(enough and self.contradiction <= CONTRADICTION[0])

    def _reject(self, bundle: Bundle, index: NDArray[np.int64]) -> None:
        """Give up the points whose sightings contradict each other."""
        errors = np.linalg.norm(reprojection(bundle), axis=1)
        worst = np.zeros(len(index))
        np.maximum.at(worst, bundle.point, errors)
        bad = index[~(worst < 2 * MAX_ERROR_PX)]
        self.points.states[bad] = PointState.REJECTED


class MeasuredMotion(NamedTuple):
    """What odometry says of a motion, in units of the map, with its inverse covariance (6, 6)."""

    second_from_first: Float64Array  # (4, 4)
    information: Float64Array

    @property
    def length(self) -> float:
        """Length of its way."""
        return float(np.linalg.norm(self.second_from_first[:3, 3]))

    @property
    def way_std(self) -> float:
        """Standard deviation of its way along each axis."""
        return float(self.information[0, 0] ** -0.5)


def measured_motion(
    first: PosePrior | None, second: PosePrior | None, unit_m: float
) -> MeasuredMotion | None:
    """
    Return what odometry says of the motion between two images.

    Parameters
    ----------
    first, second : poses by odometry; None = it does not know one.
    unit_m : metres per unit of the map.
    """
    if first is None or second is None:
        return None
    motion = second.cam_from_world @ invert_rigid(first.cam_from_world)
    length_m, errors = float(np.linalg.norm(motion[:3, 3])), second.errors
    way_std = float(odometry_std(length_m, errors.way_share)) / unit_m
    motion[:3, 3] /= unit_m
    return MeasuredMotion(motion, np.diag(np.repeat([way_std, errors.turn_rad], 3) ** -2))


def measured_motions(keyframes: Sequence[Keyframe], unit_m: float) -> list[RelativeMotion]:
    """Return what odometry says of the motion between neighbouring keyframes; see above."""
    pairs = pairwise(range(len(keyframes)))
    found = [
        (first, second, measured_motion(keyframes[first].prior, keyframes[second].prior, unit_m))
        for first, second in pairs
    ]
    return [RelativeMotion(first, second, *motion) for first, second, motion in found if motion]


def _log_depth(keyframe: Keyframe) -> Float64Array:
    """Return the log of the measured depth (N,) at a keyframe's corners; NaN = unknown."""
    if keyframe.measured_depth is None:
        return np.full(len(keyframe.pixels), np.nan)
    return np.log(keyframe.measured_depth)
