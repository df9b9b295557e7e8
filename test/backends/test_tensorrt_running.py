"""What can go wrong on a GPU that runs plans: memory, errors, and wrong use."""

from __future__ import annotations

from collections.abc import Callable
import gc
from pathlib import Path
from typing import Any

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backends.tensorrt.backend import open_tensorrt
from moe3d_engine.backends.tensorrt.backend import TensorRtBackend
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ShapeError
from moe3d_engine.types import Float32Array
import numpy as np
import pytest

World = Any  # of tensorrt_double.py, which is loaded by conftest.py
WritePlans = Callable[..., Path]
Refusal = Callable[..., str]


class TestMemory:
    @pytest.mark.parametrize('share', [0.0, 0.3, 0.7, 0.99])
    def test_too_little_for_the_buffers(
        self,
        share: float,
        world: World,
        tiny: WeightsCard,
        refusal: Refusal,
        write_plans: WritePlans,
    ) -> None:
        write_plans()
        world.scratch_bytes = 0
        backend = open_tensorrt(tiny)
        used = sum(map(len, world.cuda.device.values()))
        backend.close()
        del backend
        gc.collect()
        world.cuda.memory_bytes = int(share * used)

        message = refusal(BackendError)

        assert 'CUDA could not allocate' in message
        assert 'cudaErrorMemoryAllocation (2)' in message
        assert 'close other programs that use it' in message
        assert '--views' in message

    def test_too_little_for_pinned_memory(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        write_plans()
        world.cuda.fails['cudaMallocHost'] = world.cuda.cudaError_t.cudaErrorMemoryAllocation

        assert 'CUDA could not pin' in refusal(BackendError)

    def test_too_little_for_what_is_between_layers(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        write_plans()
        world.scratch_bytes = 1 << 40

        message = refusal(BackendError)

        assert 'CUDA could not allocate' in message
        assert 'close other programs that use it' in message

    def test_too_little_for_more_features_leaves_the_backend_usable(
        self, world: World, backend: TensorRtBackend, images: Float32Array
    ) -> None:
        world.cuda.memory_bytes = 0
        features = backend.encode(images)

        with pytest.raises(BackendError, match='close other programs'):
            backend.encode(images)  # there is room for the views of a window and one more

        gc.collect()  # the error held what was encoded before it
        first = backend.reconstruct(features[:1], [0])
        again = backend.reconstruct(backend.encode(images[:1]), [0])
        np.testing.assert_allclose(first.depth, again.depth, rtol=1e-4)


class TestWhileRunning:
    def test_refusal_of_the_runtime_is_told_and_the_backend_stays_usable(
        self, world: World, backend: TensorRtBackend, images: Float32Array
    ) -> None:
        features = backend.encode(images)
        world.fails_to_execute.add('reconstruct')

        with pytest.raises(BackendError, match='cannot run reconstruct: a kernel cannot be laun'):
            backend.reconstruct(features, [0])

        world.fails_to_execute.clear()
        assert np.isfinite(backend.reconstruct(features, [0]).depth).all()

    def test_error_of_the_gpu_asks_for_a_new_process_and_close_still_works(
        self, world: World, backend: TensorRtBackend, images: Float32Array
    ) -> None:
        features = backend.encode(images)
        errors = world.cuda.cudaError_t
        world.cuda.fails['cudaStreamSynchronize'] = errors.cudaErrorIllegalAddress

        with pytest.raises(BackendError, match=r'cudaErrorIllegalAddress \(700\)\. .*new process'):
            backend.reconstruct(features, [0])
        with pytest.raises(BackendError, match='new process'):
            backend.encode(images)

        backend.close()
        with pytest.raises(BackendError, match='is closed'):
            backend.encode(images)

    def test_closed_backend(self, backend: TensorRtBackend, images: Float32Array) -> None:
        features = backend.encode(images)
        backend.close()

        with pytest.raises(BackendError, match='tensorrt backend of tiny is closed'):
            backend.encode(images)
        with pytest.raises(BackendError, match='tensorrt backend of tiny is closed'):
            backend.reconstruct(features, [0])
        with pytest.raises(BackendError, match='tensorrt backend of tiny is closed'):
            backend.encode_sources(np.zeros((1, 64, 64, 3), np.uint8))

    def test_features_of_another_backend(
        self, backend: TensorRtBackend, tiny: WeightsCard, images: Float32Array
    ) -> None:
        other = open_tensorrt(tiny)
        foreign = other.encode(images)

        with pytest.raises(BackendError, match=r'\(DeviceFeatures\) are not of this tensorrt'):
            backend.reconstruct(foreign, [0])
        other.close()
        with pytest.raises(BackendError, match=r'\(DeviceFeatures\) are not of this tensorrt'):
            backend.reconstruct(foreign, [0])
        with pytest.raises(BackendError, match=r'\(dict\) are not of this tensorrt backend'):
            backend.reconstruct([{'tokens': images}], [0])

    @pytest.mark.parametrize('shape', [(3, 56, 70), (1, 56, 70, 3), (1, 3, 56, 71)])
    def test_images_of_another_shape(
        self, shape: tuple[int, ...], backend: TensorRtBackend
    ) -> None:
        with pytest.raises(ShapeError, match=r'\(V, 3, 56, 70\)'):
            backend.encode(np.zeros(shape, np.float32))

    @pytest.mark.parametrize('count', [0, 5])
    def test_too_few_or_too_many_images(self, count: int, backend: TensorRtBackend) -> None:
        with pytest.raises(ShapeError, match=f'encodes 1 to 4 images at once; got {count}'):
            backend.encode(np.zeros((count, 3, 56, 70), np.float32))
        with pytest.raises(ShapeError, match=f'encodes 1 to 4 images at once; got {count}'):
            backend.encode_sources(np.zeros((count, 64, 64, 3), np.uint8))

    def test_camera_images_of_another_type(self, backend: TensorRtBackend) -> None:
        with pytest.raises(ShapeError, match=r'\(V, H, W, 3\) and type uint8; .*float64'):
            backend.encode_sources(np.zeros((1, 64, 64, 3)))  # type: ignore[arg-type]

    @pytest.mark.parametrize('publish', [[], [3], [-1]])
    def test_published_views_that_do_not_exist(
        self, publish: list[int], backend: TensorRtBackend, images: Float32Array
    ) -> None:
        features = backend.encode(images)

        with pytest.raises(ShapeError, match='indices from 0 to 2'):
            backend.reconstruct(features, publish)

    def test_more_published_views_than_the_plan_takes(
        self, backend: TensorRtBackend, images: Float32Array
    ) -> None:
        features = backend.encode(images)

        with pytest.raises(ShapeError, match=r'takes publish of shapes from \(1,\) to \(4,\)'):
            backend.reconstruct(features, [0] * 5)
