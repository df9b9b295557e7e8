"""What real drivers and runtimes do and mild doubles would not: see the doubles for the rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import threading
from typing import Any

from moe3d_engine.assets import WeightsCard
from moe3d_engine.backends.open import open_backend
from moe3d_engine.backends.tensorrt.backend import open_tensorrt
from moe3d_engine.backends.tensorrt.backend import TensorRtBackend
from moe3d_engine.backends.tensorrt.cuda_buffers import Cuda
from moe3d_engine.errors import BackendError
from moe3d_engine.types import Float32Array
import numpy as np
import pytest

World = Any  # of tensorrt_double.py, which is loaded by conftest.py
WritePlans = Callable[..., Path]
Refusal = Callable[..., str]


class TestStart:
    def test_runtime_that_is_broken_after_an_error_is_neither_used_nor_freed(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        write_plans()
        world.breaks_runtimes = True

        message = refusal(BackendError)

        assert 'tensorrt 10.3.0 cannot start: CUDA initialization failure' in message
        assert 'tensorrt-cu12' in message

    def test_cuda_is_started_before_the_runtime(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        write_plans()
        world.cuda.fails['cudaSetDevice'] = world.cuda.cudaError_t.cudaErrorInsufficientDriver

        assert 'CUDA could not start: cudaErrorInsufficientDriver (35)' in refusal(BackendError)

    def test_second_backend_hears_what_the_runtime_says(
        self, world: World, backend: TensorRtBackend, tiny: WeightsCard, images: Float32Array
    ) -> None:
        second = open_tensorrt(tiny)
        features = second.encode(images)
        world.fails_to_execute.add('reconstruct')

        with pytest.raises(BackendError, match='cannot run reconstruct: a kernel cannot be laun'):
            second.reconstruct(features, [0])

        second.close()

    def test_errors_of_before_are_not_told_again(
        self, world: World, backend: TensorRtBackend, images: Float32Array
    ) -> None:
        world.error('an old story')
        features = backend.encode(images)
        world.fails_to_execute.add('reconstruct')

        with pytest.raises(BackendError) as caught:
            backend.reconstruct(features, [0])

        assert 'an old story' not in str(caught.value)

    def test_auto_runs_on_the_cpu_whatever_the_packages_of_nvidia_raise(
        self,
        world: World,
        tiny_card: Path,
        write_plans: WritePlans,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        write_plans()
        world.cuda.fails['cudaSetDevice'] = ValueError('999 is not a valid cudaError_t')

        backend = open_backend('auto', str(tiny_card))

        assert backend.name == 'openvino'
        assert 'runs on the CPU, not on the Double' in caplog.text
        assert 'Traceback' in caplog.text
        backend.close()


class TestGraphs:
    def test_failed_run_is_no_reason_to_capture(
        self, world: World, backend: TensorRtBackend, images: Float32Array
    ) -> None:
        features = backend.encode(images)
        world.fails_to_execute.add('reconstruct')
        with pytest.raises(BackendError, match='cannot run reconstruct'):
            backend.reconstruct(features, [1])
        world.fails_to_execute.clear()
        before = world.cuda.num_launches

        backend.reconstruct(features, [1])  # nothing has run with these shapes so far

        assert world.cuda.num_launches == before
        backend.reconstruct(features, [1])
        assert world.cuda.num_launches == before + 1

    @pytest.mark.parametrize('function', ['cudaGraphInstantiate', 'cudaGraphLaunch'])
    def test_graph_that_cannot_be_made_or_launched_is_replaced_by_plain_runs(
        self,
        function: str,
        world: World,
        backend: TensorRtBackend,
        images: Float32Array,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        features = backend.encode(images)
        first = backend.reconstruct(features, [1])
        world.cuda.fails[function] = world.cuda.cudaError_t.cudaErrorMemoryAllocation

        for _ in range(3):
            again = backend.reconstruct(features, [1])

        np.testing.assert_array_equal(first.depth, again.depth)
        assert caplog.text.count('reconstruct runs without a CUDA graph') == 1
        assert not world.cuda.graphs

    def test_graphs_that_compute_something_else_than_the_plain_run_are_refused(
        self, world: World, refusal: Refusal, write_plans: WritePlans
    ) -> None:
        write_plans()
        world.distort_graphs = spoil_depth

        assert 'tensorrt (fp32) computes something else' in refusal()

    def test_kernels_do_not_change_after_the_self_check(
        self,
        world: World,
        tiny: WeightsCard,
        write_plans: WritePlans,
        use_runtime: Callable[[str], Any],
        images: Float32Array,
    ) -> None:
        version = use_runtime('tensorrt_rtx').__version__
        write_plans(
            runtime='tensorrt_rtx', runtime_version=version, gpu_name='', compute_capability=''
        )
        depths = []
        for distort in (None, spoil_depth):
            world.distort_graphs = distort
            backend = open_tensorrt(tiny)
            depths += [backend.reconstruct(backend.encode(images), [0]).depth for _ in range(2)]
            backend.close()

        np.testing.assert_array_equal(depths, [depths[0]] * 4)

    def test_capture_ends_on_the_thread_that_began_it_and_allows_nothing_else(
        self, world: World
    ) -> None:
        cuda = Cuda(world.cuda)

        def enqueue() -> bool:
            cuda.allocate(8)
            return True

        with pytest.raises(BackendError, match='cudaErrorStreamCaptureUnsupported'):
            cuda.capture(enqueue)

        address = cuda.allocate(8)  # the stream and the memory can be used as before
        cuda.free(address)
        cuda.close()
        assert world.cuda.in_use() == 0


def spoil_depth(plan: str, outputs: dict[str, Any]) -> None:
    if plan == 'reconstruct':
        outputs['depth'] *= 1.01


class TestThreads:
    def test_backend_that_one_thread_opened_works_in_another(
        self, backend: TensorRtBackend, images: Float32Array
    ) -> None:
        expected = [backend.reconstruct(backend.encode(images), [1]).depth for _ in range(3)]
        found: list[Float32Array] = []

        def work() -> None:
            for _ in range(3):  # plain, captured, launched
                found.append(backend.reconstruct(backend.encode(images[:2]), [1]).depth)
            found.append(backend.reconstruct(backend.encode(images), [1]).depth)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)

        np.testing.assert_array_equal(found[3], expected[2])
        np.testing.assert_array_equal(found[0], found[2])


class TestMemory:
    def test_work_that_a_failed_call_left_is_done_before_its_memory_is_freed(
        self, world: World, backend: TensorRtBackend
    ) -> None:
        sources = np.zeros((1, 120, 160, 3), np.uint8)
        backend.encode_sources(sources)
        world.fails_to_execute.add('image_encoder')
        with pytest.raises(BackendError, match='cannot run image_encoder'):
            backend.encode_sources(sources)
        world.fails_to_execute.clear()

        fitted, _ = backend.encode_sources(np.zeros((1, 90, 100, 3), np.uint8))

        assert not fitted.any()

    def test_plans_share_what_is_between_their_layers(
        self, world: World, tiny: WeightsCard, write_plans: WritePlans
    ) -> None:
        write_plans()
        world.scratch_bytes = 1 << 25  # more than all tensors
        backend = open_tensorrt(tiny)

        large = [len(memory) for memory in world.cuda.device.values() if len(memory) > 1 << 24]

        assert large == [1 << 25]
        backend.close()
        assert world.cuda.in_use() == 0

    def test_camera_images_of_another_size_may_need_more_between_layers(
        self, world: World, tiny: WeightsCard, write_plans: WritePlans, images: Float32Array
    ) -> None:
        write_plans()
        backend = open_tensorrt(tiny)
        for _ in range(2):
            backend.encode_sources(np.zeros((4, 64, 64, 3), np.uint8))
            expected = backend.reconstruct(backend.encode(images), [0])
        world.scratch_bytes = 1 << 20

        backend.encode_sources(np.zeros((4, 470, 640, 3), np.uint8))  # moves it: graphs are void

        found = backend.reconstruct(backend.encode(images), [0])
        np.testing.assert_array_equal(found.depth, expected.depth)
        backend.close()

    @pytest.mark.parametrize(
        ('said', 'advice'),
        [
            ('CUDA error 2 out of memory', 'has no memory left'),
            ('Requested size was 7 bytes. OutOfMemory', 'has no memory left'),
            ('an illegal memory access was encountered', 'only a new process'),
            ('misaligned address', 'only a new process'),
            ('the memory format is not supported', ''),
        ],
    )
    def test_advice_fits_what_the_runtime_says(
        self,
        said: str,
        advice: str,
        world: World,
        backend: TensorRtBackend,
        images: Float32Array,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        features = backend.encode(images)
        monkeypatch.setattr(world, 'error', lambda _: type(world).error(world, said))
        world.fails_to_execute.add('reconstruct')

        with pytest.raises(BackendError) as caught:
            backend.reconstruct(features, [0])

        message = str(caught.value)
        assert said in message
        assert [text for text in ('has no memory left', 'only a new process') if text in message] \
            == ([advice] if advice else [])  # fmt: skip
