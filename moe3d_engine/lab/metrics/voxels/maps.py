"""Maps as voxels with evidence, whatever mapper made them, and what lies near what."""

from __future__ import annotations

from typing import NamedTuple

from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

_HALF = 1 << 20  # keys lie in [-_HALF, _HALF): 52 km of voxels of 5 cm


class VoxelMap(NamedTuple):
    """
    What a mapper knows of its voxels; those it has never seen are absent.

    Parameters
    ----------
    keys : (N, 3) int64, each once; voxel k is [k, k + 1) * voxel_m along each axis of the world.
    evidence : (N,) float32; 0 and more = occupied, the more the surer; below 0 = free.
    voxel_m : side of a voxel.
    """

    keys: NDArray[np.int64]
    evidence: Float32Array
    voxel_m: float

    @property
    def occupied(self) -> NDArray[np.int64]:
        """Return the keys (M, 3) of the occupied voxels."""
        return self.keys[self.evidence >= 0]


def best_nearby(
    keys: NDArray[np.int64],
    others: NDArray[np.int64],
    evidence: Float32Array | Float64Array,
    radius: float,
) -> Float64Array:
    """
    Return the most evidence of other voxels near each voxel.

    Parameters
    ----------
    keys : (N, 3).
    others : (M, 3), each once.
    evidence : (M,) of the others.
    radius : in voxels, between centres.

    Returns
    -------
    (N,); -inf where no other is near.
    """
    best = np.full(len(keys), -np.inf)
    if not len(keys) or not len(others):
        return best
    packed = _pack(others)
    order = np.argsort(packed)
    packed, evidence = packed[order], evidence[order]
    reach = int(radius)
    around = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing='ij'), -1)
    for step in around.reshape(-1, 3):
        if np.linalg.norm(step) > radius + 1e-9:
            continue
        wanted = _pack(keys + step)
        place = np.minimum(np.searchsorted(packed, wanted), len(packed) - 1)
        found = packed[place] == wanted
        best[found] = np.maximum(best[found], evidence[place[found]])
    return best


def _pack(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number per key (N, 3)."""
    x, y, z = (keys + _HALF).T
    packed: NDArray[np.int64] = (x << 42) | (y << 21) | z
    return packed
