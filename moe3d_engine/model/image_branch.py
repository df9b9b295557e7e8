"""The convolution pyramid: tokens at the patch stride and image detail on the way there."""

from __future__ import annotations

from itertools import pairwise

from moe3d_engine.model.config import ModelConfig
import torch
from torch import nn
from torch import Tensor


class ConvStem(nn.Module):
    """
    A pyramid of 3x3 convolutions from the image down to the patch stride.

    Its maps at strides 1, 2, 4 and 8 are the image branch: thin structures that a token of
    16 pixels cannot hold.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.has_image_branch = config.image_branch
        widths = (3, *config.stem_channels, config.embed_dim)
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=1 if before == 3 else 2, padding=1)
            for before, after in pairwise(widths)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """
        Return patch features and the maps above them.

        Parameters
        ----------
        images : (N, 3, H, W), normalised.

        Returns
        -------
        patches : (N, embed_dim, H / patch, W / patch).
        skips : `skip1`, `skip2`, ...: the map at each stride, (N, C, H / stride, W / stride);
            none without an image branch.
        """
        skips = {}
        x = images.contiguous(memory_format=torch.channels_last)
        for index, stage in enumerate(self.stages[:-1]):
            x = stage(x).relu()
            if self.has_image_branch:
                skips[f'skip{2**index}'] = x
        return self.stages[-1](x), skips
