"""The pictures of a report; those that may have nothing to draw return whether they had."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from moe3d_engine.lab.reports.shown import CloudPicture
    from moe3d_engine.lab.reports.shown import FramePicture

FRAME_FIGURES = ('abs_rel', 'abs_rel_median', 'boundary_f1', 'flying_gt', 'flying_pred')
FLYING = ('flying_gt', 'flying_pred')
PANELS = ('input', 'depth', 'relative error', 'boundary confidence')
BLUE, GREY, RED = '#2f6db5', '#52606d', '#d64545'
ERROR_LIMIT = 0.3  # relative error at the end of the colours
MAX_POINTS = 40_000
TRIMMED_PERCENT = (0.5, 99.5)  # of a cloud's coordinates: single far points do not set the frame


def draw_overview(
    path: Path,
    record: EvaluationRecord,
    pictures: Sequence[FramePicture],
    cloud: CloudPicture | None,
) -> bool:
    """Draw a report on one sheet: methods, frames, the worst frame, cloud, confidence, times."""
    panels: list[Callable[[Any], None]] = []
    if any(_flying_shares(record, name) for name in FLYING):
        panels.append(partial(_draw_methods, record))
    panels += [partial(_draw_curve, name, v) for name, v in _curves(record).items()]
    if pictures:
        panels += [partial(_draw_map, name, pictures[0]) for name in PANELS]
    if cloud is not None and len(cloud.points):
        panels.append(partial(_draw_points, cloud, 1))
    if record.reliability:
        panels.append(partial(_draw_reliability, record))
    if record.timings.get('latencies_ms'):
        panels.append(partial(_draw_latencies, record))
    if not panels:
        return False
    rows = -(-len(panels) // 3)
    figure = _figure(15, 3.6 * rows)
    grid = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        panel(axes)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    counts = record.counts()
    figure.suptitle(f'{record.kind}: {counts["published"]} of {counts["in"]} frames published')
    _write(figure, path)
    return True


def draw_frame(path: Path, picture: FramePicture) -> None:
    """Draw input, depth, relative error and boundary confidence of a frame side by side."""
    height, width = picture.depth.shape
    figure = _figure(14, 0.9 + 3.0 * height / width)
    for axes, name in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        _draw_map(name, picture, axes)
    error = '' if np.isnan(picture.abs_rel) else f'   AbsRel {picture.abs_rel:.4g}'
    figure.suptitle(f'{picture.key}{error}', fontsize=10, parse_math=False)
    _write(figure, path)


def draw_frames(path: Path, record: EvaluationRecord) -> bool:
    """Draw the main figures of the published depth frame by frame; a gap is a dropped frame."""
    curves = _curves(record)
    if not curves:
        return False
    figure = _figure(12, 1.7 * len(curves) + 0.4)
    panels = np.atleast_1d(figure.subplots(len(curves), 1, sharex=True))
    for axes, (name, values) in zip(panels, curves.items(), strict=True):
        _draw_curve(name, values, axes)
        axes.set_xlabel('')
    panels[-1].set_xlabel('frame')
    _write(figure, path)
    return True


def draw_record_reliability(path: Path, record: EvaluationRecord) -> bool:
    """Draw how often the boundary confidence is right, and how many pixels say so."""
    if not record.reliability:
        return False
    figure = _figure(9, 4.2)
    diagram, histogram = figure.subplots(1, 2)
    _draw_reliability(record, diagram)
    pixels = np.array(record.reliability['counts'], np.float64)
    histogram.bar(
        (np.arange(pixels.size) + 0.5) / pixels.size, pixels, 0.9 / pixels.size, color=BLUE
    )
    histogram.set(xlabel='boundary confidence', ylabel='pixels', xlim=(0, 1))
    _write(figure, path)
    return True


def draw_latency(path: Path, record: EvaluationRecord) -> bool:
    """Draw a histogram of the latencies in `timings['latencies_ms']`."""
    if not record.timings.get('latencies_ms'):
        return False
    figure = _figure(8, 3)
    _draw_latencies(record, figure.subplots())
    _write(figure, path)
    return True


def draw_cloud(path: Path, cloud: CloudPicture | None) -> bool:
    """Draw a cloud from the side (z to the right, y down) and from above."""
    if cloud is None or not len(cloud.points):
        return False
    figure = _figure(14, 5)
    for axis, axes in zip((1, 0), figure.subplots(1, 2), strict=True):
        _draw_points(cloud, axis, axes)
    _write(figure, path)
    return True


def _draw_methods(record: EvaluationRecord, axes: Any) -> None:  # noqa: ANN401
    """Draw the flying shares of each method, the published depth at the top."""
    methods = record.methods
    for offset, (name, color) in enumerate(zip(FLYING, (RED, BLUE), strict=True)):
        shares = _flying_shares(record, name)
        if shares:
            rows = [methods.index(method) + 0.4 * offset for method in shares]
            axes.barh(rows, list(shares.values()), 0.38, color=color, label=name)
    axes.set_yticks(np.arange(len(methods)) + 0.2, methods, fontsize=8)
    axes.invert_yaxis()
    axes.set_title('share of judged boundary pixels that fly', fontsize=9)
    axes.legend(fontsize=8)


def _draw_curve(name: str, values: list[float], axes: Any) -> None:  # noqa: ANN401
    """Draw one figure over the frames."""
    axes.plot(values, marker='.', markersize=4, linewidth=1, color=BLUE)
    mean = float(np.nanmean(values))
    axes.axhline(mean, color=GREY, linewidth=0.8, linestyle='--')
    axes.set_title(f'{name}, mean over frames {mean:.3g}', fontsize=9, loc='left')
    axes.set_xlabel('frame')
    axes.set_ylim(0, 1.08 * float(np.nanmax(values)) or 1.0)
    axes.grid(alpha=0.3)


def _draw_map(name: str, picture: FramePicture, axes: Any) -> None:  # noqa: ANN401
    """Draw one panel of a frame; the colour bar does not change the picture's size."""
    axes.set_title(name, fontsize=9)
    axes.set_axis_off()
    shown = np.where(np.isfinite(picture.depth), picture.depth, np.nan)
    image = None
    if name == 'input':
        axes.imshow(picture.rgb)
    elif name == 'depth':
        low, high = _limits(shown)
        image = axes.imshow(shown, cmap='turbo', vmin=low, vmax=high)
    elif name == 'boundary confidence':
        image = axes.imshow(picture.boundary_confidence, cmap='gray', vmin=0, vmax=1)
    elif picture.depth_gt is None:
        axes.text(0.5, 0.5, 'no ground truth', ha='center', transform=axes.transAxes, color=GREY)
    else:
        truth = np.where(picture.depth_gt > 0, picture.depth_gt, np.nan)
        error = np.where(np.isfinite(truth), shown - truth, np.nan) / truth
        image = axes.imshow(error, cmap='RdBu', vmin=-ERROR_LIMIT, vmax=ERROR_LIMIT)
        axes.set_title('relative error (blue = too far)', fontsize=9)
    if image is not None:
        axes.figure.colorbar(image, ax=axes, shrink=0.75, aspect=16, pad=0.02)


def _draw_points(cloud: CloudPicture, axis: int, axes: Any) -> None:  # noqa: ANN401
    """Draw a cloud over depth; `axis` is 1 from the side, 0 from above."""
    flying = np.asarray(cloud.flying, bool)
    solid = cloud.points[~flying]
    solid = solid[:: max(1, len(solid) // MAX_POINTS)]
    style = {'linewidths': 0, 'rasterized': True}
    axes.scatter(solid[:, 2], solid[:, axis], s=1.5, color=GREY, alpha=0.6, **style)
    red = cloud.points[flying]
    label = f'{len(red)} of {len(flying)} points fly'
    axes.scatter(red[:, 2], red[:, axis], s=5, color=RED, label=label, **style)
    names = {1: ('from the side', 'y in m (down)'), 0: ('from above', 'x in m')}
    title, name = names[axis]
    axes.autoscale_view()  # now, so that it does not undo the limits when it draws
    axes.set_xlim(_frame(cloud.points[:, 2]), auto=True)
    axes.set_ylim(_frame(cloud.points[:, axis])[::-1], auto=True)
    axes.set_aspect('equal', adjustable='datalim')
    axes.set(xlabel='depth z in m', ylabel=name)
    axes.set_title(title, fontsize=9)
    axes.legend(loc='upper left', fontsize=8)


def _draw_reliability(record: EvaluationRecord, axes: Any) -> None:  # noqa: ANN401
    """Draw the reliability diagram with its expected calibration error."""
    pixels, confidence, correct = (
        np.array([np.nan if v is None else v for v in record.reliability[name]], np.float64)
        for name in ('counts', 'confidence', 'correct')
    )
    used = pixels > 0
    gap = np.abs(confidence[used] - correct[used])
    ece = float(np.average(gap, weights=pixels[used])) if used.any() else np.nan
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle='--', label='calibrated')
    axes.plot(confidence[used], correct[used], marker='o', color=BLUE, label='measured')
    axes.set(xlabel='boundary confidence', ylabel='share of pixels right')
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect='equal')
    axes.set_title(f'reliability, ECE {ece:.3f}', fontsize=9)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def _draw_latencies(record: EvaluationRecord, axes: Any) -> None:  # noqa: ANN401
    """Draw the histogram of latencies with its percentiles."""
    latencies_ms = np.array(record.timings['latencies_ms'], np.float64)
    axes.hist(latencies_ms, bins=40, color=BLUE)
    for percent, dashes in ((50, '-'), (95, '--'), (99, ':')):
        value = float(np.percentile(latencies_ms, percent))
        label = f'p{percent} {value:.0f} ms'
        axes.axvline(value, color='black', linewidth=1.2, linestyle=dashes, label=label)
    axes.set(xlabel='latency in ms', ylabel='frames')
    axes.legend(fontsize=8)


def _curves(record: EvaluationRecord) -> dict[str, list[float]]:
    """Return the main figures of the published depth by name, NaN where a frame has none."""
    figures = [frame.methods.get(PUBLISHED, Figures()) for frame in record.frames]
    curves = {name: [_value(item, name) for item in figures] for name in FRAME_FIGURES}
    return {name: values for name, values in curves.items() if np.isfinite(values).any()}


def _value(figures: Figures, name: str) -> float:
    """Return a figure of one frame."""
    if name in figures.shares:
        numerator, denominator = figures.shares[name]
        return numerator / denominator if denominator else np.nan
    return figures.means.get(name, np.nan)


def _flying_shares(record: EvaluationRecord, name: str) -> dict[str, float]:
    """Return a flying share by method, where it is known."""
    found = {method: figures.get(name, np.nan) for method, figures in record.summary().items()}
    return {method: share for method, share in found.items() if np.isfinite(share)}


def _limits(depth: Float32Array) -> tuple[float, float]:
    """Return the range of colours of a depth map."""
    known = depth[np.isfinite(depth)]
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    return float(low), float(high)


def _frame(values: NDArray[Any]) -> tuple[float, float]:
    """Return the range of an axis that shows nearly all points."""
    limits: Float64Array = np.percentile(values.astype(np.float64), TRIMMED_PERCENT)
    margin = 0.05 * float(limits[1] - limits[0]) + 0.01
    return float(limits[0]) - margin, float(limits[1]) + margin


def _figure(width: float, height: float) -> Any:  # noqa: ANN401 (matplotlib has no types)
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout='constrained')


def _write(figure: Any, path: Path) -> None:  # noqa: ANN401 (matplotlib has no types)
    """Write a figure as PNG, without a window system."""
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
