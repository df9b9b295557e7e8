"""What the generator makes: a few views of one scene with exact ground truth."""

from __future__ import annotations

from dataclasses import dataclass

from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

# Training uses seeds below, evaluation and demos seeds from here on. Scenes on either side of
# this line share neither random numbers nor textures: a texture bank belongs to one side.
HELD_OUT_SEED_START = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticSet:
    """
    V views of one scene, taken by one camera that moved.

    Parameters
    ----------
    rgb : (V, H, W, 3) uint8.
    depth : (V, H, W) float32 metres along optical z at pixel centres; inf where only sky is.
    object_id : (V, H, W) int32, the object at the pixel's centre; -1 is sky.
    intrinsics : (V, 3, 3) pixels, pixel centres at integers.
    world_from_cam : (V, 4, 4), x right, y down, z forward.
    seed : the number that names the set.
    """

    rgb: UInt8Array
    depth: Float32Array
    object_id: NDArray[np.int32]
    intrinsics: Float64Array
    world_from_cam: Float64Array
    seed: int
