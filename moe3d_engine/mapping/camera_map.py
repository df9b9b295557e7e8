"""A map of a few cameras, grown from the pair that knows it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.mapping.bundle import adjust
from moe3d_engine.mapping.bundle import Bundle
from moe3d_engine.mapping.bundle import reprojection
from moe3d_engine.mapping.pairs import MIN_PARALLAX_PX
from moe3d_engine.mapping.pairs import Pair
from moe3d_engine.mapping.pairs import sharpened
from moe3d_engine.mapping.pose import estimate_pose
from moe3d_engine.mapping.triangulate import nearest_to_rays
from moe3d_engine.mapping.triangulate import rays_in_map
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

MIN_SEEN = 10  # points that a view of the map sees
MIN_AGREE = 0.5  # of the known points that a view sees, with its pose
MAX_ERROR_PX = 2.0  # of a point in a view
CLOSE_PX = 1.0  # error, from which on a sighting does not speak for a map
HUBER_PX = 0.25  # for places that are known to a fifth of a pixel
MIN_ANGLE_RAD = np.radians(0.15)  # between two rays to a point
ENOUGH_PARALLAX_PX = 12.0  # of a pair to begin with: more is no better
STARTS = 3  # pairs that are tried
ROUNDS = 3  # of adjusting the map that is best, and leaving out what disagrees
GROWING_STEPS, FINAL_STEPS = 5, 20  # of an adjustment, at most
MIN_START = 25  # matches of the pair with which a map begins


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """
    Sightings of points: who sees which.

    Parameters
    ----------
    camera, point : (M,).
    pixels : (M, 2).
    intrinsics : (V, 3, 3) of the cameras.
    num_points : P.
    """

    camera: NDArray[np.int64]
    point: NDArray[np.int64]
    pixels: Float64Array
    intrinsics: Float64Array
    num_points: int

    @classmethod
    def of_pairs(
        cls, pairs: Sequence[Pair], pixels: Sequence[Float64Array], intrinsics: Float64Array
    ) -> Tracks:
        """Join the matches of pairs; points that would be in two places of an image are none."""
        start = np.cumsum([0, *(len(places) for places in pixels)])
        one = np.concatenate([start[p.first] + p.places[:, 0] for p in pairs])
        other = np.concatenate([start[p.second] + p.places[:, 1] for p in pairs])
        name = np.arange(start[-1])
        while (name[one] != name[other]).any():  # each is named after the first it is joined to
            lower = np.minimum(name[one], name[other])
            np.minimum.at(name, one, lower)
            np.minimum.at(name, other, lower)
        matched = np.unique(np.concatenate([one, other]))
        camera = np.searchsorted(start, matched, side='right') - 1
        point = np.unique(name[matched], return_inverse=True)[1].reshape(-1)
        seen = np.zeros((int(point.max()) + 1, len(pixels)), np.int64)
        np.add.at(seen, (point, camera), 1)
        clear = (seen.max(axis=1) <= 1)[point]
        places = np.concatenate(pixels)[matched]
        return cls(camera, point, places, intrinsics, len(seen)).where(clear)

    def where(self, keep: NDArray[np.bool_]) -> Tracks:
        """Return some of the sightings."""
        return replace(
            self, camera=self.camera[keep], point=self.point[keep], pixels=self.pixels[keep]
        )

    def sharpened(self, grays: Sequence[UInt8Array]) -> Tracks:
        """Return tracks whose places look alike in the images, (H, W) each, that see a point."""
        reference = np.full(self.num_points, -1, np.int64)
        reference[self.point[::-1]] = np.arange(len(self.point))[::-1]  # the first sighting
        seen_first = reference[self.point]
        pixels = self.pixels.copy()
        for first in range(len(grays)):
            for second in range(first + 1, len(grays)):
                mine = (self.camera == second) & (self.camera[seen_first] == first)
                there = self.pixels[seen_first[mine]]
                pixels[mine] = sharpened(grays[first], grays[second], (there, pixels[mine]))
        return replace(self, pixels=pixels)


class CameraMap:
    """
    Cameras and points that are placed.

    Parameters
    ----------
    tracks : who sees what.
    pair : of the first two cameras.
    guess : (V, 4, 4) cam_from_map of all cameras; the first of the pair stays where it is, and
        its distance from the second as long.
    """

    def __init__(self, tracks: Tracks, pair: Pair, guess: Float64Array) -> None:
        self.tracks = tracks  # of the cameras that are placed, only what agrees with them
        self.order = [pair.first, pair.second]
        self.cam_from_map = guess.copy()
        self.places = np.zeros((tracks.num_points, 3))
        self._placed = np.zeros(tracks.num_points, np.bool_)
        motion = guess[pair.second] @ invert_rigid(guess[pair.first])
        length = float(np.linalg.norm(motion[:3, 3]))
        second_from_first = pair.second_from_first.copy()
        second_from_first[:3, 3] *= length if length > 0.0 else 1.0
        self.cam_from_map[pair.second] = second_from_first @ guess[pair.first]
        self._refine(2 * MAX_ERROR_PX, GROWING_STEPS)

    @property
    def support(self) -> float:
        """How much speaks for the map: 1 for each sighting, less by its error squared."""
        tracks = self.tracks
        bundle = Bundle(
            self.cam_from_map, self.places, tracks.camera, tracks.point, tracks.pixels,
            tracks.intrinsics,
        )  # fmt: skip
        errors = np.linalg.norm(reprojection(bundle), axis=1)
        return float(np.maximum(0.0, 1.0 - (errors[self._used()] / CLOSE_PX) ** 2).sum())

    def grow(self) -> None:
        """Place all cameras that see enough."""
        waiting = set(range(len(self.cam_from_map))) - set(self.order)
        while waiting:
            known = self.tracks.camera[self._placed[self.tracks.point]]
            camera = max(sorted(waiting), key=lambda index: np.count_nonzero(known == index))
            waiting.remove(camera)
            if self._place(camera):
                self._refine(2 * MAX_ERROR_PX, GROWING_STEPS)

    def finish(self) -> None:
        """Refine the map to the end; keep what agrees, and the cameras that see enough."""
        for _ in range(ROUNDS):
            self._refine(MAX_ERROR_PX, FINAL_STEPS)
        used = self.tracks.camera[self._used()]
        self.order = [c for c in self.order if np.count_nonzero(used == c) >= MIN_SEEN]
        self.tracks = self.tracks.where(self._used())

    def _used(self) -> NDArray[np.bool_]:
        """Return which sightings (M,) are of placed points by placed cameras."""
        return np.isin(self.tracks.camera, self.order) & self._placed[self.tracks.point]

    def _place(self, camera: int) -> bool:
        """Place a camera by the points that it sees; return whether they agree."""
        tracks = self.tracks
        mine = np.flatnonzero((tracks.camera == camera) & self._placed[tracks.point])
        points = self.places[tracks.point[mine]]
        found = estimate_pose(
            points, tracks.pixels[mine], tracks.intrinsics[camera], self.cam_from_map[camera],
            np.zeros_like(points),
        )  # fmt: skip
        if found is None:
            return False
        if np.count_nonzero(found.inliers) < max(MIN_SEEN, MIN_AGREE * len(mine)):
            return False
        keep = np.ones(len(tracks.camera), np.bool_)
        keep[mine[~found.inliers]] = False
        self.tracks = tracks.where(keep)
        self.cam_from_map[camera] = found.cam_from_map
        self.order.append(camera)
        return True

    def _refine(self, max_error_px: float, steps: int) -> None:
        """Place the points anew, adjust everything, and leave out the sightings that disagree."""
        sighting = self._triangulate(max_error_px)
        if len(sighting) < 2 * MIN_SEEN:
            return
        tracks = self.tracks
        seen, point = np.unique(tracks.point[sighting], return_inverse=True)
        rank = np.zeros(len(self.cam_from_map), np.int64)
        rank[self.order] = np.arange(len(self.order))
        bundle = Bundle(
            self.cam_from_map[self.order], self.places[seen], rank[tracks.camera[sighting]],
            point.reshape(-1), tracks.pixels[sighting], tracks.intrinsics[self.order],
            keep_length=True, huber_px=HUBER_PX,
        )  # fmt: skip
        adjust(bundle, iterations=steps)
        self.cam_from_map[self.order] = bundle.cam_from_map
        self.places[seen] = bundle.points
        errors = np.linalg.norm(reprojection(bundle), axis=1)
        keep = np.ones(len(tracks.camera), np.bool_)
        keep[sighting[~(errors < max_error_px)]] = False
        self.tracks = tracks.where(keep)
        views = np.bincount(self.tracks.point[self._used()], minlength=tracks.num_points)
        self._placed &= views >= 2

    def _triangulate(self, max_error_px: float) -> NDArray[np.intp]:
        """Place the points whose rays meet at an angle; return their sightings."""
        tracks = self.tracks
        sighting = np.flatnonzero(np.isin(tracks.camera, self.order))
        camera, point = tracks.camera[sighting], tracks.point[sighting]
        pixels = tracks.pixels[sighting]
        centers, rays = rays_in_map(self.cam_from_map, tracks.intrinsics, camera, pixels)
        places, angle, _ = nearest_to_rays(centers, rays, point, tracks.num_points)
        bundle = Bundle(self.cam_from_map, places, camera, point, pixels, tracks.intrinsics)
        errors = np.linalg.norm(reprojection(bundle), axis=1)
        worst = np.zeros(tracks.num_points)
        np.maximum.at(worst, point, errors)
        self.places = places
        self._placed = (angle > MIN_ANGLE_RAD) & (worst < 2 * max_error_px)
        return sighting[self._placed[point]]


def best_map(
    tracks: Tracks, pairs: Sequence[Pair], cam_from_map: Float64Array
) -> CameraMap | None:
    """
    Return the map with the most cameras, then sightings, of those begun with the best pairs.

    Parameters
    ----------
    tracks : of the pairs.
    pairs : of the images.
    cam_from_map : (V, 4, 4), a guess.

    Returns
    -------
    None where no pair has parallax, or none sees enough.
    """
    starts = [
        pair
        for pair in pairs
        if pair.parallax_px >= MIN_PARALLAX_PX and len(pair.places) >= MIN_START
    ]
    starts.sort(key=lambda p: -len(p.places) * min(p.parallax_px, ENOUGH_PARALLAX_PX))
    found = [CameraMap(tracks, pair, cam_from_map) for pair in starts[:STARTS]]
    for candidate in found:
        candidate.grow()
    best = max(found, key=lambda c: (len(c.order), c.support), default=None)
    if best is not None:
        best.finish()
    return best if best is not None and len(best.order) >= 2 else None
