"""Rooms: shell with windows and doors, furniture along walls and in the middle, lamps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import TypeAlias

from moe3d_engine.lab.synthetic.worlds import furniture
from moe3d_engine.lab.synthetic.worlds.backdrop import add_outlook
from moe3d_engine.lab.synthetic.worlds.meshes import box
from moe3d_engine.lab.synthetic.worlds.meshes import cylinder
from moe3d_engine.lab.synthetic.worlds.meshes import quad
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_x
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_z
from moe3d_engine.lab.synthetic.worlds.meshes import tube
from moe3d_engine.lab.synthetic.worlds.objects import cable
from moe3d_engine.lab.synthetic.worlds.objects import fill_surface
from moe3d_engine.lab.synthetic.worlds.scene import Item
from moe3d_engine.lab.synthetic.worlds.scene import Light
from moe3d_engine.lab.synthetic.worlds.scene import Material
from moe3d_engine.lab.synthetic.worlds.scene import pack_scene
from moe3d_engine.lab.synthetic.worlds.scene import Palette
from moe3d_engine.lab.synthetic.worlds.scene import Scene
from moe3d_engine.lab.synthetic.worlds.scene import Surface
from moe3d_engine.lab.synthetic.worlds.textures import TextureBank
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

Rng: TypeAlias = np.random.Generator
_WALL_MAKERS = (
    furniture.shelf,
    furniture.shelf,
    furniture.cupboard,
    furniture.cupboard,
    furniture.sofa,
    furniture.ladder,
    furniture.leaning_board,
    furniture.bicycle,
    furniture.floor_plant,
    furniture.box_pile,
    furniture.table,
)
_FREE_MAKERS = (
    furniture.table,
    furniture.chair,
    furniture.chair,
    furniture.chair,
    furniture.floor_lamp,
    furniture.floor_plant,
    furniture.box_pile,
    furniture.sofa,
)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """
    A scene and where cameras may go in it.

    Parameters
    ----------
    scene : the packed scene.
    low, high : (3,) corners of the box that cameras stay in.
    targets : (N, 3) points worth looking at.
    distance_m : range of distances from the target.
    """

    scene: Scene
    low: Float64Array
    high: Float64Array
    targets: Float64Array
    distance_m: tuple[float, float]


class Floor:
    """Keeps track of which rectangles of the floor are taken."""

    def __init__(self, half_x: float, half_y: float) -> None:
        self.half_x, self.half_y = half_x, half_y
        self._taken: list[tuple[float, float, float, float]] = []

    def claim(self, x: float, y: float, half_x: float, half_y: float) -> bool:
        """Take a rectangle if it lies in the room and is free."""
        if abs(x) + half_x > self.half_x or abs(y) + half_y > self.half_y:
            return False
        for a, b, c, d in self._taken:
            if abs(x - a) < half_x + c and abs(y - b) < half_y + d:
                return False
        self._taken.append((x, y, half_x, half_y))
        return True


def room(rng: Rng, bank: TextureBank) -> Stage:
    """Return a furnished room, seen mostly around one table or corner."""
    palette = Palette(rng, bank)
    size = np.array([rng.uniform(2.8, 6.5), rng.uniform(2.8, 6.5), rng.uniform(2.3, 3.1)])
    item = Item(size[0] / 2, size[1] / 2, size[2])
    windows = _shell(rng, palette, item, size)
    floor = Floor(size[0] / 2 - 0.02, size[1] / 2 - 0.02)
    targets = _furnish(rng, palette, item, floor, size)
    if windows:
        add_outlook(rng, palette, item, float(np.hypot(*size[:2])) / 2)
    lamp = _lamp(rng, palette, item, size)
    lights = _room_lights(rng, size, lamp, windows)
    warmth = rng.uniform(0.75, 1.0)
    ambient = rng.uniform(0.07, 0.3)
    scene = pack_scene(
        item,
        rng,
        bank,
        lights,
        ambient * np.array([1, 0.97, 0.94 * warmth]),
        0.6 * ambient * np.array([1, 0.92, 0.82]),
    )
    margin = np.array([0.4, 0.4, 0.0])
    low = np.array([-size[0] / 2, -size[1] / 2, 0.45]) + margin
    high = np.array([size[0] / 2, size[1] / 2, size[2] - 0.45]) - margin
    return Stage(scene, low, high, np.array(targets), (0.7, 3.5))


def _wall_frame(side: int, size: NDArray[Any]) -> tuple[float, float, NDArray[Any]]:
    """Return the yaw, length and middle of a wall that faces the room with its -y side."""
    yaw = side * np.pi / 2
    length = size[0] if side % 2 == 0 else size[1]
    reach = (size[1] if side % 2 == 0 else size[0]) / 2
    return yaw, float(length), reach * np.array([-np.sin(yaw), np.cos(yaw), 0])


def _shell(rng: Rng, palette: Palette, item: Item, size: NDArray[Any]) -> list[NDArray[Any]]:
    """Add floor, ceiling and walls; return the middles of the windows."""
    w, d, h = size
    item.add(quad(w + 0.4, d + 0.4), palette.floor(), shell=True)
    lid = quad(w + 0.4, d + 0.4).turned(rotation_x(np.pi), (0, 0, h))
    item.add(lid, palette.paint((0.8, 1))._replace(specular=0.0), shell=True)
    paint, accent = palette.wall(), palette.wall()
    skirting = palette.furniture if rng.random() < 0.5 else palette.paint((0.7, 1))
    windows = []
    for side in range(4):
        yaw, length, middle = _wall_frame(side, size)
        wall = Item(length / 2, 0.1, h)
        material = accent if side == 0 and rng.random() < 0.4 else paint
        if rng.random() < 0.45:
            windows.append(_window_wall(rng, palette, wall, length, h, material))
            windows[-1] = middle + rotation_z(yaw) @ windows[-1]
        else:
            wall.add(box(length, 0.1, h).moved((0, 0.05, 0)), material, shell=True)
            if rng.random() < 0.4:
                _door(rng, palette, wall, length)
            wall.place(furniture.wall_things(rng, palette, length - 0.4, h), (0, 0, 0))
        if rng.random() < 0.8:
            edge = box(length, 0.015, rng.uniform(0.05, 0.12)).moved((0, -0.0075, 0))
            wall.add(edge, skirting, shell=True)
        item.place(wall, middle, yaw)
    return windows


def _window_wall(
    rng: Rng, palette: Palette, wall: Item, length: float, height: float, material: Material
) -> NDArray[Any]:
    """Build a wall around a real opening with a frame, bars and perhaps a plant on the sill."""
    w = min(rng.uniform(0.8, 2.2), length - 0.8)
    low, high = rng.uniform(0.5, 1.0), min(rng.uniform(1.9, 2.4), height - 0.2)
    x = rng.uniform(-1, 1) * (length - w - 0.6) / 2
    left, right = x - w / 2 + length / 2, length / 2 - x - w / 2
    wall.add(box(left, 0.1, height).moved((-length / 2 + left / 2, 0.05, 0)), material, shell=True)
    wall.add(
        box(right, 0.1, height).moved((length / 2 - right / 2, 0.05, 0)), material, shell=True
    )
    wall.add(box(w, 0.1, low).moved((x, 0.05, 0)), material, shell=True)
    wall.add(box(w, 0.1, height - high).moved((x, 0.05, high)), material, shell=True)
    frame = palette.paint((0.5, 1))
    t = rng.uniform(0.03, 0.06)
    for u in np.linspace(-w / 2 + t / 2, w / 2 - t / 2, int(rng.integers(2, 5))):
        wall.add(box(t, 0.05, high - low).moved((x + u, 0.04, low)), frame)
    for z in np.linspace(low, high - t, int(rng.integers(2, 4))):
        wall.add(box(w, 0.05, t).moved((x, 0.04, z)), frame)
    wall.add(box(w + 0.1, 0.16, 0.03).moved((x, -0.06, low - 0.03)), frame)
    sill = Surface(low, w / 2, 0.08, x, -0.06, 0.5)
    fill_surface(rng, palette, wall, sill, int(rng.integers(0, 4)))
    if rng.random() < 0.4:
        _curtains(rng, palette, wall, x, w, high)
    if rng.random() < 0.3:
        blind = palette.paint((0.6, 1))
        for z in np.arange(rng.uniform(low, high - 0.2), high, 0.05):
            wall.add(box(w, 0.03, 0.004).moved((x, -0.03, z)), blind)
    return np.array([x, 0, (low + high) / 2])


def _curtains(rng: Rng, palette: Palette, wall: Item, x: float, width: float, high: float) -> None:
    """Hang folded curtains left and right of a window."""
    cloth = palette.fabric()
    for sx in (-1, 1):
        w = rng.uniform(0.2, 0.45) * width
        for fold in np.linspace(-w / 2, w / 2, int(w / 0.07) + 2):
            bar = cylinder(0.045, high - 0.1, 8)
            wall.add(bar.moved((x + sx * width / 2 + fold, -0.12, 0.1)), cloth)


def _door(rng: Rng, palette: Palette, wall: Item, length: float) -> None:
    """Put a closed door with frame, panels and handle on a wall."""
    x = rng.uniform(-1, 1) * max(length / 2 - 0.7, 0)
    leaf, frame = palette.furniture, palette.paint((0.5, 1))
    wall.add(box(0.84, 0.03, 2.0).moved((x, -0.005, 0)), leaf, shell=True)
    for z in (0.2, 1.1):
        wall.add(box(0.6, 0.02, 0.7).moved((x, -0.022, z)), leaf)
    for sx in (-1, 1):
        wall.add(box(0.07, 0.05, 2.05).moved((x + sx * 0.455, -0.01, 0)), frame)
    wall.add(box(0.98, 0.05, 0.07).moved((x, -0.01, 2.0)), frame)
    wall.add(box(0.12, 0.05, 0.02).moved((x + 0.33, -0.06, 1.0)), palette.metal)


def _furnish(
    rng: Rng, palette: Palette, item: Item, floor: Floor, size: NDArray[Any]
) -> list[NDArray[Any]]:
    """Place the furniture; return points worth looking at."""
    targets: list[NDArray[Any]] = []
    main = furniture.table(rng, palette, int(rng.integers(8, 20)))
    for _ in range(20):
        x, y = rng.uniform(-0.5, 0.5, 2) * (size[:2] - 1.2)
        if floor.claim(x, y, main.half_x + 0.1, main.half_y + 0.1):
            yaw = rng.normal(0, 0.04)
            item.place(main, (x, y, 0), yaw)
            targets += [np.array([x, y, main.height + 0.1])] * 3
            _chairs_around(rng, palette, item, floor, (x, y), main)
            break
    for _ in range(int(rng.integers(6, 14))):
        thing = _WALL_MAKERS[int(rng.integers(len(_WALL_MAKERS)))](rng, palette)
        yaw, length, middle = _wall_frame(int(rng.integers(4)), size)
        along = rng.uniform(-1, 1) * max(length / 2 - thing.half_x - 0.05, 0)
        spot = middle + rotation_z(yaw) @ np.array([along, -thing.half_y - 0.04, 0])
        half = (thing.half_x, thing.half_y)
        half_x, half_y = half if abs(np.cos(yaw)) > 0.5 else half[::-1]
        if floor.claim(spot[0], spot[1], half_x, half_y):
            item.place(thing, spot, yaw)
            targets.append(np.array([spot[0], spot[1], 0.6 * thing.height]))
    for _ in range(int(rng.integers(3, 9))):
        thing = _FREE_MAKERS[int(rng.integers(len(_FREE_MAKERS)))](rng, palette)
        x, y = rng.uniform(-1, 1, 2) * size[:2] / 2
        radius = float(np.hypot(thing.half_x, thing.half_y)) * 0.85
        if floor.claim(x, y, radius, radius):
            item.place(thing, (x, y, 0), rng.uniform(0, 6.3))
            targets.append(np.array([x, y, 0.7 * thing.height]))
    _floor_things(rng, palette, item, size)
    return targets


def _chairs_around(
    rng: Rng, palette: Palette, item: Item, floor: Floor, centre: tuple[float, float], main: Item
) -> None:
    """Push chairs towards a table."""
    for side in range(4):
        if rng.random() < 0.55:
            seat = furniture.chair(rng, palette)
            yaw = side * np.pi / 2
            reach = main.half_y if side % 2 == 0 else main.half_x
            gap = rng.uniform(0.0, 0.3)
            out = rotation_z(yaw) @ np.array([rng.normal(0, 0.15), reach + gap, 0])
            x, y = centre[0] + out[0], centre[1] + out[1]
            if abs(x) < floor.half_x - 0.3 and abs(y) < floor.half_y - 0.3:
                item.place(seat, (x, y, 0), yaw + rng.normal(0, 0.2))
                floor.claim(x, y, 0.25, 0.25)


def _floor_things(rng: Rng, palette: Palette, item: Item, size: NDArray[Any]) -> None:
    """Lay a rug and cables, and leave a few things on the floor."""
    if rng.random() < 0.6:
        w, d = rng.uniform(1.0, 2.4, 2)
        rug = box(min(w, size[0] - 1), min(d, size[1] - 1), 0.008)
        item.add(rug.moved((*rng.normal(0, 0.3, 2), 0), rng.normal(0, 0.3)), palette.fabric())
    for _ in range(rng.integers(0, 4)):
        spot = np.append(rng.uniform(-0.45, 0.45, 2) * size[:2], 0.008)
        item.place(cable(rng, palette, float(rng.uniform(0.5, 2))), spot, rng.uniform(0, 6))
    area = Surface(0.009, size[0] / 2 - 0.3, size[1] / 2 - 0.3)
    fill_surface(rng, palette, item, area, int(rng.integers(0, 6)))
    if rng.random() < 0.3:  # a cable or washing line through the air
        a, b = rng.uniform(-0.5, 0.5, (2, 2)) * size[:2]
        t = np.linspace(0, 1, 16)[:, None]
        path = np.append(a + (b - a) * t, size[2] - 0.3 - 0.9 * t * (1 - t), axis=1)
        item.add(tube(path, 0.006, 5), palette.paint((0.05, 0.9)))


def _lamp(rng: Rng, palette: Palette, item: Item, size: NDArray[Any]) -> NDArray[Any]:
    """Hang a lamp or set a panel into the ceiling; return where its light comes from."""
    spot = np.append(rng.uniform(-0.25, 0.25, 2) * size[:2], size[2])
    if rng.random() < 0.5:
        drop = rng.uniform(0.25, 0.7)
        item.place(furniture.hanging_lamp(rng, palette, drop), spot)
        return np.asarray(spot - (0, 0, drop + 0.24))
    item.add(box(0.5, 0.5, 0.03).moved(spot - (0, 0, 0.03)), palette.lamp(3.0))
    return np.asarray(spot - (0, 0, 0.1))


def _room_lights(
    rng: Rng, size: NDArray[Any], lamp: NDArray[Any], windows: list[NDArray[Any]]
) -> tuple[Light, ...]:
    """Return the key light first: sun through a window, daylight of a window, or the lamp."""
    warm = np.array([1.0, rng.uniform(0.82, 0.98), rng.uniform(0.65, 0.95)])
    cool = np.array([rng.uniform(0.85, 1), 0.97, 1.0])
    lights = [Light(lamp, rng.uniform(1.5, 3.5) * warm, rng.uniform(0.05, 0.25))]
    for window in windows[:2]:
        inside = window * (0.85, 0.85, 1)
        lights.append(Light(inside, rng.uniform(1.5, 4.5) * cool, rng.uniform(0.25, 0.5)))
    if windows and rng.random() < 0.4:
        out = windows[0] * (1, 1, 0)
        out = out / np.linalg.norm(out) + np.append(rng.normal(0, 0.5, 2), rng.uniform(0.4, 1.1))
        sun = Light(200 * out, rng.uniform(1.5, 4) * np.array([1, 0.93, 0.82]), 1.5, True)
        lights.insert(1, sun)
    else:
        free = np.append(rng.uniform(-0.4, 0.4, 2) * size[:2], size[2] - 0.25)
        lights.append(Light(free, rng.uniform(0.3, 1.5) * warm, 0.1))
    if rng.random() < 0.5:
        lights[0], lights[1] = lights[1], lights[0]
    fill = rng.uniform(0.15, 0.6)
    for light in lights[1:3]:
        light.colour[:] *= 1.0 if light.is_sun else fill
    return tuple(lights[:3])
