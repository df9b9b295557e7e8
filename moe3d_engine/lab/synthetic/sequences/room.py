"""Rooms of textured planes: walls with much, little or repeated texture, and boxes."""

from __future__ import annotations

from typing import Literal
from typing import TypeAlias

import cv2
from moe3d_engine.lab.synthetic.sequences.planes import Face
from moe3d_engine.lab.synthetic.sequences.planes import PlaneWorld
from moe3d_engine.lab.synthetic.sequences.planes import TEXTURE_STEP
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

Look: TypeAlias = Literal['rich', 'plain', 'repeated']
Rng: TypeAlias = np.random.Generator
Texture: TypeAlias = NDArray[np.uint8]

HALF_WIDTH_M = 3.6  # the room is square
CEILING_M, FLOOR_M = -1.5, 1.3  # y of the world, which points down
FREE_RADIUS_M = 2.0  # nothing stands nearer to the room's middle
_TEXELS_PER_M = 200
_BOXES = 12
_FIGURES_PER_M2 = 60
_BOARD_PRINT = 0.35  # size of its figures, relative to a wall's
_PERIOD_M = 0.15  # of repeated texture


def make_room(rng: Rng, look: Look, board_hw_m: tuple[float, float] | None = None) -> PlaneWorld:
    """
    Build a room around the origin: y points down, and what stands in it keeps off the middle.

    Parameters
    ----------
    look : `rich` has corners everywhere, `plain` few pictures on bare walls, `repeated` one
        pattern again and again.
    board_hw_m : height and width of a richly textured board in the frame of its own, around the
        origin, facing -z; it is the last face.
    """
    faces = []
    w, top, bottom = HALF_WIDTH_M, CEILING_M, FLOOR_M
    for wall in (
        ((-w, top, w), (2 * w, 0, 0), (0, bottom - top, 0)),
        ((w, top, w), (0, 0, -2 * w), (0, bottom - top, 0)),
        ((w, top, -w), (-2 * w, 0, 0), (0, bottom - top, 0)),
        ((-w, top, -w), (0, 0, 2 * w), (0, bottom - top, 0)),
        ((-w, bottom, w), (2 * w, 0, 0), (0, 0, -2 * w)),
        ((-w, top, -w), (2 * w, 0, 0), (0, 0, 2 * w)),
    ):
        corner, u, v = np.array(wall, np.float64)
        faces.append(_face(rng, look, corner, u, v))
    for angle in np.linspace(0, 2 * np.pi, _BOXES, endpoint=False) + rng.uniform(0, 2 * np.pi):
        faces += _box(rng, look, float(angle + rng.normal(0, 0.1)))
    if board_hw_m is not None:
        height, width = board_hw_m
        corner = np.array([-width / 2, -height / 2, 0])
        texture = _rich(rng, (height / _BOARD_PRINT, width / _BOARD_PRINT))
        faces.append(Face(corner, np.array([width, 0, 0]), np.array([0, height, 0]), texture))
    return PlaneWorld(faces)


def _box(rng: Rng, look: Look, angle: float) -> list[Face]:
    """Return the sides and the top of a box that stands or hangs outside the free middle."""
    size = rng.uniform((0.3, 0.4, 0.3), (0.9, 1.9, 0.9))
    radius = FREE_RADIUS_M + 0.6 + rng.uniform(0, 0.8)
    centre = radius * np.array([np.cos(angle), 0, np.sin(angle)])
    hangs = rng.random() < 0.25
    low, high = (CEILING_M, CEILING_M + size[1]) if hangs else (FLOOR_M - size[1], FLOOR_M)
    yaw = rng.uniform(0, np.pi / 2)
    x = size[0] / 2 * np.array([np.cos(yaw), 0, np.sin(yaw)])
    z = size[2] / 2 * np.array([-np.sin(yaw), 0, np.cos(yaw)])
    down = np.array([0, high - low, 0])
    lid = np.array([0, low, 0])
    faces = [
        _face(rng, look, centre + lid + start, along, down)
        for start, along in (
            (-x - z, 2 * x), (x - z, 2 * z), (x + z, -2 * x), (-x + z, -2 * z),
        )
    ]  # fmt: skip
    if hangs:
        under = centre + np.array([0, high, 0])
        return [*faces, _face(rng, look, under - x - z, 2 * x, 2 * z)]
    return [*faces, _face(rng, look, centre + lid - x + z, 2 * x, -2 * z)]


def _face(rng: Rng, look: Look, corner: Float64Array, u: Float64Array, v: Float64Array) -> Face:
    size_m = float(np.linalg.norm(v)), float(np.linalg.norm(u))
    draw = {'rich': _rich, 'plain': _plain, 'repeated': _repeated}[look]
    return Face(corner, u, v, draw(rng, size_m))


def _blank(size_m: tuple[float, float], level: float) -> Texture:
    height, width = (
        TEXTURE_STEP * max(1, round(_TEXELS_PER_M * side / TEXTURE_STEP)) for side in size_m
    )
    return np.full((height, width), level, np.uint8)


def _rich(rng: Rng, size_m: tuple[float, float]) -> Texture:
    """Draw figures of 2 to 40 cm, one over the other."""
    image = _blank(size_m, rng.uniform(60, 160))
    count = max(12, round(_FIGURES_PER_M2 * size_m[0] * size_m[1]))
    radius = np.sort(np.exp(rng.uniform(np.log(0.01), np.log(0.2), count)))[::-1] * _TEXELS_PER_M
    spokes = rng.uniform(0, 2 * np.pi, (count, 1)) + np.pi / 3 * np.arange(6)
    spokes = np.sort(spokes + rng.normal(0, 0.25, spokes.shape), axis=1)  # so convex
    corners = radius[:, None, None] * np.stack([np.cos(spokes), np.sin(spokes)], axis=2)
    corners += rng.uniform(0, image.shape[::-1], (count, 1, 2))
    fixed = np.rint(16 * corners).astype(np.int32)  # with 4 fractional bits
    sides = rng.integers(3, 7, count)
    for polygon, number, level in zip(fixed, sides, rng.integers(20, 220, count), strict=True):
        cv2.fillConvexPoly(image, polygon[:number], int(level), cv2.LINE_AA, 4)
    return image


def _plain(rng: Rng, size_m: tuple[float, float]) -> Texture:
    """Draw a bare wall with a picture every 6 square metres; small things stay bare."""
    image = _blank(size_m, rng.uniform(90, 150))
    shade = np.linspace(0, rng.uniform(-12, 12), image.shape[1])
    image = np.asarray(image + shade, np.uint8)
    area = size_m[0] * size_m[1]
    for _ in range(int(area / 6)):
        picture = _rich(rng, (0.4, 0.55))
        top = int(rng.integers(image.shape[0] - picture.shape[0]))
        left = int(rng.integers(image.shape[1] - picture.shape[1]))
        image[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return image


def _repeated(rng: Rng, size_m: tuple[float, float]) -> Texture:
    """Draw a tile again and again."""
    tile = _rich(rng, (_PERIOD_M, _PERIOD_M))
    shape = _blank(size_m, 0).shape
    repeats = -(-shape[0] // tile.shape[0]), -(-shape[1] // tile.shape[1])
    return np.ascontiguousarray(np.tile(tile, repeats)[: shape[0], : shape[1]])
