"""The pictures of a report; each function returns whether there was anything to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moe3d_engine.evaluation.record import EvaluationRecord
from moe3d_engine.evaluation.record import PUBLISHED
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
import numpy as np
from numpy.typing import NDArray

FRAME_FIGURES = ('abs_rel', 'abs_rel_median', 'boundary_f1', 'flying_pred')
ERROR_LIMIT = 0.3  # relative error at the end of the colours
MAX_POINTS = 40_000


def draw_frame(
    path: Path,
    title: str,
    rgb: UInt8Array,
    depth: Float32Array,
    depth_gt: Float32Array | None,
    boundary_confidence: Float32Array,
) -> None:
    """Draw input, depth, relative error and boundary confidence of a frame side by side."""
    figure = _figure(13, 3.2)
    panels = figure.subplots(1, 4)
    panels[0].imshow(rgb)
    shown = np.where(np.isfinite(depth), depth, np.nan)
    known = shown[np.isfinite(shown)]
    limits = np.percentile(known, [2, 98]) if known.size else (0, 1)
    figure.colorbar(
        panels[1].imshow(shown, cmap='turbo', vmin=limits[0], vmax=limits[1]), ax=panels[1]
    )
    if depth_gt is not None:
        error = (shown - depth_gt) / depth_gt
        colors = {'cmap': 'RdBu', 'vmin': -ERROR_LIMIT, 'vmax': ERROR_LIMIT}
        figure.colorbar(panels[2].imshow(error, **colors), ax=panels[2])
    figure.colorbar(
        panels[3].imshow(boundary_confidence, cmap='gray', vmin=0, vmax=1), ax=panels[3]
    )
    names = ('input', 'depth', 'relative error', 'boundary confidence')
    for panel, name in zip(panels, names, strict=True):
        panel.set_title(name, fontsize=9)
        panel.set_axis_off()
    figure.suptitle(title, fontsize=10)
    _write(figure, path)


def draw_frames(path: Path, record: EvaluationRecord) -> bool:
    """Draw the main figures frame by frame."""
    curves: dict[str, list[float]] = {name: [] for name in FRAME_FIGURES}
    for frame in record.frames:
        figures = frame.methods.get(PUBLISHED)
        for name, values in curves.items():
            share = figures.shares.get(name) if figures else None
            mean = figures.means.get(name, np.nan) if figures else np.nan
            values.append(share[0] / share[1] if share and share[1] else mean)
    curves = {name: values for name, values in curves.items() if np.isfinite(values).any()}
    if not curves:
        return False
    figure = _figure(11, 1.9 * len(curves))
    panels = np.atleast_1d(figure.subplots(len(curves), 1, sharex=True))
    for panel, (name, values) in zip(panels, curves.items(), strict=True):
        panel.plot(values, marker='.', linewidth=1)
        panel.set_ylabel(name, fontsize=9)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel('frame')
    _write(figure, path)
    return True


def draw_record_reliability(path: Path, record: EvaluationRecord) -> bool:
    """Draw how often the boundary confidence is right."""
    if not record.reliability:
        return False
    pixels = np.array(record.reliability['counts'], np.float64)
    confidence, correct = (
        np.array([np.nan if v is None else v for v in record.reliability[name]], np.float64)
        for name in ('confidence', 'correct')
    )
    used = pixels > 0
    figure = _figure(4.5, 4.2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color='grey', linewidth=1, label='calibrated')
    axes.plot(confidence[used], correct[used], marker='o', label='measured')
    axes.set(xlabel='boundary confidence', ylabel='share of pixels right', aspect='equal')
    axes.legend()
    _write(figure, path)
    return True


def draw_latency(path: Path, record: EvaluationRecord) -> bool:
    """Draw a histogram of the latencies in `timings['latencies_ms']`."""
    latencies_ms = np.array(record.timings.get('latencies_ms', []), np.float64)
    if not latencies_ms.size:
        return False
    figure = _figure(7, 2.6)
    axes = figure.subplots()
    axes.hist(latencies_ms, bins=40)
    for percent in (50, 95, 99):
        value = float(np.percentile(latencies_ms, percent))
        axes.axvline(value, color='black', linewidth=1, linestyle='--')
        axes.text(value, axes.get_ylim()[1], f' p{percent} {value:.0f} ms', fontsize=8, va='top')
    axes.set(xlabel='latency in ms', ylabel='frames')
    _write(figure, path)
    return True


def draw_cloud(path: Path, points: Float32Array, flying: NDArray[Any]) -> bool:
    """Draw a cloud from the side (z to the right, y down) and from above."""
    if not len(points):
        return False
    step = max(1, len(points) // MAX_POINTS)
    figure = _figure(12, 4.5)
    side, above = figure.subplots(1, 2)
    views = ((side, 1, 'height y in m'), (above, 0, 'x in m'))
    for panel, axis, name in views:
        solid = points[~flying][::step]
        panel.scatter(solid[:, 2], solid[:, axis], s=0.4, color='#345', linewidths=0)
        panel.scatter(
            points[flying, 2], points[flying, axis], s=3, color='red', linewidths=0,
            label=f'{int(flying.sum())} flying',
        )  # fmt: skip
        panel.set(xlabel='depth z in m', ylabel=name, aspect='equal')
        panel.legend(loc='upper right', fontsize=8)
    side.invert_yaxis()
    _write(figure, path)
    return True


def _figure(width: float, height: float) -> Any:  # noqa: ANN401 (matplotlib has no types)
    """Return an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout='constrained')


def _write(figure: Any, path: Path) -> None:  # noqa: ANN401 (matplotlib has no types)
    """Write a figure as PNG, without a window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
