"""What a scene is made of: materials, items built of parts, lights, and the packed arrays."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any
from typing import NamedTuple

from moe3d_engine.lab.synthetic.worlds.meshes import Mesh
from moe3d_engine.lab.synthetic.worlds.meshes import rotation_z
from moe3d_engine.lab.synthetic.worlds.textures import random_colour
from moe3d_engine.lab.synthetic.worlds.textures import TextureBank
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray


class Material(NamedTuple):
    """How a surface looks: texture index, repeats per metre, colour factor and highlight."""

    texture: int
    repeats_per_m: float
    tint: NDArray[Any]
    specular: float = 0.0
    gloss: float = 20.0
    emission: float = 0.0


class Light(NamedTuple):
    """A spherical lamp, or the sun: far away and without falloff."""

    position: Float64Array
    colour: Float64Array
    radius_m: float
    is_sun: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One mesh of one material; parts of the same `group` are the same object."""

    mesh: Mesh
    material: Material
    group: int = 0
    shell: bool = False  # walls, floors and ground: a camera may be inside their bounding box


@dataclass(frozen=True, slots=True)
class Surface:
    """A horizontal place that can carry things: height, centre, half extents and headroom."""

    z: float
    half_x: float
    half_y: float
    x: float = 0.0
    y: float = 0.0
    headroom: float = 1.0


@dataclass(slots=True, eq=False)
class Item:
    """A thing to place: parts around the origin, its footprint, and surfaces that can carry."""

    half_x: float
    half_y: float
    height: float
    parts: list[Part] = field(default_factory=list)
    surfaces: list[Surface] = field(default_factory=list)

    def add(self, mesh: Mesh, material: Material, *, shell: bool = False) -> None:
        """Add a part of this item itself."""
        self.parts.append(Part(mesh, material, 0, shell))

    def place(self, child: Item, position: ArrayLike, yaw: float = 0.0) -> None:
        """Put another item on or into this one, as objects of their own."""
        first = 1 + max((part.group for part in self.parts), default=0)
        rotation = rotation_z(yaw)
        for part in child.parts:
            mesh = part.mesh.turned(rotation, position)
            self.parts.append(replace(part, mesh=mesh, group=first + part.group))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """
    A scene packed for rendering.

    Parameters
    ----------
    vertices : (N, 3) float32; `faces` (M, 3) int32.
    corners : (M, 3, 5) float32, shading normal and texture coordinates of each corner.
    face_part : (M,) int32, and per part: `part_object`, `texture`, `repeats`, `offset` (., 2),
        `tint` (., 3), `specular`, `gloss`, `emission`.
    part_boxes : (parts, 2, 3) bounds of the solid parts, where no camera may be.
    lights : the first one is the key light.
    sky, ground : (3,) linear colours that light from above and below.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    corners: NDArray[np.float32]
    face_part: NDArray[np.int32]
    part_object: NDArray[np.int32]
    texture: NDArray[np.int32]
    repeats: NDArray[np.float32]
    offset: NDArray[np.float32]
    tint: NDArray[np.float32]
    specular: NDArray[np.float32]
    gloss: NDArray[np.float32]
    emission: NDArray[np.float32]
    part_boxes: NDArray[np.float32]
    lights: tuple[Light, ...]
    sky: NDArray[np.float32]
    ground: NDArray[np.float32]
    bank: TextureBank


def pack_scene(
    item: Item,
    rng: np.random.Generator,
    bank: TextureBank,
    lights: tuple[Light, ...],
    sky: ArrayLike,
    ground: ArrayLike,
) -> Scene:
    """Return the arrays of an item that is a whole scene."""
    parts = item.parts
    meshes = [part.mesh for part in parts]
    counts = np.array([len(mesh.vertices) for mesh in meshes])
    starts = np.cumsum(counts) - counts
    faces = np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)])
    attributes = np.concatenate([np.hstack([m.normals, m.uvs]) for m in meshes])
    materials = [part.material for part in parts]
    solid = [part.mesh.vertices for part in parts if not part.shell]
    boxes = np.array([(v.min(axis=0), v.max(axis=0)) for v in solid], np.float32)
    return Scene(
        vertices=np.concatenate([m.vertices for m in meshes]).astype(np.float32),
        faces=np.ascontiguousarray(faces, np.int32),
        corners=attributes.astype(np.float32)[faces],
        face_part=np.repeat(np.arange(len(parts), dtype=np.int32), [len(m.faces) for m in meshes]),
        part_object=np.array([part.group for part in parts], np.int32),
        texture=np.array([m.texture for m in materials], np.int32),
        repeats=np.array([m.repeats_per_m for m in materials], np.float32),
        offset=rng.random((len(parts), 2)).astype(np.float32),
        tint=np.array([m.tint for m in materials], np.float32),
        specular=np.array([m.specular for m in materials], np.float32),
        gloss=np.array([m.gloss for m in materials], np.float32),
        emission=np.array([m.emission for m in materials], np.float32),
        part_boxes=boxes.reshape(-1, 2, 3),
        lights=lights,
        sky=np.asarray(sky, np.float32),
        ground=np.asarray(ground, np.float32),
        bank=bank,
    )


def bare(scene: Scene, rng: np.random.Generator) -> Scene:
    """
    Return a scene most of whose surfaces are plain, and many dark or glossy.

    So are kitchens and offices: there is little to match, and highlights move with the camera.
    """
    count = len(scene.texture)
    is_plain = rng.random(count) < rng.uniform(0.5, 0.95)
    is_glossy = is_plain & (rng.random(count) < 0.6)
    is_dark = is_plain & (rng.random(count) < 0.3)
    plain = rng.choice(scene.bank.kinds['plain'], count)
    shine = rng.uniform(0.1, 0.9, count)
    tint = np.where(is_dark[:, None], 0.15 * scene.tint, scene.tint)
    return replace(
        scene,
        texture=np.where(is_plain, plain, scene.texture).astype(np.int32),
        tint=tint.astype(np.float32),
        specular=np.where(is_glossy, shine, scene.specular).astype(np.float32),
        gloss=np.where(is_glossy, rng.uniform(8, 80, count), scene.gloss).astype(np.float32),
    )


class Palette:
    """The materials of one scene: furniture shares its wood and metal, small things vary."""

    def __init__(self, rng: np.random.Generator, bank: TextureBank) -> None:
        self._rng = rng
        self._bank = bank
        self.furniture = self.wood() if rng.random() < 0.65 else self.paint((0.3, 0.95))
        self.metal = self._material('plain', 2, self._grey(0.08, 0.75), 0.5, 60)

    def paint(self, value: tuple[float, float] = (0.15, 0.95)) -> Material:
        """Return a plain painted or plastic surface."""
        colour = random_colour(self._rng, saturation=(0, 0.75), value=value)
        return self._material('plain', 1.5, colour, self._rng.uniform(0, 0.35), 40)

    def wall(self) -> Material:
        """Return paint, wallpaper or bricks for a wall."""
        kind = self._rng.choice(
            ['plain', 'stripes', 'bricks', 'noise', 'weave', 'tiles', 'planks'],
            p=[0.52, 0.1, 0.1, 0.1, 0.06, 0.06, 0.06],
        )
        tint = random_colour(self._rng, saturation=(0, 0.35), value=(0.55, 1))
        return self._material(str(kind), self._rng.uniform(0.5, 1.1), tint)

    def floor(self) -> Material:
        """Return boards, tiles, stone or carpet."""
        kind = self._rng.choice(
            ['planks', 'tiles', 'noise', 'weave', 'marble', 'checks'],
            p=[0.4, 0.2, 0.15, 0.12, 0.06, 0.07],
        )
        repeats = self._rng.uniform(0.6, 1.6)
        return self._material(str(kind), repeats, self._grey(0.7, 1), 0.12, 15)

    def wood(self) -> Material:
        """Return solid wood."""
        return self._material('wood', self._rng.uniform(0.8, 2), self._grey(0.6, 1), 0.15, 25)

    def fabric(self) -> Material:
        """Return cloth, plain or patterned."""
        kind = self._rng.choice(['weave', 'stripes', 'checks', 'noise'], p=[0.6, 0.2, 0.1, 0.1])
        return self._material(str(kind), self._rng.uniform(1.2, 4), self._grey(0.6, 1))

    def picture(self, width_m: float) -> Material:
        """Return one picture that spans `width_m`."""
        return self._material('collage', 1 / width_m, self._grey(0.8, 1), 0.1, 50)

    def label(self) -> Material:
        """Return printed matter: covers, packages, labels."""
        return self._material('print', self._rng.uniform(2.5, 7), self._grey(0.7, 1), 0.2, 40)

    def ceramic(self) -> Material:
        """Return glazed ware, plastic or marbled stone."""
        kind = self._rng.choice(['plain', 'noise', 'marble', 'stripes'], p=[0.6, 0.15, 0.15, 0.1])
        colour = random_colour(self._rng, saturation=(0, 0.85), value=(0.12, 1))
        return self._material(str(kind), 4, colour, self._rng.uniform(0.2, 0.8), 70)

    def leaf(self) -> Material:
        """Return green to dry foliage."""
        tint = random_colour(self._rng, (0.14, 0.38), (0.05, 0.5), (0.6, 1.2))
        return self._material('foliage', self._rng.uniform(2, 8), tint, 0.1, 15)

    def ground(self) -> Material:
        """Return grass, gravel, paving or asphalt."""
        kind = self._rng.choice(['foliage', 'noise', 'tiles', 'bricks'], p=[0.4, 0.3, 0.15, 0.15])
        return self._material(str(kind), self._rng.uniform(0.4, 0.9), self._grey(0.6, 1))

    def bark(self) -> Material:
        """Return a dark rough wood."""
        tint = random_colour(self._rng, (0.05, 0.12), (0.1, 0.5), (0.25, 0.6))
        return self._material('noise', 2.5, tint)

    def rough(self) -> Material:
        """Return stone, clay, cardboard or a shell's pattern."""
        colour = random_colour(self._rng, saturation=(0.05, 0.7), value=(0.3, 0.95))
        return self._material('noise', self._rng.uniform(1.5, 5), colour)

    def lamp(self, emission: float = 3.0) -> Material:
        """Return a surface that glows."""
        material = self._material('plain', 1, np.array([1, 0.93, 0.8]))
        return material._replace(emission=emission)

    def _grey(self, low: float, high: float) -> NDArray[Any]:
        warmth = self._rng.normal(0, 0.02) * np.array([1, 0, -1])
        return np.clip(self._rng.uniform(low, high) + warmth, 0, 1)

    def _material(
        self,
        kind: str,
        repeats_per_m: float,
        tint: NDArray[Any],
        specular: float = 0.0,
        gloss: float = 20.0,
    ) -> Material:
        texture = int(self._rng.choice(self._bank.kinds[kind]))
        return Material(texture, repeats_per_m, tint**2, specular, gloss)
