"""Outdoor scenes: ground, walls, trees, fences, posts, wires, far buildings, sky."""

from __future__ import annotations

from typing import TypeAlias

from moe3d_engine.lab.synthetic.worlds import furniture
from moe3d_engine.lab.synthetic.worlds.backdrop import add_house
from moe3d_engine.lab.synthetic.worlds.backdrop import tree
from moe3d_engine.lab.synthetic.worlds.furniture import rod
from moe3d_engine.lab.synthetic.worlds.meshes import blob
from moe3d_engine.lab.synthetic.worlds.meshes import box
from moe3d_engine.lab.synthetic.worlds.meshes import cylinder
from moe3d_engine.lab.synthetic.worlds.meshes import grid
from moe3d_engine.lab.synthetic.worlds.meshes import merge
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_x
from moe3d_engine.lab.synthetic.worlds.meshes import tube
from moe3d_engine.lab.synthetic.worlds.objects import foliage
from moe3d_engine.lab.synthetic.worlds.rooms import Stage
from moe3d_engine.lab.synthetic.worlds.scene import Item
from moe3d_engine.lab.synthetic.worlds.scene import Light
from moe3d_engine.lab.synthetic.worlds.scene import pack_scene
from moe3d_engine.lab.synthetic.worlds.scene import Palette
from moe3d_engine.lab.synthetic.worlds.textures import TextureBank
import numpy as np

Rng: TypeAlias = np.random.Generator


def outdoors(rng: Rng, bank: TextureBank) -> Stage:
    """Return a yard, garden or street with things near and far and an open sky."""
    palette = Palette(rng, bank)
    item = Item(60, 60, 20)
    t = np.concatenate(
        [-np.geomspace(300, 3, 12), np.linspace(-2.5, 2.5, 6), np.geomspace(3, 300, 12)]
    )
    x, y = np.meshgrid(t, t)
    bumps = 0.04 * np.sin(x * 0.9 + rng.uniform(0, 6)) * np.sin(y * 0.7 + rng.uniform(0, 6))
    terrain = grid(np.stack([x, y, np.where(np.hypot(x, y) < 20, bumps - 0.05, -0.05)], axis=-1))
    terrain.uvs[:] = terrain.vertices[:, :2]
    item.add(terrain, palette.ground(), shell=True)
    targets = []
    for _ in range(int(rng.integers(16, 34))):
        make = _MAKERS[int(rng.integers(len(_MAKERS)))]
        thing = make(rng, palette)
        spot = np.append(rng.uniform(-4.5, 4.5, 2), -0.03)
        item.place(thing, spot, rng.uniform(0, 6.3))
        targets.append(np.array([spot[0], spot[1], min(0.6 * thing.height, 1.4)]))
    if rng.random() < 0.6:
        add_house(rng, palette, item, rng.uniform(4, 9))
    for _ in range(int(rng.integers(2, 10))):
        add_house(rng, palette, item, rng.uniform(10, 60))
    for _ in range(int(rng.integers(5, 16))):
        angle, far = rng.uniform(0, 6.3), rng.uniform(6, 25)
        item.place(tree(rng, palette), (far * np.cos(angle), far * np.sin(angle), -0.05))
    if rng.random() < 0.5:
        _wires(rng, palette, item)
    out = np.append(rng.normal(0, 1, 2), rng.uniform(0.5, 1.8))
    warm = np.array([1.0, rng.uniform(0.85, 0.98), rng.uniform(0.7, 0.95)])
    overcast = rng.random() < 0.3
    sun = Light(
        200 * out / np.linalg.norm(out),
        (0.5 if overcast else 2.2) * warm,
        30.0 if overcast else 1.5,
        True,
    )
    sky = rng.uniform(0.5, 0.9) * np.array([0.75, 0.88, 1.05])
    scene = pack_scene(item, rng, bank, (sun,), sky, 0.3 * np.array([1, 0.95, 0.8]))
    low, high = np.array([-7, -7, 0.5]), np.array([7, 7, 2.2])
    return Stage(scene, low, high, np.array(targets), (0.9, 5.0))


def bush(rng: Rng, palette: Palette) -> Item:
    """Return a bush or tuft of tall grass."""
    size = rng.uniform(0.4, 1.1)
    item = Item(size / 2, size / 2, size)
    item.add(foliage(rng, size, int(rng.integers(60, 200))), palette.leaf())
    return item


def fence(rng: Rng, palette: Palette) -> Item:
    """Return a fence of pickets, bars or rails."""
    length, h = rng.uniform(2, 6), rng.uniform(0.7, 1.6)
    item = Item(length / 2, 0.08, h)
    material = palette.furniture if rng.random() < 0.6 else palette.metal
    thin = rng.random() < 0.5
    step = rng.uniform(0.1, 0.22)
    stakes = []
    for x in np.arange(-length / 2, length / 2, step):
        stake = cylinder(0.012, h, 6) if thin else box(step * 0.55, 0.02, h)
        stakes.append(stake.moved((x, 0, 0)))
    item.add(merge(stakes), material)
    for z in (0.15 * h, 0.85 * h):
        item.add(box(length, 0.03, 0.05).moved((0, 0.025, z)), material)
    return item


def post(rng: Rng, palette: Palette) -> Item:
    """Return a lamp post, a sign or a plain pole."""
    h, r = rng.uniform(1.0, 4.0), rng.uniform(0.02, 0.06)
    item = Item(0.2, 0.2, h)
    item.add(cylinder(r, h, 10), palette.metal)
    kind = rng.integers(3)
    if kind == 0:
        w, d = rng.uniform(0.3, 0.7, 2)
        item.add(box(w, 0.02, d).moved((0, -r - 0.01, h - d)), palette.label())
    elif kind == 1:
        item.add(rod((0, 0, h), (0.7, 0, h + 0.1), r * 0.7), palette.metal)
        item.add(box(0.35, 0.14, 0.08).moved((0.75, 0, h + 0.05)), palette.metal)
    return item


def low_wall(rng: Rng, palette: Palette) -> Item:
    """Return a free-standing wall."""
    length, h = rng.uniform(1.5, 5), rng.uniform(0.5, 2.2)
    item = Item(length / 2, 0.12, h)
    item.add(box(length, rng.uniform(0.12, 0.3), h), palette.wall())
    item.add(box(length + 0.06, 0.34, 0.06).moved((0, 0, h)), palette.rough())
    return item


def rocks(rng: Rng, palette: Palette) -> Item:
    """Return a few stones."""
    item = Item(0.5, 0.5, 0.4)
    material = palette.rough()
    for _ in range(rng.integers(2, 7)):
        spot = np.append(rng.normal(0, 0.4, 2), -0.03)
        item.add(blob(rng, rng.uniform(0.08, 0.4)).moved(spot), material)
    return item


def bench(rng: Rng, palette: Palette) -> Item:
    """Return a park bench of slats."""
    w = rng.uniform(1.1, 1.8)
    item = Item(w / 2, 0.3, 0.85)
    for y in np.linspace(-0.2, 0.2, 4):
        item.add(box(w, 0.08, 0.03).moved((0, y, 0.43)), palette.furniture)
    for z in (0.55, 0.67, 0.79):
        slat = box(w, 0.03, 0.08).turned(rotation_x(-0.15), (0, 0.26 + 0.15 * (z - 0.5), z))
        item.add(slat, palette.furniture)
    for x in (-w / 2 + 0.12, w / 2 - 0.12):
        for y in (-0.2, 0.22):
            item.add(box(0.05, 0.05, 0.43 if y < 0 else 0.88).moved((x, y, 0)), palette.metal)
    return item


def table_outside(rng: Rng, palette: Palette) -> Item:
    """Return a laid garden table."""
    return furniture.table(rng, palette, 10)


def _wires(rng: Rng, palette: Palette, item: Item) -> None:
    """Hang wires between two tall poles across the scene."""
    a, b = np.array([[-1.0], [1.0]]) * rng.normal(0, 1, 2) * 6 + rng.normal(0, 2, 2)
    h = rng.uniform(2.2, 4.5)
    t = np.linspace(0, 1, 24)[:, None]
    for end in (a, b):
        item.add(cylinder(0.07, h + 0.4, 10).moved((*end, -0.1)), palette.bark())
    for lift in (0.0, -0.25):
        sag = h + lift - 2.2 * t * (1 - t) * rng.uniform(0.3, 1)
        path = np.append(a + (b - a) * t, sag, axis=1)
        item.add(tube(path, 0.008, 5), palette.paint((0.02, 0.2)))


_MAKERS = (
    tree,
    tree,
    bush,
    bush,
    fence,
    fence,
    post,
    post,
    low_wall,
    rocks,
    bench,
    table_outside,
    furniture.bicycle,
    furniture.ladder,
    furniture.box_pile,
    furniture.floor_plant,
    furniture.chair,
    furniture.chair,
)
