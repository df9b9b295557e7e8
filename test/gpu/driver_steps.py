"""Steps on the driver alone: versions, memory, copies, graphs, and an error that is the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import distributions
from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path
import platform
import shutil
import subprocess
import sys
from typing import Any

from moe3d_engine.backends.tensorrt.cuda_buffers import Cuda
from moe3d_engine.backends.tensorrt.cuda_buffers import import_cuda
from moe3d_engine.errors import BackendError
import numpy as np
from prove import SkippedError

Note = Callable[..., None]
PACKAGES = ('torch', 'tensorrt', 'onnx', 'cuda', 'cupy', 'numpy', 'nvidia-cu', 'ml_dtypes')
COPY_BYTES = 1 << 26


def cuda_api(rehearse: bool) -> Any:  # noqa: ANN401
    """Return CUDA of this machine, or its double."""
    if not rehearse:
        return import_cuda()
    return load_double('cuda_double').CudaDouble()


def load_double(name: str) -> Any:  # noqa: ANN401
    """Return a module of the doubles, which are no package."""
    if name not in sys.modules:
        path = Path(__file__).parents[1] / 'backends' / f'{name}.py'
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def versions(note: Note, _: Path, rehearse: bool) -> None:
    """Note the machine: driver, GPU, packages."""
    from moe3d_engine.plans.gpu import current_gpu

    found = {d.name: d.version for d in distributions() if d.name and d.name.startswith(PACKAGES)}
    note(python=platform.python_version(), machine=platform.machine(), packages=found)
    gpu = current_gpu()
    note(gpu=gpu)
    for tool in ('nvidia-smi', 'nvcc', 'compute-sanitizer'):
        note(**{tool: output_of(tool)})
    if gpu is None and not rehearse:
        raise SkippedError('no GPU is to be seen')


def output_of(tool: str) -> str:
    """Return what a tool says of the machine, or of itself."""
    if shutil.which(tool) is None:
        return 'is not here'
    words = [tool] if tool == 'nvidia-smi' else [tool, '--version']
    result = subprocess.run(words, capture_output=True, text=True, timeout=15, check=False)
    return result.stdout[-2000:]


def cuda(note: Note, _: Path, rehearse: bool) -> None:
    """Check memory, pinned copies, capture, its refusal, and a launch after it."""
    stream = Cuda(cuda_api(rehearse))
    rng = np.random.default_rng(0)
    source = stream.allocate_pinned((COPY_BYTES,), np.uint8)
    target = stream.allocate_pinned((COPY_BYTES,), np.uint8)
    source[...] = rng.integers(0, 256, COPY_BYTES, np.uint8)
    first, second = (stream.allocate(COPY_BYTES) for _ in range(2))
    note(aligned=(first % 256, second % 256))
    stream.upload(first, source)
    stream.copy(second, first, COPY_BYTES)
    stream.download(target, second)
    stream.synchronize()
    note(round_trip=bool(np.array_equal(source, target)))

    def copy() -> bool:
        stream.copy(second, first, COPY_BYTES)
        stream.download(target, second)
        return True

    graph = stream.capture(copy)
    for fill in (7, 9):
        source[...] = fill
        stream.upload(first, source)
        stream.launch(graph)
        stream.synchronize()
        assert (target == fill).all()
    stream.destroy(graph)
    note(graph_launches=2)

    def forbidden() -> bool:
        stream.free(stream.allocate(256))
        return True

    def refused() -> bool:
        return False

    for name, enqueue in {'allocation': forbidden, 'refusal': refused}.items():
        try:
            stream.destroy(stream.capture(enqueue))
            outcome = 'was captured'
        except BackendError as error:
            outcome = str(error)
        stream.upload(first, source)
        stream.synchronize()
        note(**{f'{name}_in_capture': outcome})
    try:
        stream.allocate(1 << 50)
        raise AssertionError('a petabyte was allocated')
    except BackendError as error:
        note(too_much_memory=str(error))
    stream.free(first)
    stream.close()
    stream.close()


def lost_gpu(note: Note, _: Path, rehearse: bool) -> None:
    """Write where nothing is, and check that everything says so from then on."""
    api = cuda_api(rehearse)
    stream = Cuda(api)
    address = stream.allocate(256)
    if rehearse:
        api.fails['cudaStreamSynchronize'] = api.cudaError_t.cudaErrorIllegalAddress
    else:
        spoil()
    said = []
    for name, call in {
        'synchronize': stream.synchronize,
        'allocate': lambda: stream.allocate(256),
        'copy': lambda: stream.copy(address, address + 128, 128),
        'start': lambda: Cuda(api),
    }.items():
        try:
            call()
            said.append(f'{name}: no error')
        except BackendError as error:
            said.append(f'{name}: {error}')
    note(after_an_illegal_write=said)
    stream.close()  # must not raise
    assert all('only a new process' in text for text in said), said


def spoil() -> None:
    """Write through a wild pointer on the GPU."""
    import cupy

    kernel = cupy.RawKernel(
        'extern "C" __global__ void wild(int* p) { p[threadIdx.x] = 1; }', 'wild'
    )
    kernel((1,), (32,), (np.uint64(0xDEAD0000),))
    with suppress(cupy.cuda.runtime.CUDARuntimeError):
        cupy.cuda.runtime.deviceSynchronize()
