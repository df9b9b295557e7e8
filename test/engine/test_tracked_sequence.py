"""Images of a stream are placed by tracking, and what is not placed is said to be so."""

from __future__ import annotations

from dataclasses import replace
import logging
from typing import Any

from board_and_wall import INTRINSICS
from board_and_wall import STEP_M
from board_and_wall import view_from
from moe3d_engine.network import Engine
from moe3d_engine.sequences.sequence import reconstruct_sequence
from moe3d_engine.sequences.tracked_sequence import is_stream
from moe3d_engine.session import Session
from moe3d_engine.types import View
import numpy as np
import pytest

NUM_VIEWS = 12
BLIND = 8  # shows nothing


def stream() -> list[View]:
    """Return images of a camera that goes to the right by half a step in .1 s."""
    views = [
        replace(view_from(0.5 * index), stamp_ns=(index + 1) * 100_000_000)
        for index in range(NUM_VIEWS)
    ]
    views[BLIND].image[:] = 128
    return views


def test_images_of_a_stream_are_placed_by_tracking_and_lost_ones_are_not_placed(
    fake_backend: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    progress: list[int] = []
    session = Session(Engine(fake_backend()))

    result = reconstruct_sequence(session, stream(), 4, progress.append)

    placed = [index for index, by in enumerate(result.pose_sources) if by == 'tracking']
    left = [index for index, by in enumerate(result.pose_sources) if by == 'none']
    assert sorted(placed + left) == list(range(NUM_VIEWS))
    assert len(placed) >= NUM_VIEWS - 4
    assert BLIND in left
    assert placed[0] == 0
    assert np.isnan(result.cam_from_world[left]).all()
    along = result.cam_from_world[placed, 0, 3]
    np.testing.assert_allclose(along, -0.5 * STEP_M * np.array(placed), atol=0.02)
    assert np.isfinite(result.points_world).all()
    assert progress == [1] * NUM_VIEWS
    assert f'Tracking has placed {len(placed)} of {NUM_VIEWS} images' in caplog.text


def test_a_stream_has_one_calibrated_camera_and_stamps_that_grow() -> None:
    views = stream()
    assert is_stream(views)
    assert not is_stream(views[::-1])
    assert not is_stream([views[0], views[0]])
    assert not is_stream([views[0], replace(views[1], camera='left')])
    assert not is_stream([views[0], View(views[1].image, None, views[1].stamp_ns)])


def test_a_session_that_does_not_track_says_that_there_are_too_many(
    fake_backend: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    views = [View(np.full((28, 42, 3), 200, np.uint8), INTRINSICS) for _ in range(9)]
    with caplog.at_level(logging.WARNING):
        result = reconstruct_sequence(Session(Engine(fake_backend())), views, 4)
    assert result.pose_sources == ('network',) * 9
    assert '9 images are too many' in caplog.text
