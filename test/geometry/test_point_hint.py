"""Tracked points as the network is told of them."""

from __future__ import annotations

from moe3d_engine.geometry.point_hint import point_hint
import numpy as np

HW = (48, 64)


def test_a_point_is_sure_in_its_cell_and_half_as_sure_beside_it() -> None:
    log_depth, certainty = point_hint(np.array([[4 * 5 + 3.0, 4 * 2 + 3.0]]), np.array([2.0]), HW)
    expected = np.zeros((12, 16))
    expected[2, 4:7] = expected[1:4, 5] = 0.5
    expected[2, 5] = 1.0
    np.testing.assert_array_equal(certainty, expected)
    np.testing.assert_allclose(log_depth[expected > 0], np.log(2.0), rtol=1e-6)


def test_of_two_points_in_a_cell_the_nearer_counts_and_what_is_sure_is_kept() -> None:
    pixels = np.array([[23.0, 11.0], [22.0, 12.0], [27.0, 11.0]])  # cells 5, 5 and 6 of row 2
    log_depth, certainty = point_hint(pixels, np.array([1.0, 4.0, 0.5]), HW)
    np.testing.assert_allclose(np.exp(log_depth[2, 5:7]), [1.0, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(certainty[2, 4:8], [0.5, 1.0, 1.0, 0.5])


def test_points_that_are_unknown_or_not_before_the_camera_or_outside_say_nothing() -> None:
    pixels = np.array([[20.0, 20.0], [20.0, 20.0], [20.0, 20.0], [90.0, 20.0], [np.nan, 20.0]])
    depth = np.array([np.nan, -1.0, np.inf, 2.0, 2.0])
    assert not point_hint(pixels, depth, HW).any()
    assert not point_hint(np.zeros((0, 2)), np.zeros(0), HW).any()


def test_a_point_at_the_border_stays_in_the_image() -> None:
    _, certainty = point_hint(np.array([[3.0, 3.0], [63.0, 47.0]]), np.array([1.0, 1.0]), HW)
    assert certainty[0, 0] == certainty[-1, -1] == 1.0
    assert certainty.sum() == 4.0
