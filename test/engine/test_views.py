"""The sliding window of keyframes and the newest view."""

from __future__ import annotations

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.types import View
from moe3d_engine.views import ViewWindow
import numpy as np
import pytest


def view_at(time_s: float) -> View:
    """Return a view of that time."""
    return View(np.zeros((2, 2, 3), np.uint8), stamp_ns=round(time_s * 1e9))


def times_s(window: tuple[View, ...]) -> list[float]:
    """Return the views' times."""
    return [view.stamp_ns / 1e9 for view in window]


def test_window_holds_the_last_keyframes_and_the_newest_view() -> None:
    """At 10 Hz with keyframes each 0.3 s, views between keyframes appear once, as the newest."""
    window = ViewWindow(max_views=3, keyframe_interval_s=0.3)

    seen = [times_s(window.push(view_at(0.1 * k))) for k in range(8)]

    assert seen == [
        [0.0],
        [0.0, 0.1],
        [0.0, 0.2],
        [0.0, 0.3],
        [0.0, 0.3, 0.4],
        [0.0, 0.3, 0.5],
        [0.0, 0.3, 0.6],
        [0.3, 0.6, 0.7],
    ]


def test_interval_zero_keeps_the_last_views() -> None:
    """Each view is a keyframe."""
    window = ViewWindow(max_views=2, keyframe_interval_s=0.0)

    seen = [times_s(window.push(view_at(t))) for t in (0.0, 0.1, 0.2)]

    assert seen == [[0.0], [0.0, 0.1], [0.1, 0.2]]


def test_window_of_one_view_is_the_newest() -> None:
    """Monocular depth needs no keyframes."""
    window = ViewWindow(max_views=1, keyframe_interval_s=0.0)

    assert [times_s(window.push(view_at(t))) for t in (0.0, 1.0)] == [[0.0], [1.0]]


@pytest.mark.parametrize('time_s', [1.0, 0.5])
def test_stamp_that_does_not_increase_is_refused_and_changes_nothing(time_s: float) -> None:
    """The next good view finds the window as it was."""
    window = ViewWindow(max_views=3, keyframe_interval_s=0.0)
    window.push(view_at(1.0))

    with pytest.raises(InputError, match='order of their stamps'):
        window.push(view_at(time_s))

    assert times_s(window.push(view_at(2.0))) == [1.0, 2.0]


def test_cleared_window_takes_any_stamp() -> None:
    """A bag that starts again."""
    window = ViewWindow(max_views=3, keyframe_interval_s=0.0)
    window.push(view_at(9.0))

    window.clear()

    assert times_s(window.push(view_at(0.0))) == [0.0]


@pytest.mark.parametrize(('max_views', 'interval_s'), [(0, 0.1), (2, -1.0), (2, float('nan'))])
def test_impossible_window_is_refused(max_views: int, interval_s: float) -> None:
    """Both settings are checked."""
    with pytest.raises(ConfigError):
        ViewWindow(max_views, interval_s)
