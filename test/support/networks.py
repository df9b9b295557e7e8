"""Configurations of networks that are small enough for tests."""

from __future__ import annotations

from dataclasses import replace

from moe3d_engine.model import preset

# The structure of moe3d-small (mobile stem, image branch, log depth) at a size for tests.
MOBILE_TINY = replace(
    preset('moe3d-small'),
    image_size=64,
    embed_dim=32,
    vit_depth=1,
    vit_heads=2,
    depth=2,
    heads=2,
    taps=(0, 0, 1, 1),
    dpt_features=16,
    dpt_channels=(16, 16, 32, 32),
    camera_heads=2,
    expert_hidden=8,
    gate_hidden=8,
)
