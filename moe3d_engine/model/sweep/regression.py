"""One depth regressed from all that the sweep says: what the mixture is compared with."""

from __future__ import annotations

from moe3d_engine.model.sweep.branch import NUM_CUES
from moe3d_engine.model.sweep.head import likeliest
from moe3d_engine.model.sweep.head import SweptHead
from moe3d_engine.model.sweep.sides import NUM_SIDE_CUES
import torch
from torch import Tensor


class SweptRegression(SweptHead):
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
        seen = num_experts + 4 + NUM_CUES + NUM_SIDE_CUES
        super().__init__(features, seen, 2, slice(1, 2))

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
        alone = torch.cat([likeliest(experts[:, part::2], gate) for part in (0, 1)], dim=1)
        surfaces = swept[:, :2]
        middle = surfaces.mean(1, keepdim=True)
        seen = torch.cat(
            (
                gate.log_softmax(1),
                surfaces - alone[:, :1],
                surfaces[:, :1],
                alone[:, 1:],
                swept[:, 3:],
                sides,
            ),
            dim=1,
        )
        said = self.said(feature, seen)
        regressed = torch.cat((middle + said[:, :1], said[:, 1:]), dim=1)
        one = torch.where(has_sources[:, None, None, None] > 0, regressed, alone)
        return one, torch.zeros_like(one[:, :1])
