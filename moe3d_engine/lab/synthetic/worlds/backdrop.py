"""What stands in the distance, outdoors and behind windows: trees and houses."""

from __future__ import annotations

from typing import TypeAlias

from moe3d_engine.lab.synthetic.worlds.meshes import box
from moe3d_engine.lab.synthetic.worlds.meshes import leaf
from moe3d_engine.lab.synthetic.worlds.meshes import merge
from moe3d_engine.lab.synthetic.worlds.meshes import quad
from moe3d_engine.lab.synthetic.worlds.meshes import repeat
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_y
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_z
from moe3d_engine.lab.synthetic.worlds.meshes import tube
from moe3d_engine.lab.synthetic.worlds.scene import Item
from moe3d_engine.lab.synthetic.worlds.scene import Palette
import numpy as np

Rng: TypeAlias = np.random.Generator


def tree(rng: Rng, palette: Palette) -> Item:
    """Return a tree: bent trunk, branches, and a crown of single leaves."""
    h = rng.uniform(2.0, 5.5)
    r = h * rng.uniform(0.015, 0.03)
    item = Item(0.3, 0.3, h)
    bark = palette.bark()
    t = np.linspace(0, 1, 6)[:, None]
    top = np.append(rng.normal(0, 0.12 * h, 2), 0.8 * h)
    trunk = t * top + np.append(rng.normal(0, 0.04 * h, 2), 0) * np.sin(3 * t)
    item.add(tube(trunk, r, 8), bark)
    tips, twigs = [], []
    for _ in range(int(rng.integers(5, 12))):
        start = trunk[int(rng.integers(2, 6))]
        out = np.append(rng.normal(0, 0.22 * h, 2), rng.uniform(0.05, 0.3) * h)
        path = start + t * out + t * (1 - t) * (0, 0, 0.1 * h)
        twigs.append(tube(path, r * 0.35, 5))
        tips += [path[3], path[5]]
    item.add(merge(twigs), bark)
    if rng.random() < 0.85:
        count = int(rng.integers(150, 500))
        base = leaf(rng.uniform(0.1, 0.28), rng.uniform(0.06, 0.16), 0.4, 3)
        clumps = np.array(tips)[rng.integers(len(tips), size=count)]
        positions = clumps + rng.normal(0, 0.09 * h, (count, 3))
        angles = rng.uniform(0, 6.3, (count, 2))
        turns = np.stack([rotation_z(a) @ rotation_y(b) for a, b in angles])
        item.add(
            repeat(base, turns * rng.uniform(0.6, 1.3, (count, 1, 1)), positions), palette.leaf()
        )
    return item


def add_house(rng: Rng, palette: Palette, item: Item, distance_m: float) -> None:
    """Put up a house with windows, its front `distance_m` from the origin."""
    w, d, h = rng.uniform(6, 18), rng.uniform(5, 10), rng.uniform(3, 14)
    house = Item(w / 2, d / 2, h)
    house.add(box(w, d, h), palette.wall())
    glass, frame = palette.paint((0.05, 0.35)), palette.paint((0.5, 1))
    panes, frames = [], []
    for z in np.arange(0.9, h - 1.6, 2.8):
        for x in np.arange(-w / 2 + 1.2, w / 2 - 1, 2.2):
            frames.append(box(1.2, 0.1, 1.5).moved((x, -d / 2, z)))
            panes.append(box(1.0, 0.1, 1.3).moved((x, -d / 2 - 0.02, z + 0.1)))
    if panes:
        house.add(merge(panes), glass._replace(specular=0.6))
        house.add(merge(frames), frame)
    angle = rng.uniform(0, 2 * np.pi)
    reach = distance_m + d / 2
    yaw = angle - np.pi / 2 + rng.normal(0, 0.2)
    item.place(house, (reach * np.cos(angle), reach * np.sin(angle), -0.1), yaw)


def add_outlook(rng: Rng, palette: Palette, item: Item, room_radius_m: float) -> None:
    """Add what windows show: ground below, houses and trees at some distance."""
    below = -rng.choice([0.3, 3.0, 6.0])
    item.add(quad(600, 600).moved((0, 0, below)), palette.ground(), shell=True)
    outside = Item(100, 100, 20)
    for _ in range(int(rng.integers(1, 7))):
        add_house(rng, palette, outside, room_radius_m + rng.uniform(3, 40))
    for _ in range(int(rng.integers(1, 5))):
        angle, far = rng.uniform(0, 6.3), room_radius_m + rng.uniform(3, 20)
        outside.place(tree(rng, palette), (far * np.cos(angle), far * np.sin(angle), 0))
    item.place(outside, (0, 0, below))
