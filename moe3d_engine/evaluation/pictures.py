"""Pictures of an evaluation: reliability diagram, and which expert each pixel belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from moe3d_engine.evaluation.calibration import Reliability
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray


def draw_reliability(path: Path, diagrams: Mapping[str, Reliability]) -> None:
    """Draw how often the boundary confidence is right, as a PNG with one curve per network."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), layout='constrained')
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color='grey', linewidth=1, label='calibrated')
    for name, diagram in diagrams.items():
        used = diagram.pixels > 0
        label = f'{name}: ECE {diagram.expected_calibration_error:.3f}'
        axes.plot(diagram.confidence[used], diagram.accuracy[used], marker='o', label=label)
    axes.set(xlabel='boundary confidence', ylabel='share of pixels right', aspect='equal')
    axes.legend()
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]


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
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

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
