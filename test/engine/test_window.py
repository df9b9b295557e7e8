"""The sliding window of keyframes and the newest view."""

from __future__ import annotations

from moe3d_engine.errors import ConfigError
from moe3d_engine.types import View
from moe3d_engine.window import KeyframeWindow
from moe3d_engine.window import Window
from moe3d_engine.window import WindowConfig
import numpy as np
import pytest


def view_at(time_s: float) -> View:
    """Return a view of that time."""
    return View(np.zeros((2, 2, 3), np.uint8), stamp_ns=round(time_s * 1e9))


def times_s(window: Window) -> list[float]:
    """Return the views' times."""
    return [view.stamp_ns / 1e9 for view in window.views]


def test_window_holds_the_last_keyframes_and_the_newest_view() -> None:
    """At 10 Hz with keyframes each 0.3 s, views between keyframes appear once, as the newest."""
    window = KeyframeWindow(WindowConfig(3, 0.3))

    seen = [times_s(window.push([view_at(0.1 * k)])) for k in range(8)]

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
    window = KeyframeWindow(WindowConfig(2, 0.0))

    seen = [times_s(window.push([view_at(t)])) for t in (0.0, 0.1, 0.2)]

    assert seen == [[0.0], [0.0, 0.1], [0.1, 0.2]]


def test_window_of_one_view_is_the_newest() -> None:
    """Monocular depth needs no keyframes."""
    window = KeyframeWindow(WindowConfig(1, 0.0))

    assert [times_s(window.push([view_at(t)])) for t in (0.0, 1.0)] == [[0.0], [1.0]]


def test_views_of_a_rig_enter_and_leave_together() -> None:
    """Five views, two cameras: one keyframe of both and the newest of both."""
    window = KeyframeWindow(WindowConfig(5, 0.0))

    pushed = [window.push([view_at(t), view_at(t)]) for t in (0.0, 1.0, 2.0)]

    assert times_s(pushed[-1]) == [1.0, 1.0, 2.0, 2.0]
    assert [found.newest for found in pushed] == [(0, 1), (2, 3), (2, 3)]


@pytest.mark.parametrize('num_cameras', [0, 3])
def test_window_without_room_for_each_camera_is_refused(num_cameras: int) -> None:
    """One view of each is the least."""
    with pytest.raises(ConfigError, match=r'window\.max_views'):
        KeyframeWindow(WindowConfig(2, 0.0)).push([view_at(0.0)] * num_cameras)


def test_cleared_window_takes_any_stamp() -> None:
    """A bag that starts again."""
    window = KeyframeWindow(WindowConfig(3, 0.0))
    window.push([view_at(9.0)])

    window.clear()

    assert times_s(window.push([view_at(0.0)])) == [0.0]


@pytest.mark.parametrize(('max_views', 'interval_s'), [(0, 0.1), (2, -1.0), (2, float('nan'))])
def test_impossible_window_is_refused(max_views: int, interval_s: float) -> None:
    """Both settings are checked."""
    with pytest.raises(ConfigError):
        WindowConfig(max_views, interval_s)


def test_window_of_a_rig_whose_cameras_come_and_go_is_never_too_long() -> None:
    rng = np.random.default_rng(0)
    window = KeyframeWindow(WindowConfig(7, 0.0))
    for step in range(200):
        newest = [view_at(0.1 * step) for _ in range(rng.integers(1, 5))]
        found = window.push(newest)

        assert len(found.views) <= 7
        assert [found.views[index] for index in found.newest] == newest
