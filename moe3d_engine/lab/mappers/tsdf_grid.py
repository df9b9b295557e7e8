"""Open3D's truncated signed distance field, the kind of map that nvblox and KinectFusion make."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.lab.mappers.scans import Scan
from moe3d_engine.lab.mappers.scans import VOXEL_M
from moe3d_engine.lab.metrics.voxels.maps import VoxelMap
import numpy as np
import open3d as o3d

TRUNCATION_VOXELS = 4.0  # before and behind the surface
BLOCK_VOXELS = 8
BLOCKS = 10_000  # of memory to begin with; Open3D takes more when these are full


class TsdfGrid:
    """
    A field of distances around measured surfaces; space far before them stays unknown.

    Parameters
    ----------
    voxel_m : side of a voxel.
    """

    def __init__(self, voxel_m: float = VOXEL_M) -> None:
        self._voxel_m = voxel_m
        self._device = o3d.core.Device('CPU:0')
        self._grid = o3d.t.geometry.VoxelBlockGrid(
            attr_names=('tsdf', 'weight'),
            attr_dtypes=(o3d.core.float32, o3d.core.float32),
            attr_channels=((1,), (1,)),
            voxel_size=voxel_m,
            block_resolution=BLOCK_VOXELS,
            block_count=BLOCKS,
            device=self._device,
        )

    def insert(self, scan: Scan) -> None:
        """Add the depth of a scan; it has no rays but those to its points."""
        depth = np.where(np.isfinite(scan.depth_m), scan.depth_m, np.float32(0))
        if not depth.any():
            return
        image = o3d.t.geometry.Image(o3d.core.Tensor(np.ascontiguousarray(depth, np.float32)))
        camera = (
            o3d.core.Tensor(scan.intrinsics.astype(np.float64)),
            o3d.core.Tensor(invert_rigid(scan.world_from_cam.astype(np.float64))),
        )
        limits = (1.0, float(depth.max()) + 1.0, TRUNCATION_VOXELS)  # metres per unit, farthest
        blocks = self._grid.compute_unique_block_coordinates(image, *camera, *limits)
        self._grid.integrate(blocks, image, *camera, *limits)

    def voxels(self) -> VoxelMap:
        """
        Return the voxels that were seen; the evidence is how often.

        Occupied is what lies within half a voxel of the surface, free what lies before it, and
        nothing is known behind it.
        """
        active = self._grid.hashmap().active_buf_indices()
        places, indices = self._grid.voxel_coordinates_and_flattened_indices(active)
        distance, weight = (
            self._grid.attribute(name).reshape((-1, 1))[indices].numpy().ravel()
            for name in ('tsdf', 'weight')
        )
        surface = np.abs(distance) <= 0.5 / TRUNCATION_VOXELS
        seen = (weight > 0) & (surface | (distance > 0))
        evidence = np.where(surface, weight, -weight)[seen].astype(np.float32)
        keys = np.rint(places.numpy()[seen] / self._voxel_m).astype(np.int64)
        return VoxelMap(keys, evidence, self._voxel_m)


def open_map() -> TsdfGrid:
    """Return an empty map."""
    return TsdfGrid()
