"""Which recent views of a camera make a window."""

from __future__ import annotations

from collections import deque

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.types import View


class ViewWindow:
    """
    A sliding window: the last keyframes and the newest view.

    A view becomes a keyframe when `keyframe_interval_s` has passed since the last keyframe. The
    windows of consecutive views share their keyframes, whose features need not be computed again.

    Parameters
    ----------
    max_views : most views in a window, the newest included.
    keyframe_interval_s : least time between keyframes; 0 makes each view one.

    Raises
    ------
    ConfigError
        If `max_views` is below 1 or the interval is negative.
    """

    def __init__(self, max_views: int, keyframe_interval_s: float) -> None:
        if max_views < 1:
            raise ConfigError(f'A window holds at least 1 view; got max_views = {max_views}.')
        if not 0.0 <= keyframe_interval_s < float('inf'):
            raise ConfigError(
                f'keyframe_interval_s is a number of seconds from 0; got {keyframe_interval_s}.'
            )
        self._interval_ns = round(keyframe_interval_s * 1e9)
        self._keyframes: deque[View] = deque(maxlen=max_views - 1)
        self._last_keyframe_ns: int | None = None
        self._newest_ns: int | None = None

    def push(self, view: View) -> tuple[View, ...]:
        """
        Add a view and return the window that it completes, oldest first, `view` last.

        Raises
        ------
        InputError
            If the view is not newer than the one before; the window stays as it was.
        """
        if self._newest_ns is not None and view.stamp_ns <= self._newest_ns:
            raise InputError(
                f'Views must come in the order of their stamps; got {view.stamp_ns} ns after '
                f'{self._newest_ns} ns. Clear the window when time jumps back.'
            )
        self._newest_ns = view.stamp_ns
        window = (*self._keyframes, view)
        last_ns = self._last_keyframe_ns
        if last_ns is None or view.stamp_ns - last_ns >= self._interval_ns:
            self._keyframes.append(view)
            self._last_keyframe_ns = view.stamp_ns
        return window

    def clear(self) -> None:
        """Forget all views, so that any stamp may follow."""
        self._keyframes.clear()
        self._last_keyframe_ns = None
        self._newest_ns = None
