"""Fitting images to the network, with exact pixel bookkeeping."""

from __future__ import annotations

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.fit import check_same_size
from moe3d_engine.geometry.fit import fit_geometry
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.fit import MAX_CROPPED
from moe3d_engine.geometry.fit import resampling_matrices
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.types import View
import numpy as np
import pytest

INPUT_HW = (28, 42)
SIZES = [(480, 640), (360, 540), (100, 300), (300, 100), (28, 42), (20, 25), (57, 43)]


@pytest.mark.parametrize('source_hw', SIZES)
def test_fitted_image_has_the_networks_size(source_hw: tuple[int, int]) -> None:
    """Whatever the shape of the source: larger, smaller, wide, tall."""
    fitted = fit_view(View(np.zeros((*source_hw, 3), np.uint8)), INPUT_HW)

    assert fitted.image.shape == (*INPUT_HW, 3)
    assert fitted.image.dtype == np.uint8


@pytest.mark.parametrize('source_hw', [(120, 160), (90, 135), (100, 120), (57, 43)])
def test_fitted_pixels_are_where_the_matrix_says(source_hw: tuple[int, int]) -> None:
    """A linear ramp resized and cropped is the ramp at the mapped pixel centres."""
    height, width = source_hw
    rows, columns = np.mgrid[:height, :width]
    step_x, step_y = 240 / width, 240 / height
    image = np.stack([columns * step_x, rows * step_y, 0 * rows], axis=-1)

    fitted = fit_view(View(np.rint(image).astype(np.uint8)), INPUT_HW)

    rows, columns = np.mgrid[: INPUT_HW[0], : INPUT_HW[1]]
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    source = pixels @ np.linalg.inv(fitted.fitted_from_source).T
    inner = fitted.image[2:-2, 2:-2].astype(float)
    # Bytes are rounded twice, which averages out; half a source pixel of shift would not.
    error_x = (inner[..., 0] - source[2:-2, 2:-2, 0] * step_x) / step_x
    error_y = (inner[..., 1] - source[2:-2, 2:-2, 1] * step_y) / step_y
    assert abs(error_x.mean()) < 0.2
    assert abs(error_y.mean()) < 0.2


def test_intrinsics_follow_the_pixels() -> None:
    """A ray hits the mapped pixel under the fitted intrinsics."""
    intrinsics = np.array([[400.0, 0.0, 310.0], [0.0, 420.0, 245.0], [0.0, 0.0, 1.0]])
    view = View(np.zeros((480, 640, 3), np.uint8), intrinsics)

    fitted = fit_view(view, INPUT_HW)

    assert fitted.intrinsics is not None
    ray = np.array([0.3, -0.2, 1.0])
    np.testing.assert_allclose(
        fitted.intrinsics @ ray, fitted.fitted_from_source @ intrinsics @ ray
    )


def test_resize_is_isotropic_and_centred() -> None:
    """A wide image loses as many columns on the left as on the right, and no rows."""
    fit = fit_geometry((100, 300), INPUT_HW)

    assert fit.resized_hw == (28, 84)
    assert (fit.top, fit.left) == (0, 21)
    centre = fit.fitted_from_source @ [149.5, 49.5, 1.0]
    np.testing.assert_allclose(centre, [20.5, 13.5, 1.0])


def test_a_view_of_the_networks_size_passes_unchanged(rng: np.random.Generator) -> None:
    """No resampling where none is needed."""
    image = rng.integers(0, 256, (*INPUT_HW, 3), np.uint8)

    fitted = fit_view(View(image), INPUT_HW)

    np.testing.assert_array_equal(fitted.image, image)
    np.testing.assert_array_equal(fitted.fitted_from_source, np.eye(3))
    assert fitted.intrinsics is None


def test_network_input_is_planar_float_in_unit_range(rng: np.random.Generator) -> None:
    """(V, H, W, 3) bytes become (V, 3, H, W) in [0, 1]."""
    images = rng.integers(0, 256, (2, 4, 5, 3), np.uint8)
    images[0, 1, 2] = (0, 51, 255)

    planes = to_network(images)

    assert planes.shape == (2, 3, 4, 5)
    assert planes.dtype == np.float32
    np.testing.assert_allclose(planes[0, :, 1, 2], [0.0, 0.2, 1.0], rtol=1e-6)


def test_different_sizes_are_refused_with_both_named() -> None:
    """The message says which sizes came."""
    views = [View(np.zeros((4, 5, 3), np.uint8)), View(np.zeros((6, 5, 3), np.uint8))]

    with pytest.raises(ShapeError, match='5x4, 5x6'):
        check_same_size(views)


@pytest.mark.parametrize('source_hw', [*SIZES, (56, 84), (31, 42)])
def test_resampling_matrices_do_what_fitting_does_up_to_one_grey_level(
    source_hw: tuple[int, int],
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*source_hw, 3), np.uint8)

    rows, columns = resampling_matrices(source_hw, INPUT_HW)

    fitted = np.einsum('ij,jkc,lk->ilc', rows, image, columns, optimize=True)
    expected = fit_view(View(image), INPUT_HW).image
    assert rows.shape == (INPUT_HW[0], source_hw[0])
    assert columns.shape == (INPUT_HW[1], source_hw[1])
    assert np.abs(np.rint(fitted).clip(0, 255) - expected).max() <= 1


@pytest.mark.parametrize(
    'source_hw', [*SIZES, (480, 848), (1080, 1920), (7, 9), (1, 1), (3, 60), (60, 5), (29, 42)]
)
@pytest.mark.parametrize('input_hw', [(28, 42), (144, 192), (518, 392)])
def test_fitted_image_is_the_middle_of_the_resized_one(
    source_hw: tuple[int, int], input_hw: tuple[int, int]
) -> None:
    """Byte for byte: figures of weights that were trained on these pixels must stay."""
    image = np.random.default_rng(3).integers(0, 256, (*source_hw, 3), np.uint8)
    scale = max(input_hw[0] / source_hw[0], input_hw[1] / source_hw[1])
    size_hw = [max(n, round(m * scale)) for m, n in zip(source_hw, input_hw, strict=True)]
    by = cv2.INTER_AREA if size_hw[0] < source_hw[0] else cv2.INTER_LINEAR
    resized = cv2.resize(image, size_hw[::-1], interpolation=by)
    top, left = ((n - m) // 2 for n, m in zip(size_hw, input_hw, strict=True))

    fitted = fit_view(View(image), input_hw).image

    np.testing.assert_array_equal(
        fitted, resized[top : top + input_hw[0], left : left + input_hw[1]]
    )


@pytest.mark.parametrize('source_hw', [(60, 400), (400, 60), (28, 400), (400, 42)])
def test_fitted_image_keeps_nothing_alive_that_was_cut_away(source_hw: tuple[int, int]) -> None:
    fitted = fit_view(View(np.zeros((*source_hw, 3), np.uint8)), INPUT_HW)

    assert fitted.image.base is None


@pytest.mark.parametrize('source_hw', [(1, 10_000), (1, 60_000), (60_000, 1), (2, 97)])
def test_long_thin_image_is_refused_before_it_is_enlarged(source_hw: tuple[int, int]) -> None:
    """Resized, 60,000x1 would be 141 megabytes even for this small network."""
    view = View(np.zeros((*source_hw, 3), np.uint8))

    with pytest.raises(InputError, match=f'{source_hw[1]}x{source_hw[0]} pixels is too long'):
        fit_view(view, INPUT_HW)


def test_longest_image_that_fits_is_fitted() -> None:
    view = View(np.zeros((2, 3 * MAX_CROPPED, 3), np.uint8))

    assert fit_view(view, INPUT_HW).image.shape == (*INPUT_HW, 3)
