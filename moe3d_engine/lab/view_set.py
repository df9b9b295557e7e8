"""What every data set yields: a few posed colour views with depth."""

from __future__ import annotations

from dataclasses import dataclass

from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array


@dataclass(frozen=True, slots=True, eq=False)
class ViewSet:
    """
    V views of one place, at one size.

    Parameters
    ----------
    rgb : (V, H, W, 3) uint8.
    depth : (V, H, W) float32 metres along optical z at pixel centres; NaN = unknown, inf = sky.
    intrinsics : (V, 3, 3) pixels, pixel centres at integers.
    world_from_cam : (V, 4, 4), x right, y down, z forward.
    name : where it comes from, for messages.
    """

    rgb: UInt8Array
    depth: Float32Array
    intrinsics: Float64Array
    world_from_cam: Float64Array
    name: str

    def first(self, num_views: int) -> ViewSet:
        """Return the first views of the set."""
        return ViewSet(
            self.rgb[:num_views],
            self.depth[:num_views],
            self.intrinsics[:num_views],
            self.world_from_cam[:num_views],
            self.name,
        )
