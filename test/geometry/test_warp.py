"""Depth of one view as another one should see it."""

from __future__ import annotations

from moe3d_engine.geometry.warp import warp_depth
import numpy as np

LENS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
HW = (48, 64)


def test_a_plane_ahead_comes_nearer_by_the_way_that_the_camera_went() -> None:
    ahead = np.eye(4)
    ahead[2, 3] = -0.5
    log_depth, certainty = warp_depth(
        np.full(HW, 2.0, np.float32), np.full(HW, 0.7, np.float32), LENS, LENS, ahead
    )
    seen = certainty > 0
    assert seen.mean() > 0.8
    np.testing.assert_allclose(log_depth[seen], np.log(1.5), atol=1e-6)
    np.testing.assert_allclose(certainty[seen], 0.7)


def test_of_two_surfaces_in_a_cell_the_nearer_counts() -> None:
    depth = np.full(HW, 4.0, np.float32)
    depth[:, 30:34] = 1.0
    log_depth, _ = warp_depth(depth, np.ones(HW, np.float32), LENS, LENS, np.eye(4))
    np.testing.assert_allclose(log_depth[:, 7], 0.0, atol=1e-6)


def test_what_is_unknown_or_behind_the_camera_is_no_hint() -> None:
    unknown = np.full(HW, np.nan, np.float32)
    behind = np.eye(4)
    behind[2, 3] = -3.0
    ones = np.ones(HW, np.float32)
    assert not warp_depth(unknown, ones, LENS, LENS, np.eye(4)).any()
    assert not warp_depth(np.full(HW, 2.0, np.float32), ones, LENS, LENS, behind).any()
