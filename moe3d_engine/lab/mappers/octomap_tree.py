"""OctoMap, the library inside octomap_server, with that node's settings."""

from __future__ import annotations

from moe3d_engine.lab.mappers.scans import Scan
from moe3d_engine.lab.mappers.scans import VOXEL_M
from moe3d_engine.lab.metrics.voxels.maps import VoxelMap
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray
import octomap

STEP_VOXELS = 0.5  # between the places along a clearing ray that are looked at


class OctomapTree:
    """
    A tree of occupancy.

    Probabilities are those of the library and of octomap_server: .7 by a hit, .4 by a miss,
    limits .12 and .97. Ranges have no limit.

    Parameters
    ----------
    voxel_m : side of the smallest voxel.
    """

    def __init__(self, voxel_m: float = VOXEL_M) -> None:
        self._voxel_m = voxel_m
        self._tree = octomap.OcTree(voxel_m)

    def insert(self, scan: Scan) -> None:
        """
        Add the rays of a scan, each of which ends at an occupied voxel.

        Rays of free space are a second sensor that never marks, as a source of Nav2 with
        `marking: false`: each voxel on them that this scan does not mark is missed once.
        """
        points = np.ascontiguousarray(scan.points(scan.depth_m))
        origin = scan.world_from_cam[:3, 3].astype(np.float64)
        if len(points):
            self._tree.insertPointCloud(points, origin, lazy_eval=True)
        if scan.free_m is not None:
            free = _on_rays(origin, scan.points(scan.free_m), self._voxel_m)
            free = _without(free, self._keys(points))
            self._tree.updateNodes((free + 0.5) * self._voxel_m, False, lazy_eval=True)

    def voxels(self) -> VoxelMap:
        """Return the leaves of the tree, large ones cut into the smallest voxels; log odds."""
        leaves = self._tree.begin_leafs()
        found = [(leaf.getSize(), leaf.getValue(), *leaf.getCoordinate()) for leaf in leaves]
        rows = np.array(found, np.float64).reshape(-1, 5)
        sides = np.rint(rows[:, 0] / self._voxel_m).astype(np.int64)
        keys, evidence = [np.empty((0, 3), np.int64)], [np.empty(0)]
        for side in np.unique(sides):
            leaf = rows[sides == side]
            corner = self._keys(leaf[:, 2:] - (side - 1) / 2 * self._voxel_m)
            inside = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing='ij'), -1)
            keys.append((corner[:, None] + inside.reshape(-1, 3)).reshape(-1, 3))
            evidence.append(np.repeat(leaf[:, 1], side**3))
        return VoxelMap(
            np.concatenate(keys), np.concatenate(evidence).astype(np.float32), self._voxel_m
        )

    def _keys(self, points: Float64Array) -> NDArray[np.int64]:
        """Return the keys (N, 3) of the voxels that hold points."""
        keys: NDArray[np.int64] = np.floor(points / self._voxel_m).astype(np.int64)
        return keys


def open_map() -> OctomapTree:
    """Return an empty map."""
    return OctomapTree()


def _on_rays(origin: Float64Array, ends: Float64Array, voxel_m: float) -> NDArray[np.int64]:
    """Return the keys (M, 3) of the voxels between the camera and the ends (N, 3) of its rays."""
    along = ends - origin
    steps = np.ceil(np.linalg.norm(along, axis=1) / (STEP_VOXELS * voxel_m)).astype(np.int64) + 1
    ray = np.repeat(np.arange(len(ends)), steps)
    first = np.repeat(np.cumsum(steps) - steps, steps)
    share = (np.arange(len(ray)) - first) / np.maximum(steps[ray] - 1, 1)
    places = origin + share[:, None] * along[ray]
    return np.unique(np.floor(places / voxel_m).astype(np.int64), axis=0)


def _without(keys: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the keys (N, 3) that are not among others."""
    others = np.unique(others, axis=0)
    both = np.concatenate([others, keys])
    _, first = np.unique(both, axis=0, return_index=True)
    return both[np.sort(first[first >= len(others)])]
