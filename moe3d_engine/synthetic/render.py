"""Rendering of whole sets: scene, cameras, exact depth and ids, colours."""

from __future__ import annotations

from typing import Literal
from typing import TypeAlias

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.synthetic.cameras import intrinsics_from_focal
from moe3d_engine.synthetic.cameras import place_path
from moe3d_engine.synthetic.cameras import place_views
from moe3d_engine.synthetic.cameras import random_intrinsics
from moe3d_engine.synthetic.outdoors import outdoors
from moe3d_engine.synthetic.rooms import room
from moe3d_engine.synthetic.scene_set import HELD_OUT_SEED_START
from moe3d_engine.synthetic.scene_set import SyntheticSet
from moe3d_engine.synthetic.shading import ambient_visibility
from moe3d_engine.synthetic.shading import light_visibility
from moe3d_engine.synthetic.shading import shade
from moe3d_engine.synthetic.shading import sky_radiance
from moe3d_engine.synthetic.shading import surface_points
from moe3d_engine.synthetic.shading import SurfacePoints
from moe3d_engine.synthetic.textures import texture_bank
from moe3d_engine.synthetic.textures import TextureBank
from moe3d_engine.synthetic.tracing import Hits
from moe3d_engine.synthetic.tracing import pixel_rays
from moe3d_engine.synthetic.tracing import Tracer
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

Style: TypeAlias = Literal['fast', 'photo']
_OUTDOOR_SHARE = 0.25
_SCENE_TRIES = 50
_SETS_PER_BANK = 200  # consecutive seeds share textures
_BANKS = 16
_PENUMBRA_RAYS = 5
_SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


def render_set(
    seed: int,
    num_views: int = 4,
    image_hw: tuple[int, int] = (144, 192),
    supersample: int = 1,
    style: Style = 'fast',
) -> SyntheticSet:
    """
    Render the views of one random scene.

    Parameters
    ----------
    seed : names the set; seeds from HELD_OUT_SEED_START on are not for training.
    num_views : cameras, 0.05 to 1 m from the first one.
    image_hw : height and width in pixels.
    supersample : 2 takes the colour of edge pixels from 2x2 rays. Depth and ids always come
        from the ray through the pixel's centre.
    style : 'fast' has hard shadows, 'photo' area lights.
    """
    bank = _bank_of(seed)
    for attempt in range(_SCENE_TRIES):
        rng = np.random.default_rng([seed, attempt])
        intrinsics = random_intrinsics(rng, image_hw)
        stage = (outdoors if rng.random() < _OUTDOOR_SHARE else room)(rng, bank)
        tracer = Tracer(stage.scene)
        poses = place_views(rng, stage, tracer, num_views, intrinsics)
        if poses is not None:
            return _render_views(tracer, poses, intrinsics, image_hw, supersample, style, seed)
    raise ConfigError(f'No room for {num_views} cameras with seed {seed}; use another seed.')


def render_trajectory(
    seed: int, num_frames: int, image_hw: tuple[int, int] = (288, 384)
) -> SyntheticSet:
    """Render a camera that walks to and fro around a table, about 5 cm a frame."""
    bank = _bank_of(seed)
    for attempt in range(_SCENE_TRIES):
        rng = np.random.default_rng([seed, attempt])
        intrinsics = intrinsics_from_focal(0.85 * image_hw[1], image_hw)
        stage = room(rng, bank)
        tracer = Tracer(stage.scene)
        poses = place_path(rng, stage, tracer, num_frames, intrinsics)
        if poses is not None:
            return _render_views(tracer, poses, intrinsics, image_hw, 2, 'photo', seed)
    raise ConfigError(f'No path of {num_frames} frames with seed {seed}; use another seed.')


def _bank_of(seed: int) -> TextureBank:
    held_out = seed >= HELD_OUT_SEED_START
    number = seed // _SETS_PER_BANK % _BANKS
    return texture_bank(_BANKS + number if held_out else number)


def _render_views(
    tracer: Tracer,
    poses: Float64Array,
    intrinsics: Float64Array,
    image_hw: tuple[int, int],
    supersample: int,
    style: Style,
    seed: int,
) -> SyntheticSet:
    """Render all views with one exposure."""
    radiance, depth, ids = [], [], []
    for i, pose in enumerate(poses):
        rng = np.random.default_rng([seed, i, 1])
        view = _View(tracer, intrinsics, pose, image_hw, style, rng)
        radiance.append(view.radiance(supersample))
        depth.append(view.depth)
        ids.append(view.object_id)
    return SyntheticSet(
        rgb=_develop(np.stack(radiance), np.random.default_rng([seed, 2])),
        depth=np.stack(depth),
        object_id=np.stack(ids),
        intrinsics=np.tile(intrinsics, (len(poses), 1, 1)),
        world_from_cam=poses,
        seed=seed,
    )


def _develop(radiance: Float32Array, rng: np.random.Generator) -> UInt8Array:
    """Expose, compress the highlights and apply the sRGB-like curve."""
    mean = np.minimum(radiance, 3 * np.median(radiance) + 1e-3).mean()
    exposed = 1 - np.exp(-radiance * np.float32(rng.uniform(0.35, 0.6) / (mean + 1e-6)))
    return np.asarray(255 * exposed ** np.float32(1 / 2.2) + 0.5, np.uint8)


class _View:
    """One view while it is rendered: the centre rays' hits, then the colours."""

    def __init__(
        self,
        tracer: Tracer,
        intrinsics: Float64Array,
        pose: Float64Array,
        image_hw: tuple[int, int],
        style: Style,
        rng: np.random.Generator,
    ) -> None:
        self._tracer, self._scene = tracer, tracer.scene
        self._intrinsics, self._pose, self._hw = intrinsics, pose, image_hw
        self._rng = rng
        self._photo = style == 'photo'
        self._y, self._x = np.divmod(np.arange(image_hw[0] * image_hw[1]), image_hw[1])
        self._rays = pixel_rays(intrinsics, pose, self._x, self._y)
        self._hits = tracer.first_hits(pose[:3, 3], self._rays)
        self.depth = self._hits.distance.reshape(image_hw)
        part = self._scene.face_part[self._hits.face]
        ids = np.where(self._hits.face >= 0, self._scene.part_object[part], np.int32(-1))
        self.object_id = ids.reshape(image_hw)

    def radiance(self, supersample: int) -> Float32Array:
        """Return (H, W, 3) linear colours."""
        image, edges = self._centre_colours()
        if supersample > 1 and edges.any():
            total = np.zeros((int(edges.sum()), 3), np.float32)
            x, y = self._x[edges], self._y[edges]
            for dx, dy in _SUBPIXELS:
                total += self._sample(x + dx, y + dy)
            image[edges] = total / len(_SUBPIXELS)
        return image.reshape(*self._hw, 3)

    def _centre_colours(self) -> tuple[Float32Array, NDArray[np.bool_]]:
        """Return the colours at pixel centres and which pixels lie on edges of any kind."""
        hit = self._hits.face >= 0
        image = np.empty((len(hit), 3), np.float32)
        image[~hit] = sky_radiance(self._scene, self._rays[~hit])
        points = self._points(Hits(*(a[hit] for a in self._hits)), self._rays[hit])
        facet = np.full(len(hit), -1, np.int64)
        side = np.abs(points.normal).argmax(axis=1)
        side = 2 * side + (np.take_along_axis(points.normal, side[:, None], 1)[:, 0] > 0)
        facet[hit] = points.part * 6 + side
        edges = _differs(facet.reshape(self._hw))
        visibility = []
        for light in self._scene.lights:
            seen = self._full(hit, light_visibility(self._tracer, points, light, self._jitter))
            mixed = _spread(seen.reshape(self._hw), 9 if self._photo else 3) & hit
            if self._photo:
                seen = self._soften(seen, mixed, points, hit, facet, light)
                mixed = _spread(seen.reshape(self._hw), 3, 0.3)
            edges |= mixed
            visibility.append(seen[hit])
        openness = self._full(hit, ambient_visibility(self._tracer, points, self._rng))
        if self._photo:
            openness += self._full(hit, ambient_visibility(self._tracer, points, self._rng))
            openness /= 2
        self._openness = _smooth_within(openness, facet, self._hw)
        image[hit] = shade(self._scene, points, visibility, self._openness[hit])
        return image, edges

    def _soften(
        self, seen: Float32Array, mixed: NDArray[np.bool_], points: SurfacePoints,
        hit: NDArray[np.bool_], facet: NDArray[np.int64], light: object,
    ) -> Float32Array:
        """Take more samples of a lamp where it is partly hidden, and smooth their noise."""
        some = SurfacePoints(*(a[mixed[hit]] for a in points))
        for _ in range(_PENUMBRA_RAYS - 1):
            seen[mixed] += light_visibility(self._tracer, some, light, self._rng)
        seen[mixed] /= _PENUMBRA_RAYS
        seen[mixed] = _smooth_within(seen, facet, self._hw)[mixed]
        return seen

    def _sample(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Float32Array:
        """Return colours at pixel positions off the centres."""
        rays = pixel_rays(self._intrinsics, self._pose, x, y)
        hits = self._tracer.first_hits(self._pose[:3, 3], rays)
        hit = hits.face >= 0
        colours = np.empty((len(rays), 3), np.float32)
        colours[~hit] = sky_radiance(self._scene, rays[~hit])
        points = self._points(Hits(*(a[hit] for a in hits)), rays[hit])
        visibility = [
            light_visibility(self._tracer, points, light, self._jitter)
            for light in self._scene.lights
        ]
        nearest = np.rint(y).astype(int) * self._hw[1] + np.rint(x).astype(int)
        colours[hit] = shade(self._scene, points, visibility, self._openness[nearest[hit]])
        return colours

    def _points(self, hits: Hits, rays: Float32Array) -> SurfacePoints:
        pixel_rad = 1 / float(self._intrinsics[0, 0])
        return surface_points(self._scene, hits, self._pose[:3, 3], rays, pixel_rad)

    @property
    def _jitter(self) -> np.random.Generator | None:
        return self._rng if self._photo else None

    def _full(self, hit: NDArray[np.bool_], values: Float32Array) -> Float32Array:
        full = np.zeros(len(hit), np.float32)
        full[hit] = values
        return full


def _differs(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (flat) which pixels differ from a neighbour to the right, left, below or above."""
    edges = np.zeros(values.shape, bool)
    across, down = values[:, 1:] != values[:, :-1], values[1:] != values[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges.ravel()


def _spread(values: Float32Array, size: int, least: float = 0.0) -> NDArray[np.bool_]:
    """Return (flat) where the values of a window differ by more than `least`."""
    kernel = np.ones((size, size), np.uint8)
    spread = cv2.dilate(values, kernel) - cv2.erode(values, kernel)
    return np.asarray(spread > least).ravel()


def _smooth_within(
    values: Float32Array, facet: NDArray[np.int64], image_hw: tuple[int, int]
) -> Float32Array:
    """Average a 5x5 window over the pixels of the same facet."""
    height, width = image_hw
    padded = np.pad(values.reshape(image_hw), 2)
    keys = np.pad(facet.reshape(image_hw).astype(np.int32), 2, constant_values=-2)
    centre = keys[2:-2, 2:-2]
    total, weight = np.zeros(image_hw, np.float32), np.zeros(image_hw, np.float32)
    for dy in range(5):
        for dx in range(5):
            window = slice(dy, dy + height), slice(dx, dx + width)
            same = keys[window] == centre
            total += padded[window] * same
            weight += same
    return (total / weight).ravel()
