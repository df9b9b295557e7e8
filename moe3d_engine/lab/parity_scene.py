"""The rendered window on which exported graphs are compared with torch."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.graphs.export import PARITY_VIEWS
from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
from moe3d_engine.lab.synthetic import render_set
from moe3d_engine.types import Float32Array
from moe3d_engine.types import WindowCameras
import numpy as np

# Indoors. Before a sky, one pixel that flips from an edge to the background, and there are some in
# bf16, adds as much to the mean relative error as ten thousand that are off by 0.2 %.
PARITY_SCENE = HELD_OUT_SEED_START + 1


def parity_window(max_views: int, input_hw: tuple[int, int]) -> tuple[Float32Array, WindowCameras]:
    """Return (V, 3, H, W) float32 images in [0, 1] of a held-out scene, and their cameras."""
    scene = render_set(PARITY_SCENE, min(PARITY_VIEWS, max_views), input_hw, 1, 'photo')
    trust = np.ones(len(scene.rgb))
    cameras = WindowCameras(scene.intrinsics, invert_rigid(scene.world_from_cam), trust)
    return to_network(scene.rgb), cameras
