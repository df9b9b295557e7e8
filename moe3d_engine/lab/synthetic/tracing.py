"""Rays against a scene: what a ray hits first, and whether two points see each other."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

from moe3d_engine.lab.synthetic.worlds.scene import Scene
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray


class Hits(NamedTuple):
    """The first hit of each ray; `face` is -1 where there is none."""

    distance: Float32Array  # in lengths of the ray's direction; inf without a hit
    face: NDArray[np.int32]
    barycentric: Float32Array  # (N, 2), weights of the second and third corner
    normal: Float32Array  # (N, 3) geometric, not normalised

    def where(self, mask: NDArray[np.bool_]) -> Hits:
        """Return the hits that a mask chooses."""
        return Hits(
            self.distance[mask], self.face[mask], self.barycentric[mask], self.normal[mask]
        )


class Tracer:
    """A scene and its ray tracing structure."""

    def __init__(self, scene: Scene) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.scene = scene
        self._embree = EmbreeScene()
        TriangleMesh(self._embree, scene.vertices, scene.faces)

    def first_hits(self, origin: NDArray[Any], directions: NDArray[Any]) -> Hits:
        """Trace rays from one (3,) origin, or one (N, 3) origin each."""
        directions = np.ascontiguousarray(directions, np.float32)
        origins = np.broadcast_to(np.asarray(origin, np.float32), directions.shape).copy()
        found = self._embree.run(origins, directions, output=1)
        face = found['primID']
        distance = np.where(face >= 0, found['tfar'], np.float32(np.inf))
        return Hits(distance, face, np.stack([found['u'], found['v']], axis=1), found['Ng'])

    def sees(self, origins: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether nothing lies between (N, 3) origins and ends."""
        origins = np.ascontiguousarray(origins, np.float32)
        directions = np.ascontiguousarray(ends, np.float32) - origins
        reach = np.full(len(origins), 0.999, np.float32)
        return np.asarray(self._embree.run(origins, directions, reach, query='OCCLUDED') < 0)


def pixel_rays(
    intrinsics: Float64Array, world_from_cam: Float64Array, x: NDArray[Any], y: NDArray[Any]
) -> Float32Array:
    """
    Return the rays of pixels (x, y) in the world, one unit of optical z long.

    The distance along such a ray is therefore the depth.
    """
    rays = np.stack(
        [
            (x - intrinsics[0, 2]) / intrinsics[0, 0],
            (y - intrinsics[1, 2]) / intrinsics[1, 1],
            np.ones(np.shape(x)),
        ],
        axis=-1,
    )
    return np.asarray(rays @ world_from_cam[:3, :3].T, np.float32)
