"""VGGT's camera head: the pose encoding of every view, refined in four iterations."""

from __future__ import annotations

from moe3d_engine.model.config import ModelConfig
from moe3d_engine.model.layers import Block
from moe3d_engine.model.layers import Mlp
import torch
from torch import nn
from torch import Tensor

NUM_ITERATIONS = 4
POSE_DIM = 9  # translation 3, quaternion xyzw 4, field of view h and w


class CameraHead(nn.Module):
    """Camera tokens of all views to pose encodings; float32 even under autocast."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = 2 * config.embed_dim
        self.trunk = nn.ModuleList(
            Block(dim, config.camera_heads, config.layer_scale) for _ in range(config.camera_depth)
        )
        self.token_norm = nn.LayerNorm(dim)
        self.trunk_norm = nn.LayerNorm(dim)
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, POSE_DIM))
        self.embed_pose = nn.Linear(POSE_DIM, dim)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 3 * dim))
        self.adaln_norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.pose_branch = Mlp(dim, dim // 2, POSE_DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        """
        Return pose encodings (B, V, 9).

        Parameters
        ----------
        tokens : (B, V, dim), the camera token of each view.

        Returns
        -------
        Translation (3) and quaternion xyzw (4, not normalised) of camera from world, and the
        field of view (2: vertical, horizontal) in radians, not negative.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            raw = self._refine(self.token_norm(tokens.float()))
        return torch.cat((raw[..., :7], raw[..., 7:].relu()), dim=-1)

    def _refine(self, tokens: Tensor) -> Tensor:
        """Return the sum of the iterations' corrections, (B, V, 9)."""
        pose: Tensor | None = None
        for _ in range(NUM_ITERATIONS):
            previous = self.empty_pose_tokens if pose is None else pose.detach()
            modulation = self.poseLN_modulation(self.embed_pose(previous))
            shift, scale, gate = modulation.chunk(3, dim=-1)
            x = gate * (self.adaln_norm(tokens) * (1 + scale) + shift) + tokens
            for block in self.trunk:
                x = block(x)
            delta = self.pose_branch(self.trunk_norm(x))
            pose = delta if pose is None else pose + delta
        assert pose is not None
        return pose
