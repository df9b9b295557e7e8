"""Colours of hit points: textures, lights with shadows, ambient light with occlusion."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

from moe3d_engine.lab.synthetic.tracing import Hits
from moe3d_engine.lab.synthetic.tracing import Tracer
from moe3d_engine.lab.synthetic.worlds.scene import Light
from moe3d_engine.lab.synthetic.worlds.scene import Scene
from moe3d_engine.types import Float32Array
import numpy as np
from numpy.typing import NDArray

_LIFT = 1e-3  # metres that secondary rays start above a surface, at 1 m from the camera
_OCCLUDER_M = 0.7  # things farther away than this do not darken the ambient light


class SurfacePoints(NamedTuple):
    """Hit points with what shading needs; normals point to the viewer."""

    position: Float32Array
    normal: Float32Array
    lifted: Float32Array  # start of secondary rays
    part: NDArray[np.int32]
    albedo: Float32Array
    to_viewer: Float32Array

    def where(self, mask: NDArray[np.bool_]) -> SurfacePoints:
        """Return the points that a mask chooses."""
        return SurfacePoints(
            self.position[mask],
            self.normal[mask],
            self.lifted[mask],
            self.part[mask],
            self.albedo[mask],
            self.to_viewer[mask],
        )


def surface_points(
    scene: Scene, hits: Hits, origin: NDArray[Any], directions: Float32Array, pixel_rad: float
) -> SurfacePoints:
    """Return the surface at each hit; every ray must have hit something."""
    distance = hits.distance[:, None]
    position = origin.astype(np.float32) + directions * distance
    length = np.linalg.norm(directions, axis=1, keepdims=True)
    to_viewer = -directions / length
    u, v = hits.barycentric[:, :1], hits.barycentric[:, 1:]
    corners = scene.corners[hits.face]
    mixed = corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v
    normal = mixed[:, :3]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    flat = hits.normal / (np.linalg.norm(hits.normal, axis=1, keepdims=True) + 1e-30)
    flat *= np.sign((flat * to_viewer).sum(axis=1, keepdims=True))
    normal *= np.where((normal * flat).sum(axis=1, keepdims=True) < 0, -1, 1)
    part = scene.face_part[hits.face]
    repeats = scene.repeats[part]
    cosine = np.maximum(np.abs((flat * to_viewer).sum(axis=1)), 0.15)
    footprint = hits.distance * pixel_rad * repeats / np.sqrt(cosine)
    uvs = mixed[:, 3:] * repeats[:, None] + scene.offset[part]
    albedo = scene.bank.sample(scene.texture[part], uvs, footprint) * scene.tint[part]
    lifted = position + flat * (_LIFT * np.maximum(distance, 1))
    return SurfacePoints(position, normal, lifted, part, albedo, to_viewer)


def light_visibility(
    tracer: Tracer, points: SurfacePoints, light: Light, rng: np.random.Generator | None
) -> Float32Array:
    """Return 1 where a random point of the lamp (its centre without `rng`) is seen, else 0."""
    count = len(points.position)
    ends = np.broadcast_to(np.asarray(light.position, np.float32), (count, 3))
    if rng is not None:
        jitter = rng.standard_normal((count, 3), np.float32)
        jitter *= light.radius_m / np.linalg.norm(jitter, axis=1, keepdims=True)
        ends = ends + jitter
    facing = ((ends - points.position) * points.normal).sum(axis=1) > 0
    seen = np.zeros(count, np.float32)
    if facing.any():
        seen[facing] = tracer.sees(points.lifted[facing], ends[facing])
    return seen


def ambient_visibility(
    tracer: Tracer, points: SurfacePoints, rng: np.random.Generator
) -> Float32Array:
    """Return 1 where a cosine-distributed random ray escapes its surroundings, else 0."""
    d = rng.standard_normal(points.normal.shape, np.float32)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    d = points.normal + 0.98 * d
    return tracer.sees(points.lifted, points.lifted + _OCCLUDER_M * d).astype(np.float32)


def shade(
    scene: Scene, points: SurfacePoints, visibility: list[Float32Array], openness: Float32Array
) -> Float32Array:
    """Return (N, 3) linear radiance; `visibility` holds one (N,) share per light."""
    up = 0.5 + 0.5 * points.normal[:, 2:]
    ambient = scene.sky * up + scene.ground * (1 - up)
    diffuse = ambient * (0.15 + 0.85 * openness[:, None])
    highlight = np.zeros_like(diffuse)
    specular, gloss = scene.specular[points.part], scene.gloss[points.part]
    for light, seen in zip(scene.lights, visibility, strict=True):
        to_light = np.asarray(light.position, np.float32) - points.position
        square = (to_light * to_light).sum(axis=1, keepdims=True)
        to_light /= np.sqrt(square)
        cosine = np.maximum((to_light * points.normal).sum(axis=1), 0)
        strength = seen if light.is_sun else seen / (0.4 + square[:, 0])
        colour = np.asarray(light.colour, np.float32)
        diffuse += (cosine * strength)[:, None] * colour
        half = to_light + points.to_viewer
        half /= np.linalg.norm(half, axis=1, keepdims=True) + 1e-9
        peak = np.maximum((half * points.normal).sum(axis=1), 0) ** gloss
        highlight += (specular * peak * strength * (cosine > 0))[:, None] * colour
    emitted = points.albedo * scene.emission[points.part][:, None]
    return np.asarray(points.albedo * diffuse + highlight + emitted, np.float32)


def sky_radiance(scene: Scene, directions: Float32Array) -> Float32Array:
    """Return the sky seen along rays: a gradient with clouds."""
    d = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    height = np.clip(d[:, 2:], 0, 1)
    clouds = scene.bank.kinds['noise']
    texture = np.full(len(d), clouds[len(scene.texture) % len(clouds)])
    uvs = 0.08 * d[:, :2] / (height + 0.12)
    mask = scene.bank.sample(texture, uvs, np.full(len(d), 0.002, np.float32)).mean(axis=1)
    mask = np.clip(3 * mask - 0.6, 0, 1)[:, None] * np.clip(4 * height, 0, 1)
    blue = np.array([0.45, 0.68, 1.1]) * (1.25 - 0.6 * height)
    colour = blue + (1 - height) ** 6 * 0.35
    return np.asarray(1.1 * (colour * (1 - mask) + 1.15 * mask), np.float32)
