"""What a mapper gets of an image."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

from moe3d_engine.geometry.points import transform_points
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.lab.metrics.mapping import CELL_M
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

VOXEL_M = CELL_M  # of octomap_server and of Nav2's voxel layer, too


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """
    Depth of one image and where it was taken.

    Parameters
    ----------
    depth_m : (H, W) along optical z; not finite = no point.
    intrinsics : (3, 3) in pixels of the depth.
    world_from_cam : (4, 4) of the optical frame.
    free_m : (H, W) up to which depth the rays of pixels without a point are free, NaN = unknown,
        see `moe3d_engine.clearing`; None = not said.
    """

    depth_m: Float32Array
    intrinsics: Float64Array
    world_from_cam: Float64Array
    free_m: Float32Array | None = None

    def only(self, wanted: NDArray[np.bool_]) -> Scan:
        """Return the scan of the pixels (H, W) that are wanted."""
        depth_m, free_m = (
            None if x is None else np.where(wanted, x, np.float32(np.nan))
            for x in (self.depth_m, self.free_m)
        )
        assert depth_m is not None
        return replace(self, depth_m=depth_m, free_m=free_m)

    def points(self, depth_m: Float32Array) -> Float64Array:
        """Return the points (N, 3) of a depth of this scan's pixels, in the world's frame."""
        in_camera = unproject_depth(depth_m[None], self.intrinsics[None])[0]
        known = in_camera[np.isfinite(depth_m) & (depth_m > 0)].astype(np.float64)
        return transform_points(self.world_from_cam, known)
