"""All that is said to CUDA: one stream, memory, copies and captured graphs of work."""

from __future__ import annotations

from collections.abc import Callable
import ctypes
from importlib import import_module
import logging
import math
from typing import Any

from moe3d_engine.errors import BackendError
from moe3d_engine.plans.nvidia_log import LOST_ADVICE
import numpy as np
from numpy.typing import DTypeLike
from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)
_MODULES = ('cuda.bindings.runtime', 'cuda.cudart')  # the second is its name before 12.6.1
_OUT_OF_MEMORY, _OLD_DRIVER = 2, 35  # cudaErrorMemoryAllocation, cudaErrorInsufficientDriver
_BROKEN = range(700, 720)  # from cudaErrorIllegalAddress to cudaErrorLaunchFailure
_INSTALL = (
    'Install the one for the CUDA version that nvidia-smi shows: pip install "cuda-python<13" for '
    'CUDA 12, "cuda-python<14" for CUDA 13, "cuda-python==12.6.*" on a Jetson with JetPack 6.'
)
MEMORY_ADVICE = (
    'The GPU has no memory left: close other programs that use it, build for fewer views '
    '(`moe3d build --views`) or in fp16, or take smaller weights.'
)


def import_cuda() -> Any:  # noqa: ANN401 (a module without types)
    """
    Return the CUDA runtime of cuda-python.

    Raises
    ------
    BackendError
        If it is not installed.
    """
    reasons = []
    for name in _MODULES:
        try:
            return import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library is missing
            reasons.append(str(error))
    raise BackendError(f'The package cuda-python cannot be imported ({reasons[0]}). {_INSTALL}')


class Cuda:
    """
    One stream on the first GPU, and the memory that was allocated with it.

    Copies are done in order, after they were asked for; `synchronize` waits for all of them.

    Parameters
    ----------
    api : what `import_cuda` returned.

    Raises
    ------
    BackendError
        If CUDA does not start.
    """

    def __init__(self, api: Any) -> None:  # noqa: ANN401
        self._api = api
        self._device: set[int] = set()
        self._pinned: set[int] = set()
        self._stream: Any = None
        try:
            self._check(api.cudaSetDevice(0), 'start')
            created = api.cudaStreamCreateWithFlags(api.cudaStreamNonBlocking)
        except RuntimeError as error:  # cuda-python found no driver, or one without the function
            raise BackendError(f'CUDA cannot start: {error}. {_INSTALL}') from error
        self._stream = self._check(created, 'make a stream')

    @property
    def stream(self) -> int:
        """Return the handle of the stream."""
        return int(self._stream)

    def allocate(self, num_bytes: int) -> int:
        """Return the address of new memory on the GPU."""
        address = int(self._check(self._api.cudaMalloc(num_bytes), f'allocate {num_bytes} bytes'))
        self._device.add(address)
        return address

    def free(self, address: int) -> None:
        """Free what `allocate` returned."""
        self._device.discard(address)
        self._tried(self._api.cudaFree(address))

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return a new array in memory of the CPU that the GPU copies from and to by itself."""
        num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        what = f'pin {num_bytes} bytes'
        address = int(self._check(self._api.cudaMallocHost(num_bytes), what))
        self._pinned.add(address)
        memory = memoryview((ctypes.c_uint8 * num_bytes).from_address(address))
        return np.frombuffer(memory, np.dtype(dtype)).reshape(shape)

    def free_pinned(self, array: NDArray[Any]) -> None:
        """Free what `allocate_pinned` returned; nobody may look at the array any more."""
        address = array.ctypes.data
        self._pinned.discard(address)
        self._tried(self._api.cudaFreeHost(address))

    def upload(self, target: int, source: NDArray[Any]) -> None:
        """Copy a pinned, contiguous array to the GPU."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(target, source.ctypes.data, source.nbytes, kind)

    def download(self, target: NDArray[Any], source: int) -> None:
        """Copy from the GPU to a pinned, contiguous array."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(target.ctypes.data, source, target.nbytes, kind)

    def copy(self, target: int, source: int, num_bytes: int) -> None:
        """Copy within the GPU."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._copy(target, source, num_bytes, kind)

    def synchronize(self) -> None:
        """
        Wait until everything that was asked for is done.

        Raises
        ------
        BackendError
            If something of it failed.
        """
        self._check(self._api.cudaStreamSynchronize(self._stream), 'finish its work')

    def wait(self) -> None:
        """Wait as `synchronize` does, before something is freed; after an error nothing runs."""
        self._tried(self._api.cudaStreamSynchronize(self._stream))

    def capture(self, enqueue: Callable[[], bool]) -> Any:  # noqa: ANN401
        """
        Return the work that `enqueue` puts on the stream as a graph, which `launch` does.

        Parameters
        ----------
        enqueue : puts work on the stream; returns whether it could.

        Raises
        ------
        BackendError
            If the work cannot be captured. The stream can be used as before.
        """
        api = self._api
        mode = api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check(api.cudaStreamBeginCapture(self._stream, mode), 'begin a graph')
        enqueued = False
        try:
            enqueued = enqueue()
        finally:
            status, graph = api.cudaStreamEndCapture(self._stream)
            api.cudaGetLastError()  # what a refused capture leaves there is no failure of ours
        self._check((status,), 'end a graph')
        try:
            if not enqueued:
                raise BackendError('the runtime did not let its work be captured')
            return self._check(api.cudaGraphInstantiate(graph, 0), 'make a graph')
        finally:
            self._tried(api.cudaGraphDestroy(graph))

    def launch(self, graph: Any) -> None:  # noqa: ANN401
        """Put the work of a graph on the stream."""
        self._check(self._api.cudaGraphLaunch(graph, self._stream), 'launch a graph')

    def destroy(self, graph: Any) -> None:  # noqa: ANN401
        """Free what `capture` returned."""
        self._tried(self._api.cudaGraphExecDestroy(graph))

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        if self._stream is None:
            return
        self.wait()
        for address in tuple(self._device):
            self.free(address)
        for address in tuple(self._pinned):
            self._pinned.discard(address)
            self._tried(self._api.cudaFreeHost(address))
        self._tried(self._api.cudaStreamDestroy(self._stream))
        self._stream = None

    def _copy(self, target: int, source: int, num_bytes: int, kind: Any) -> None:  # noqa: ANN401
        """Ask for one copy."""
        copied = self._api.cudaMemcpyAsync(target, source, num_bytes, kind, self._stream)
        self._check(copied, f'copy {num_bytes} bytes')

    def _check(self, result: tuple[Any, ...], what: str) -> Any:  # noqa: ANN401
        """Return the value of a call, or raise with what CUDA says and what to do."""
        status = result[0]
        if status == self._api.cudaError_t.cudaSuccess:
            return result[1] if len(result) > 1 else None
        code = int(status)
        advice = {_OUT_OF_MEMORY: MEMORY_ADVICE, _OLD_DRIVER: _INSTALL}.get(code, '')
        if code in _BROKEN:
            advice = LOST_ADVICE
        name = getattr(status, 'name', 'an unknown error')
        raise BackendError(f'CUDA could not {what}: {name} ({code}). {advice}'.rstrip())

    def _tried(self, result: tuple[Any, ...]) -> None:
        """Note that something could not be freed; after an error of the GPU nothing can."""
        if result[0] != self._api.cudaError_t.cudaSuccess:
            _LOGGER.debug('CUDA could not free something: %s.', result[0])
