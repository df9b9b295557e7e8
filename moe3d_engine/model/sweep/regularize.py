"""What makes a surface of matches: smooth along lines, and a small network over the volume."""

from __future__ import annotations

import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.functional import pad

NOTHING = -1e4  # a score that no path takes


def semi_global(score: Tensor, near_penalty: Tensor, far_penalty: Tensor) -> Tensor:
    """
    Return the mean over four directions of the best path that ends at each cell and depth.

    Semi-global matching (Hirschmueller 2008, eq. 13) with scores in place of costs: a path gets
    the scores on its way, less `near_penalty` for a step to the next depth and `far_penalty` for
    a jump. Its largest is subtracted on the way, so nothing grows. The loop has a fixed length
    and is written out when it is exported, so all directions go through it side by side.

    Parameters
    ----------
    score : (B, D, h, w) float32, higher is better.
    near_penalty, far_penalty : (B, 1, h, w), positive.
    """
    height, width = score.shape[2:]
    near_steps, far_steps = _steps(near_penalty), _steps(-far_penalty)
    here, *rest = _steps(score)
    paths = [here]
    for score_here, near, far in zip(rest, near_steps[1:], far_steps[1:], strict=True):
        path = paths[-1] - paths[-1].amax(2, keepdim=True)
        beside = pad(path, (0, 0, 1, 1), value=NOTHING)
        beside = torch.maximum(beside[:, :, :-2], beside[:, :, 2:]) - near
        paths.append(score_here + torch.maximum(torch.maximum(path, beside), far))
    right, left, down, up = torch.cat(paths).permute(1, 2, 3, 0).chunk(4, dim=2)
    across = right[:, :, :height, :width] + left[:, :, :height, :width].flip(3)
    along = down[:, :, :width, :height] + up[:, :, :width, :height].flip(3)
    return (across + along.transpose(2, 3)) / 4


def _steps(x: Tensor) -> tuple[Tensor, ...]:
    """
    Return what paths meet at each step, in all four directions.

    Parameters
    ----------
    x : (B, C, h, w).

    Returns
    -------
    For each of n = max(h, w) steps (1, B, C, 4 n): first the lines that go right, then those that
    go left, down and up, each filled up to n lines. Lines shorter than n end in zeros.
    """
    height, width = x.shape[2:]
    side = max(height, width)
    turned = x.transpose(2, 3)
    lines = [pad(y, (0, side - width, 0, side - height)) for y in (x, x.flip(3))]
    lines += [pad(y, (0, side - height, 0, side - width)) for y in (turned, turned.flip(3))]
    return torch.split(torch.cat(lines, dim=2).permute(3, 0, 1, 2), 1)


class Hourglass(nn.Module):
    """Two levels of 3-D convolutions over depths, rows and columns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Conv3d(channels, 8, 3, padding=1)
        self.shrink = nn.Conv3d(8, 16, 3, stride=2, padding=1)
        self.inner1 = nn.Conv3d(16, 16, 3, padding=1)
        self.inner2 = nn.Conv3d(16, 16, 3, padding=1)
        self.grow = nn.Conv3d(16, 8, 1)
        self.leave = nn.Conv3d(8, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1, D, h, w) of (B, channels, D, h, w); D, h, w are even."""
        wide = self.enter(x).relu()
        y = self.shrink(wide).relu()
        y = y + self.inner2(self.inner1(y).relu())
        y = self.grow(y.relu())
        both: Tensor = wide + interpolate(y, scale_factor=2.0)
        out: Tensor = self.leave(both.relu())
        return out
