"""Every backend behaves alike: the same class of tests for each, on a tiny network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from moe3d_engine.backend import Backend
from moe3d_engine.backends.open import open_backend
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ShapeError
from moe3d_engine.graphs.parity import compare_outputs
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
import numpy as np
import pytest

pytestmark = pytest.mark.instruction_sets

BACKENDS = ('torch', 'openvino')
# OpenVINO may choose other kernels, and bf16 where the CPU has it, for other shapes.
REUSE_TOLERANCE = {'f32': 1e-4, 'bf16': 8e-2}  # relative, 99th percentile
CLOSE = {'torch': {'rtol': 1e-4, 'atol': 1e-5}, 'openvino': {'rtol': 2e-2, 'atol': 2e-2}}


@pytest.fixture(scope='module', params=BACKENDS)
def backend(request: pytest.FixtureRequest, tiny_card: Path) -> Iterator[Backend]:
    pytest.importorskip(request.param)
    opened = open_backend(request.param, str(tiny_card), threads=1)
    yield opened
    opened.close()


@pytest.fixture(scope='module')
def images(backend: Backend) -> Float32Array:
    return textured_images(4, backend.spec.input_hw)


def is_close(backend: Backend, actual: Float32Array, expected: Float32Array) -> bool:
    return np.allclose(actual, expected, **CLOSE[backend.name])


def assert_close(backend: Backend, actual: Float32Array, expected: Float32Array) -> None:
    np.testing.assert_allclose(actual, expected, **CLOSE[backend.name])


class TestContract:
    def test_spec_is_that_of_the_card(self, backend: Backend) -> None:
        assert backend.spec.name == 'tiny'
        assert backend.spec.input_hw == (56, 70)
        assert backend.spec.max_views == 4
        assert backend.spec.metric
        assert backend.spec.confidence_tau == 0.05

    @pytest.mark.parametrize('num_views', [1, 2, 3, 4])
    def test_shapes_follow_views_and_published(
        self, backend: Backend, images: Float32Array, num_views: int
    ) -> None:
        features = backend.encode(images[:num_views])
        publish = range(num_views - 1, max(num_views - 3, -1), -1)

        raw = backend.reconstruct(features, publish)

        assert len(features) == num_views
        assert raw.depth.shape == (len(publish), 56, 70)
        assert raw.boundary_confidence.shape == (len(publish), 56, 70)
        assert raw.agreement.shape == (len(publish), 56, 70)
        assert raw.pose_encoding.shape == (num_views, 9)
        for values in raw:
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
        assert (raw.depth > 0).all()
        for probability in (raw.boundary_confidence, raw.agreement):
            assert probability.min() >= 0
            assert probability.max() <= 1

    def test_published_subset_is_rows_of_the_full_result(
        self, backend: Backend, images: Float32Array
    ) -> None:
        features = backend.encode(images)
        full = backend.reconstruct(features, range(4))

        part = backend.reconstruct(features, [3, 1])

        assert_close(backend, part.depth, full.depth[[3, 1]])
        assert_close(backend, part.pose_encoding, full.pose_encoding)

    def test_views_encoded_one_by_one_equal_views_encoded_together(
        self, backend: Backend, images: Float32Array
    ) -> None:
        together = backend.reconstruct(backend.encode(images[:3]), [2])
        alone = [backend.encode(images[view : view + 1])[0] for view in range(3)]

        reused = backend.reconstruct(alone, [2])

        assert_close(backend, reused.depth, together.depth)

    def test_depth_depends_on_the_other_views(
        self, backend: Backend, images: Float32Array
    ) -> None:
        features = backend.encode(images)

        alone = backend.reconstruct(features[:1], [0])
        together = backend.reconstruct(features, [0])

        assert not is_close(backend, alone.depth, together.depth)

    def test_outputs_belong_to_the_caller(self, backend: Backend, images: Float32Array) -> None:
        features = backend.encode(images[:2])
        first = backend.reconstruct(features, [0, 1])
        kept = [values.copy() for values in first]
        other = backend.encode(images[2:])

        backend.reconstruct(other, [0, 1])

        for values, before in zip(first, kept, strict=True):
            np.testing.assert_array_equal(values, before)

    def test_features_outlive_the_next_call(self, backend: Backend, images: Float32Array) -> None:
        features = backend.encode(images[:2])
        first = backend.reconstruct(features, [1])
        backend.encode(images[2:])

        second = backend.reconstruct(features, [1])

        assert_close(backend, second.depth, first.depth)
        other = backend.reconstruct(backend.encode(images[2:]), [1])
        assert not is_close(backend, other.depth, first.depth)

    def test_input_images_are_left_alone(self, backend: Backend, images: Float32Array) -> None:
        given = images.copy()

        backend.encode(given)

        np.testing.assert_array_equal(given, images)

    def test_strided_images_equal_packed_ones(
        self, backend: Backend, images: Float32Array
    ) -> None:
        strided = np.repeat(images, 2, axis=3)[..., ::2]

        raw = backend.reconstruct(backend.encode(strided), [0])

        expected = backend.reconstruct(backend.encode(images), [0])
        assert_close(backend, raw.depth, expected.depth)
        other = backend.reconstruct(backend.encode(images[:, :, ::-1].copy()), [0])
        assert not is_close(backend, other.depth, expected.depth)

    @pytest.mark.parametrize(
        'shape', [(3, 56, 70), (1, 56, 70, 3), (1, 3, 56, 71), (1, 1, 56, 70)]
    )
    def test_images_of_another_shape_are_refused(
        self, backend: Backend, shape: tuple[int, ...]
    ) -> None:
        with pytest.raises(ShapeError, match=r'\(V, 3, 56, 70\)'):
            backend.encode(np.zeros(shape, np.float32))

    def test_images_of_another_type_are_refused(self, backend: Backend) -> None:
        with pytest.raises(ShapeError, match='uint8'):
            backend.encode(np.zeros((1, 3, 56, 70), np.uint8))  # type: ignore[arg-type]

    @pytest.mark.parametrize('publish', [[], [2], [-1], [0, 5]])
    def test_published_views_that_do_not_exist_are_refused(
        self, backend: Backend, images: Float32Array, publish: list[int]
    ) -> None:
        features = backend.encode(images[:2])

        with pytest.raises(ShapeError, match='indices from 0 to 1'):
            backend.reconstruct(features, publish)

    def test_windows_without_or_with_too_many_views_are_refused(
        self, backend: Backend, images: Float32Array
    ) -> None:
        features = backend.encode(images)

        with pytest.raises(ShapeError, match='1 to 4 views'):
            backend.reconstruct([], [0])
        with pytest.raises(ShapeError, match='1 to 4 views'):
            backend.reconstruct(features + features[:1], [0])


@pytest.mark.parametrize('name', BACKENDS)
def test_close_twice_is_harmless_and_use_after_close_is_an_error(
    name: str, tiny_card: Path
) -> None:
    pytest.importorskip(name)
    backend = open_backend(name, str(tiny_card))
    images = textured_images(1, backend.spec.input_hw)
    features = backend.encode(images)

    backend.close()
    backend.close()

    with pytest.raises(BackendError, match='closed'):
        backend.encode(images)
    with pytest.raises(BackendError, match='closed'):
        backend.reconstruct(features, [0])


@pytest.mark.parametrize('precision', ['f32', 'bf16'])
@pytest.mark.parametrize('num_views', [1, 2, 4])
def test_torch_and_openvino_agree(tiny_card: Path, num_views: int, precision: str) -> None:
    reference, other = run_both(tiny_card, precision, textured_images(num_views, (56, 70), seed=3))

    precision = {'f32': 'fp32'}.get(precision, precision)
    for name, error in compare_outputs(reference, other, precision).items():
        assert error.within, name


def test_bf16_depth_has_no_staircase(tiny_card: Path) -> None:
    # Depth rounded to bf16 has steps of 0.4 %: a few hundred values in place of thousands.
    rows, columns = np.mgrid[0:56, 0:70].astype(np.float32)
    ramp = np.stack([rows / 56, columns / 70, (rows + columns) / 126])[None]

    _, other = run_both(tiny_card, 'bf16', ramp)

    assert len(np.unique(other.depth)) > 0.9 * other.depth.size


@pytest.mark.parametrize('num_views', [2, 4])
@pytest.mark.parametrize('precision', ['f32', 'bf16'])
def test_kept_features_and_one_decoded_view_give_the_depth_of_the_plain_run(
    precision: str, num_views: int
) -> None:
    pytest.importorskip('openvino')
    from moe3d_engine.assets import find_weights
    from moe3d_engine.backends.openvino_backend import open_openvino

    backend = open_openvino(find_weights('moe3d-small'), precision=precision)
    try:
        images = textured_images(num_views, backend.spec.input_hw)
        plain = backend.reconstruct(backend.encode(images), range(num_views))
        kept = [backend.encode(image[None])[0] for image in images]
        sliding = backend.reconstruct(kept, [num_views - 1])
    finally:
        backend.close()

    error = np.abs(sliding.depth[0] - plain.depth[-1]) / plain.depth[-1]
    assert np.percentile(error, 99) <= REUSE_TOLERANCE[precision]
    np.testing.assert_allclose(sliding.pose_encoding, plain.pose_encoding, atol=5e-2)


def run_both(
    card_path: Path, precision: str, images: Float32Array
) -> tuple[RawOutputs, RawOutputs]:
    """Return what torch and OpenVINO in this precision say of all views."""
    pytest.importorskip('torch')
    openvino = pytest.importorskip('openvino')
    from moe3d_engine.assets import find_weights
    from moe3d_engine.backends.openvino_backend import open_openvino
    from moe3d_engine.backends.openvino_backend import precision_here
    from moe3d_engine.backends.torch_backend import open_torch

    if precision == 'bf16':
        capabilities = openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        if precision_here(capabilities) != 'bf16':
            pytest.skip('this CPU has no native bf16')
    card = find_weights(str(card_path))
    results = []
    for backend in (open_torch(card), open_openvino(card, precision=precision)):
        results.append(backend.reconstruct(backend.encode(images), range(len(images))))
        backend.close()
    return results[0], results[1]
