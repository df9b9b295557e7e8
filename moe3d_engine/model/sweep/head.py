"""What every head on top of the sweep has: layers that see the views alone and the sweep."""

from __future__ import annotations

import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import conv2d

HIDDEN = 24
FIRST_CERTAINTY = 1.5  # log(confidence - 1)


class SweptHead(nn.Module):
    """
    Looks at a pixel's surroundings, thinks and says channels about it.

    Parameters
    ----------
    features : channels of the depth head's full-resolution feature.
    seen : channels of what else it sees.
    outputs : channels of what it says.
    certainties : which of these are log(confidence - 1).
    """

    def __init__(self, features: int, seen: int, outputs: int, certainties: slice) -> None:
        super().__init__()
        self._certainties = certainties
        self.look = nn.Conv2d(features + seen, HIDDEN, 3, padding=1)
        self.think = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.say = nn.Conv2d(HIDDEN, outputs, 1)

    def initialize(self) -> None:
        """Say hardly more than the first certainty."""
        nn.init.normal_(self.say.weight, std=0.01)
        with torch.no_grad():
            bias = self.say.get_parameter('bias')
            bias.zero_()
            bias[self._certainties] = FIRST_CERTAINTY

    @torch.no_grad()
    def shift_certainty(self, shift: float) -> None:
        """Make it surer: raise what it says of log(confidence - 1)."""
        self.say.get_parameter('bias')[self._certainties] += shift

    def said(self, feature: Tensor, seen: Tensor) -> Tensor:
        """Return the outputs (B, C, H, W), float32, of both inputs (B, ..., H, W)."""
        x = self._look(feature, seen).relu()
        x = x + self.think(x).relu()
        said: Tensor = self.say(x).float()
        return said

    def _look(self, feature: Tensor, seen: Tensor) -> Tensor:
        """Return `look` of both inputs side by side; in two sums, so that neither is copied."""
        weight, bias = self.look.weight, self.look.bias
        split = feature.shape[1]
        of_feature = conv2d(feature, weight[:, :split], bias, padding=1)
        return of_feature + conv2d(seen, weight[:, split:], padding=1)


def likeliest(values: Tensor, gate: Tensor) -> Tensor:
    """Return the values (B, 1, H, W) of the expert of the largest weight, both (B, E, H, W)."""
    best = (gate >= gate.amax(1, keepdim=True)).float()
    return (best * values).sum(1, keepdim=True) / best.sum(1, keepdim=True)
