"""The image encoder: DINOv2 with registers, as VGGT uses it."""

from __future__ import annotations

from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.layers import Block
from moe3d_engine.model.mobile_stem import MobileStem
import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import interpolate

NUM_REGISTERS = 4
LAYER_NORM_EPS = 1e-6


class PatchEmbed(nn.Module):
    """One linear map per patch."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        size = config.patch_size
        self.proj = nn.Conv2d(3, config.embed_dim, kernel_size=size, stride=size)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return patch features (N, C, h, w) and no maps above them."""
        return self.proj(images), {}


class VisionTransformer(nn.Module):
    """
    DINOv2 with registers: normalised images to patch tokens.

    `mask_token` belongs to the pre-training of the published weights; nothing reads it.
    """

    baked_position: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.grid = config.image_size // config.patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid**2 + 1, dim))
        self.register_tokens = nn.Parameter(torch.zeros(1, NUM_REGISTERS, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim), requires_grad=False)
        self.patch_embed = MobileStem(config) if config.stem == 'mobile' else PatchEmbed(config)
        self.blocks = nn.ModuleList(
            Block(dim, config.vit_heads, 1.0, eps=LAYER_NORM_EPS) for _ in range(config.vit_depth)
        )
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.register_buffer('baked_position', None, persistent=False)

    def position_embedding(self, grid_hw: tuple[int, int]) -> Tensor:
        """Return the position embedding (1, 1 + h * w, dim) resized to a grid of patches."""
        if self.baked_position is not None:
            return self.baked_position
        if grid_hw == (self.grid, self.grid):
            return self.pos_embed
        table = self.pos_embed.float()
        square = table[:, 1:].transpose(1, 2).reshape(1, -1, self.grid, self.grid)
        resized = interpolate(square, size=grid_hw, mode='bicubic', antialias=True)
        return torch.cat((table[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """
        Return patch tokens (N, h, w, dim) and the image branch's maps.

        Parameters
        ----------
        images : (N, 3, H, W), normalised.
        """
        patches, skips = self.patch_embed(images)
        grid_hw = (patches.shape[2], patches.shape[3])
        num_images = patches.shape[0]
        x = patches.permute(0, 2, 3, 1).flatten(1, 2)  # (N, h * w, dim)
        x = torch.cat((self.cls_token.expand(num_images, -1, -1), x), dim=1)
        x = x + self.position_embedding(grid_hw)
        registers = self.register_tokens.expand(num_images, -1, -1)
        x = torch.cat((x[:, :1], registers, x[:, 1:]), dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x[:, 1 + NUM_REGISTERS :])
        return x.unflatten(1, grid_hw), skips
