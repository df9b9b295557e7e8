"""One depth regressed from all that the sweep says: what the mixture is compared with."""

from __future__ import annotations

from moe3d_engine.model.sweep.branch import NUM_CUES
from moe3d_engine.model.sweep.experts import FIRST_CERTAINTY
from moe3d_engine.model.sweep.experts import HIDDEN
from moe3d_engine.model.sweep.sides import NUM_SIDE_CUES
import torch
from torch import nn
from torch import Tensor


class SweptRegression(nn.Module):
    """
    Regresses one depth and its confidence where `SweepExperts` would make a mixture.

    It sees what those see and is as large, so that the mixture alone is the difference. Its depth
    begins between the near and the far surface. Without a sweep it is the likeliest expert of
    the view alone.

    Parameters
    ----------
    features : channels of the depth head's full-resolution feature.
    num_experts : of the view alone.
    """

    def __init__(self, features: int, num_experts: int) -> None:
        super().__init__()
        inputs = features + num_experts + 4 + NUM_CUES + NUM_SIDE_CUES
        self.look = nn.Conv2d(inputs, HIDDEN, 3, padding=1)
        self.think = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.say = nn.Conv2d(HIDDEN, 2, 1)

    def initialize(self) -> None:
        """Start with the mean of the two surfaces."""
        nn.init.normal_(self.say.weight, std=0.01)
        with torch.no_grad():
            self.say.get_parameter('bias').copy_(torch.tensor([0.0, FIRST_CERTAINTY]))

    @torch.no_grad()
    def shift_certainty(self, shift: float) -> None:
        """Make it surer: raise its log(confidence - 1)."""
        self.say.get_parameter('bias')[1:] += shift

    def forward(
        self,
        feature: Tensor,
        experts: Tensor,
        gate: Tensor,
        swept: Tensor,
        sides: Tensor,
        has_sources: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """
        Return the raw channels of a mixture of one: (B, 2, H, W), and its gate (B, 1, H, W).

        Parameters
        ----------
        feature, experts, gate, swept, sides, has_sources : see `SweepExperts.forward`.
        """
        best = (gate >= gate.amax(1, keepdim=True)).float()
        best = best / best.sum(1, keepdim=True)
        alone = torch.cat(
            [(best * experts[:, part::2]).sum(1, keepdim=True) for part in (0, 1)], dim=1
        )
        surfaces = swept[:, :2]
        middle = surfaces.mean(1, keepdim=True)
        seen = (
            gate.log_softmax(1), surfaces - alone[:, :1], surfaces[:, :1], alone[:, 1:],
            swept[:, 3:], sides,
        )  # fmt: skip
        x = self.look(torch.cat((feature, *(part.to(feature.dtype) for part in seen)), 1)).relu()
        x = x + self.think(x).relu()
        said = self.say(x).float()
        regressed = torch.cat((middle + said[:, :1], said[:, 1:]), dim=1)
        one = torch.where(has_sources[:, None, None, None] > 0, regressed, alone)
        return one, torch.zeros_like(one[:, :1])
