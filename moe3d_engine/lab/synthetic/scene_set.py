"""What the generator makes: a few views of one scene with exact ground truth."""

from __future__ import annotations

from dataclasses import dataclass

from moe3d_engine.lab.view_set import ViewSet
import numpy as np
from numpy.typing import NDArray

# Training uses seeds below, evaluation and demos seeds from here on. Scenes on either side of
# this line share neither random numbers nor textures: a texture bank belongs to one side.
HELD_OUT_SEED_START = 1_000_000_000
# Training chooses its best weights on these; the reported figures are of those before.
VALIDATION_SEED_START = 1_000_010_000


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticSet(ViewSet):
    """
    V views of one scene, taken by one camera that moved; see ViewSet.

    Parameters
    ----------
    object_id : (V, H, W) int32, the object at the pixel's centre; -1 is sky.
    seed : the number that names the set.
    """

    object_id: NDArray[np.int32]
    seed: int
