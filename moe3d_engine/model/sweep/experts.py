"""The sweep's surfaces as two more experts of the mixture, and the gate that knows of them."""

from __future__ import annotations

from moe3d_engine.model.sweep.branch import NUM_CUES
from moe3d_engine.model.sweep.head import SweptHead
from moe3d_engine.model.sweep.sides import NUM_SIDE_CUES
import torch
from torch import nn
from torch import Tensor

MOST_CORRECTION = 0.15  # in log depth
ABSENT = -30.0  # logit of an expert that there is not
OUTPUTS = 3  # of an expert: correction, log confidence, logit


class SweepExperts(SweptHead):
    """
    Joins a near and a far surface of the sweep to the mixture of a view alone.

    Where there is a sweep, the view's own experts move to its distances, and the gate weighs all.
    On which side of a step a pixel lies, the view alone says best: the sweep's experts begin with
    the weight of their side, which is corrected by what a pixel looks like.
    Without one, the mixture is the view's own.

    Parameters
    ----------
    features : channels of the depth head's full-resolution feature.
    num_experts : of the view alone, the first half near.
    """

    def __init__(self, features: int, num_experts: int) -> None:
        seen = num_experts + 5 + NUM_CUES + NUM_SIDE_CUES
        super().__init__(features, seen, 2 * OUTPUTS + num_experts, slice(2, 4))
        self.num_near = num_experts // 2

    def initialize(self) -> None:
        """Start with depths as the sweep has them, under a gate that trusts it a little."""
        super().initialize()
        with torch.no_grad():
            nn.init.normal_(self.look.weight[:, -NUM_SIDE_CUES:], std=0.02)

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
        Return the raw channels of all: experts (B, 2 E + 4, H, W), gate (B, E + 2, H, W).

        Parameters
        ----------
        feature : (B, F, H, W), of the depth head.
        experts, gate : of the view alone, see `DepthHead.forward`.
        swept : (B, 3 + NUM_CUES, H, W), near, far, shift and cues.
        sides : (B, NUM_SIDE_CUES, H, W), see SideCues.
        has_sources : (B,), 1 where there was anything to compare with, else 0.
        """
        half = self.num_near
        surfaces = swept[:, :2]
        shift = swept[:, 2:3].repeat(1, experts.shape[1] // 2, 1, 1)
        shift = torch.stack((shift, torch.zeros_like(shift)), dim=2).flatten(1, 2)
        experts = experts + shift
        alone = torch.cat((experts[:, :1], experts[:, 2 * half : 2 * half + 1]), dim=1)
        seen = torch.cat(
            (
                gate.log_softmax(1),
                surfaces - alone,
                alone[:, 1:] - alone[:, :1],
                surfaces[:, :1],
                experts[:, 1:2],
                swept[:, 3:],
                sides,
            ),
            dim=1,
        )
        said = self.said(feature, seen)
        has = has_sources[:, None, None, None]
        swept_depth = surfaces + MOST_CORRECTION * said[:, :2].tanh()
        swept_experts = torch.stack((swept_depth, said[:, 2:4]), dim=2)  # (B, 2, 2, H, W)
        side = torch.cat((gate[:, :half].logsumexp(1, True), gate[:, half:].logsumexp(1, True)), 1)
        swept_gate = torch.where(has > 0, side + said[:, 4:6], ABSENT)
        gate = gate + has * said[:, 6:]
        joined = (
            experts[:, : 2 * half],
            swept_experts[:, 0],
            experts[:, 2 * half :],
            swept_experts[:, 1],
        )
        choice = gate[:, :half], swept_gate[:, :1], gate[:, half:], swept_gate[:, 1:]
        return torch.cat(joined, dim=1), torch.cat(choice, dim=1)


def own_experts(num_depths: int) -> slice:
    """Return where the sweep's own depths stand among all of a pixel."""
    half = max(num_depths // 2, 1)
    return slice(half - 1, None, half)
