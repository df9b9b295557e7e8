"""Back to the pixels of the source, without depths that are on no surface."""

from __future__ import annotations

from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.resample import maps_on_source
from moe3d_engine.geometry.resample import resample_nearest
from moe3d_engine.geometry.resample import SourceMaps
import numpy as np
import pytest

INPUT_HW = (28, 42)


def step_maps() -> SourceMaps:
    """Return maps of a step from 2 m to 5 m between columns 20 and 21."""
    depth = np.full(INPUT_HW, 2.0, np.float32)
    depth[:, 21:] = 5.0
    return SourceMaps(depth, depth.copy(), np.ones(INPUT_HW, np.float32))


@pytest.mark.parametrize('source_hw', [(280, 420), (93, 141), (14, 21), (28, 42)])
def test_no_depth_appears_between_two_surfaces(source_hw: tuple[int, int]) -> None:
    """Every resampled depth is one of the two that were there."""
    matrix = fit_geometry(source_hw, INPUT_HW).fitted_from_source

    result = maps_on_source(step_maps(), matrix, source_hw)

    assert result.depth.shape == source_hw
    seen = result.depth[np.isfinite(result.depth)]
    assert set(np.unique(seen.round(5))) == {2.0, 5.0}


def test_smooth_depth_is_interpolated() -> None:
    """A gentle slope has no stairs: it stays linear on ten times the pixels."""
    columns = np.arange(42, dtype=np.float32)
    slope = np.broadcast_to(4.0 + 0.01 * columns, INPUT_HW).astype(np.float32)
    maps = SourceMaps(slope, slope.copy(), np.ones(INPUT_HW, np.float32))
    matrix = fit_geometry((280, 420), INPUT_HW).fitted_from_source

    result = maps_on_source(maps, matrix, (280, 420))

    expected = 4.0 + 0.01 * np.clip(0.1 * np.arange(420) + 0.05 - 0.5, 0, 41)
    np.testing.assert_allclose(result.depth_raw, np.tile(expected, (280, 1)), rtol=1e-5)


def test_pixels_outside_the_crop_are_unknown() -> None:
    """The columns that the network did not see are NaN with confidence 0, the others are not."""
    fit = fit_geometry((100, 300), INPUT_HW)
    maps = step_maps()

    result = maps_on_source(maps, fit.fitted_from_source, (100, 300))

    fitted_column = fit.fitted_from_source[0, 0] * np.arange(300) + fit.fitted_from_source[0, 2]
    inside = (fitted_column >= -0.5) & (fitted_column <= 41.5)
    np.testing.assert_array_equal(np.isfinite(result.depth_raw), np.tile(inside, (100, 1)))
    np.testing.assert_array_equal(np.isfinite(result.depth), np.tile(inside, (100, 1)))
    np.testing.assert_array_equal(result.boundary_confidence > 0, np.tile(inside, (100, 1)))


def test_rejection_and_range_limit_go_with_the_nearest_pixel() -> None:
    """A rejected and a far pixel each cover their own 10x10 source pixels; raw depth stays."""
    maps = step_maps()
    maps.depth[3, 4] = np.nan
    maps.depth[8, 9] = np.inf
    matrix = fit_geometry((280, 420), INPUT_HW).fitted_from_source

    result = maps_on_source(maps, matrix, (280, 420))

    assert np.isnan(result.depth[30:40, 40:50]).all()
    assert np.count_nonzero(np.isnan(result.depth)) == 100
    assert np.isinf(result.depth[80:90, 90:100]).all()
    assert np.count_nonzero(np.isinf(result.depth)) == 100
    assert np.isfinite(result.depth_raw).all()
    assert (result.boundary_confidence[30:40, 40:50] == 0).all()


def test_ground_truth_is_sampled_where_the_fitted_camera_looks() -> None:
    """Nearest sampling through both intrinsics finds the source pixel of each fitted pixel."""
    rows, columns = np.mgrid[:100, :300]
    depth = (1.0 + columns + 1000.0 * rows).astype(np.float32)
    intrinsics = np.array([[250.0, 0.0, 149.5], [0.0, 250.0, 49.5], [0.0, 0.0, 1.0]])
    fit = fit_geometry((100, 300), INPUT_HW)

    sampled = resample_nearest(depth, intrinsics, fit.fitted_from_source @ intrinsics, INPUT_HW)

    source = np.linalg.inv(fit.fitted_from_source) @ [11.0, 13.0, 1.0]
    assert sampled[13, 11] == depth[round(source[1]), round(source[0])]


def test_ground_truth_outside_the_camera_is_unknown() -> None:
    """A wider camera sees NaN around the depth map."""
    depth = np.ones((10, 10), np.float32)
    intrinsics = np.array([[10.0, 0.0, 4.5], [0.0, 10.0, 4.5], [0.0, 0.0, 1.0]])
    wider = np.array([[5.0, 0.0, 4.5], [0.0, 5.0, 4.5], [0.0, 0.0, 1.0]])

    sampled = resample_nearest(depth, intrinsics, wider, (10, 10))

    assert np.count_nonzero(np.isfinite(sampled)) == 36  # 4.5 -+ 2.5 pixels, borders included
