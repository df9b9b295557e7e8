"""
Fast exact pictures of textured rectangles, such as a room with boxes in it.

A plane's inverse depth is affine in the pixel, and so are its texture coordinates times the
inverse depth. Grey levels are the mean of 2x2 samples per pixel with trilinear mip maps, so that
nothing is shifted by a fraction of a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

import cv2
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

TEXTURE_STEP = 32  # sizes of textures are multiples of it, so that mip levels halve exactly
_LEVELS = 6  # of mip maps; the last one is 1/TEXTURE_STEP
_SAMPLES = 2  # per pixel and axis
_NEAR_M = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """
    A textured rectangle, seen by who looks along `along_u x along_v`, as an image is.

    Parameters
    ----------
    corner : (3,) metres in the world, where the texture's first texel begins.
    along_u, along_v : (3,) edges in metres, perpendicular to each other.
    texture : (h, w) uint8, grey, multiples of TEXTURE_STEP; it spans the rectangle.
    """

    corner: Float64Array
    along_u: Float64Array
    along_v: Float64Array
    texture: NDArray[np.uint8]
    normal: Float64Array = field(init=False)  # (3,) unit vector, away from who sees the face

    def __post_init__(self) -> None:
        """Compute the normal once."""
        normal = np.cross(self.along_u, self.along_v)
        object.__setattr__(self, 'normal', normal / np.linalg.norm(normal))


class Picture(NamedTuple):
    """What a camera sees, without noise."""

    grey: Float32Array  # (H, W) in [0, 255]
    depth: Float32Array  # (H, W) metres along optical z at pixel centres; inf where no face is


class _Patch(NamedTuple):
    """The part of a picture where a face may lie; arrays are (h, w) on that part."""

    face: int  # its index
    window: tuple[slice, slice]
    inverse_depth: Float32Array
    u: Float32Array  # times inverse depth, 0 to 1 across the face
    v: Float32Array
    detail: float  # mip level at a depth of 1 m

    def covers(self, inverse_depth: Float32Array) -> NDArray[np.bool_]:
        """Return where the face lies before what has been drawn."""
        own = self.inverse_depth
        covered = own > inverse_depth
        for coordinate in (self.u, self.v):
            covered &= coordinate >= 0
            covered &= coordinate <= own
        return covered


class PlaneWorld:
    """Faces, with all their textures in one atlas."""

    def __init__(self, faces: Sequence[Face]) -> None:
        self.faces = tuple(faces)
        heights = [face.texture.shape[0] for face in self.faces]
        self._top = np.cumsum(heights) - heights
        self._size = np.array([face.texture.shape[::-1] for face in self.faces], np.float32)
        self._atlas = np.zeros((sum(heights), 2 * int(self._size[:, 0].max())), np.uint8)
        for face, top in zip(self.faces, self._top, strict=True):
            _write_levels(self._atlas[top:], face.texture)

    def picture(
        self,
        cam_from_world: Float64Array,
        intrinsics: Float64Array,
        image_hw: tuple[int, int],
        world_from_face: Mapping[int, Float64Array] | None = None,
    ) -> Picture:
        """
        Render one picture.

        Parameters
        ----------
        cam_from_world : (4, 4).
        intrinsics : (3, 3) pixels.
        image_hw : height and width in pixels.
        world_from_face : (4, 4) of the faces, by their index, that have moved.
        """
        moved = world_from_face or {}
        hw = (_SAMPLES * image_hw[0], _SAMPLES * image_hw[1])
        fine = scale_intrinsics(intrinsics, _SAMPLES, _SAMPLES)
        inverse_depth, ids = np.zeros(hw, np.float32), np.full(hw, -1, np.int16)
        patches = []
        for index, face in enumerate(self.faces):
            cam_from_face = cam_from_world @ moved[index] if index in moved else cam_from_world
            patch = _patch(index, face, cam_from_face, fine, hw)
            if patch is not None:
                patches.append(patch)
                covered = patch.covers(inverse_depth[patch.window])
                np.copyto(inverse_depth[patch.window], patch.inverse_depth, where=covered)
                np.copyto(ids[patch.window], np.int16(index), where=covered)
        samples = self._samples(patches, inverse_depth, ids)
        grey = cv2.resize(samples, image_hw[::-1], interpolation=cv2.INTER_AREA)
        return Picture(np.asarray(grey, np.float32), _centre_depth(inverse_depth, ids))

    def _samples(
        self, patches: list[_Patch], inverse_depth: Float32Array, ids: NDArray[np.int16]
    ) -> Float32Array:
        """Return grey levels, blended between the two mip levels around the right one."""
        u, v, detail, width, height, top = (np.zeros_like(inverse_depth) for _ in range(6))
        z = 1 / np.maximum(inverse_depth, np.float32(1e-6))
        log_z = cv2.log(z) * np.float32(1.5 / np.log(2))
        for patch in patches:
            own = ids[patch.window] == patch.face
            size = self._size[patch.face]
            for target, values in (
                (u, patch.u * (z[patch.window] * size[0])),
                (v, patch.v * (z[patch.window] * size[1])),
                (detail, log_z[patch.window] + np.float32(patch.detail)),
                (width, size[0]),
                (height, size[1]),
                (top, np.float32(self._top[patch.face])),
            ):
                np.copyto(target[patch.window], values, where=own)
        np.clip(detail, 0, _LEVELS - 1.001, out=detail)
        lower = np.floor(detail)
        scale = np.exp2(-lower)
        grey = self._look_up(u, v, width, height, top, scale)
        coarser = self._look_up(u, v, width, height, top, scale * np.float32(0.5))
        grey += (detail - lower) * (coarser - grey)
        grey[ids < 0] = 0
        return grey

    def _look_up(
        self, u: Float32Array, v: Float32Array, width: Float32Array, height: Float32Array,
        top: Float32Array, scale: Float32Array,
    ) -> Float32Array:  # fmt: skip
        """Sample mip levels (`scale` is 1, 1/2, 1/4, ...) at texels u and v of the finest."""
        half = np.float32(0.5) / scale  # a texel's centre; beyond the last one nothing changes
        x: Float32Array = np.clip(u, half, width - half)
        x -= 2 * width  # a level begins at 2 w (1 - scale)
        x *= scale
        x += 2 * width - np.float32(0.5)
        y: Float32Array = np.clip(v, half, height - half)
        y *= scale
        y += top - np.float32(0.5)
        return np.asarray(cv2.remap(self._atlas, x, y, cv2.INTER_LINEAR), np.float32)


def _centre_depth(inverse_depth: Float32Array, ids: NDArray[np.int16]) -> Float32Array:
    """Return depth at pixel centres; where faces meet, that of one of them."""
    height, width = (side // _SAMPLES for side in ids.shape)
    mean = cv2.resize(inverse_depth, (width, height), interpolation=cv2.INTER_AREA)
    first = ids[::_SAMPLES, ::_SAMPLES]
    same = np.ones((height, width), bool)
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        same &= ids[dy::_SAMPLES, dx::_SAMPLES] == first
    with np.errstate(divide='ignore'):
        depth = 1 / np.where(same, mean, inverse_depth[::_SAMPLES, ::_SAMPLES])
    return np.asarray(depth, np.float32)


def _patch(
    index: int, face: Face, cam_from_face: Float64Array, intrinsics: Float64Array,
    hw: tuple[int, int],
) -> _Patch | None:  # fmt: skip
    """Return where a face may lie, or None where it cannot be seen."""
    rotation, translation = cam_from_face[:3, :3], cam_from_face[:3, 3]
    distance = float(face.normal @ (face.corner + rotation.T @ translation))
    if distance < 1e-6:  # seen from behind
        return None
    corner = rotation @ face.corner + translation
    u, v = rotation @ face.along_u, rotation @ face.along_v
    window = _window(np.stack([corner, corner + u, corner + u + v, corner + v]), intrinsics, hw)
    if window is None:
        return None
    face_from_pixel = np.linalg.inv(intrinsics @ np.stack([u, v, corner], axis=1))
    rows, columns = window
    x, y = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)[:, None]
    u_over_z, v_over_z, inverse_depth = (
        (row[0] * x + row[2]).astype(np.float32) + (row[1] * y).astype(np.float32)
        for row in face_from_pixel
    )
    texels_per_m = face.texture.shape[1] / np.linalg.norm(u)
    detail = np.log2(texels_per_m / intrinsics[0, 0]) - 0.5 * np.log2(distance)
    return _Patch(index, window, inverse_depth, u_over_z, v_over_z, float(detail))


def _window(
    corners: Float64Array, intrinsics: Float64Array, hw: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Return rows and columns around the part of a polygon before the camera, or None."""
    points = []
    for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if first[2] > _NEAR_M:
            points.append(first)
        if (first[2] > _NEAR_M) != (second[2] > _NEAR_M):
            share = (_NEAR_M - first[2]) / (second[2] - first[2])
            points.append(first + share * (second - first))
    if not points:
        return None
    pixels = np.stack(points) @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    left, top = np.clip(np.floor(pixels.min(axis=0)), 0, hw[::-1]).astype(int)
    right, bottom = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, hw[::-1]).astype(int)
    return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def _write_levels(rows: NDArray[np.uint8], texture: NDArray[np.uint8]) -> None:
    """Write a texture and its mip levels beside each other."""
    left, image = 0, texture
    for level in range(_LEVELS):
        if level > 0:
            half = (image.shape[1] // 2, image.shape[0] // 2)
            image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
        rows[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1]
