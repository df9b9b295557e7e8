"""Poses of a few images in any order, from what they show together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from itertools import combinations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.points import move_pixels
from moe3d_engine.geometry.points import transform_points
from moe3d_engine.mapping.camera_map import best_map
from moe3d_engine.mapping.camera_map import Tracks
from moe3d_engine.mapping.gray_image import gray_image
from moe3d_engine.mapping.gray_image import GrayImage
from moe3d_engine.mapping.pairs import find_features
from moe3d_engine.mapping.pairs import find_pair
from moe3d_engine.mapping.pairs import Pair
from moe3d_engine.types import Float64Array
from moe3d_engine.types import SparsePoints
from moe3d_engine.types import View
import numpy as np
from numpy.typing import NDArray

MAX_VIEWS = 8  # that are registered together: every pair of them is matched
MAX_SIDE_PX = 800  # of the pixels in which errors count; larger images are shrunk


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """
    Where cameras stood by what they see together.

    Parameters
    ----------
    cam_from_world : (V, 4, 4); of views that are not registered as it was given.
    points : what each view sees, on its own pixels, in the unit and the world of the poses; None
        where it is not registered.
    anchor : the registered view whose pose is the given one.
    """

    cam_from_world: Float64Array
    points: tuple[SparsePoints | None, ...]
    anchor: int = 0

    @property
    def registered(self) -> NDArray[np.bool_]:
        """Which views (V,) are."""
        return np.array([points is not None for points in self.points], np.bool_)

    def in_unit(self, unit: float) -> Float64Array:
        """Return cam_from_world (V, 4, 4) with distances between registered views times `unit`."""
        poses = self.cam_from_world.copy()
        world_from_anchor = invert_rigid(poses[self.anchor])
        from_anchor = poses[self.registered] @ world_from_anchor
        from_anchor[:, :3, 3] *= unit
        poses[self.registered] = from_anchor @ poses[self.anchor]
        poses[self.anchor] = self.cam_from_world[self.anchor]  # exactly
        return poses


def register(
    views: Sequence[View], intrinsics: Float64Array, cam_from_world: Float64Array
) -> Registration:
    """
    Find where cameras stood from what they see together.

    Parameters
    ----------
    views : V views, in any order; their own intrinsics and poses are not used.
    intrinsics : (V, 3, 3) in pixels of the views.
    cam_from_world : (V, 4, 4), a first guess such as the network's. It gives the length of the
        first pair's translation and starts the search for each further pose; the result depends
        on it no more than that.

    Returns
    -------
    Registration. The first registered view's pose stays as given. Views that see too little of
    what the others see, or see it from one place only, are not registered.

    Notes
    -----
    SIFT matches of all pairs, whose essential matrices sort out what is wrong, are joined to
    tracks. From a pair with many matches and much parallax the map grows by the view that sees
    most of it (Snavely et al., Photo tourism, 2006), and is adjusted as a whole each time.
    """
    shrunk = [_shrunk(view, k) for view, k in zip(views, intrinsics, strict=True)]
    features = [
        find_features(gray.pixels, view.seen) for gray, view in zip(shrunk, views, strict=True)
    ]
    work = np.stack([gray.intrinsics for gray in shrunk])
    found = [
        find_pair((i, j), (features[i], features[j]), (work[i], work[j]))
        for i, j in combinations(range(len(views)), 2)
    ]
    pairs = [pair for pair in found if pair is not None]
    if not pairs:
        return Registration(cam_from_world, (None,) * len(views))
    tracks = Tracks.of_pairs(pairs, [f.pixels for f in features], work)
    tracks = tracks.sharpened([gray.pixels for gray in shrunk])
    registration = register_tracks(tracks, pairs, cam_from_world)
    return _on_source(registration, [gray.source_from_gray for gray in shrunk])


def register_tracks(
    tracks: Tracks, pairs: Sequence[Pair], cam_from_world: Float64Array
) -> Registration:
    """
    Return what tracks of points say together, as `register`.

    Parameters
    ----------
    tracks : of V cameras.
    pairs : of images, with which the map may begin.
    cam_from_world : as `register`.
    """
    points: list[SparsePoints | None] = [None] * len(cam_from_world)
    found = best_map(tracks, pairs, cam_from_world)
    if found is None:
        return Registration(cam_from_world, tuple(points))
    anchor = min(found.order)
    world_from_map = invert_rigid(cam_from_world[anchor]) @ found.cam_from_map[anchor]
    poses = cam_from_world.copy()
    poses[found.order] = found.cam_from_map[found.order] @ invert_rigid(world_from_map)
    poses[anchor] = cam_from_world[anchor]  # exactly
    for camera in found.order:
        mine = found.tracks.camera == camera
        places = transform_points(world_from_map, found.places[found.tracks.point[mine]])
        depth = places @ poses[camera][2, :3] + poses[camera][2, 3]
        points[camera] = SparsePoints(found.tracks.pixels[mine], depth, places)
    return Registration(poses, tuple(points), anchor)


def _on_source(registration: Registration, source_from_shrunk: list[Float64Array]) -> Registration:
    """Return a registration with its points on the views' own pixels."""
    points = tuple(
        seen and SparsePoints(
            move_pixels(seen.pixels, matrix), seen.depth, seen.points_odom
        )
        for seen, matrix in zip(registration.points, source_from_shrunk, strict=True)
    )  # fmt: skip
    return replace(registration, points=points)


def _shrunk(view: View, intrinsics: Float64Array) -> GrayImage:
    """Return a grey image of at most MAX_SIDE_PX."""
    height, width = view.image.shape[:2]
    shrink = min(1.0, MAX_SIDE_PX / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return gray_image(view, intrinsics, size)
