"""Rendering of whole sets: scene, cameras, exact depth and ids, colours."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Literal
from typing import TypeAlias

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.synthetic.cameras import intrinsics_from_focal
from moe3d_engine.lab.synthetic.cameras import place_path
from moe3d_engine.lab.synthetic.cameras import place_views
from moe3d_engine.lab.synthetic.cameras import random_intrinsics
from moe3d_engine.lab.synthetic.scene_set import HELD_OUT_SEED_START
from moe3d_engine.lab.synthetic.scene_set import SyntheticSet
from moe3d_engine.lab.synthetic.shading import ambient_visibility
from moe3d_engine.lab.synthetic.shading import light_visibility
from moe3d_engine.lab.synthetic.shading import shade
from moe3d_engine.lab.synthetic.shading import sky_radiance
from moe3d_engine.lab.synthetic.shading import surface_points
from moe3d_engine.lab.synthetic.shading import SurfacePoints
from moe3d_engine.lab.synthetic.tracing import Hits
from moe3d_engine.lab.synthetic.tracing import pixel_rays
from moe3d_engine.lab.synthetic.tracing import Tracer
from moe3d_engine.lab.synthetic.walks import place_walk
from moe3d_engine.lab.synthetic.worlds.outdoors import outdoors
from moe3d_engine.lab.synthetic.worlds.rooms import room
from moe3d_engine.lab.synthetic.worlds.rooms import Stage
from moe3d_engine.lab.synthetic.worlds.scene import bare
from moe3d_engine.lab.synthetic.worlds.scene import Light
from moe3d_engine.lab.synthetic.worlds.textures import texture_bank
from moe3d_engine.lab.synthetic.worlds.textures import TextureBank
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

Style: TypeAlias = Literal['fast', 'photo']
_OUTDOOR_SHARE = 0.25
SCENE_TRIES = 50
_SETS_PER_BANK = 200  # consecutive seeds share textures
_BANKS = 16
_PENUMBRA_RAYS = 6
_OPENNESS_RAYS = 3
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
    for attempt in range(SCENE_TRIES):
        rng = np.random.default_rng([seed, attempt])
        intrinsics = random_intrinsics(rng, image_hw)
        stage = (outdoors if rng.random() < _OUTDOOR_SHARE else room)(rng, bank)
        tracer = Tracer(stage.scene)
        poses = place_views(rng, stage, tracer, num_views, intrinsics)
        if poses is not None:
            return render_views(tracer, poses, intrinsics, image_hw, supersample, style, seed)
    raise ConfigError(f'No room for {num_views} cameras with seed {seed}; use another seed.')


def render_walk(
    seed: int,
    num_views: int = 4,
    image_hw: tuple[int, int] = (144, 192),
    supersample: int = 1,
    style: Style = 'fast',
) -> SyntheticSet:
    """
    Render the keyframes of a robot's walk; parameters as for `render_set`.

    Two consecutive seeds walk through one scene with two cameras.
    """
    for attempt in range(SCENE_TRIES):
        stage, tracer = scene_of(seed // 2, attempt)
        rng = np.random.default_rng([seed, attempt, 3])
        intrinsics = random_intrinsics(rng, image_hw, off_centre=0.04)
        poses = place_walk(rng, stage, tracer, num_views, intrinsics)
        if poses is not None:
            return render_views(tracer, poses, intrinsics, image_hw, supersample, style, seed)
    raise ConfigError(f'No way for {num_views} keyframes with seed {seed}; use another seed.')


@lru_cache(maxsize=1)
def scene_of(pair: int, attempt: int) -> tuple[Stage, Tracer]:
    """Return the scene that two consecutive seeds share; every other one is bare and glossy."""
    rng = np.random.default_rng([pair, attempt, 4])
    stage = (outdoors if rng.random() < _OUTDOOR_SHARE else room)(rng, _bank_of(2 * pair))
    if pair % 2:
        stage = replace(stage, scene=bare(stage.scene, rng))
    return stage, Tracer(stage.scene)


def render_trajectory(
    seed: int, num_frames: int, image_hw: tuple[int, int] = (288, 384)
) -> SyntheticSet:
    """Render a camera that walks to and fro around a table, about 5 cm a frame."""
    bank = _bank_of(seed)
    for attempt in range(SCENE_TRIES):
        rng = np.random.default_rng([seed, attempt])
        intrinsics = intrinsics_from_focal(0.85 * image_hw[1], image_hw)
        stage = room(rng, bank)
        tracer = Tracer(stage.scene)
        poses = place_path(rng, stage, tracer, num_frames, intrinsics)
        if poses is not None:
            return render_views(tracer, poses, intrinsics, image_hw, 2, 'photo', seed)
    raise ConfigError(f'No path of {num_frames} frames with seed {seed}; use another seed.')


def _bank_of(seed: int) -> TextureBank:
    held_out = seed >= HELD_OUT_SEED_START
    number = seed // _SETS_PER_BANK % _BANKS
    return texture_bank(_BANKS + number if held_out else number)


def render_views(
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
        name=f'seed {seed}',
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
        self._facet = np.full(len(part), -1, np.int32)
        self._visibility: list[Float32Array] = []  # one (H * W,) share per light
        ids = np.where(self._hits.face >= 0, self._scene.part_object[part], np.int32(-1))
        self.object_id = ids.reshape(image_hw)

    def radiance(self, supersample: int) -> Float32Array:
        """Return (H, W, 3) linear colours."""
        image, edges = self._centre_colours()
        if supersample > 1 and edges.any():
            total = np.zeros((int(edges.sum()), 3), np.float32)
            x, y = self._x[edges], self._y[edges]
            for dx, dy in _SUBPIXELS:
                total += self._off_centre_colours(x + dx, y + dy)
            image[edges] = total / len(_SUBPIXELS)
        return image.reshape(*self._hw, 3)

    def _centre_colours(self) -> tuple[Float32Array, NDArray[np.bool_]]:
        """Return the colours at pixel centres and which pixels lie on edges of any kind."""
        hit = self._hits.face >= 0
        image = np.empty((len(hit), 3), np.float32)
        image[~hit] = sky_radiance(self._scene, self._rays[~hit])
        points = self._points(self._hits.where(hit), self._rays[hit])
        self._facet[hit] = _facets(points)
        edges = _differs(self._facet.reshape(self._hw))
        for light in self._scene.lights:
            seen = self._full(hit, self._seen(points, light))
            if self._photo:
                self._soften(seen, points, hit, light)
            else:
                edges |= _spread(seen.reshape(self._hw), 3) & hit
            self._visibility.append(seen)
        rays = _OPENNESS_RAYS if self._photo else 1
        openness = np.zeros(len(points.part), np.float32)
        for _ in range(rays):
            openness += ambient_visibility(self._tracer, points, self._rng) / np.float32(rays)
        self._openness = self._smooth(self._full(hit, openness))
        visibility = [seen[hit] for seen in self._visibility]
        image[hit] = shade(self._scene, points, visibility, self._openness[hit])
        return image, edges

    def _soften(
        self, seen: Float32Array, points: SurfacePoints, hit: NDArray[np.bool_], light: Light
    ) -> None:
        """Take more samples of a lamp where it is partly hidden, and smooth their noise."""
        mixed = _spread(seen.reshape(self._hw), 9) & hit
        some = points.where(mixed[hit])
        for _ in range(_PENUMBRA_RAYS - 1):
            seen[mixed] += self._seen(some, light)
        seen[mixed] /= _PENUMBRA_RAYS
        seen[mixed] = self._smooth(seen)[mixed]

    def _off_centre_colours(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Float32Array:
        """Return colours between pixel centres; soft light is taken from the same facet nearby."""
        rays = pixel_rays(self._intrinsics, self._pose, x, y)
        hits = self._tracer.first_hits(self._pose[:3, 3], rays)
        hit = hits.face >= 0
        colours = np.empty((len(rays), 3), np.float32)
        colours[~hit] = sky_radiance(self._scene, rays[~hit])
        points = self._points(hits.where(hit), rays[hit])
        near = self._same_facet_near(_facets(points), x[hit], y[hit])
        trace = (near < 0) | (not self._photo)
        some = points.where(trace)
        visibility = []
        for light, known in zip(self._scene.lights, self._visibility, strict=True):
            seen = known[near]
            seen[trace] = self._seen(some, light)
            if self._photo:
                seen[trace] = (seen[trace] + self._seen(some, light)) / 2
            visibility.append(seen)
        colours[hit] = shade(self._scene, points, visibility, self._openness[near])
        return colours

    def _same_facet_near(
        self, facet: NDArray[np.int32], x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return the flat index of a pixel of the same facet among the nearest nine, or -1."""
        height, width = self._hw
        found = np.full(len(facet), -1, np.int64)
        for dy in (0, -1, 1):
            row = np.clip(np.rint(y).astype(np.int64) + dy, 0, height - 1)
            for dx in (0, -1, 1):
                index = row * width + np.clip(np.rint(x).astype(np.int64) + dx, 0, width - 1)
                found = np.where((found < 0) & (self._facet[index] == facet), index, found)
        return found

    def _seen(self, points: SurfacePoints, light: Light) -> Float32Array:
        return light_visibility(self._tracer, points, light, self._rng if self._photo else None)

    def _smooth(self, values: Float32Array) -> Float32Array:
        for step in (1, 2) if self._photo else (1,):
            values = _smooth_within(values, self._facet, self._hw, step)
        return values

    def _points(self, hits: Hits, rays: Float32Array) -> SurfacePoints:
        pixel_rad = 1 / float(self._intrinsics[0, 0])
        return surface_points(self._scene, hits, self._pose[:3, 3], rays, pixel_rad)

    def _full(self, hit: NDArray[np.bool_], values: Float32Array) -> Float32Array:
        full = np.zeros(len(hit), np.float32)
        full[hit] = values
        return full


def _facets(points: SurfacePoints) -> NDArray[np.int32]:
    """Return a number per part and main direction of its normal."""
    side = np.abs(points.normal).argmax(axis=1)
    positive = np.take_along_axis(points.normal, side[:, None], 1)[:, 0] > 0
    return np.asarray(points.part * 6 + 2 * side + positive, np.int32)


def _differs(values: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (flat) which pixels differ from a neighbour to the right, left, below or above."""
    edges = np.zeros(values.shape, bool)
    across, down = values[:, 1:] != values[:, :-1], values[1:] != values[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges.ravel()


def _spread(values: Float32Array, size: int) -> NDArray[np.bool_]:
    """Return (flat) where the values of a window differ."""
    kernel = np.ones((size, size), np.uint8)
    return np.asarray(cv2.dilate(values, kernel) > cv2.erode(values, kernel)).ravel()


def _smooth_within(
    values: Float32Array, facet: NDArray[np.int32], image_hw: tuple[int, int], step: int
) -> Float32Array:
    """Average 5x5 values, `step` pixels apart, over the pixels of the same facet."""
    height, width = image_hw
    padded = np.pad(values.reshape(image_hw), 2 * step)
    keys = np.pad(facet.reshape(image_hw), 2 * step, constant_values=-2)
    centre = facet.reshape(image_hw)
    total, weight = np.zeros(image_hw, np.float32), np.zeros(image_hw, np.float32)
    for dy in range(0, 5 * step, step):
        for dx in range(0, 5 * step, step):
            window = slice(dy, dy + height), slice(dx, dx + width)
            same = keys[window] == centre
            total += padded[window] * same
            weight += same
    return (total / weight).ravel()
