"""Many images in overlapping windows."""

from __future__ import annotations

from typing import Any

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.network import Engine
from moe3d_engine.sequences.sequence import plan_windows
from moe3d_engine.sequences.sequence import reconstruct_sequence
from moe3d_engine.session import Session
from moe3d_engine.types import View
import numpy as np
import pytest

INTRINSICS = np.array([[90.0, 0.0, 47.0], [0.0, 91.0, 30.0], [0.0, 0.0, 1.0]])


def make_views(num_views: int, known: bool = True) -> list[View]:
    """Return views of 98x60 pixels whose depth will be 1, 1.2, 1.4, ..."""
    views = []
    for index in range(num_views):
        image = np.full((60, 98, 3), 255, np.uint8)
        image[..., 0] = round(255 * 0.05 * index)
        views.append(View(image, INTRINSICS if known else None))
    return views


@pytest.mark.parametrize('num_views', range(1, 20))
@pytest.mark.parametrize('max_views', [2, 3, 4, 8])
def test_windows_cover_each_view_once_and_share_the_first(num_views: int, max_views: int) -> None:
    windows = plan_windows(num_views, max_views)

    assert all(window[0] == 0 and len(window) <= max_views for window in windows)
    assert [0, *(i for window in windows for i in window[1:])] == list(range(num_views))


def test_windows_of_one_view_cannot_share() -> None:
    with pytest.raises(ConfigError, match='at least 2'):
        plan_windows(3, 1)


def test_more_views_than_a_window_holds_come_out_in_order(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    progress: list[int] = []

    result = reconstruct_sequence(Session(Engine(backend)), make_views(9), 4, progress.append)

    np.testing.assert_allclose(result.depth[:, 30, 50], 1.0 + 0.2 * np.arange(9), atol=0.01)
    assert result.depth.shape == result.depth_raw.shape == (9, 60, 98)
    assert result.boundary_confidence.shape == (9, 60, 98)
    assert result.cam_from_world.shape == (9, 4, 4)
    np.testing.assert_array_equal(result.cam_from_world[0], np.eye(4))
    assert sum(progress) == 9
    assert backend.num_encoded == 9
    assert result.scale.metric


def test_relative_windows_share_one_unit(fake_backend: type[Any]) -> None:
    backend = fake_backend(metric=False, units=(1.0, 4.0, 0.5))

    result = reconstruct_sequence(Session(Engine(backend)), make_views(9), 4)

    np.testing.assert_allclose(result.depth[:, 30, 50], 1.0 + 0.2 * np.arange(9), atol=0.01)
    assert not result.scale.metric


def test_known_intrinsics_come_back_on_the_source_pixels(fake_backend: type[Any]) -> None:
    result = reconstruct_sequence(Session(Engine(fake_backend())), make_views(2), 4)

    np.testing.assert_allclose(result.intrinsics, [INTRINSICS] * 2)


def test_estimated_intrinsics_centre_on_the_source_image(fake_backend: type[Any]) -> None:
    result = reconstruct_sequence(Session(Engine(fake_backend())), make_views(1, known=False), 4)

    np.testing.assert_allclose(result.intrinsics[0, :2, 2], [48.5, 29.5])


def test_cloud_holds_the_points_of_all_views_in_the_first_frame(fake_backend: type[Any]) -> None:
    result = reconstruct_sequence(Session(Engine(fake_backend())), make_views(3), 4)

    assert result.points_world.shape == (3 * 28 * 42, 3)
    assert result.colors.shape == result.points_world.shape
    middle = result.points_world.reshape(3, 28, 42, 3)[2].mean(axis=(0, 1))
    ray_x = (48.5 - INTRINSICS[0, 2]) / INTRINSICS[0, 0]
    np.testing.assert_allclose(middle[[0, 2]], [0.2 + 1.4 * ray_x, 1.4], atol=0.01)


def test_nothing_to_reconstruct_is_refused(fake_backend: type[Any]) -> None:
    with pytest.raises(ShapeError, match='at least 1 view'):
        reconstruct_sequence(Session(Engine(fake_backend())), [], 4)
