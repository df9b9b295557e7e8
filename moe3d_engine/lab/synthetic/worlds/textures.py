"""A bank of procedural textures with mip maps, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
import colorsys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

TEXTURE_SIZE = 256
_LEVELS = 9  # 256, 128, ..., 1
Rng: TypeAlias = np.random.Generator
Image: TypeAlias = NDArray[Any]  # (S, S) or (S, S, 3) float in [0, 1]


@dataclass(frozen=True, slots=True, eq=False)
class TextureBank:
    """
    Textures packed for gathering.

    Parameters
    ----------
    texels : (T,) uint32, RGBA bytes of every level of every texture.
    level_starts : (levels,) first texel of each level; a level holds all its textures in turn.
    kinds : the texture indices of each kind.
    """

    texels: NDArray[np.uint32]
    level_starts: NDArray[np.int64]
    kinds: dict[str, list[int]]

    def sample(
        self, texture: NDArray[Any], uvs: NDArray[Any], footprint: NDArray[Any]
    ) -> NDArray[np.float32]:
        """
        Sample bilinearly at the mip level that fits the footprint of a pixel.

        Parameters
        ----------
        texture : (N,) texture indices.
        uvs : (N, 2) coordinates in texture repeats.
        footprint : (N,) size of a pixel in texture repeats.

        Returns
        -------
        (N, 3) float32 linear colours in [0, 1].
        """
        level = np.log2(np.maximum(footprint * TEXTURE_SIZE, 1.0)) + 0.3
        level = np.minimum(level.astype(np.int32), _LEVELS - 1)
        size = TEXTURE_SIZE >> level
        start = self.level_starts[level] + texture.astype(np.int64) * (size * size)
        position = uvs.astype(np.float32) * size[:, None].astype(np.float32) - np.float32(0.5)
        corner = np.floor(position)
        fraction = position - corner
        mask = (size - 1)[:, None]
        low = corner.astype(np.int32) & mask
        high = (low + 1) & mask
        fx, fy = fraction[:, :1], fraction[:, 1:]
        row_low = start + low[:, 1] * size
        row_high = start + high[:, 1] * size
        top = self._colours(row_low + low[:, 0]) * (1 - fx)
        top += self._colours(row_low + high[:, 0]) * fx
        bottom = self._colours(row_high + low[:, 0]) * (1 - fx)
        bottom += self._colours(row_high + high[:, 0]) * fx
        top *= 1 - fy
        bottom *= fy
        srgb = top + bottom
        return np.asarray(srgb * srgb * (1 / 255**2), np.float32)  # gamma 2

    def _colours(self, index: NDArray[Any]) -> NDArray[np.float32]:
        packed = self.texels[index]
        return np.asarray(packed.view(np.uint8).reshape(-1, 4)[:, :3], np.float32)


@lru_cache(maxsize=2)
def texture_bank(seed: int) -> TextureBank:
    """Return the bank of a seed: six textures of each kind."""
    kinds: dict[str, list[int]] = {}
    images: list[NDArray[np.uint8]] = []
    for kind, (maker, count) in _MAKERS.items():
        kinds[kind] = list(range(len(images), len(images) + count))
        for i in range(count):
            rng = np.random.default_rng([seed, len(images), i])
            image = np.clip(maker(rng), 0, 1)
            images.append((image * 255 + 0.5).astype(np.uint8))
    stack = np.stack(images)
    packed, starts, total = [], [], 0
    for _ in range(_LEVELS):
        alpha = np.full((*stack.shape[:3], 1), 255, np.uint8)
        texels = np.concatenate([stack, alpha], axis=3).reshape(-1, 4).copy().view(np.uint32)
        packed.append(texels.ravel())
        starts.append(total)
        total += len(packed[-1])
        half = stack.shape[1] // 2
        if half:
            blocks = stack.reshape(len(stack), half, 2, half, 2, 3).astype(np.float32)
            stack = np.sqrt((blocks**2).mean(axis=(2, 4))).round().astype(np.uint8)
    return TextureBank(np.concatenate(packed), np.array(starts), kinds)


def fractal(rng: Rng, base: int = 4, octaves: int = 6, gain: float = 0.55) -> Image:
    """Return tileable fractal noise in [0, 1]."""
    total = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE), np.float32)
    for octave in range(octaves):
        cells = base * 2**octave
        if cells > TEXTURE_SIZE:
            break
        coarse = np.pad(rng.random((cells, cells), np.float32), 2, mode='wrap')
        step = TEXTURE_SIZE // cells
        fine = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        crop = slice(2 * step, 2 * step + TEXTURE_SIZE)
        total += gain**octave * fine[crop, crop]
    total -= total.min()
    return np.asarray(total / (total.max() + 1e-6))


def random_colour(
    rng: Rng,
    hue: tuple[float, float] = (0, 1),
    saturation: tuple[float, float] = (0.1, 0.8),
    value: tuple[float, float] = (0.2, 0.95),
) -> NDArray[Any]:
    """Return an RGB colour in the given ranges; of all hues, warm ones are the most common."""
    if hue[1] - hue[0] >= 1 and rng.random() < 0.5:
        hue = (0.0, 0.15)
    low, high = saturation
    h, s, v = rng.uniform(*hue), low + (high - low) * rng.random() ** 1.6, rng.uniform(*value)
    return np.array(colorsys.hsv_to_rgb(h % 1.0, s, v))


def _mix(mask: Image, a: NDArray[Any], b: NDArray[Any]) -> Image:
    return np.asarray(mask[..., None] * a + (1 - mask[..., None]) * b)


def _coordinates() -> tuple[Image, Image]:
    t = (np.arange(TEXTURE_SIZE, dtype=np.float32) + 0.5) / TEXTURE_SIZE
    x, y = np.meshgrid(t, t)
    return x, y


def _plain(rng: Rng) -> Image:
    """Plaster and paint: almost plain, with faint stains and grain."""
    grain = rng.normal(0, rng.uniform(0.005, 0.03), (TEXTURE_SIZE, TEXTURE_SIZE, 1))
    stains = (fractal(rng, 2, 5) - 0.5) * rng.uniform(0.03, 0.15)
    return np.repeat(0.85 + grain + stains[..., None], 3, axis=2)


def _noise(rng: Rng) -> Image:
    """Stone, concrete, carpet: strong fractal noise between two colours."""
    mask = fractal(rng, int(2 ** rng.integers(2, 6)), 7, rng.uniform(0.5, 0.85))
    a = random_colour(rng, saturation=(0.05, 0.5), value=(0.5, 0.95))
    return _mix(mask, a, a * rng.uniform(0.35, 0.75))


def _wood_colours(rng: Rng) -> tuple[NDArray[Any], NDArray[Any]]:
    light = random_colour(rng, (0.05, 0.11), (0.25, 0.65), (0.35, 0.9))
    return light, light * rng.uniform(0.5, 0.85) * rng.uniform(0.95, 1.05, 3)


def _wood_grain(rng: Rng) -> Image:
    x, y = _coordinates()
    warp = fractal(rng, 2, 4) * rng.uniform(0.3, 1.0)
    rings = np.sin(2 * np.pi * (y * rng.integers(4, 12) + warp * 3 + 0.3 * np.sin(2 * np.pi * x)))
    fibre = cv2.resize(rng.random((TEXTURE_SIZE, 16), np.float32), (TEXTURE_SIZE, TEXTURE_SIZE))
    return np.asarray(np.clip(0.5 + 0.3 * rings + 0.6 * (fibre - 0.5), 0, 1))


def _wood(rng: Rng) -> Image:
    return _mix(_wood_grain(rng), *_wood_colours(rng))


def _planks(rng: Rng) -> Image:
    """Floor boards: wood cut into rows with dark joints."""
    _, y = _coordinates()
    light, dark = _wood_colours(rng)
    rows = int(rng.choice([4, 8]))
    row = (y * rows).astype(int)
    shade = rng.uniform(0.7, 1.1, rows)[row]
    wood = _mix(_wood_grain(rng), light, dark)
    joints = (y * rows % 1) < 0.045
    for r in range(rows):
        column = int(rng.integers(TEXTURE_SIZE))
        joints[row[:, 0] == r, column : column + 2] = True
    return np.asarray(wood * (shade * np.where(joints, 0.4, 1))[..., None])


def _bricks(rng: Rng) -> Image:
    x, y = _coordinates()
    rows, cols = int(rng.choice([8, 12, 16])), int(rng.choice([3, 4, 5]))
    row = np.floor(y * rows).astype(int)
    shifted = (x * cols + 0.5 * (row % 2)) % cols
    col = shifted.astype(int)
    joint = ((y * rows) % 1 < 0.12) | (shifted % 1 < 0.05)
    base = random_colour(rng, (0.98, 1.12), (0.2, 0.65), (0.4, 0.8))
    shade = rng.uniform(0.65, 1.1, (rows, cols))[row, col] * (0.8 + 0.3 * fractal(rng, 16, 5))
    mortar = np.full(3, rng.uniform(0.45, 0.8))
    return np.where(joint[..., None], mortar, base * shade[..., None])


def _tiles(rng: Rng) -> Image:
    x, y = _coordinates()
    cells = int(rng.choice([2, 4, 6]))
    joint = ((x * cells) % 1 < 0.035) | ((y * cells) % 1 < 0.035)
    base = random_colour(rng, saturation=(0.02, 0.5), value=(0.5, 0.95))
    row, column = (y * cells).astype(int), (x * cells).astype(int)
    shade = rng.uniform(0.82, 1.05, (cells, cells))[row, column]
    shade = shade * (0.88 + 0.2 * fractal(rng, 4, 6))
    return np.where(joint[..., None], base * rng.uniform(0.3, 0.7), base * shade[..., None])


def _checks(rng: Rng) -> Image:
    x, y = _coordinates()
    cells = int(rng.choice([2, 4, 8]))
    mask = (((x * cells).astype(int) + (y * cells).astype(int)) % 2).astype(float)
    a = random_colour(rng, value=(0.6, 0.95), saturation=(0, 0.4))
    image = _mix(mask, a, random_colour(rng, value=(0.1, 0.6)))
    return np.asarray(image * (0.85 + 0.2 * fractal(rng, 8, 5))[..., None])


def _stripes(rng: Rng) -> Image:
    x, y = _coordinates()
    bands = np.repeat(rng.integers(0, 4, 32), 8)
    t = y if rng.random() < 0.5 else x
    palette = np.stack([random_colour(rng, saturation=(0.05, 0.7)) for _ in range(4)])
    image = palette[bands[(t * TEXTURE_SIZE).astype(int)]]
    return np.asarray(image * (0.9 + 0.15 * fractal(rng, 16, 5))[..., None])


def _weave(rng: Rng) -> Image:
    """Fabric: threads over and under, with a coarser plaid on some."""
    x, y = _coordinates()
    threads = int(rng.choice([32, 64]))
    over = ((x * threads).astype(int) + (y * threads).astype(int)) % 2
    thread = np.where(over, np.sin(np.pi * (x * threads % 1)), np.sin(np.pi * (y * threads % 1)))
    a = random_colour(rng, saturation=(0.1, 0.7), value=(0.25, 0.9))
    image = a * (0.65 + 0.35 * thread * (0.8 + 0.4 * fractal(rng, 8, 5)))[..., None]
    if rng.random() < 0.5:
        plaid = random_colour(rng)
        lines = ((x * 4 % 1 < 0.2) * 0.4 + (y * 4 % 1 < 0.2) * 0.4)[..., None]
        image = image * (1 - lines) + plaid * lines
    return np.asarray(image)


def _marble(rng: Rng) -> Image:
    x, y = _coordinates()
    veins = np.abs(np.sin(2 * np.pi * (x + y + 1.5 * fractal(rng, 2, 6)))) ** rng.uniform(0.2, 0.7)
    a = random_colour(rng, saturation=(0, 0.2), value=(0.7, 0.98))
    return _mix(veins, a, a * rng.uniform(0.3, 0.7))


def _print(rng: Rng) -> Image:
    """Book spines, labels, packages: text-like lines and blocks on a coloured ground."""
    ground, ink = random_colour(rng), random_colour(rng, saturation=(0, 0.6))
    image = np.tile(ground, (TEXTURE_SIZE, TEXTURE_SIZE, 1))
    for _ in range(rng.integers(2, 5)):
        x, y = (int(v) for v in rng.integers(0, 200, 2))
        w, h = (int(v) for v in rng.integers(20, 120, 2))
        image[y : y + h, x : x + w] = random_colour(rng)
    y = 8
    while y < TEXTURE_SIZE - 24:
        height = int(rng.choice([3, 4, 6, 12]))
        x = int(rng.integers(6, 40))
        while x < TEXTURE_SIZE - 30 and rng.random() < 0.93:
            word = int(rng.integers(4, 26))
            image[y : y + height, x : x + word] = ink
            x += word + int(rng.integers(3, 8))
        y += height + int(rng.integers(4, 20))
    return np.asarray(image * (0.93 + 0.1 * fractal(rng, 8, 4))[..., None])


def _collage(rng: Rng) -> Image:
    """Pictures and posters: a sky-and-land scene or discs and polygons, like a photograph."""
    _, y = _coordinates()
    top, bottom = random_colour(rng, value=(0.4, 1)), random_colour(rng)
    image = _mix(y, bottom, top)
    for _ in range(rng.integers(2, 5)):
        horizon = rng.uniform(0.2, 0.9) + 0.35 * (fractal(rng, 2, 5)[0] - 0.5)
        land = random_colour(rng) * (0.6 + 0.6 * fractal(rng, 8, 6))[..., None]
        image = np.where((y > horizon[None])[..., None], land, image)
    canvas = np.ascontiguousarray(image * 255, np.float32)
    for _ in range(rng.integers(3, 14)):
        centre = tuple(int(v) for v in rng.integers(0, TEXTURE_SIZE, 2))
        axes = tuple(int(v) for v in rng.integers(6, 60, 2))
        colour = tuple(float(255 * c) for c in random_colour(rng))
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return np.asarray(canvas / 255 * (0.8 + 0.3 * fractal(rng, 16, 5))[..., None])


def _foliage(rng: Rng) -> Image:
    """Grass, moss, leaves: green to straw coloured noise with blades."""
    a = random_colour(rng, (0.14, 0.36), (0.3, 0.75), (0.4, 0.75))
    b = random_colour(rng, (0.16, 0.4), (0.3, 0.8), (0.12, 0.35))
    return _mix(fractal(rng, int(rng.choice([4, 8, 16])), 6, 0.8), a, b)


_MAKERS: dict[str, tuple[Callable[[Rng], Image], int]] = {
    'plain': (_plain, 8),
    'noise': (_noise, 8),
    'wood': (_wood, 8),
    'planks': (_planks, 6),
    'bricks': (_bricks, 5),
    'tiles': (_tiles, 6),
    'checks': (_checks, 3),
    'stripes': (_stripes, 5),
    'weave': (_weave, 7),
    'marble': (_marble, 4),
    'print': (_print, 10),
    'collage': (_collage, 10),
    'foliage': (_foliage, 6),
}
