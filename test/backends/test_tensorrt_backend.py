"""
The TensorRT backend on doubles of TensorRT and CUDA, which compute true numbers.

Nothing of this has run on a GPU; see `tensorrt_double.py` for what the doubles are.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import gc
import logging
from pathlib import Path
from typing import Any

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backend import Backend
from moe3d_engine.backends.tensorrt.backend import open_tensorrt
from moe3d_engine.backends.tensorrt.backend import TensorRtBackend
from moe3d_engine.geometry.fit import fit_view
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.graphs.parity import textured_images
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import UInt8Array
from moe3d_engine.types import View
import numpy as np
import pytest

pytestmark = pytest.mark.instruction_sets

INPUT_HW = (56, 70)
World = Any  # of tensorrt_double.py, which is loaded by conftest.py


@pytest.fixture(scope='module')
def reference(tiny: WeightsCard) -> Iterator[Backend]:
    pytest.importorskip('openvino')
    from moe3d_engine.backends.openvino_backend import open_openvino

    backend = open_openvino(tiny, threads=1, precision='f32')
    yield backend
    backend.close()


@pytest.fixture(scope='module')
def images() -> Float32Array:
    return textured_images(4, INPUT_HW)


def assert_equal(raw: RawOutputs, expected: RawOutputs) -> None:
    for name, values in raw._asdict().items():
        np.testing.assert_allclose(
            values, getattr(expected, name), rtol=1e-4, atol=1e-5, err_msg=name
        )


def camera_images(count: int, source_hw: tuple[int, int]) -> UInt8Array:
    images = 255 * textured_images(count, source_hw)
    return np.ascontiguousarray(images.astype(np.uint8).transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ('num_views', 'publish'), [(1, [0]), (2, [1]), (2, [1, 0]), (3, [2, 0]), (4, [0, 1, 2, 3])]
)
def test_results_are_those_of_openvino(
    num_views: int,
    publish: list[int],
    backend: TensorRtBackend,
    reference: Backend,
    images: Float32Array,
) -> None:
    views = images[:num_views]

    raw = backend.reconstruct(backend.encode(views), publish)

    assert_equal(raw, reference.reconstruct(reference.encode(views), publish))


def test_sliding_window_on_the_gpu_is_that_of_openvino(
    backend: TensorRtBackend, reference: Backend, images: Float32Array
) -> None:
    ours: list[object] = []
    theirs: list[object] = []
    for count in range(7):
        image = images[count % 4][None]
        ours = [*ours[-2:], *backend.encode(image)]
        theirs = [*theirs[-2:], *reference.encode(image)]

        raw = backend.reconstruct(ours, [len(ours) - 1])

        assert_equal(raw, reference.reconstruct(theirs, [len(theirs) - 1]))


def test_shapes_that_repeat_are_launched_as_graphs(
    backend: TensorRtBackend, world: World, images: Float32Array
) -> None:
    def run(num_views: int, publish: list[int]) -> int:
        before = world.cuda.num_launches
        backend.reconstruct(features[:num_views], publish)
        return world.cuda.num_launches - before

    features = backend.encode(images)

    assert [run(3, [2]) for _ in range(4)] == [0, 1, 1, 1]
    assert [run(3, [2, 0]), run(2, [1]), run(3, [2]), run(3, [2])] == [0, 0, 0, 1]
    assert not world.cuda.graphs
    assert len(world.cuda.executables) <= 3  # one for each plan


def test_tensorrt_rtx_captures_by_itself(
    world: World,
    tiny: WeightsCard,
    write_plans: Callable[..., Path],
    use_runtime: Callable[[str], Any],
    images: Float32Array,
    reference: Backend,
) -> None:
    version = use_runtime('tensorrt_rtx').__version__
    write_plans(
        runtime='tensorrt_rtx', runtime_version=version, gpu_name='', compute_capability=''
    )
    backend = open_tensorrt(tiny)

    raws = [backend.reconstruct(backend.encode(images), [0]) for _ in range(4)]

    assert world.cuda.num_launches == 0
    assert_equal(raws[-1], reference.reconstruct(reference.encode(images), [0]))
    backend.close()


def test_work_that_cannot_be_captured_runs_without_graphs_and_says_so_once(
    backend: TensorRtBackend,
    world: World,
    images: Float32Array,
    reference: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.fails_to_capture = True
    before = world.cuda.num_launches  # of the self-check
    features = backend.encode(images)

    for publish in ([0], [1], [1], [1], [0], [0], [0]):
        raw = backend.reconstruct(features, publish)
        assert_equal(raw, reference.reconstruct(reference.encode(images), publish))

    assert world.cuda.num_launches == before
    assert caplog.text.count('reconstruct runs without a CUDA graph') == 1
    assert 'not permitted when stream is capturing' in caplog.text
    backend.close()
    assert world.cuda.in_use() == 0


def test_outputs_belong_to_the_caller(backend: TensorRtBackend, images: Float32Array) -> None:
    features = backend.encode(images[:2])
    first = backend.reconstruct(features, [0, 1])
    kept = [values.copy() for values in first]

    backend.reconstruct(backend.encode(images[2:]), [0, 1])

    for values, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(values, before)
        assert values.flags.owndata


def test_strided_images_equal_packed_ones(backend: TensorRtBackend, images: Float32Array) -> None:
    strided = np.repeat(images, 2, axis=3)[..., ::2]

    raw = backend.reconstruct(backend.encode(strided), [0])

    assert_equal(raw, backend.reconstruct(backend.encode(images), [0]))


def test_sliding_window_allocates_nothing_and_more_features_take_more_memory(
    backend: TensorRtBackend, world: World, images: Float32Array, reference: Backend
) -> None:
    before = world.cuda.num_mallocs
    window = backend.encode(images)
    for _ in range(3):
        window = [*window, *backend.encode(images[:1])][1:]
        backend.reconstruct(window, [3])
    assert world.cuda.num_mallocs == before

    kept = [backend.encode(images) for _ in range(3)]

    assert world.cuda.num_mallocs > before
    expected = reference.reconstruct(reference.encode(images), [2])
    for features in kept:
        assert_equal(backend.reconstruct(features, [2]), expected)


def test_close_frees_everything(
    world: World, tiny: WeightsCard, write_plans: Callable[..., Path], images: Float32Array
) -> None:
    write_plans()
    backend = open_tensorrt(tiny)
    features = backend.encode(images)
    for _ in range(3):
        backend.reconstruct(features, [0])
    backend.encode_sources(camera_images(1, (120, 160)))
    assert world.cuda.in_use() > 0

    backend.close()
    backend.close()

    assert world.cuda.in_use() == 0
    del backend, features
    gc.collect()
    assert not world.alive


@pytest.mark.parametrize('source_hw', [(480, 640), (112, 140), (60, 70), (56, 70), (40, 50)])
def test_camera_images_are_fitted_as_on_the_cpu(
    source_hw: tuple[int, int], backend: TensorRtBackend
) -> None:
    sources = camera_images(2, source_hw)

    fitted, features = backend.encode_sources(sources)
    raw = backend.reconstruct(features, [0, 1])

    expected = np.stack([fit_view(View(source), INPUT_HW).image for source in sources])
    assert fitted.shape == (2, *INPUT_HW, 3)
    assert fitted.flags.owndata
    assert np.abs(fitted.astype(int) - expected).max() <= 1
    assert_equal(raw, backend.reconstruct(backend.encode(to_network(fitted)), [0, 1]))


def test_backend_fits_camera_images_by_itself(backend: TensorRtBackend) -> None:
    from moe3d_engine.backend import SourceEncoder

    assert isinstance(backend, SourceEncoder)


def test_camera_images_of_one_size_use_the_same_memory_and_graph(
    backend: TensorRtBackend, world: World
) -> None:
    sources = camera_images(3, (120, 160))
    first, _ = backend.encode_sources(sources[:1])
    mallocs, launches = world.cuda.num_mallocs, world.cuda.num_launches

    others = [backend.encode_sources(source[None])[0] for source in sources[1:]]

    assert world.cuda.num_mallocs == mallocs
    assert world.cuda.num_launches == launches + 4  # preprocess and image_encoder, twice
    backend.encode_sources(camera_images(1, (90, 100)))
    again, _ = backend.encode_sources(sources[:1])
    # A value between two grey levels may be rounded to either.
    np.testing.assert_allclose(again.astype(int), first, rtol=0, atol=1)
    assert not np.allclose(others[0].astype(int), first, rtol=0, atol=1)


def test_camera_images_beyond_the_plan_are_fitted_by_the_cpu_and_it_says_so_once(
    backend: TensorRtBackend, caplog: pytest.LogCaptureFixture
) -> None:
    sources = camera_images(1, (500, 700))

    for _ in range(2):
        fitted, features = backend.encode_sources(sources)

    np.testing.assert_array_equal(fitted[0], fit_view(View(sources[0]), INPUT_HW).image)
    assert len(features) == 1
    assert caplog.text.count('700 x 500 pixels are beyond what the plans of tiny take') == 1


def test_newest_plans_of_any_precision_are_taken(
    world: World,
    tiny: WeightsCard,
    write_plans: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    import os

    os.utime(write_plans(precision='fp16') / 'manifest.json', (0, 0))
    newest = write_plans(precision='bf16')

    with caplog.at_level(logging.INFO, logger='moe3d_engine'):
        open_tensorrt(tiny).close()

    assert f'runs the bf16 plans in {newest}' in caplog.text


def test_pipeline_on_the_gpu_is_that_of_the_cpu(
    backend: TensorRtBackend, reference: Backend
) -> None:
    from moe3d_engine.network import Engine
    from moe3d_engine.session import Session

    views = [View(image) for image in camera_images(3, (112, 140))]

    ours = Session(Engine(backend)).reconstruct(views, [2])
    theirs = Session(Engine(reference)).reconstruct(views, [2])

    # A grey level of difference in the image is allowed, and moves depth a little.
    assert np.median(np.abs(ours.depth_raw / theirs.depth_raw - 1)) < 0.01
