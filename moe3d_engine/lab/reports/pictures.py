"""A picture of a mixture: which expert each pixel belongs to."""

from __future__ import annotations

from pathlib import Path

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray


def draw_experts(
    path: Path,
    rgb: UInt8Array,
    depth: Float32Array,
    gate_weights: Float32Array,
    confidence: Float32Array,
) -> None:
    """
    Draw one row per view: colour, published depth, dominant expert, boundary confidence.

    Parameters
    ----------
    path : of the PNG.
    rgb : (V, H, W, 3).
    depth, confidence : (V, H, W).
    gate_weights : (V, E, H, W).
    """
    num_views, num_experts = gate_weights.shape[:2]
    palette = colormaps['tab10'](np.arange(num_experts))[:, :3]
    columns: list[tuple[str, NDArray[np.generic], dict[str, object]]] = [
        ('image', rgb, {}),
        ('log depth', np.log(depth), {'cmap': 'turbo_r'}),
        ('dominant expert', palette[gate_weights.argmax(axis=1)], {}),
        ('boundary confidence', confidence, {'cmap': 'gray', 'vmin': 0, 'vmax': 1}),
    ]
    figure = Figure(figsize=(3.2 * len(columns), 2.5 * num_views), layout='constrained')
    grid = figure.subplots(num_views, len(columns), squeeze=False)
    for row in range(num_views):
        for axes, (title, images, style) in zip(grid[row], columns, strict=True):
            axes.imshow(images[row], interpolation='nearest', **style)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title)
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
