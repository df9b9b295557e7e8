"""How the unit of depth stays the same from window to window."""

from __future__ import annotations

from collections.abc import Sequence
import logging

from moe3d_engine.errors import InputError
from moe3d_engine.types import Float32Array
from moe3d_engine.types import View
import numpy as np

logger = logging.getLogger(__name__)

MIN_SHARED_PIXELS = 16  # fewer cannot outvote a moving object


class UnitTracker:
    """
    Keeps one unit over the windows of weights that choose a new one in every window.

    The newest view that two windows share ties them together by the median log ratio of its
    depths, so that depth keeps its unit from the first window on. Metric weights need no ties.

    Parameters
    ----------
    metric_weights : whether the network's unit is the metre in every window.
    """

    def __init__(self, metric_weights: bool) -> None:
        self._metric_weights = metric_weights
        self._depth_in_first_unit: dict[View, Float32Array] = {}

    def reset(self) -> None:
        """Forget the windows before."""
        self._depth_in_first_unit.clear()

    def shared_view(self, views: Sequence[View]) -> int | None:
        """Return the newest view whose depth the next window needs; None = none."""
        shared = self._newest_known(views)
        if shared is None and self._depth_in_first_unit:
            logger.info('No view is shared with the window before: relative depth starts anew.')
        return shared

    def unit(self, views: Sequence[View], decoded: Sequence[int], depth: Float32Array) -> float:
        """
        Return this window's unit in the first window's, and keep depths for the next one.

        Parameters
        ----------
        views : of the window.
        decoded : indices of the views whose depth is known, the shared one among them.
        depth : (D, H, W) of these views in the network's unit.

        Raises
        ------
        InputError
            If hardly any pixel of the shared view is valid in both windows.
        """
        if self._metric_weights:
            return 1.0
        unit = 1.0
        shared = self._newest_known(views)
        if shared is not None:
            before = self._depth_in_first_unit[views[shared]]
            unit = align_to_previous(before, depth[list(decoded).index(shared)])
        depths = {
            views[index]: values * np.float32(unit)
            for index, values in zip(decoded, depth, strict=True)
        }
        known = {v: d for v, d in self._depth_in_first_unit.items() if v in views}
        self._depth_in_first_unit = {**depths, **known}
        return unit

    def _newest_known(self, views: Sequence[View]) -> int | None:
        """Return the newest view whose depth is known in the first unit."""
        known = [i for i, view in enumerate(views) if view in self._depth_in_first_unit]
        return known[-1] if known else None


def align_to_previous(depth_previous: Float32Array, depth: Float32Array) -> float:
    """
    Return the factor that brings `depth` to the unit of `depth_previous`.

    Parameters
    ----------
    depth_previous, depth : (H, W), the same view reconstructed in two windows.

    Returns
    -------
    exp(median(log(depth_previous / depth))) over the pixels where both are finite and positive.

    Raises
    ------
    InputError
        If hardly any pixel is valid in both.
    """
    valid = np.isfinite(depth_previous) & np.isfinite(depth) & (depth_previous > 0) & (depth > 0)
    if np.count_nonzero(valid) < MIN_SHARED_PIXELS:
        raise InputError(
            f'Two windows are aligned on at least {MIN_SHARED_PIXELS} pixels of a view that they '
            f'share; only {np.count_nonzero(valid)} are valid in both. Start a new sequence.'
        )
    log_ratio = np.log(depth_previous[valid].astype(np.float64)) - np.log(depth[valid])
    return float(np.exp(np.median(log_ratio)))
