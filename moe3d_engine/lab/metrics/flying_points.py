"""
The share of published pixels that lie in the void between two surfaces.

A boundary pixel is one whose 5x5 ground-truth window spans more than `eta` (relatively) and falls
into exactly two clusters of depth. The empty interval runs from the near cluster's largest depth
to the far cluster's smallest. Its middle part, without the share `beta` at each end, is the void:
a depth there lies on neither surface. Ground truth scores 0 by construction with `levels='gt'`;
with `levels='pred'` the interval runs between medians, so that on slanted surfaces even the truth
scores a little above 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import Float64Array
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

CLUSTER_RADIUS = 2  # the 5x5 window that finds the two surfaces
ETA = 0.05  # least relative step between two surfaces
BETA = 0.2  # share of the gap at each end that still counts as surface
LEVEL_RADIUS = 4  # the 9x9 window in which the prediction's own surfaces are measured


@dataclass(frozen=True, slots=True)
class FlyingPoints:
    """
    Counts over boundary pixels; a pixel is in one of them at most.

    Parameters
    ----------
    boundary : all boundary pixels.
    dropped : not published (depth not finite).
    collapsed : the prediction has no gap there to fly in; only with `levels='pred'`.
    flying : in the void.
    swapped : on the other surface.
    outside : before the near or behind the far surface by more than `beta` of the gap.
    scale : factor from depth to ground truth; NaN where no interior pixel is published.
    """

    boundary: int
    dropped: int
    collapsed: int
    flying: int
    swapped: int
    outside: int
    scale: float

    @property
    def judged(self) -> int:
        """Published boundary pixels where the prediction has a gap to fly in."""
        return self.boundary - self.dropped - self.collapsed

    @property
    def share(self) -> float | None:
        """Flying pixels over the judged ones; None without any."""
        return self.flying / self.judged if self.judged else None


class _Boundary(NamedTuple):
    """The N boundary pixels of one view and the two surfaces at each."""

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    near_min: Float64Array
    near_max: Float64Array
    far_min: Float64Array
    far_max: Float64Array


class _Flags(NamedTuple):
    """What each of N boundary pixels is, in the order of FlyingPoints' fields."""

    boundary: NDArray[np.bool_]  # all of them
    dropped: NDArray[np.bool_]
    collapsed: NDArray[np.bool_]
    flying: NDArray[np.bool_]
    swapped: NDArray[np.bool_]
    outside: NDArray[np.bool_]


class TrueBoundaries:
    """
    The boundary pixels of true depth, found once for all depth that is judged against it.

    Parameters
    ----------
    depth_gt : (V, H, W). Windows that hold a value that is not finite or not above 0 are skipped,
        so edges against an infinite sky do not count.
    eta : least relative step between two surfaces.

    Raises
    ------
    ShapeError
        If the shape is not (V, H, W).
    """

    def __init__(self, depth_gt: Float32Array, eta: float = ETA) -> None:
        if depth_gt.ndim != 3:
            raise ShapeError(f'True depth has shape (V, H, W); got {depth_gt.shape}.')
        self.depth_gt = depth_gt
        self._eta = eta
        self._spans = [_relative_span(view) for view in depth_gt]
        self._views = [
            _find_boundary(view, span, eta)
            for view, span in zip(depth_gt, self._spans, strict=True)
        ]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Return which pixels (V, H, W) are boundary pixels."""
        return self._marked([np.ones(len(view.row), np.bool_) for view in self._views])

    def scale(self, depth: Float32Array) -> float:
        """Return the median of depth_gt / depth over interior pixels; NaN without any."""
        self._check(depth)
        interior = (np.stack(self._spans) <= self._eta) & np.isfinite(depth) & (depth > 0)
        if not interior.any():
            return float('nan')
        return float(np.median(self.depth_gt[interior].astype(np.float64) / depth[interior]))

    def count(
        self, depth: Float32Array, *, levels: str = 'gt', beta: float = BETA
    ) -> FlyingPoints:
        """Count what became of the boundary pixels; see `flying_points`."""
        scale = self.scale(depth)
        flags = self._classify(depth, scale, levels, beta)
        counts = np.sum([[np.count_nonzero(flag) for flag in view] for view in flags], axis=0)
        boundary, dropped, collapsed, flying, swapped, outside = counts.tolist()
        return FlyingPoints(boundary, dropped, collapsed, flying, swapped, outside, scale)

    def flying(
        self, depth: Float32Array, *, levels: str = 'gt', beta: float = BETA
    ) -> NDArray[np.bool_]:
        """Return which pixels (V, H, W) `count` counts as flying."""
        flags = self._classify(depth, self.scale(depth), levels, beta)
        return self._marked([view.flying for view in flags])

    def _check(self, depth: Float32Array) -> None:
        """Raise ShapeError unless the depth is of the truth's shape."""
        if depth.shape != self.depth_gt.shape:
            raise ShapeError(
                f'Depth and ground truth must both be (V, H, W); got {depth.shape} and '
                f'{self.depth_gt.shape}.'
            )

    def _classify(
        self, depth: Float32Array, scale: float, levels: str, beta: float
    ) -> list[_Flags]:
        """Return what each view's boundary pixels are."""
        if levels not in ('gt', 'pred'):
            raise ConfigError(f"levels is 'gt' or 'pred'; got {levels!r}.")
        found = []
        for view, view_gt, boundary in zip(depth, self.depth_gt, self._views, strict=True):
            value = view[boundary.row, boundary.column].astype(np.float64)
            if levels == 'gt':
                near, far = boundary[2:4], boundary[4:6]
                flags = _classify(scale * value, view_gt, boundary, near, far, beta, eta=None)
            else:
                near_level, far_level = _predicted_levels(view, view_gt, boundary)
                near, far = (near_level, near_level), (far_level, far_level)
                flags = _classify(value, view_gt, boundary, near, far, beta, eta=self._eta)
            found.append(flags)
        return found

    def _marked(self, flags: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return a mask (V, H, W) from a flag per boundary pixel of each view."""
        mask = np.zeros(self.depth_gt.shape, np.bool_)
        for view, boundary, flag in zip(mask, self._views, flags, strict=True):
            view[boundary.row, boundary.column] = flag
        return mask


def flying_points(
    depth: Float32Array,
    depth_gt: Float32Array,
    *,
    levels: str = 'gt',
    eta: float = ETA,
    beta: float = BETA,
) -> FlyingPoints:
    """
    Count flying points against exact ground truth.

    Parameters
    ----------
    depth : (V, H, W) published depth in any scale; NaN or Inf = not published.
    depth_gt, eta : as for `TrueBoundaries`, which serves where several maps have one truth.
    levels : where the void lies: `gt` = between the ground truth's surfaces, after scaling the
        depth; `pred` = between the prediction's own medians of the two sides in a 9x9 window.
    beta : share of the gap at each end that still counts as surface.

    Returns
    -------
    FlyingPoints

    Raises
    ------
    ShapeError
        If the shapes differ or are not (V, H, W).
    ConfigError
        If `levels` is unknown.

    Notes
    -----
    One scale for all views: the median of depth_gt / depth over interior pixels, whose 5x5 window
    spans at most `eta`.
    """
    return TrueBoundaries(depth_gt, eta).count(depth, levels=levels, beta=beta)


def flying_point_rate(
    pred: Float32Array,
    gt: Float32Array,
    levels: str = 'gt',
    *,
    eta: float = ETA,
    beta: float = BETA,
) -> float:
    """
    Return the flying share of judged boundary pixels; NaN where there are none.

    Parameters
    ----------
    pred, gt : (H, W) of one view, or (V, H, W).
    levels, eta, beta : as for `flying_points`, which also tells what else became of the pixels.

    Raises
    ------
    ShapeError, ConfigError
        As `flying_points`.
    """
    if pred.ndim == 2 and gt.ndim == 2:
        pred, gt = pred[None], gt[None]
    share = flying_points(pred, gt, levels=levels, eta=eta, beta=beta).share
    return float('nan') if share is None else share


def _valid(depth_gt: Float32Array) -> NDArray[np.bool_]:
    """Return where ground truth is known."""
    return np.isfinite(depth_gt) & (depth_gt > 0)


def _relative_span(depth_gt: Float32Array) -> Float64Array:
    """Return (max - min) / min of each 5x5 window, NaN where it is cut off or not all valid."""
    side = 2 * CLUSTER_RADIUS + 1
    span = np.full(depth_gt.shape, np.nan)
    if min(depth_gt.shape) < side:
        return span
    known = np.where(_valid(depth_gt), depth_gt.astype(np.float64), np.nan)
    extremes = []
    for extreme in (np.max, np.min):  # NaN spreads through both
        rows = extreme(sliding_window_view(known, side, axis=0), axis=-1)
        extremes.append(extreme(sliding_window_view(rows, side, axis=1), axis=-1))
    inner = slice(CLUSTER_RADIUS, -CLUSTER_RADIUS)
    span[inner, inner] = extremes[0] / extremes[1] - 1.0
    return span


def _find_boundary(depth_gt: Float32Array, span: Float64Array, eta: float) -> _Boundary:
    """Return the pixels whose window falls into exactly two clusters."""
    row, column = np.nonzero(span > eta)
    values = _windows(depth_gt, row, column, CLUSTER_RADIUS)
    values.sort(axis=1)
    splits = values[:, 1:] / values[:, :-1] - 1.0 > eta
    two = np.count_nonzero(splits, axis=1) == 1
    row, column, values, splits = row[two], column[two], values[two], splits[two]
    last_near = np.argmax(splits, axis=1)
    pixel = np.arange(len(row))
    return _Boundary(
        row,
        column,
        near_min=values[:, 0],
        near_max=values[pixel, last_near],
        far_min=values[pixel, last_near + 1],
        far_max=values[:, -1],
    )


def _windows(
    values: Float32Array, row: NDArray[np.intp], column: NDArray[np.intp], radius: int
) -> Float64Array:
    """Return the (N, (2 radius + 1)^2) windows around N pixels; NaN outside the image."""
    padded = np.pad(values.astype(np.float64), radius, constant_values=np.nan)
    step = np.arange(2 * radius + 1)
    windows: Float64Array = padded[
        row[:, None, None] + step[:, None], column[:, None, None] + step
    ]
    return windows.reshape(len(row), step.size**2)


def _predicted_levels(
    depth: Float32Array, depth_gt: Float32Array, boundary: _Boundary
) -> tuple[Float64Array, Float64Array]:
    """Return the prediction's medians of the near and the far side; NaN for an empty side."""
    around = _windows(depth, boundary.row, boundary.column, LEVEL_RADIUS)
    around_gt = _windows(depth_gt, boundary.row, boundary.column, LEVEL_RADIUS)
    middle = (boundary.near_max + boundary.far_min)[:, None] / 2
    published = np.isfinite(around) & np.isfinite(around_gt) & (around_gt > 0)
    return (
        _row_median(around, published & (around_gt < middle)),
        _row_median(around, published & (around_gt >= middle)),
    )


def _row_median(values: Float64Array, mask: NDArray[np.bool_]) -> Float64Array:
    """Return the median of each row's masked values; NaN for a row without any."""
    ordered = np.sort(np.where(mask, values, np.inf), axis=1)
    count = np.count_nonzero(mask, axis=1)
    pixel = np.arange(len(values))
    low, high = ordered[pixel, np.maximum(count - 1, 0) // 2], ordered[pixel, count // 2]
    return np.where(count > 0, (low + high) / 2, np.nan)


def _classify(
    value: Float64Array,
    depth_gt: Float32Array,
    boundary: _Boundary,
    near: tuple[Float64Array, Float64Array],
    far: tuple[Float64Array, Float64Array],
    beta: float,
    eta: float | None,
) -> _Flags:
    """
    Say what each pixel is.

    `near` and `far` are (smallest, largest) depth of the two surfaces; with `eta`, pixels whose
    gap is below it are collapsed.
    """
    dropped = ~np.isfinite(value)
    gap = far[0] - near[1]
    has_gap = eta is None or gap > eta * near[1]  # False for NaN: a side is not published at all
    collapsed = ~dropped & np.logical_not(has_gap)
    judged = ~dropped & ~collapsed
    margin = beta * gap
    flying = judged & (value > near[1] + margin) & (value < far[0] - margin)
    outside = judged & ((value < near[0] - margin) | (value > far[1] + margin))
    on_near = value <= near[1] + margin
    truly_near = depth_gt[boundary.row, boundary.column] <= boundary.near_max
    swapped = judged & ~flying & ~outside & (on_near != truly_near)
    return _Flags(np.ones_like(dropped), dropped, collapsed, flying, swapped, outside)
