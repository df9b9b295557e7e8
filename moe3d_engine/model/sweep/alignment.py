"""What a view alone says, brought to the sweep's distances: its shape, their scale."""

from __future__ import annotations

from moe3d_engine.model.sweep.surfaces import enlarged
from torch import Tensor
from torch.nn.functional import avg_pool2d

FIRST_LIMIT, LIMIT = 1.5, 0.3  # in log depth; what differs by more counts as this much
LITTLE = 0.02  # weight of no shift, where nearly nothing was matched
BLOCK = 4  # cells of the sweep to a cell of the field


def alignment(difference: Tensor, weight: Tensor) -> Tensor:
    """
    Return the shift of log depth (B, 1, h, w) that brings a view's own depth to the sweep's.

    A monocular network is wrong mostly by a factor, the same for a region. The shift is the
    weighted mean difference, limited so that wrong matches count little: first of the whole view,
    then of what is left, smooth over a coarse grid. It is 0 where nothing has weight.

    Parameters
    ----------
    difference : (B, 1, h, w), log depth of the sweep less that of the view alone.
    weight : (B, 1, h, w), how sure the sweep is.
    """
    mean = weight.mean((2, 3), keepdim=True)
    shift = (weight * difference.clamp(-FIRST_LIMIT, FIRST_LIMIT)).mean((2, 3), keepdim=True)
    shift = shift / (mean + LITTLE)
    for limit in (2 * LIMIT, LIMIT):
        rest = (difference - shift).clamp(-limit, limit)
        shift = shift + (weight * rest).mean((2, 3), keepdim=True) / (mean + LITTLE)
    rest = (difference - shift).clamp(-LIMIT, LIMIT)
    local = _smooth(weight * rest) / (_smooth(weight) + LITTLE)
    return shift + enlarged(local, BLOCK)


def _smooth(x: Tensor) -> Tensor:
    """Return means over overlapping regions, a cell for each block."""
    x = avg_pool2d(x, BLOCK)
    for _ in range(2):
        x = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return x
