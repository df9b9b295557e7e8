"""The demo's picture: frames through the node, a cloud before and after rejection, the way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from moe3d_engine.geometry.points import unproject_depth
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
from moe3d_engine.types import UInt8Array
from moe3d_ros.tools.demo.cloud_view import render_cloud
from moe3d_ros.tools.demo.cloud_view import side_camera
from moe3d_ros.tools.demo.cloud_view import ViewCamera
from moe3d_ros.tools.demo.walk import draw_walk
import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from moe3d_ros.tools.demo.report import EvaluatedFrames
    from moe3d_ros.tools.demo.walk import Walk
    from moe3d_ros.tools.run_figures import Summary

NUM_FRAMES = 3
WIDTH_PX, DPI = 1600, 100
MARGIN_PX, GAP_PX = 36, 10
TITLE_PX, HEADING_PX, BAR_PX, FOOTER_PX = 84, 34, 66, 44
CLOUD_ASPECT = 0.62  # height over width
WALK_PX = 360  # height
CLOUD_YAW_DEG, CLOUD_PITCH_DEG = 48.0, 24.0

BACKGROUND, PANEL = '#f7f6f2', (255, 255, 255)
INK, QUIET_INK, REJECTED = '#1d1f21', '#6b6f73', '#c9c9c4'
DEPTH_PERCENTILES = (1.0, 98.0)  # of all depths shown; the rest saturates


def write_contact_sheet(
    path: Path, evaluated: EvaluatedFrames, walk: Walk | None, summary: Summary
) -> None:
    """Write the picture of a demo run as PNG, 1600 pixels wide."""
    count = min(NUM_FRAMES, len(evaluated.frames))
    picks = [(2 * i + 1) * len(evaluated.frames) // (2 * count) for i in range(count)]
    height, width = evaluated.frames[0].depth.shape
    cell_width = (WIDTH_PX - 2 * MARGIN_PX - 2 * GAP_PX) / 3
    cell_height = cell_width * height / width
    cloud_width = (WIDTH_PX - 2 * MARGIN_PX - GAP_PX) / 2
    frames_height = count * (cell_height + GAP_PX)
    cloud_top = TITLE_PX + HEADING_PX + frames_height + BAR_PX
    walk_top = cloud_top + HEADING_PX + CLOUD_ASPECT * cloud_width + FOOTER_PX
    total = walk_top + (0 if walk is None else HEADING_PX + WALK_PX + FOOTER_PX)
    with mpl.rc_context({'font.size': 10.5, 'text.color': INK, 'axes.labelcolor': INK}):
        figure = Figure((WIDTH_PX / DPI, total / DPI), dpi=DPI, facecolor=BACKGROUND)
        page = _Page(figure, total)
        _draw_title(page, summary)
        _draw_frames(page, evaluated, picks, cell_width, cell_height)
        _draw_clouds(page, cloud_top, cloud_width, evaluated, summary)
        if walk is not None:
            _draw_walk(page, walk_top, walk, summary)
        figure.savefig(path)


class _Page:
    """Places axes and text by pixels from the top left corner."""

    def __init__(self, figure: Figure, height_px: float) -> None:
        self.figure = figure
        self._height_px = height_px

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes without ticks."""
        bottom = self._height_px - top - height
        box = (
            left / WIDTH_PX, bottom / self._height_px, width / WIDTH_PX, height / self._height_px
        )  # fmt: skip
        axes = self.figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def text(self, left: float, top: float, text: str) -> None:
        """Write a note whose upper edge is at `top`."""
        self._write(left, top, text, 10.5, 'normal', QUIET_INK)

    def heading(self, left: float, top: float, text: str, size: float = 12) -> None:
        """Write a heading whose upper edge is at `top`."""
        self._write(left, top, text, size, 'bold', INK)

    def _write(
        self, left: float, top: float, text: str, size: float, weight: str, color: str
    ) -> None:
        where = left / WIDTH_PX, 1 - top / self._height_px
        self.figure.text(*where, text, va='top', fontsize=size, fontweight=weight, color=color)


def _draw_title(page: _Page, summary: Summary) -> None:
    """Write what the picture shows, and of which run."""
    page.heading(MARGIN_PX, 22, 'Depth, boundary confidence, cloud and poses', 19)
    drops = sum(summary['dropped'].values())
    latency = summary['node_latency_ms'].get('p50')
    facts = [
        f'{summary["weights"]} on {summary["backend"]}',
        f'{summary["published"]} of {summary["frames_in"]} images published, {drops} dropped',
        f'{latency:.0f} ms from image to cloud (median)' if latency is not None else '',
        f'{summary["machine"]["cores"]} CPU cores',
    ]
    page.text(MARGIN_PX, 56, '   ·   '.join(filter(None, facts)))


def _draw_frames(
    page: _Page, evaluated: EvaluatedFrames, picks: list[int], width: float, height: float
) -> None:
    """Draw input, depth and confidence of some frames, and the colour bars."""
    frames = [evaluated.frames[pick] for pick in picks]
    shown = np.concatenate([frame.depth[np.isfinite(frame.depth)] for frame in frames])
    limits = np.percentile(shown, DEPTH_PERCENTILES) if shown.size else (0.0, 1.0)
    lefts = [MARGIN_PX + column * (width + GAP_PX) for column in range(3)]
    headings = ('Input', 'Depth, published', 'Boundary confidence')
    for left, heading in zip(lefts, headings, strict=True):
        page.heading(left, TITLE_PX + 8, heading)
    for row, frame in enumerate(frames):
        top = TITLE_PX + HEADING_PX + row * (height + GAP_PX)
        image, depth, confidence = (page.axes(left, top, width, height) for left in lefts)
        image.imshow(frame.image)
        depth.set_facecolor(REJECTED)
        for axes in (depth, confidence):
            axes.patch.set_visible(True)
        depth_picture = depth.imshow(
            np.ma.masked_invalid(frame.depth), cmap='turbo_r', vmin=limits[0], vmax=limits[1],
            interpolation='nearest',
        )  # fmt: skip
        confidence_picture = confidence.imshow(
            frame.boundary_confidence, cmap='gray', vmin=0, vmax=1, interpolation='nearest'
        )
    top = TITLE_PX + HEADING_PX + len(frames) * (height + GAP_PX)
    unit = 'm' if evaluated.metric else 'relative unit'
    numbers = ', '.join(str(pick + 1) for pick in picks)
    page.text(lefts[0], top + 4, f'published frames {numbers} of {len(evaluated.frames)}')
    page.text(lefts[1] + 0.63 * width, top + 4, 'grey: rejected')
    page.text(lefts[2] + 0.63 * width, top + 4, '1 = on one surface')
    for left, picture, label in (
        (lefts[1], depth_picture, f'depth [{unit}]'),
        (lefts[2], confidence_picture, 'probability'),
    ):
        bar = page.figure.colorbar(
            picture, cax=page.axes(left, top + 6, 0.6 * width, 11), orientation='horizontal'
        )
        bar.outline.set_visible(False)
        bar.set_label(label, labelpad=1)
        bar.ax.tick_params(length=3, colors=QUIET_INK, labelsize=9.5)


def _draw_clouds(
    page: _Page, top: float, width: float, evaluated: EvaluatedFrames, summary: Summary
) -> None:
    """Draw one frame's cloud from the side, before and after rejection, with one camera."""
    index = len(evaluated.frames) // 2
    frame = evaluated.frames[index]
    height = CLOUD_ASPECT * width
    scale = 2  # sharper than the page when it is enlarged
    image_hw = (round(scale * height), round(scale * width))
    raw = evaluated.depth_raw[index]
    camera = _cloud_camera(raw, frame.intrinsics, image_hw)
    share = summary['flying_share_own_levels']
    for column, (name, depth, flying) in enumerate(
        (
            ('before rejection', raw, share['raw']),
            ('after rejection, as published', frame.depth, share['rejected']),
        )
    ):
        left = MARGIN_PX + column * (width + GAP_PX)
        picture = _cloud_picture(depth, frame.image, frame.intrinsics, camera)
        page.axes(left, top + HEADING_PX, width, height).imshow(
            picture, interpolation='antialiased'
        )
        page.heading(left, top + 8, f'Cloud from the side, {name}')
        note = f'{np.count_nonzero(np.isfinite(depth)):,} points'
        if flying is not None:
            note += f'   ·   {100 * flying:.1f} % of the boundary points lie between surfaces'
        page.text(left, top + HEADING_PX + height + 8, note)


def _draw_walk(page: _Page, top: float, walk: Walk, summary: Summary) -> None:
    """Draw the way of the camera from above, and how far it is off."""
    page.heading(MARGIN_PX, top + 8, 'Way of the camera from above, in odom (m)')
    axes = page.axes(MARGIN_PX + 40, top + HEADING_PX, WIDTH_PX - 2 * MARGIN_PX - 40, WALK_PX - 30)
    draw_walk(axes, walk)
    axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(length=3, colors=QUIET_INK, labelsize=9.5)
    poses = summary['poses']
    facts = [f'{poses["published"]} poses', f'{poses["lost"]} of them lost', f'{poses["way_m"]} m']
    if poses['error_m_max'] is not None:
        facts.append(
            f'off by {poses["error_m_median"]} m (median), {poses["error_m_max"]} m at most; '
            f'nothing is aligned but the first pose'
        )
    page.text(MARGIN_PX, top + HEADING_PX + WALK_PX + 8, '   ·   '.join(facts))


def _cloud_camera(
    depth: Float32Array, intrinsics: Float64Array, image_hw: tuple[int, int]
) -> ViewCamera:
    """Return a camera that sees the nearer part of a scene."""
    near = np.where(depth <= np.nanpercentile(depth, 92), depth, np.nan).astype(np.float32)
    points = unproject_depth(near[None], intrinsics[None])[0]
    points = points[np.isfinite(points[..., 2])]
    return side_camera(points, image_hw, CLOUD_YAW_DEG, CLOUD_PITCH_DEG)


def _cloud_picture(
    depth: Float32Array, image: UInt8Array, intrinsics: Float64Array, camera: ViewCamera
) -> UInt8Array:
    """Return the picture of one depth map's points in the image's colours."""
    points = unproject_depth(depth[None], intrinsics[None])[0]
    valid = np.isfinite(points[..., 2])
    spacing = points[..., 2][valid] / np.float32(intrinsics[0, 0])
    return render_cloud(points[valid], image[valid], spacing, camera, PANEL)
