"""The sweep as the network uses it: matching features per view, experts per published view."""

from __future__ import annotations

from collections.abc import Mapping

from moe3d_engine.model.sweep.branch import PlaneSweep
from moe3d_engine.model.sweep.branch import published_at_full
from moe3d_engine.model.sweep.branch import Surfaces
from moe3d_engine.model.sweep.experts import SweepExperts
from moe3d_engine.model.sweep.geometry import Cameras
from moe3d_engine.model.sweep.head import likeliest
from moe3d_engine.model.sweep.regression import SweptRegression
from moe3d_engine.model.sweep.sides import SideCues
from moe3d_engine.model.sweep.volume import MatchingFeatures
import torch
from torch import nn
from torch import Tensor

COMPARED = ('match2', 'match4')
SEEN = ('skip2', 'skip4', 'skip8', *COMPARED)


class Sweep(nn.Module):
    """
    Adds to the mixture of a view alone what other views of the window say.

    Parameters
    ----------
    channels : of the stem's maps at strides 1, 2, 4 and 8.
    features : channels of the depth head's full-resolution feature.
    num_experts : of the view alone.
    num_depths : see `ModelConfig.swept_depths`.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int],
        features: int,
        num_experts: int,
        num_depths: int,
    ) -> None:
        super().__init__()
        self.matching = MatchingFeatures(channels[1:])
        self.planes = PlaneSweep(channels[1:])
        self.sides = SideCues(channels[0])
        head = SweepExperts if num_depths == 2 else SweptRegression
        self.experts = head(features, num_experts)

    def initialize(self) -> None:
        """Set the layers whose outputs have a meaning."""
        self.planes.initialize()
        self.experts.initialize()

    def forward(
        self,
        features: Mapping[str, Tensor],
        publish: Tensor,
        cameras: Cameras,
        hint: Tensor | None,
        feature: Tensor,
        experts: Tensor,
        gate: Tensor,
    ) -> tuple[Tensor, Tensor, Surfaces]:
        """
        Return the raw channels of experts and gate with the sweep's, and its surfaces.

        Parameters
        ----------
        features : of the window, (B, V, ...) each; V is 2 or more.
        publish : (P,) int64, the views whose depth is wanted.
        cameras : of the window.
        hint : (B, P, 2, H / 4, W / 4), see PlaneSweep; None = there is none.
        feature, experts, gate : (B * P, ...), of the depth head for the published views.
        """
        views = features['match4'].shape[1]
        others = publish[:, None] + torch.arange(1, views, device=publish.device)
        others = torch.where(others < views, others, others - views)

        def of_published(x: Tensor) -> Tensor:
            return x.index_select(1, publish).flatten(0, 1)

        def of_others(x: Tensor) -> Tensor:
            chosen = x.index_select(1, others.flatten())
            return chosen.reshape(-1, views - 1, *x.shape[2:])

        source_cameras = Cameras(*(of_others(x) for x in cameras))
        prior = likeliest(experts[:, 0::2], gate)
        if hint is None:
            batch, rows, columns = len(prior), prior.shape[2] // 4, prior.shape[3] // 4
            hint = prior.new_zeros(batch, 2, rows, columns)
        else:
            hint = hint.flatten(0, 1)
        surfaces = self.planes(
            {name: of_published(features[name]) for name in SEEN},
            {name: of_others(features[name]) for name in COMPARED},
            Cameras(*(of_published(x) for x in cameras)),
            source_cameras,
            prior,
            hint,
        )
        has_sources = (source_cameras.trust > 0).any(1).float()
        sides = self.sides(of_published(features['skip1']), surfaces.log_depth)
        experts, gate = self.experts(
            feature, experts, gate, published_at_full(surfaces), sides, has_sources
        )
        return experts, gate, surfaces
