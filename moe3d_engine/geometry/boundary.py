"""
Depth that is put on one of the two surfaces at each boundary; nothing here is learnt.

A network with a single depth per pixel averages foreground and background where it cannot tell
them apart, so a boundary becomes a ramp and its pixels become points in the void. A pixel of such
a ramp lies strictly between the nearest and the farthest depth of its window. It takes the one of
the two that is nearer to it: a toggle mapping (Kramer and Bruckner 1975).
"""

from __future__ import annotations

from moe3d_engine.types import Float32Array
import numpy as np
from numpy.typing import NDArray

RADIUS_PX = 2  # windows of 5x5; the span of 9x9 tells a ramp from a slanted surface
MARGIN = 0.03  # relative; a depth this close to an extreme of its window lies on that surface
PLANE_GROWTH = 1.9  # a plane spans twice as much in 9x9 as in 5x5, a step no more than in 5x5


def snap_to_surfaces(depth: Float32Array) -> Float32Array:
    """
    Return depth without values between two surfaces.

    Parameters
    ----------
    depth : (..., H, W) along optical z in any unit; finite and above 0.

    Returns
    -------
    (..., H, W). Each value is one that `depth` has within `RADIUS_PX`, never an average. Planes,
    however slanted, and steps that are sharp already stay as they are.

    Notes
    -----
    Tuned on 24 validation sets at 192x144 with a small network's single head. Ramps wider than
    the window, as at higher resolution, get sharper but keep some of their pixels.
    """
    edge = _pad(depth, RADIUS_PX, mode='edge')
    far = _extreme(np.maximum, edge)
    near = _extreme(np.minimum, edge)
    lies_on_none = (depth > (1 + MARGIN) * near) & (far > (1 + MARGIN) * depth)
    nearest = np.where(depth * depth > near * far, far, near)  # the logarithm's middle
    return np.where(lies_on_none & _is_step(depth), nearest, depth)


def _is_step(depth: Float32Array) -> NDArray[np.bool_]:
    """Return where inverse depth, which is linear on a plane, spans hardly more farther out."""
    inverse = _pad(np.reciprocal(depth), 2 * RADIUS_PX, mode='reflect', reflect_type='odd')
    high, low = _extreme(np.maximum, inverse), _extreme(np.minimum, inverse)
    outer = _extreme(np.maximum, high) - _extreme(np.minimum, low)
    inner = (high - low)[..., RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]
    is_step: NDArray[np.bool_] = outer < PLANE_GROWTH * inner
    return is_step


def _pad(values: Float32Array, width: int, **how: str) -> Float32Array:
    """Pad height and width as np.pad does."""
    widths = [(0, 0)] * (values.ndim - 2) + [(width, width)] * 2
    padded: Float32Array = np.pad(values, widths, **how)  # type: ignore[call-overload]
    return padded


def _extreme(pick: np.ufunc, values: Float32Array) -> Float32Array:
    """Return the largest or smallest value of each 5x5 window that lies inside."""
    for axis in (-1, -2):
        lines = np.moveaxis(values, axis, 0)
        length = len(lines) - 2 * RADIUS_PX
        best = lines[:length].copy()
        for shift in range(1, 2 * RADIUS_PX + 1):
            pick(best, lines[shift : shift + length], out=best)
        values = np.moveaxis(best, 0, axis)
    return values
