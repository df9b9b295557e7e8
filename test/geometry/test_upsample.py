"""Depth on the pixels of the image: edges where the image has them, nothing between surfaces."""

from __future__ import annotations

from moe3d_engine.geometry.depth_edges import boundary_f1
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.output_view import at_resolution
from moe3d_engine.geometry.output_view import NETWORK
from moe3d_engine.geometry.output_view import OutputView
from moe3d_engine.geometry.output_view import SOURCE
from moe3d_engine.geometry.resample import resample_nearest
from moe3d_engine.geometry.upsample import upsample
from moe3d_engine.lab.metrics.flying_points import flying_points
from moe3d_engine.types import Float32Array
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
from moe3d_engine.types import ViewResult
import numpy as np
import pytest

INPUT_HW, SOURCE_HW = (28, 42), (280, 420)
K = np.array([[300.0, 0.0, 200.0], [0.0, 310.0, 150.0], [0.0, 0.0, 1.0]])
NEAR, FAR = 2.0, 5.0


def result_of(image: UInt8Array, depth: Float32Array) -> ViewResult:
    """Return what a network of the depth's size gives for an image."""
    view = View(image, K)
    fitted = fit_view(view, (depth.shape[0], depth.shape[1]))
    assert fitted.intrinsics is not None
    confidence = np.where(np.isnan(depth), 0, 0.5).astype(np.float32)
    return ViewResult(view, fitted.image, fitted.intrinsics, depth, depth, confidence, np.eye(4))


def dark_and_bright(first_bright: int) -> UInt8Array:
    """Return an image whose columns are bright from one on."""
    image = np.full((*SOURCE_HW, 3), 40, np.uint8)
    image[:, first_bright:] = 200
    return image


def step() -> Float32Array:
    """Return a step between the network's columns 20 and 21, so at 210 of the image."""
    depth = np.full(INPUT_HW, NEAR, np.float32)
    depth[:, 21:] = FAR
    return depth


@pytest.mark.parametrize('first_bright', [207, 210, 213])
def test_edge_lies_where_the_image_has_it(first_bright: int) -> None:
    maps = at_resolution(result_of(dark_and_bright(first_bright), step()), SOURCE)

    expected = np.where(np.arange(420) < first_bright, np.float32(NEAR), np.float32(FAR))
    np.testing.assert_array_equal(maps.depth, np.tile(expected, (280, 1)))


def test_no_depth_is_between_two_surfaces_whatever_the_image_shows(
    rng: np.random.Generator,
) -> None:
    noise = rng.integers(0, 256, (*SOURCE_HW, 3), np.uint8)

    depth = at_resolution(result_of(noise, step()), SOURCE).depth

    assert set(np.unique(depth)) == {NEAR, FAR}


def test_surfaces_are_smooth_beside_a_step_too() -> None:
    inverse = np.tile(0.5 - 0.002 * np.arange(42, dtype=np.float32), (28, 1))
    inverse[:, 21:] -= 0.25
    image = dark_and_bright(210)

    depth = at_resolution(result_of(image, np.reciprocal(inverse)), SOURCE).depth

    truth = 0.5 - 0.002 * np.clip((np.arange(420) + 0.5) / 10 - 0.5, 0, 41)
    truth[210:] -= 0.25
    np.testing.assert_allclose(depth, np.tile(1 / truth, (280, 1)), rtol=1e-3)


def test_unknown_pixels_stay_unknown_and_beyond_range_stays_beyond_range() -> None:
    depth = step()
    depth[:, 21:] = np.inf
    depth[3, 4] = np.nan

    maps = at_resolution(result_of(dark_and_bright(210), depth), SOURCE)

    assert np.isnan(maps.depth[30:40, 40:50]).all()
    assert np.count_nonzero(np.isnan(maps.depth)) == 100
    assert np.isposinf(maps.depth[:, 210:]).all()
    known = np.isfinite(maps.depth)
    assert (maps.depth[known] == NEAR).all()
    np.testing.assert_array_equal(maps.boundary_confidence > 0, ~np.isnan(maps.depth))


def test_whole_image_comes_back_with_its_own_intrinsics_and_nothing_outside_the_crop() -> None:
    image = np.zeros((100, 300, 3), np.uint8)

    maps = at_resolution(result_of(image, step()), SOURCE)

    assert maps.image is image
    np.testing.assert_allclose(maps.intrinsics, K, atol=1e-9)
    matrix = fit_geometry((100, 300), INPUT_HW).fitted_from_source
    column = matrix[0, 0] * np.arange(300) + matrix[0, 2]
    seen = (column >= -0.5) & (column <= 41.5)
    np.testing.assert_array_equal(np.isfinite(maps.depth), np.tile(seen, (100, 1)))


@pytest.mark.parametrize('columns', [210, 1000])
def test_number_of_columns_is_kept_up_to_those_of_the_image(columns: int) -> None:
    maps = at_resolution(result_of(dark_and_bright(210), step()), columns)

    scale = min(columns, 420) / 420
    assert maps.depth.shape == maps.image.shape[:2] == (280 * scale, 420 * scale)
    assert maps.intrinsics[0, 0] == pytest.approx(scale * K[0, 0])
    ray = (np.array([0.0, 0.0]) - maps.intrinsics[:2, 2]) / np.diag(maps.intrinsics)[:2]
    corner = 0.5 / scale - 0.5  # of the image, where the first centre lies
    np.testing.assert_allclose(ray, (corner - K[:2, 2]) / np.diag(K)[:2])


def test_resolution_of_the_network_is_what_the_network_gives() -> None:
    result = result_of(dark_and_bright(210), step())

    maps = at_resolution(result, NETWORK)

    assert maps == OutputView(
        result.image, result.intrinsics, result.depth, result.boundary_confidence
    )


def test_rendered_scene_gets_sharper_edges_and_no_more_flying_points() -> None:
    """The network's depth is the truth on its pixels, with blurred edges here and there."""
    pytest.importorskip('embreex')
    from moe3d_engine.lab.synthetic import HELD_OUT_SEED_START
    from moe3d_engine.lab.synthetic import render_set

    scene = render_set(HELD_OUT_SEED_START + 1, 1, (480, 640))
    truth, image, intrinsics = scene.depth[0], scene.rgb[0], scene.intrinsics[0]
    matrix = fit_geometry((480, 640), (144, 192)).fitted_from_source
    true_small = resample_nearest(truth, intrinsics, matrix @ intrinsics, (144, 192))
    blurred = (true_small[:, :-1] + true_small[:, 1:]) / 2
    small = true_small.copy()
    small[::4, :-1] = blurred[::4]
    fitted = fit_view(View(image), (144, 192)).image

    nearest = resample_nearest(small, matrix @ intrinsics, intrinsics, (480, 640))
    guided, _ = upsample(small, np.ones_like(small), fitted, image, matrix)

    before = flying_points(small[None], true_small[None]).share
    after = flying_points(guided[None], truth[None]).share
    assert before is not None
    assert after is not None
    assert 0 < after <= before
    assert boundary_f1(guided, truth) > 1.5 * boundary_f1(nearest, truth)
