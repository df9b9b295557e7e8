"""Free space is claimed only where nothing can be, against exact truth too."""

from __future__ import annotations

from moe3d_engine.clearing import clearing_points
from moe3d_engine.clearing import free_depth
from moe3d_engine.clearing import MARGIN
from moe3d_engine.policy import publish_depth
from moe3d_engine.policy import Thresholds
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
import pytest

HW = (20, 30)
K = np.array([[40.0, 0.0, 14.5], [0.0, 40.0, 9.5], [0.0, 0.0, 1.0]])
LIMITS = Thresholds(depth_min_m=0.2, depth_max_m=10.0)
BEHIND = 0.02  # relative; no clearing point lies farther behind the true first surface


def wall(depth_m: float = 4.0) -> Float32Array:
    return np.full(HW, depth_m, np.float32)


def test_sky_is_free_up_to_the_range() -> None:
    free = free_depth(wall(60.0), wall(np.inf), LIMITS)

    np.testing.assert_array_equal(free, 10.0)


def test_pixels_with_a_point_of_their_own_get_none() -> None:
    assert np.isnan(free_depth(wall(), wall(), LIMITS)).all()


def test_rejected_pixel_between_known_ones_is_free_up_to_just_before_the_nearest() -> None:
    depth_raw = wall()
    depth_raw[:, :15] = 2.0
    depth = depth_raw.copy()
    depth[:, 14:16] = np.nan

    free = free_depth(depth_raw, depth, LIMITS)

    np.testing.assert_allclose(free[:, 14:16], (1 - MARGIN) * 2.0, rtol=1e-6)
    assert np.isnan(free[:, :14]).all()
    assert np.isnan(free[:, 16:]).all()


def test_near_depth_that_was_rejected_itself_bounds_the_free_space() -> None:
    depth_raw, depth = wall(), wall()
    depth_raw[:, 15] = 1.0
    depth[:, 14:16] = np.nan

    np.testing.assert_allclose(free_depth(depth_raw, depth, LIMITS)[:, 14:16], 0.9, rtol=1e-6)


def test_sky_beside_a_near_thing_is_free_only_up_to_it() -> None:
    depth_raw, depth = wall(60.0), wall(np.inf)
    depth_raw[:, :10] = depth[:, :10] = 2.0

    free = free_depth(depth_raw, depth, LIMITS)

    np.testing.assert_allclose(free[:, 10:12], 1.8, rtol=1e-6)
    assert (free[:, 12:] == 10.0).all()


def test_middle_of_a_wide_hole_and_pixels_at_its_open_side_stay_unknown() -> None:
    depth = wall()
    depth[4:16, 8:20] = np.nan
    depth[:, 27:] = np.nan

    free = free_depth(wall(), depth, LIMITS)

    assert np.isnan(free[6:14, 10:18]).all()
    assert np.isnan(free[:, 27:]).all()


def test_what_the_camera_has_not_seen_stays_unknown() -> None:
    seen = np.ones(HW, bool)
    seen[5] = False
    depth = wall(np.inf)
    depth[5] = np.nan

    free = free_depth(wall(60.0), depth, LIMITS, seen=seen)

    assert np.isnan(free[5]).all()
    assert np.isfinite(free[6:]).all()


def test_space_that_ends_before_the_least_depth_is_not_claimed() -> None:
    depth = wall(0.21)
    depth[:, 10] = np.nan

    assert np.isnan(free_depth(wall(0.21), depth, LIMITS)).all()


def test_points_lie_on_the_rays_of_their_pixels_and_are_finite() -> None:
    image = np.zeros((*HW, 3), np.uint8)
    depth = wall()
    depth[3, 4] = np.nan
    depth[8, 9] = np.inf
    depth_raw = np.where(np.isinf(depth), np.float32(60.0), wall())
    result = ViewResult(View(image, K), image, K, depth_raw, depth, wall(1.0), np.eye(4))

    points = clearing_points(result, LIMITS)

    assert points.dtype == np.float32
    pixels = (points / points[:, 2:]) @ K.T
    np.testing.assert_allclose(pixels[:, :2], [[4, 3], [9, 8]], atol=1e-4)
    np.testing.assert_allclose(points[:, 2], 3.6, rtol=1e-6)


def as_a_network_sees_it(truth: Float32Array, rng: np.random.Generator) -> RawOutputs:
    """Return depth with noise of 2 %, at edges of either surface, and there hardly agreed upon."""
    windows = sliding_window_view(np.pad(truth, 1, mode='edge'), (3, 3)).reshape(*truth.shape, 9)
    edge = windows.max(-1) > 1.05 * windows.min(-1)
    other = np.take_along_axis(windows, rng.integers(0, 9, (*truth.shape, 1)), -1)[..., 0]
    depth = np.where(edge, other, truth) * rng.normal(1.0, 0.02, truth.shape).clip(0.95, 1.05)
    agreement = np.where(edge, rng.random(truth.shape), 1.0).astype(np.float32)
    one = np.ones_like(truth)
    return RawOutputs(depth.astype(np.float32), one, agreement, np.zeros((1, 9), np.float32), one)


@pytest.mark.parametrize('seed', [0, 3, 6])
def test_no_clearing_point_lies_behind_the_true_first_surface(seed: int) -> None:
    cv2 = pytest.importorskip('cv2')
    pytest.importorskip('embreex')
    from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
    from moe3d_engine.lab.synthetic import render_set

    rng = np.random.default_rng(seed)
    truth = render_set(HELD_OUT_SEED_START + seed, 1, (144, 192)).depth[0]
    limits = Thresholds(depth_max_m=float(np.quantile(truth[np.isfinite(truth)], 0.8)))
    raw = as_a_network_sees_it(np.minimum(truth, np.float32(60.0)), rng)
    depth, _ = publish_depth(raw.depth, raw, limits, metric=True)

    free = free_depth(raw.depth, depth, limits)

    claimed = np.isfinite(free)
    assert np.count_nonzero(claimed & np.isposinf(depth)) > 1000
    assert np.count_nonzero(claimed & np.isnan(depth)) > 0.8 * np.count_nonzero(np.isnan(depth))
    behind = claimed & (free > (1 + BEHIND) * truth)
    assert np.count_nonzero(behind) < 1e-3 * np.count_nonzero(claimed)
    wider = cv2.morphologyEx(truth, cv2.MORPH_CLOSE, np.ones((2, 2), np.uint8))
    assert not (behind & (wider == truth)).any(), 'only things below two pixels may be missed'
