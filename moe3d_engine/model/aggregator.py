"""VGGT's aggregator: attention within each view and across all views, in turn."""

from __future__ import annotations

from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.layers import Block
from moe3d_engine.model.layers import rope_tables
from moe3d_engine.model.layers import RopeTables
from moe3d_engine.model.vit import VisionTransformer
import torch
from torch import nn
from torch import Tensor

NUM_REGISTERS = 4
NUM_SPECIAL = 1 + NUM_REGISTERS  # camera token and registers come before the patches
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class Aggregator(nn.Module):
    """The image encoder and the blocks that let views see each other."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.head_dim = dim // config.heads
        self.taps = config.taps
        self.patch_embed = VisionTransformer(config)
        self.frame_blocks = nn.ModuleList(self._block(config) for _ in range(config.depth))
        self.global_blocks = nn.ModuleList(self._block(config) for _ in range(config.depth))
        self.camera_token = nn.Parameter(torch.zeros(1, 2, 1, dim))
        self.register_token = nn.Parameter(torch.zeros(1, 2, NUM_REGISTERS, dim))

    @staticmethod
    def _block(config: ModelConfig) -> Block:
        return Block(config.embed_dim, config.heads, config.layer_scale, qk_norm=True)

    def encode_images(self, images: Tensor) -> dict[str, Tensor]:
        """
        Return what depends on one image alone.

        Parameters
        ----------
        images : (N, 3, H, W) in [0, 1].

        Returns
        -------
        `tokens` (N, h, w, C) and, with an image branch, the maps `skip1`, `skip2`, ...
        """
        mean = torch.tensor(IMAGE_MEAN, device=images.device)[:, None, None]
        std = torch.tensor(IMAGE_STD, device=images.device)[:, None, None]
        tokens, skips = self.patch_embed((images - mean) / std)
        return {'tokens': tokens, **skips}

    def forward(self, tokens: Tensor) -> tuple[list[Tensor], Tensor]:
        """
        Let the views see each other.

        Parameters
        ----------
        tokens : (B, V, h, w, C), of `encode_images`; the first view is the reference.

        Returns
        -------
        taps : the four tapped outputs, (B, V, NUM_SPECIAL + h * w, 2 C) each: frame and global
            attention side by side.
        last : the last output, of the same shape.
        """
        batch, views, rows, columns, _ = tokens.shape
        is_other = (torch.arange(views, device=tokens.device) > 0).long()
        special = torch.cat((self.camera_token[0], self.register_token[0]), dim=1)[is_other]
        special = special.expand(batch, -1, -1, -1)  # (B, V, NUM_SPECIAL, C)
        x = torch.cat((special.to(tokens.dtype), tokens.flatten(2, 3)), dim=2)
        rope = rope_tables((rows, columns), NUM_SPECIAL, self.head_dim, tokens.device)
        window_rope = RopeTables(*(table.repeat(views, 1) for table in rope))
        last = len(self.frame_blocks) - 1
        outputs = {}
        for index, (frame_block, global_block) in enumerate(
            zip(self.frame_blocks, self.global_blocks, strict=True)
        ):
            frame = frame_block(x.flatten(0, 1), rope).unflatten(0, (batch, views))
            x = global_block(frame.flatten(1, 2), window_rope).unflatten(1, (views, -1))
            if index in self.taps or index == last:
                outputs[index] = torch.cat((frame, x), dim=-1)
        return [outputs[tap] for tap in self.taps], outputs[last]
