"""Small things: bottles, bowls, books, boxes, plants, lamps, cables; and filling surfaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from moe3d_engine.lab.synthetic.worlds.meshes import blob
from moe3d_engine.lab.synthetic.worlds.meshes import box
from moe3d_engine.lab.synthetic.worlds.meshes import cylinder
from moe3d_engine.lab.synthetic.worlds.meshes import lathe
from moe3d_engine.lab.synthetic.worlds.meshes import leaf
from moe3d_engine.lab.synthetic.worlds.meshes import Mesh
from moe3d_engine.lab.synthetic.worlds.meshes import prism
from moe3d_engine.lab.synthetic.worlds.meshes import repeat
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_x
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_y
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_z
from moe3d_engine.lab.synthetic.worlds.meshes import sphere
from moe3d_engine.lab.synthetic.worlds.meshes import superellipsoid
from moe3d_engine.lab.synthetic.worlds.meshes import torus
from moe3d_engine.lab.synthetic.worlds.meshes import tube
from moe3d_engine.lab.synthetic.worlds.scene import Item
from moe3d_engine.lab.synthetic.worlds.scene import Palette
from moe3d_engine.lab.synthetic.worlds.scene import Surface
import numpy as np

Rng: TypeAlias = np.random.Generator
Maker: TypeAlias = Callable[[Rng, Palette], Item]


def bottle(rng: Rng, palette: Palette) -> Item:
    """Return a bottle with a neck and, on some, a label."""
    r, h = rng.uniform(0.025, 0.05), rng.uniform(0.16, 0.34)
    neck, shoulder = r * rng.uniform(0.25, 0.6), rng.uniform(0.5, 0.75)
    t = np.linspace(0, 1, 6)
    curve = r + (neck - r) * (3 * t**2 - 2 * t**3)
    profile = [
        (0, 0),
        (r, 0),
        *zip(curve, h * (shoulder + (0.92 - shoulder) * t), strict=True),
        (neck, h),
        (0, h),
    ]
    item = Item(r, r, h)
    item.add(lathe(profile, 18), palette.ceramic())
    if rng.random() < 0.6:
        label = lathe([(r + 0.001, 0.15 * h), (r + 0.001, shoulder * h * 0.9)], 18)
        item.add(label, palette.label())
    return item


def vase(rng: Rng, palette: Palette) -> Item:
    """Return a vase, jar or candlestick with a random smooth outline."""
    h, r = rng.uniform(0.08, 0.35), rng.uniform(0.03, 0.1)
    t = np.linspace(0, 1, 9)
    shape = 0.6 + 0.4 * np.sin(t * rng.uniform(2, 6) + rng.uniform(0, 6)) * rng.uniform(0.4, 1)
    outline = r * np.maximum(shape, 0.2)
    wall = [(x, h * y) for x, y in zip(outline, t, strict=True)]
    inner = [(0.85 * x, y) for x, y in wall[:3:-1]]
    item = Item(float(outline.max()), float(outline.max()), h)
    item.add(lathe([(0, 0), *wall, *inner], 20), palette.ceramic())
    if rng.random() < 0.35:
        _stems(rng, palette, item, h * 0.8)
    return item


def _stems(rng: Rng, palette: Palette, item: Item, z: float) -> None:
    """Put twigs with leaves or flowers into a vase."""
    green, flower = palette.leaf(), palette.paint((0.6, 1))
    for _ in range(rng.integers(3, 9)):
        t = np.linspace(0, 1, 6)[:, None]
        lean = np.append(rng.normal(0, 0.12, 2), rng.uniform(0.15, 0.4))
        path = t * lean + (0, 0, z) + t**2 * np.append(rng.normal(0, 0.05, 2), 0)
        item.add(tube(path, 0.0025, 4), green)
        head = sphere(rng.uniform(0.008, 0.025), 8).moved(path[-1] - (0, 0, 0.01))
        item.add(head, flower)
    item.height = z + 0.4


def bowl(rng: Rng, palette: Palette) -> Item:
    """Return a bowl or plate, some with fruit."""
    r, depth = rng.uniform(0.06, 0.16), rng.uniform(0.02, 0.09)
    t = np.linspace(0, 1, 7)
    outer = list(zip(r * (0.35 + 0.65 * t**0.7), depth * t**1.6, strict=True))
    inner = [(x * 0.95, y + 0.005) for x, y in outer[::-1]]
    item = Item(r, r, depth)
    item.add(lathe([(0, 0), *outer, *inner, (0, 0.006)], 24), palette.ceramic())
    for _ in range(int(rng.integers(0, 5)) if depth > 0.04 else 0):
        radius = rng.uniform(0.025, 0.04)
        spot = np.append(rng.normal(0, 0.3 * r, 2), 0.35 * depth + rng.uniform(0, 0.03))
        item.add(sphere(radius, 14).moved(spot), palette.ceramic())
        item.height = max(item.height, spot[2] + 2 * radius)
    return item


def mug(rng: Rng, palette: Palette) -> Item:
    """Return a mug with a handle."""
    r, h = rng.uniform(0.032, 0.048), rng.uniform(0.07, 0.12)
    item = Item(r * 1.6, r * 1.2, h)
    material = palette.ceramic()
    profile = [(0, 0), (r, 0), (r * 1.05, h), (r * 0.95, h), (r * 0.9, 0.01), (0, 0.01)]
    item.add(lathe(profile, 18), material)
    a = np.linspace(-1.4, 1.4, 8)
    path = np.stack([r + 0.6 * r * np.cos(a), 0 * a, h / 2 + 0.32 * h * np.sin(a)], axis=1)
    item.add(tube(path, 0.005, 5), material)
    return item


def book(rng: Rng, palette: Palette) -> Item:
    """Return a lying book or a small pile of them."""
    item = Item(0.16, 0.16, 0)
    paper = palette.paint((0.8, 0.95))
    for _ in range(int(rng.choice([1, 1, 2, 3, 5]))):
        w, d, h = rng.uniform(0.11, 0.2), rng.uniform(0.16, 0.28), rng.uniform(0.01, 0.05)
        yaw = rng.normal(0, 0.25)
        item.add(box(w, d, h).moved((0, 0, item.height), yaw), palette.label())
        item.add(box(w, d - 0.008, h * 0.8).moved((0.004, 0, item.height + 0.1 * h), yaw), paper)
        item.height += h
    return item


def carton(rng: Rng, palette: Palette) -> Item:
    """Return a package, tin or box of any proportions."""
    w, d, h = rng.uniform(0.04, 0.26, 3)
    item = Item(w / 2, d / 2, h)
    item.add(box(w, d, h), palette.label() if rng.random() < 0.6 else palette.rough())
    return item


def tin(rng: Rng, palette: Palette) -> Item:
    """Return a can, a pot or a roll."""
    r, h = rng.uniform(0.025, 0.08), rng.uniform(0.04, 0.2)
    item = Item(r, r, h)
    item.add(cylinder(r, h, 20, rng.uniform(0.85, 1.15)), palette.label())
    return item


def lump(rng: Rng, palette: Palette) -> Item:
    """Return a stone, a loaf, a bag or a toy of rounded shape."""
    kind = rng.integers(4)
    size = rng.uniform(0.05, 0.2, 3)
    if kind == 0:
        mesh = blob(rng, size[0] / 2)
    elif kind == 1:
        roundness = (float(rng.uniform(0.2, 1)), float(rng.uniform(0.2, 1)))
        mesh = superellipsoid(size, roundness)
    elif kind == 2:
        mesh = torus(size[0] / 2, size[0] / 2 * rng.uniform(0.15, 0.45))
    else:
        mesh = prism(_polygon(rng, size[0] / 2), size[1])
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    item = Item(float(high[0] - low[0]) / 2, float(high[1] - low[1]) / 2, float(high[2]))
    item.add(mesh, palette.rough() if rng.random() < 0.5 else palette.ceramic())
    return item


def _polygon(rng: Rng, radius: float) -> np.ndarray:
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 8)))
    angle = 0.5 * angle + 0.5 * np.linspace(0, 2 * np.pi, len(angle), endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def screen(rng: Rng, palette: Palette) -> Item:
    """Return a monitor or a picture frame on a foot."""
    w, h = rng.uniform(0.18, 0.6), rng.uniform(0.15, 0.36)
    lift = rng.uniform(0.0, 0.12)
    item = Item(w / 2, 0.09, h + lift)
    item.add(box(w, 0.02, h).moved((0, 0, lift)), palette.metal)
    item.add(box(w - 0.03, 0.004, h - 0.03).moved((0, -0.011, lift + 0.015)), palette.picture(w))
    item.add(box(0.03, 0.015, h * 0.5 + lift).moved((0, 0.018, 0)), palette.metal)
    item.add(box(w * 0.4, 0.14, 0.01), palette.metal)
    return item


def table_lamp(rng: Rng, palette: Palette) -> Item:
    """Return a lamp with a thin stem and a shade."""
    h, r = rng.uniform(0.25, 0.5), rng.uniform(0.07, 0.14)
    item = Item(r, r, h)
    item.add(cylinder(r * 0.7, 0.02, 16), palette.metal)
    item.add(cylinder(0.007, h, 8), palette.metal)
    shade = [(r, h * 0.6), (r * rng.uniform(0.4, 1), h), (r * 0.35, h)]
    item.add(lathe(shade, 18), palette.lamp(0.9) if rng.random() < 0.4 else palette.fabric())
    return item


def rack(rng: Rng, palette: Palette) -> Item:
    """Return a small wire rack, cage or stand: thin rods all round."""
    w, d, h = rng.uniform(0.12, 0.3), rng.uniform(0.1, 0.2), rng.uniform(0.08, 0.3)
    item = Item(w / 2, d / 2, h)
    rods: list[Mesh] = []
    r = rng.uniform(0.002, 0.004)
    for x in np.linspace(-w / 2, w / 2, int(rng.integers(3, 9))):
        rods += [cylinder(r, h, 5).moved((x, y, 0)) for y in (-d / 2, d / 2)]
    for z in (0.0, h):
        rods += [box(w, 2 * r, 2 * r).moved((0, y, z)) for y in (-d / 2, d / 2)]
        rods += [box(2 * r, d, 2 * r).moved((x, 0, z)) for x in (-w / 2, w / 2)]
    for mesh in rods:
        item.add(mesh, palette.metal)
    return item


def pencil_cup(rng: Rng, palette: Palette) -> Item:
    """Return a cup with pens or kitchen tools sticking out."""
    r, h = rng.uniform(0.03, 0.055), rng.uniform(0.08, 0.13)
    item = Item(r * 1.6, r * 1.6, h + 0.12)
    item.add(
        lathe([(0, 0), (r, 0), (r, h), (r * 0.92, h), (r * 0.92, 0.01), (0, 0.01)], 16),
        palette.ceramic(),
    )
    for _ in range(rng.integers(2, 7)):
        pen = cylinder(rng.uniform(0.003, 0.006), rng.uniform(0.14, 0.24), 6)
        tilt = rotation_z(rng.uniform(0, 6.3)) @ rotation_y(rng.uniform(0.05, 0.3))
        item.add(pen.turned(tilt, np.append(rng.normal(0, 0.2 * r, 2), 0.012)), palette.paint())
    return item


def plant(rng: Rng, palette: Palette, size: float | None = None) -> Item:
    """Return a pot with stems and thin leaves; `size` is the height above the pot."""
    size = float(rng.uniform(0.12, 0.35)) if size is None else size
    pot = min(0.35 * size, 0.16) * rng.uniform(0.6, 1)
    item = Item(0.5 * size, 0.5 * size, size + 1.6 * pot)
    item.add(
        lathe(
            [
                (0, 0),
                (pot * 0.7, 0),
                (pot, 1.6 * pot),
                (pot * 0.9, 1.6 * pot),
                (pot * 0.85, 1.4 * pot),
                (0, 1.4 * pot),
            ],
            18,
        ),
        palette.ceramic(),
    )
    item.add(
        foliage(rng, size, int(rng.integers(14, 60))).moved((0, 0, 1.4 * pot)), palette.leaf()
    )
    return item


def foliage(rng: Rng, size: float, count: int) -> Mesh:
    """Return leaves that rise from the origin: rosette, grass or small leaves in a crown."""
    kind = rng.integers(3)
    yaw = rng.uniform(0, 2 * np.pi, count)
    if kind == 0:  # long leaves from the middle
        base = leaf(size, size * rng.uniform(0.06, 0.2), rng.uniform(0.2, 0.9))
        pitch, positions = -rng.uniform(0.5, 1.5, count), np.zeros((count, 3))
    elif kind == 1:  # grass
        base = leaf(size, size * rng.uniform(0.02, 0.05), rng.uniform(0.1, 0.5))
        pitch = -rng.uniform(0.9, 1.55, count)
        positions = np.append(rng.normal(0, 0.06 * size, (count, 2)), np.zeros((count, 1)), 1)
    else:  # a crown
        base = leaf(0.3 * size, 0.16 * size * rng.uniform(0.5, 1.2), 0.4)
        pitch = rng.uniform(-1.2, 0.6, count)
        positions = rng.normal(0, 1, (count, 3))
        positions *= rng.random((count, 1)) ** 0.4 / np.linalg.norm(positions, axis=1)[:, None]
        positions = positions * (0.4 * size, 0.4 * size, 0.35 * size) + (0, 0, 0.62 * size)
    scale = rng.uniform(0.5, 1.1, count)
    turns = np.stack(
        [
            rotation_z(a) @ rotation_y(p) @ rotation_x(r) * s
            for a, p, r, s in zip(yaw, pitch, rng.normal(0, 0.3, count), scale, strict=True)
        ]
    )
    return repeat(base, turns, positions)


def cable(rng: Rng, palette: Palette, length: float = 0.7) -> Item:
    """Return a cable that lies in loops."""
    t = np.linspace(0, 1, 24)
    path = np.stack(
        [
            (t - 0.5) * length,
            0.12 * length * np.sin(t * rng.uniform(4, 12) + rng.uniform(0, 6)),
            0.004 + 0.05 * np.maximum(0, np.sin(t * rng.uniform(3, 9))) * rng.uniform(0, 1),
        ],
        axis=1,
    )
    item = Item(length / 2, 0.12 * length, 0.06)
    item.add(tube(path, rng.uniform(0.002, 0.006), 5), palette.paint((0.05, 0.5)))
    return item


SMALL: tuple[Maker, ...] = (
    bottle,
    bottle,
    vase,
    bowl,
    mug,
    mug,
    book,
    book,
    carton,
    carton,
    tin,
    lump,
    lump,
    screen,
    table_lamp,
    rack,
    pencil_cup,
    plant,
    plant,
    cable,
)


def fill_surface(
    rng: Rng,
    palette: Palette,
    item: Item,
    surface: Surface,
    count: int,
    makers: tuple[Maker, ...] = SMALL,
) -> None:
    """Put up to `count` small things side by side on a surface of `item`."""
    placed: list[tuple[float, float, float]] = []
    for _ in range(count):
        thing = makers[int(rng.integers(len(makers)))](rng, palette)
        radius = max(thing.half_x, thing.half_y)
        if thing.height > surface.headroom:
            continue
        for _ in range(8):
            x = rng.uniform(-1, 1) * (surface.half_x - thing.half_x)
            y = rng.uniform(-1, 1) * (surface.half_y - thing.half_y)
            inside = thing.half_x < surface.half_x and thing.half_y < surface.half_y
            clear = all(np.hypot(x - a, y - b) > 0.8 * (radius + r) for a, b, r in placed)
            if inside and clear:
                placed.append((x, y, radius))
                yaw = rng.normal(0, 0.4) + (np.pi if rng.random() < 0.3 else 0)
                position = (surface.x + x, surface.y + y, surface.z + 0.0005)
                item.place(thing, position, yaw)
                break
