"""The picture of tracked poses: both paths from above and from the side, and errors over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from moe3d_engine.lab.metrics.reconstruction import umeyama
from moe3d_engine.lab.metrics.tracking import COVERED_STDS
from moe3d_engine.lab.metrics.tracking import Track
from moe3d_engine.lab.metrics.tracking import track_errors
from moe3d_engine.lab.metrics.tracking import TrackErrors
from moe3d_engine.lab.metrics.trajectories import NEES_BAND
from moe3d_engine.lab.metrics.trajectories import truth_in_odom
from moe3d_engine.lab.reports.figures import BLUE
from moe3d_engine.lab.reports.figures import GREY
from moe3d_engine.lab.reports.figures import RED
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.typing import NDArray

MIN_POSES = 3


def draw_track(path: Path, track: Track | None) -> bool:
    """
    Draw a track beside the truth; both begin in the first camera, whose axes are drawn.

    Nothing is aligned but a track without metres, which has no errors over time either. A metric
    track shows position, turn, scale and normalised error over time, each with what was
    published of its uncertainty; lost frames are red.

    Returns
    -------
    Whether there was anything to draw: a picture needs three poses whose truth is known.
    """
    if track is None or np.count_nonzero(track.known) < MIN_POSES:
        return False
    rows = 2 if track.metric else 1
    figure: Any = Figure(figsize=(14, 4.2 * rows), layout='constrained')
    panels = figure.subplots(rows, 2 if rows == 1 else 3, squeeze=False).ravel()
    tracked, true = _positions(track)
    _draw_path(panels[0], tracked, true, track, axis=0)
    _draw_path(panels[1], tracked, true, track, axis=1)
    if track.metric:
        known = track.known
        seconds = 1e-9 * (track.stamps_ns - track.stamps_ns[0])[known]
        errors = track_errors(track)
        std_m, std_deg = _published_stds(track.covariance[known])
        _draw_error(panels[2], seconds, 'position error in m', errors.position_m, std_m)
        _draw_error(panels[3], seconds, 'turn error in degrees', errors.rotation_deg, std_deg)
        _draw_scale(panels[4], seconds, errors, track.depth_error[known])
        _draw_nees(panels[5], seconds, errors)
        for axes in panels[2:]:
            _mark_lost(axes, seconds, track.lost[known])
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
    return True


def _positions(track: Track) -> tuple[Float64Array, Float64Array]:
    """Return positions (N, 3) tracked and (N, 3) true in odom; the truth is NaN where unknown."""
    known = track.known
    tracked = track.odom_from_cam[:, :3, 3]
    true = np.full_like(tracked, np.nan)
    poses = truth_in_odom(track.odom_from_cam[known], track.world_from_cam[known])
    true[known] = poses[:, :3, 3]
    if not track.metric and np.ptp(tracked[known], axis=0).any() and np.ptp(true[known], 0).any():
        tracked = umeyama(tracked[known], true[known]).apply(tracked)
    return tracked, true


def _draw_path(
    axes: Any,  # noqa: ANN401 (matplotlib has no types)
    tracked: Float64Array,
    true: Float64Array,
    track: Track,
    *,
    axis: int,
) -> None:
    """Draw both paths; `axis` is 0 from above (x to the right), 1 from the side (y down)."""
    across, up = (0, 2) if axis == 0 else (2, 1)
    axes.plot(true[:, across], true[:, up], color=GREY, linewidth=3, alpha=0.5, label='true')
    axes.plot(tracked[:, across], tracked[:, up], color=BLUE, linewidth=1.2, label='tracked')
    lost = tracked[track.lost]
    if len(lost):
        label = f'lost, {len(lost)} of {len(tracked)}'
        axes.plot(lost[:, across], lost[:, up], '.', color=RED, label=label)
    axes.plot(*tracked[0, [across, up]], 'o', color=GREY, markersize=4)
    unit = 'm' if track.metric else 'm after one similarity'
    names = (f'x in {unit}', 'y (down)', f'z in {unit} (ahead)')
    axes.set_aspect('equal', adjustable='datalim')
    axes.set(xlabel=names[across], ylabel=names[up])
    if axis == 1:
        axes.invert_yaxis()
    axes.set_title(
        'path from above, axes of the first camera' if axis == 0 else 'path from the side',
        fontsize=9,
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _published_stds(covariance: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the standard deviations of the lengths of both errors, (M,) in m and degrees."""
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    std_m, std_rad = np.sqrt(variance[:, :3].sum(1)), np.sqrt(variance[:, 3:].sum(1))
    return std_m, np.degrees(std_rad)


def _draw_error(
    axes: Any,  # noqa: ANN401 (matplotlib has no types)
    seconds: Float64Array,
    title: str,
    values: Float64Array,
    std: Float64Array,
) -> None:
    """Draw the length of an error and the deviation that was published of it."""
    axes.plot(seconds, values, color=BLUE, linewidth=1.2, label='error')
    axes.plot(seconds, std, color=GREY, linewidth=1, linestyle='--', label='published std')
    shown = max(values.max(), min(std.max(), 2 * values.max()))  # a lost pose's std hides all else
    axes.set_ylim(0, 1.1 * float(shown) or 1.0)
    axes.set(xlabel='s')
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_scale(
    axes: Any,  # noqa: ANN401 (matplotlib has no types)
    seconds: Float64Array,
    errors: TrackErrors,
    depth_error: Float64Array,
) -> None:
    """Draw the scale of the last metre of way and of depth, and what was published of it."""
    std = COVERED_STDS * np.where(np.isfinite(errors.scale_std), errors.scale_std, np.nan)
    axes.fill_between(seconds, np.exp(-std), np.exp(std), color=GREY, alpha=0.25, linewidth=0)
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    axes.plot(seconds, np.exp(errors.scale_error), color=BLUE, linewidth=1.2)
    axes.set(xlabel='s')
    axes.set_title(
        'tracked over true length of the last metre; band: 2 published stds', fontsize=9
    )
    axes.grid(alpha=0.3)


def _draw_nees(axes: Any, seconds: Float64Array, errors: TrackErrors) -> None:  # noqa: ANN401
    """Draw the normalised error squared and its 95 % band."""
    axes.axhspan(*NEES_BAND, color=GREY, alpha=0.25, linewidth=0)
    axes.semilogy(seconds[1:], np.maximum(errors.nees[1:], 1e-3), color=BLUE, linewidth=1.2)
    axes.set(xlabel='s')
    axes.set_title('normalised error squared (NEES); band: 95 % of honest ones', fontsize=9)
    axes.grid(alpha=0.3)


def _mark_lost(axes: Any, seconds: Float64Array, lost: NDArray[np.bool_]) -> None:  # noqa: ANN401
    """Mark the frames that were called lost at the foot of a panel."""
    at = seconds[lost]
    transform = axes.get_xaxis_transform()
    axes.plot(at, np.full(len(at), 0.01), '|', color=RED, markersize=8, transform=transform)
