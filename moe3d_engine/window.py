"""Which recent views make a window, of one camera or of a rig."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from moe3d_engine.backend import NetworkSpec
from moe3d_engine.errors import ConfigError
from moe3d_engine.types import View

MAX_VIEWS = 4  # in a window, the newest included, unless somebody chooses otherwise
KEYFRAME_INTERVAL_S = 0.3  # between the earlier views of a window, at least


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """
    How a window is made.

    Parameters
    ----------
    max_views : most views in a window, the newest included.
    keyframe_interval_s : least time between keyframes where no poses are known; 0 makes every
        view one.

    Raises
    ------
    ConfigError
        If `max_views` is below 1 or the interval is negative.
    """

    max_views: int = MAX_VIEWS
    keyframe_interval_s: float = KEYFRAME_INTERVAL_S

    def __post_init__(self) -> None:
        """Check the values once."""
        if self.max_views < 1:
            raise ConfigError(f'A window holds at least 1 view; got max_views = {self.max_views}.')
        if not 0.0 <= self.keyframe_interval_s < float('inf'):
            raise ConfigError(
                f'keyframe_interval_s is a number of seconds from 0; got '
                f'{self.keyframe_interval_s}.'
            )


def check_fits(config: WindowConfig, spec: NetworkSpec) -> None:
    """
    Check that the network takes windows of this size.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if config.max_views > spec.max_views:
        raise ConfigError(
            f'window.max_views is {config.max_views}, but {spec.name} takes at most '
            f'{spec.max_views} views.'
        )


class Window(NamedTuple):
    """Views to reconstruct together, oldest first, and the indices of the newest ones."""

    views: tuple[View, ...]
    newest: tuple[int, ...]


def nobody_knows(before: View, now: View) -> bool | None:
    """Say nothing of whether a camera has moved, so that time decides."""
    del before, now
    return None


class KeyframeWindow:
    """
    A sliding window: the last keyframes and the newest views.

    The views of one moment, one per camera, become a keyframe when the camera has moved since the
    last one, or, where nobody knows, when the interval has passed. Consecutive windows share their
    keyframes, whose features need not be computed again. The caller sees to it that moments come
    in the order of their stamps.

    Parameters
    ----------
    config : size and interval.
    has_moved : whether a camera stood elsewhere in a later view; None = it is not known.
    """

    def __init__(
        self,
        config: WindowConfig,
        has_moved: Callable[[View, View], bool | None] = nobody_knows,
    ) -> None:
        self._has_moved = has_moved
        self._max_views = config.max_views
        self._interval_ns = round(config.keyframe_interval_s * 1e9)
        self._keyframes: list[tuple[View, ...]] = []

    def push(self, views: Sequence[View]) -> Window:
        """
        Add the views of a moment and return the window that they complete.

        Raises
        ------
        ConfigError
            If the window has no room for a view of each camera.
        """
        if not 1 <= len(views) <= self._max_views:
            raise ConfigError(
                f'A window of {self._max_views} views cannot hold {len(views)} at once. Set '
                f'window.max_views to the number of cameras at least.'
            )
        newest = tuple(views)
        self._make_room(len(newest))
        earlier = tuple(view for keyframe in self._keyframes for view in keyframe)
        if not self._keyframes or self._is_due(newest):
            self._keyframes.append(newest)
            self._make_room(len(newest))
        return Window((*earlier, *newest), tuple(range(len(earlier), len(earlier) + len(newest))))

    def clear(self) -> None:
        """Forget all views, so that any stamp may follow."""
        self._keyframes = []

    def _make_room(self, count: int) -> None:
        """Forget the oldest keyframes that leave no room for so many views."""
        while self._keyframes and sum(map(len, self._keyframes)) + count > self._max_views:
            del self._keyframes[0]

    def _is_due(self, newest: tuple[View, ...]) -> bool:
        """Return whether the views are to become a keyframe."""
        moved = self._has_moved(self._keyframes[-1][0], newest[0])
        if moved is not None:
            return moved
        return newest[0].stamp_ns - self._keyframes[-1][0].stamp_ns >= self._interval_ns
