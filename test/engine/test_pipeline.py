"""The pipeline on a backend with analytic outputs."""

from __future__ import annotations

from dataclasses import replace
import math
from typing import Any

from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import intrinsics_from_fov
from moe3d_engine.geometry.fit import resampling_matrices
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.pipeline import Reconstructor
from moe3d_engine.pipeline import ReconstructorConfig
from moe3d_engine.postprocess import limit_range
from moe3d_engine.types import DepthScale
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import View
import numpy as np
import pytest

INPUT_HW = (28, 42)
INTRINSICS = np.array([[40.0, 0.0, 20.0], [0.0, 40.0, 14.0], [0.0, 0.0, 1.0]])


def make_view(red: int, green: int = 255, blue: int = 255, known: bool = True) -> View:
    """Return a view whose depth will be 1 + 4 * red / 255."""
    image = np.empty((*INPUT_HW, 3), np.uint8)
    image[:] = (red, green, blue)
    return View(image, INTRINSICS if known else None)


def test_each_published_view_gets_its_own_depth_camera_and_colour(fake_backend: type[Any]) -> None:
    views = [make_view(red) for red in (0, 51, 102)]

    result = Reconstructor(fake_backend()).reconstruct(views, publish=[2, 0])

    np.testing.assert_allclose(result.depth[:, 0, 0], [1 + 4 * 0.4, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(result.image[:, 0, 0, 0], [102, 0])
    assert result.published == (2, 0)
    assert result.views == tuple(views)
    np.testing.assert_allclose(result.intrinsics, [INTRINSICS] * 2)
    np.testing.assert_allclose(result.cam_from_world[:, 0, 3], [0.0, -0.1, -0.2], atol=1e-7)
    assert set(result.timings_ms) == {'preprocess', 'encode', 'reconstruct', 'postprocess'}


def test_all_views_are_published_by_default(fake_backend: type[Any]) -> None:
    result = Reconstructor(fake_backend()).reconstruct([make_view(0), make_view(9)])

    assert result.published == (0, 1)
    assert result.depth.shape == (2, *INPUT_HW)


def test_a_view_seen_in_the_window_before_is_not_encoded_again(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    reconstructor = Reconstructor(backend)
    views = [make_view(red) for red in range(4)]

    for window in (views[:2], views[:3], views[1:4]):
        reconstructor.reconstruct(window)

    assert backend.num_encoded == 4


def test_only_the_last_window_is_kept(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    reconstructor = Reconstructor(backend)
    first, second = make_view(0), make_view(1)

    for window in ([first], [second], [first]):
        reconstructor.reconstruct(window)

    assert backend.num_encoded == 3


def test_reset_forgets_the_window(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    reconstructor = Reconstructor(backend)
    view = make_view(0)
    reconstructor.reconstruct([view])

    reconstructor.reset()
    reconstructor.reconstruct([view])

    assert backend.num_encoded == 2


def test_a_view_without_intrinsics_gets_the_networks_own(fake_backend: type[Any]) -> None:
    views = [make_view(0), make_view(0, known=False)]

    result = Reconstructor(fake_backend()).reconstruct(views)

    np.testing.assert_allclose(result.intrinsics[0], INTRINSICS)
    np.testing.assert_allclose(
        result.intrinsics[1], intrinsics_from_fov(0.8, 1.1, INPUT_HW), rtol=1e-6
    )


@pytest.mark.parametrize(('green', 'blue'), [(100, 255), (255, 10)])
def test_pixels_between_surfaces_are_rejected(
    fake_backend: type[Any], green: int, blue: int
) -> None:
    view = make_view(51)
    view.image[5, 6, 1:] = (green, blue)

    result = Reconstructor(fake_backend()).reconstruct([view])

    rejected = np.zeros((1, *INPUT_HW), bool)
    rejected[0, 5, 6] = True
    np.testing.assert_array_equal(np.isnan(result.depth), rejected)
    np.testing.assert_array_equal(result.boundary_confidence == 0, rejected)
    np.testing.assert_allclose(result.depth_raw, 1.8, rtol=1e-6)


def test_thresholds_of_zero_reject_nothing(fake_backend: type[Any]) -> None:
    config = ReconstructorConfig(min_agreement=0.0, min_confidence=0.0)

    result = Reconstructor(fake_backend(), config).reconstruct([make_view(51, 0, 0)])

    np.testing.assert_array_equal(result.depth, result.depth_raw)


def test_settings_can_be_replaced_between_windows(fake_backend: type[Any]) -> None:
    reconstructor = Reconstructor(fake_backend())
    view = make_view(51, green=100)
    before = reconstructor.reconstruct([view])

    reconstructor.configure(replace(reconstructor.config, min_agreement=0.0))
    after = reconstructor.reconstruct([view])

    assert np.isnan(before.depth).all()
    assert np.isfinite(after.depth).all()


def test_range_limits_give_nan_below_and_inf_beyond() -> None:
    depth = np.array([0.1, 0.5, 3.0, 3.1, np.nan], np.float32)

    limited = limit_range(depth, 0.5, 3.0)

    np.testing.assert_array_equal(
        limited, np.array([np.nan, 0.5, 3.0, np.inf, np.nan], np.float32)
    )


def test_confidence_beyond_range_stays_and_below_range_is_zero(fake_backend: type[Any]) -> None:
    near, far = make_view(0), make_view(255)
    config = ReconstructorConfig(depth_min_m=2.0, depth_max_m=4.0)

    result = Reconstructor(fake_backend(), config).reconstruct([near, far])

    assert np.isnan(result.depth[0]).all()
    assert np.isposinf(result.depth[1]).all()
    assert (result.boundary_confidence[0] == 0).all()
    assert (result.boundary_confidence[1] == 1).all()


@pytest.mark.parametrize(
    ('metric', 'source', 'expected'),
    [
        (True, 'auto', DepthScale.METRIC),
        (True, 'fixed', DepthScale.METRIC),
        (True, 'none', DepthScale.RELATIVE),
        (False, 'auto', DepthScale.RELATIVE),
        (False, 'fixed', DepthScale.METRIC),
        (False, 'none', DepthScale.RELATIVE),
    ],
)
def test_depth_is_metric_only_by_a_named_source(
    fake_backend: type[Any], metric: bool, source: str, expected: DepthScale
) -> None:
    config = ReconstructorConfig(scale_source=source, depth_max_m=4.0)

    result = Reconstructor(fake_backend(metric), config).reconstruct([make_view(255)])

    assert result.depth_scale is expected
    limited = np.isinf(result.depth).all()
    assert limited == (expected is DepthScale.METRIC)  # relative depth has no limits in metres


def test_the_factor_scales_depths_and_translations_alike(fake_backend: type[Any]) -> None:
    config = ReconstructorConfig(scale_source='fixed', scale_factor=2.5)

    result = Reconstructor(fake_backend(), config).reconstruct([make_view(0), make_view(0)])

    np.testing.assert_allclose(result.depth_raw, 2.5, rtol=1e-6)
    np.testing.assert_allclose(result.cam_from_world[1, :3, 3], [-0.25, 0.0, 0.0], rtol=1e-6)


def test_relative_windows_keep_the_unit_of_the_first(fake_backend: type[Any]) -> None:
    """Each call of the backend has another unit; shared views tie them together."""
    backend = fake_backend(metric=False, units=(1.0, 3.0, 0.2))
    config = ReconstructorConfig(scale_source='fixed', scale_factor=2.0)
    reconstructor = Reconstructor(backend, config)
    views = [make_view(51 * k) for k in range(4)]

    results = [reconstructor.reconstruct(views[k : k + 2], publish=[1]) for k in range(3)]

    depths = [result.depth[0, 0, 0] for result in results]
    np.testing.assert_allclose(depths, [2 * 1.8, 2 * 2.6, 2 * 3.4], rtol=1e-5)
    steps = [result.cam_from_world[1, 0, 3] for result in results]
    np.testing.assert_allclose(steps, [-0.2] * 3, rtol=1e-5)
    assert backend.decoded == [(1,), (1, 0), (1, 0)]
    assert all(result.depth.shape[0] == 1 for result in results)


def test_metric_windows_decode_nothing_besides_what_is_published(fake_backend: type[Any]) -> None:
    backend = fake_backend(metric=True)
    reconstructor = Reconstructor(backend)
    views = [make_view(51 * k) for k in range(3)]

    for k in range(2):
        reconstructor.reconstruct(views[k : k + 2], publish=[1])

    assert backend.decoded == [(1,), (1,)]


@pytest.mark.parametrize('field', RawOutputs._fields)
def test_values_that_are_not_finite_are_refused_by_name(
    fake_backend: type[Any], field: str
) -> None:
    class BrokenBackend(fake_backend):
        """Puts one NaN into one output."""

        def reconstruct(self, features: list[object], publish: list[int]) -> RawOutputs:
            raw = super().reconstruct(features, publish)
            getattr(raw, field).flat[3] = np.nan
            return raw

    with pytest.raises(BackendError, match=f'1 of .* values of {field}'):
        Reconstructor(BrokenBackend()).reconstruct([make_view(0)])


def test_images_of_different_sizes_are_refused(fake_backend: type[Any]) -> None:
    other = View(np.zeros((30, 42, 3), np.uint8))

    with pytest.raises(ShapeError, match='one size'):
        Reconstructor(fake_backend()).reconstruct([make_view(0), other])


@pytest.mark.parametrize(('num_views', 'publish'), [(0, None), (5, None), (2, [2]), (2, [])])
def test_impossible_windows_are_refused(
    fake_backend: type[Any], num_views: int, publish: list[int] | None
) -> None:
    with pytest.raises(ShapeError):
        Reconstructor(fake_backend()).reconstruct([make_view(0)] * num_views, publish)


def test_close_releases_the_backend(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    reconstructor = Reconstructor(backend)

    reconstructor.close()

    assert backend.num_closed == 1


def test_results_do_not_share_memory_with_later_ones(fake_backend: type[Any]) -> None:
    reconstructor = Reconstructor(fake_backend())
    view = make_view(51)
    first = reconstructor.reconstruct([view])
    image = first.image.copy()

    first.depth[:] = 0.0
    first.image[:] = 0
    second = reconstructor.reconstruct([view])

    np.testing.assert_allclose(second.depth, 1.8, rtol=1e-6)
    np.testing.assert_array_equal(second.image, image)


@pytest.mark.parametrize(
    'settings',
    [
        {'depth_min_m': -1.0},
        {'depth_min_m': 3.0, 'depth_max_m': 2.0},
        {'depth_max_m': math.nan},
        {'min_agreement': 1.5},
        {'min_confidence': -0.1},
        {'scale_source': 'guess'},
        {'scale_factor': 0.0},
        {'scale_factor': math.inf},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float | str]) -> None:
    with pytest.raises(ConfigError):
        ReconstructorConfig(**settings)


def test_backend_that_fits_camera_images_itself_gives_the_same_reconstruction(
    fake_backend: type[Any],
) -> None:
    class Fitting(fake_backend):  # type: ignore[misc]
        """Fits by the matrices that a GPU multiplies with."""

        def encode_sources(self, sources: np.ndarray) -> tuple[np.ndarray, list[object]]:
            rows, columns = resampling_matrices(sources.shape[1:3], INPUT_HW)
            resized = np.einsum('ij,vjkc,lk->vilc', rows, sources, columns)
            fitted = np.rint(resized).clip(0, 255).astype(np.uint8)
            return fitted, self.encode(to_network(fitted))

    ramp = np.linspace(0, 255, 60 * 90).reshape(60, 90, 1)
    views = [View((ramp * s).astype(np.uint8).repeat(3, 2), INTRINSICS) for s in (0.5, 1.0)]

    plain = Reconstructor(fake_backend()).reconstruct(views)
    backend = Fitting()
    reconstructor = Reconstructor(backend)
    fitted = reconstructor.reconstruct(views)
    reconstructor.reconstruct(views)

    assert backend.num_encoded == 2
    assert set(fitted.timings_ms) == set(plain.timings_ms)
    np.testing.assert_allclose(fitted.image, plain.image.astype(int), atol=1)
    np.testing.assert_allclose(fitted.depth, plain.depth, atol=4.5 / 255)  # one grey level
    np.testing.assert_array_equal(fitted.intrinsics, plain.intrinsics)
