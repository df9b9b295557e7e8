"""From scores of depths to surfaces: the best depth of each cell, and the two beside a step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.nn.functional import pad
from torch.nn.functional import pixel_shuffle

ENVELOPE_SHARPNESS = 20.0  # per unit of log depth
ENVELOPE_CENTRE = 1.2  # log depth about which exponents are taken, so that float32 holds them
BLUR = (1 / 64, 6 / 64, 15 / 64, 20 / 64, 15 / 64, 6 / 64, 1 / 64)


def best_depth(logits: Tensor, planes: Tensor, beyond: int) -> tuple[Tensor, Tensor]:
    """
    Return the log depth of the highest peak and the probability around it, (B, 1, h, w) each.

    The peak is where three neighbouring depths together are the most probable; the mean is taken
    over it alone, so two surfaces are never averaged.

    Parameters
    ----------
    logits : (B, D, h, w).
    planes : log depths, (D,), or (B, D, h, w).
    beyond : depths on either side of the best that are averaged.
    """
    probability = logits.softmax(1)
    padded = pad(probability, (0, 0, 0, 0, 1, 1))
    around = padded[:, :-2] + probability + padded[:, 2:]
    index = torch.arange(logits.shape[1], device=logits.device)[None, :, None, None]
    near_peak = ((index - around.argmax(1, keepdim=True)).abs() <= beyond).float()
    near_peak = near_peak * probability
    if planes.ndim == 1:
        planes = planes[None, :, None, None]
    mass = near_peak.sum(1, keepdim=True)
    return (near_peak * planes).sum(1, keepdim=True) / mass, mass


def envelopes(log_depth: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return the near and the far surface around each cell, both as log depth (B, 1, h, w).

    Means over a window of 7 x 7 that lean to the smallest and to the largest depth: where there is
    a step, they are the surfaces on its two sides, flat across it; elsewhere both are the depth.
    """
    near, far = leaning_means(log_depth, log_depth - ENVELOPE_CENTRE)
    return near + ENVELOPE_CENTRE, far + ENVELOPE_CENTRE


def leaning_means(log_depth: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return means over 7 x 7 cells that lean to the smallest and to the largest depth.

    Parameters
    ----------
    log_depth : (B, 1, h, w).
    values : (B, C, h, w), what is averaged.

    Returns
    -------
    Of the near and of the far surface, (B, C, h, w) each.
    """
    offset = log_depth - ENVELOPE_CENTRE
    sides = []
    for sign in (-ENVELOPE_SHARPNESS, ENVELOPE_SHARPNESS):
        weight = (sign * offset).exp()
        both = _blur(torch.cat((weight, weight * values), dim=1))
        sides.append(both[:, 1:] / both[:, :1])
    return sides[0], sides[1]


def _blur(x: Tensor) -> Tensor:
    """Return weighted sums over 7 x 7 cells, which the edge cells continue."""
    height, width = x.shape[2:]
    x = pad(x, (3, 3, 3, 3), mode='replicate')
    x = sum(w * x[..., i : i + width] for i, w in enumerate(BLUR))  # type: ignore[assignment]
    return sum(w * x[..., i : i + height, :] for i, w in enumerate(BLUR))  # type: ignore[return-value]


def doubled(x: Tensor) -> Tensor:
    """
    Return a map of twice the size, linear between cells, whose cell i becomes pixel 2 i + 1.

    So do the maps of the stem lie on each other (`geometry.grid_pixels`). A resize would do as
    well, but an engine may compute that in 16 bits: too little for depth.
    """
    beside = pad(x, (1, 0, 1, 0), mode='replicate')
    corner, above, left = beside[..., :-1, :-1], beside[..., :-1, 1:], beside[..., 1:, :-1]
    quarters = (corner + above + left + x) / 4, (above + x) / 2, (left + x) / 2, x
    return pixel_shuffle(torch.stack(quarters, dim=2).flatten(1, 2), 2)


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Return a map of `factor` (even) times the size, linear between the centres of its cells."""
    beyond = (factor // 2,) * 4
    x = pad(repeated(x, factor), beyond, mode='replicate')
    return avg_pool2d(avg_pool2d(x, factor, stride=1), 2, stride=1)


def repeated(x: Tensor, factor: int) -> Tensor:
    """Return a map of `factor` times the size, each cell repeated; never in 16 bits, as above."""
    wide = x[:, :, None].expand(-1, -1, factor * factor, -1, -1)
    return pixel_shuffle(wide.flatten(1, 2), factor)
