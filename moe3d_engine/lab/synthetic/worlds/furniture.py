"""Furniture: tables, chairs, shelves, ladders, lamps, sofas, bicycles, things on walls."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

from moe3d_engine.lab.synthetic.worlds.meshes import box
from moe3d_engine.lab.synthetic.worlds.meshes import cylinder
from moe3d_engine.lab.synthetic.worlds.meshes import lathe
from moe3d_engine.lab.synthetic.worlds.meshes import Mesh
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_x
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_y
from moe3d_engine.lab.synthetic.worlds.meshes import superellipsoid
from moe3d_engine.lab.synthetic.worlds.meshes import torus
from moe3d_engine.lab.synthetic.worlds.meshes import tube
from moe3d_engine.lab.synthetic.worlds.objects import fill_surface
from moe3d_engine.lab.synthetic.worlds.objects import plant
from moe3d_engine.lab.synthetic.worlds.scene import Item
from moe3d_engine.lab.synthetic.worlds.scene import Palette
from moe3d_engine.lab.synthetic.worlds.scene import Surface
import numpy as np
from numpy.typing import ArrayLike

Rng: TypeAlias = np.random.Generator


def rod(start: ArrayLike, end: ArrayLike, radius: float) -> Mesh:
    """Return a thin round bar between two points."""
    return tube(np.linspace(np.asarray(start, float), np.asarray(end, float), 2), radius, 6)


def table(rng: Rng, palette: Palette, things: int | None = None) -> Item:
    """Return a table, desk or low table with things on it."""
    w, d = rng.uniform(0.8, 1.8), rng.uniform(0.55, 0.95)
    h = rng.uniform(0.68, 0.78) if rng.random() < 0.8 else rng.uniform(0.35, 0.5)
    thick = rng.uniform(0.018, 0.05)
    item = Item(w / 2, d / 2, h)
    wood = palette.furniture
    round_top = rng.random() < 0.25
    if round_top:
        d = w = min(w, 1.2)
        item.add(cylinder(w / 2, thick, 36).moved((0, 0, h - thick)), wood)
        item.half_x = item.half_y = w / 2
    else:
        item.add(box(w, d, thick).moved((0, 0, h - thick)), wood)
    inset = 0.3 if round_top else rng.uniform(0.03, 0.1)
    legs_metal = rng.random() < 0.35
    r = rng.uniform(0.012, 0.02) if legs_metal else rng.uniform(0.018, 0.04)
    for sx in (-1, 1):
        for sy in (-1, 1):
            spot = (sx * (w / 2 - inset - r), sy * (d / 2 - inset * 0.8 - r), 0)
            if legs_metal:
                item.add(cylinder(r, h - thick, 10).moved(spot), palette.metal)
            else:
                item.add(box(2 * r, 2 * r, h - thick).moved(spot), wood)
    if not round_top and rng.random() < 0.6:
        for sy in (-1, 1):
            y = sy * (d / 2 - inset)
            item.add(box(w - 2 * inset, 0.018, 0.07).moved((0, y, h - thick - 0.07)), wood)
    shrink = 0.66 if round_top else 0.95
    if rng.random() < 0.25:
        cloth = box(w * 0.6, d * shrink, 0.002).moved((0, 0, h))
        item.add(cloth, palette.fabric())
    top = Surface(h + 0.002, shrink * w / 2, shrink * d / 2)
    count = int(rng.integers(5, 16)) if things is None else things
    fill_surface(rng, palette, item, top, count)
    return item


def chair(rng: Rng, palette: Palette) -> Item:
    """Return a chair or stool with thin legs and a back of bars or a panel."""
    w, seat = rng.uniform(0.38, 0.48), rng.uniform(0.42, 0.48)
    top = seat + rng.uniform(0.35, 0.55)
    item = Item(w / 2, w / 2, top)
    frame = palette.furniture if rng.random() < 0.6 else palette.metal
    r = rng.uniform(0.01, 0.02)
    e = w / 2 - r
    splay = rng.uniform(0, 0.06)
    for sx in (-1, 1):
        item.add(rod((sx * (e + splay), -e - splay, 0), (sx * e, -e, seat), r), frame)
        item.add(rod((sx * (e + splay), e + splay, 0), (sx * e, e, seat), r), frame)
    cushion = rng.random() < 0.5
    if cushion:
        item.add(superellipsoid((w, w, 0.07), (0.4, 0.3)).moved((0, 0, seat)), palette.fabric())
    else:
        item.add(box(w, w, 0.025).moved((0, 0, seat)), frame)
    if rng.random() < 0.15:
        item.height = seat
        return item
    lean = rng.uniform(0, 0.1)
    for sx in (-1, 1):
        item.add(rod((sx * e, e, seat), (sx * e, e + lean, top), r), frame)
    style = rng.integers(3)
    if style == 0:
        for x in np.linspace(-e, e, int(rng.integers(4, 9)))[1:-1]:
            item.add(rod((x, e, seat), (x, e + lean, top - 0.03), r * 0.5), frame)
        item.add(box(w, 0.02, 0.07).moved((0, e + lean, top - 0.06)), frame)
    elif style == 1:
        for z in np.linspace(seat + 0.12, top - 0.05, int(rng.integers(2, 5))):
            y = e + lean * (z - seat) / (top - seat)
            item.add(box(w, 0.015, 0.05).moved((0, y, z)), frame)
    else:
        item.add(
            box(w, 0.02, top - seat - 0.12).moved((0, e + lean * 0.6, seat + 0.12)),
            palette.fabric() if cushion else frame,
        )
    return item


def shelf(rng: Rng, palette: Palette) -> Item:
    """Return a bookcase against y > 0, filled with books and things; it opens towards -y."""
    w, d, h = rng.uniform(0.6, 1.5), rng.uniform(0.24, 0.38), rng.uniform(0.8, 2.1)
    t = 0.02
    item = Item(w / 2, d / 2, h)
    wood = palette.furniture
    for sx in (-1, 1):
        item.add(box(t, d, h).moved((sx * (w - t) / 2, 0, 0)), wood)
    if rng.random() < 0.7:
        item.add(box(w, 0.008, h).moved((0, d / 2, 0)), wood)
    levels = np.linspace(0.04, h - t, max(2, round(h / rng.uniform(0.28, 0.42)) + 1))
    for z in levels:
        item.add(box(w - 2 * t, d, t).moved((0, 0, z)), wood)
    for low, high in pairwise(levels):
        clear = high - low - t
        if rng.random() < 0.6:
            _book_row(rng, palette, item, w - 2 * t, d, low + t, clear)
        else:
            surface = Surface(low + t, w / 2 - t - 0.01, d / 2, headroom=clear)
            fill_surface(rng, palette, item, surface, int(rng.integers(2, 8)))
    fill_surface(rng, palette, item, Surface(h, w / 2, d / 2, headroom=0.5), 4)
    return item


def _book_row(
    rng: Rng, palette: Palette, item: Item, width: float, depth: float, z: float, clear: float
) -> None:
    """Stand books side by side on one board of a shelf."""
    x = -width / 2 + rng.uniform(0, 0.05)
    end = width / 2 - rng.uniform(0, 0.5 * width)
    covers = [palette.label() for _ in range(4)] + [palette.paint() for _ in range(4)]
    while x < end:
        thick = rng.uniform(0.015, 0.055)
        h, d = min(clear * rng.uniform(0.6, 0.97), 0.33), depth * rng.uniform(0.55, 0.85)
        if x + thick > width / 2:
            break
        y = -depth / 2 + d / 2 + rng.uniform(0, 0.05)
        volume = Item(thick / 2, d / 2, h)
        volume.add(box(thick - 0.002, d, h), covers[int(rng.integers(len(covers)))])
        item.place(volume, (x + thick / 2, y, z))
        x += thick


def cupboard(rng: Rng, palette: Palette) -> Item:
    """Return a chest of drawers or cupboard with door gaps and handles."""
    w, d, h = rng.uniform(0.5, 1.4), rng.uniform(0.38, 0.6), rng.uniform(0.55, 1.2)
    item = Item(w / 2, d / 2, h)
    item.add(box(w, d, h - 0.06).moved((0, 0, 0.06)), palette.furniture)
    front = palette.furniture if rng.random() < 0.5 else palette.paint((0.4, 0.95))
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    dw, dh = w / columns, (h - 0.08) / rows
    for i in range(columns):
        for j in range(rows):
            x, z = -w / 2 + (i + 0.5) * dw, 0.07 + j * dh
            item.add(box(dw - 0.012, 0.018, dh - 0.012).moved((x, -d / 2 - 0.009, z)), front)
            knob = box(0.1, 0.015, 0.012).moved((x, -d / 2 - 0.03, z + 0.7 * dh))
            item.add(knob, palette.metal)
    surface = Surface(h, w / 2, d / 2 * 0.95)
    fill_surface(rng, palette, item, surface, int(rng.integers(3, 9)))
    return item


def sofa(rng: Rng, palette: Palette) -> Item:
    """Return a sofa or armchair with cushions."""
    w, d = rng.choice([0.8, 1.6, 2.0]), rng.uniform(0.75, 0.95)
    item = Item(w / 2, d / 2, 0.85)
    cloth = palette.fabric()
    item.add(superellipsoid((w, d, 0.3), (0.25, 0.2)).moved((0, 0, 0.1)), cloth)
    item.add(superellipsoid((w, 0.24, 0.6), (0.3, 0.25)).moved((0, d / 2 - 0.12, 0.2)), cloth)
    for sx in (-1, 1):
        arm = superellipsoid((0.18, d, 0.5), (0.3, 0.25)).moved((sx * (w / 2 - 0.09), 0, 0.1))
        item.add(arm, cloth)
    for x in np.linspace(-w / 2 + 0.4, w / 2 - 0.4, max(1, int(w / 0.7))):
        seat = superellipsoid((0.6, d * 0.65, 0.16), (0.35, 0.25))
        item.add(seat.moved((x, -0.08, 0.34)), cloth)
        if rng.random() < 0.7:
            cushion = superellipsoid((0.42, 0.16, 0.42), (0.5, 0.5)).turned(
                rotation_x(-0.3), (x + rng.normal(0, 0.08), 0.12, 0.47)
            )
            item.add(cushion, palette.fabric())
    return item


def ladder(rng: Rng, palette: Palette) -> Item:
    """Return a ladder that leans towards +y, or a step ladder."""
    h, w = rng.uniform(1.2, 2.2), rng.uniform(0.32, 0.45)
    lean = rng.uniform(0.25, 0.45)
    item = Item(w / 2, lean * h / 2 + 0.05, h)
    material = palette.furniture if rng.random() < 0.5 else palette.metal
    y0 = -lean * h / 2
    r = rng.uniform(0.012, 0.022)
    slopes = [1.0] if rng.random() < 0.6 else [1.0, -0.6]
    for slope in slopes:
        top = (lean * h / 2 if slope > 0 else y0) if len(slopes) == 1 else 0.0
        foot = y0 * slope
        for sx in (-1, 1):
            item.add(rod((sx * w / 2, foot, 0), (sx * w / 2 * 0.85, top, h), r), material)
        for z in np.arange(0.25, h - 0.1, 0.28):
            y = foot + (top - foot) * z / h
            half = w / 2 * (1 - 0.15 * z / h)
            item.add(rod((-half, y, z), (half, y, z), r * 0.8), material)
    return item


def floor_lamp(rng: Rng, palette: Palette) -> Item:
    """Return a standing lamp or a coat stand: a thin pole."""
    h, r = rng.uniform(1.3, 1.8), rng.uniform(0.12, 0.22)
    item = Item(r, r, h)
    item.add(cylinder(0.14, 0.02, 20), palette.metal)
    item.add(cylinder(0.011, h, 8), palette.metal)
    if rng.random() < 0.7:
        shade = [(r, h - 0.25), (r * rng.uniform(0.5, 0.9), h + 0.02)]
        item.add(lathe(shade, 20), palette.lamp(0.8) if rng.random() < 0.5 else palette.fabric())
    else:
        for angle in np.arange(4) * np.pi / 2 + rng.uniform(0, 1):
            out = np.array([np.cos(angle), np.sin(angle), 0])
            item.add(rod((0, 0, h - 0.1), 0.16 * out + (0, 0, h), 0.008), palette.metal)
    return item


def bicycle(rng: Rng, palette: Palette) -> Item:
    """Return a bicycle along x that stands upright."""
    item = Item(0.9, 0.22, 1.05)
    frame, black = palette.paint(), palette.paint((0.03, 0.2))
    r = 0.33
    for x in (-0.52, 0.52):
        upright = rotation_x(np.pi / 2)
        item.add(torus(r - 0.02, 0.018, 28).turned(upright, (x, 0.018, r)), black)
        for angle in np.linspace(0, np.pi, 8, endpoint=False):
            hub = np.array([x, 0, r])
            spoke = (r - 0.03) * np.array([np.cos(angle), 0, np.sin(angle)])
            item.add(rod(hub - spoke, hub + spoke, 0.002), palette.metal)
    crank, seat, head = (-0.08, 0, 0.28), (-0.2, 0, 0.85), (0.36, 0, 0.8)
    for a, b in (
        (crank, seat),
        (crank, head),
        (seat, head),
        (seat, (-0.52, 0, r)),
        (crank, (-0.52, 0, r)),
        (head, (0.52, 0, r)),
    ):
        item.add(rod(a, b, 0.014), frame)
    item.add(rod(head, (0.33, 0, 0.98), 0.012), black)
    item.add(rod((0.33, -0.22, 1.0), (0.33, 0.22, 1.0), 0.011), black)
    item.add(superellipsoid((0.24, 0.13, 0.06), (0.7, 0.7)).moved((-0.2, 0, 0.86)), black)
    return item


def floor_plant(rng: Rng, palette: Palette) -> Item:
    """Return a large potted plant."""
    return plant(rng, palette, float(rng.uniform(0.5, 1.2)))


def box_pile(rng: Rng, palette: Palette) -> Item:
    """Return cardboard boxes or suitcases on top of each other."""
    item = Item(0.35, 0.35, 0)
    w, d = rng.uniform(0.3, 0.7, 2)
    item.half_x, item.half_y = w / 2, d / 2
    for _ in range(rng.integers(1, 4)):
        h = rng.uniform(0.15, 0.45)
        material = palette.rough() if rng.random() < 0.6 else palette.label()
        item.add(box(w, d, h).moved((0, 0, item.height), rng.normal(0, 0.08)), material)
        item.height += h
        w, d = w * rng.uniform(0.7, 1), d * rng.uniform(0.7, 1)
    return item


def hanging_lamp(rng: Rng, palette: Palette, drop: float) -> Item:
    """Return a lamp that hangs `drop` below the origin on a cable."""
    r = rng.uniform(0.1, 0.22)
    item = Item(r, r, 0)
    item.add(rod((0, 0, 0), (0, 0, -drop), 0.004), palette.metal)
    shade = [(r, -drop - 0.16), (r * 0.3, -drop), (0, -drop)]
    item.add(lathe(shade, 24), palette.paint())
    bulb = superellipsoid((0.07, 0.07, 0.08), (1, 1), 10).moved((0, 0, -drop - 0.13))
    item.add(bulb, palette.lamp())
    return item


def wall_things(rng: Rng, palette: Palette, width: float, height: float) -> Item:
    """Return pictures, a board with things, hooks; on the plane y = 0, facing -y."""
    item = Item(width / 2, 0.05, height)
    x = -width / 2 + rng.uniform(0.1, 0.6)
    while x < width / 2 - 0.5:
        w, h = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7)
        z = rng.uniform(1.1, max(1.15, height - h - 0.4))
        if x + w > width / 2:
            break
        if rng.random() < 0.7:
            frame = box(w, 0.02, h).moved((x + w / 2, -0.012, z))
            item.add(frame, palette.furniture if rng.random() < 0.5 else palette.metal)
            canvas = box(w - 0.05, 0.006, h - 0.05).moved((x + w / 2, -0.022, z + 0.025))
            item.add(canvas, palette.picture(w))
        else:
            board = box(w, 0.2, 0.02).moved((x + w / 2, -0.1, z))
            item.add(board, palette.furniture)
            surface = Surface(z + 0.02, w / 2, 0.1, x + w / 2, -0.1, 0.4)
            fill_surface(rng, palette, item, surface, 5)
        x += w + rng.uniform(0.2, 1.2)
    return item


def leaning_board(rng: Rng, palette: Palette) -> Item:
    """Return a board, mirror frame or broom that leans against a wall at +y."""
    h, w = rng.uniform(0.8, 1.8), rng.uniform(0.04, 0.7)
    item = Item(w / 2, 0.15, h)
    lean = rotation_x(-rng.uniform(0.1, 0.25)) @ rotation_y(rng.normal(0, 0.03))
    item.add(box(w, 0.025, h).turned(lean, (0, -0.1, 0.01)), palette.wood())
    return item
