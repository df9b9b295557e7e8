"""Transformer layers: attention with optional query/key norm and 2-D rotary positions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

ROPE_BASE = 100.0


class RopeTables(NamedTuple):
    """Cosines and sines of the rotary angles, (N, head_dim) float32 each."""

    cos: Tensor
    sin: Tensor


def rope_tables(
    grid_hw: tuple[int, int], num_special: int, head_dim: int, device: torch.device
) -> RopeTables:
    """
    Return the rotary tables of one view's tokens: special tokens first, then its patches.

    Parameters
    ----------
    grid_hw : rows and columns of patches; both count from 1.
    num_special : tokens before the patches; their position is (0, 0).
    head_dim : the first half of a head turns with the row, the second half with the column.
    device : where the tables are needed.

    Notes
    -----
    The tables depend on sizes alone and stay float32 under autocast.
    """
    rows, columns = grid_hw
    y = torch.arange(1, rows + 1, dtype=torch.float32, device=device)
    x = torch.arange(1, columns + 1, dtype=torch.float32, device=device)
    position = torch.stack(torch.meshgrid(y, x, indexing='ij'), dim=-1).flatten(0, 1)
    position = torch.cat((position.new_zeros(num_special, 2), position))  # (N, 2)
    exponent = torch.arange(0, head_dim // 2, 2, dtype=torch.float32, device=device)
    frequency = ROPE_BASE ** (-exponent / (head_dim // 2))
    angle = position[:, :, None, None] * frequency  # (N, 2, 1, head_dim / 4)
    angle = angle.expand(-1, -1, 2, -1).flatten(1)  # (N, head_dim)
    return RopeTables(angle.cos(), angle.sin())


def apply_rope(x: Tensor, tables: RopeTables) -> Tensor:
    """Rotate queries or keys (B, heads, N, head_dim) by the angles of their positions."""
    y0, y1, x0, x1 = x.chunk(4, dim=-1)
    turned = torch.cat((-y1, y0, -x1, x0), dim=-1)
    return x * tables.cos + turned * tables.sin


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.q_norm = nn.LayerNorm(dim // heads) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(dim // heads) if qk_norm else nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, rope: RopeTables | None) -> Tensor:
        """Attend among the N tokens of x, (B, N, dim)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, N, 3, heads, head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, head_dim)
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        x = scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        out: Tensor = self.proj(x.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., dim) to (..., out)."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, dim: int, value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), value))

    def forward(self, x: Tensor) -> Tensor:
        """Scale (..., dim)."""
        return x * self.gamma


class Block(nn.Module):
    """
    A pre-norm transformer block.

    Parameters
    ----------
    dim, heads : width and attention heads.
    layer_scale : initial value of both layer scales.
    qk_norm : whether queries and keys are normalised.
    eps : of the layer norms; DINOv2 has 1e-6 where the rest of VGGT has 1e-5.
    """

    def __init__(
        self, dim: int, heads: int, layer_scale: float, *, qk_norm: bool = False, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads, qk_norm)
        self.ls1 = LayerScale(dim, layer_scale)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, 4 * dim, dim)
        self.ls2 = LayerScale(dim, layer_scale)

    def forward(self, x: Tensor, rope: RopeTables | None = None) -> Tensor:
        """Return tokens (B, N, dim) after attention and MLP."""
        x = x + self.ls1(self.attn(self.norm1(x), rope))
        x = x + self.ls2(self.mlp(self.norm2(x)))
        return x
