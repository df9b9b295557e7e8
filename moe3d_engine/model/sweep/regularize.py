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
    a jump. Its largest is subtracted on the way, so nothing grows. The loop over columns, and over
    rows, has a fixed length and is written out when it is exported.

    Parameters
    ----------
    score : (B, D, h, w) float32, higher is better.
    near_penalty, far_penalty : (B, 1, h, w), positive.
    """
    across = _both_ways(score, near_penalty, far_penalty)
    turned = (x.transpose(2, 3) for x in (score, near_penalty, far_penalty))
    down = _both_ways(*turned).transpose(2, 3)
    return (across + down) / 4


def _both_ways(score: Tensor, near_penalty: Tensor, far_penalty: Tensor) -> Tensor:
    """Return the sum of the paths from the left and from the right."""
    score, near_penalty, far_penalty = (
        torch.cat((x, x.flip(3))) for x in (score, near_penalty, far_penalty)
    )
    columns = [x.unbind(3) for x in (score, near_penalty, far_penalty)]
    path = columns[0][0]
    paths = [path]
    for here, near, far in zip(*(c[1:] for c in columns), strict=True):
        best = path.amax(1, keepdim=True)
        beside = pad(path, (0, 0, 1, 1), value=NOTHING)
        beside = torch.maximum(beside[:, :-2], beside[:, 2:]) - near
        step = torch.maximum(torch.maximum(path, beside), best - far)
        path = here + step - best
        paths.append(path)
    there, back = torch.stack(paths, dim=3).chunk(2)
    return there + back.flip(3)


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
