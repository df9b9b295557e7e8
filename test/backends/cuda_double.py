"""
A double of `cuda.bindings.runtime`; see `tensorrt_double.py`.

Memory of the GPU is numpy memory behind addresses that mean nothing else. Work on a stream is done
when the stream is waited for: what is read or written over too early is wrong here, too. Memory
that is not there, or not pinned, must not be touched.
"""

# ruff: noqa: ANN401, N802, N815
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cuda.bindings import runtime as real
import numpy as np
from numpy.typing import NDArray

OK = real.cudaError_t.cudaSuccess
MEMORY_BYTES = 1 << 30
_FIRST_ADDRESS = 1 << 60  # no address of the CPU is so large
_UNTOUCHED = 0xCD  # what new memory holds


class Handle:
    """A stream or graph: work to do, and a number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.work: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None  # None: not capturing

    def __int__(self) -> int:
        return self.number

    def add(self, work: Callable[[], None]) -> None:
        """Do this later, or keep it for the graph."""
        (self.work if self.captured is None else self.captured).append(work)


class CudaDouble:
    """
    The functions that begin with `cuda` are those of CUDA.

    Parameters
    ----------
    memory_bytes : of the GPU.
    """

    __name__ = 'cuda.bindings.runtime'
    cudaError_t = real.cudaError_t
    cudaMemcpyKind = real.cudaMemcpyKind
    cudaStreamCaptureMode = real.cudaStreamCaptureMode
    cudaStreamNonBlocking = real.cudaStreamNonBlocking

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.memory_bytes = memory_bytes
        self.device: dict[int, NDArray[np.uint8]] = {}
        self.host: dict[int, NDArray[np.uint8]] = {}
        self.streams: dict[int, Handle] = {}
        self.graphs: set[Handle] = set()
        self.executables: set[Handle] = set()
        self.fails: dict[str, Any] = {}  # function -> error that it returns
        self.num_launches = 0
        self.num_mallocs = 0
        self._next = _FIRST_ADDRESS
        self._capturing: set[int] = set()

    def has_room(self, num_bytes: int) -> bool:
        """Return whether so much memory is left."""
        used = sum(map(len, self.device.values()))
        return used + num_bytes <= self.memory_bytes

    def in_use(self) -> int:
        """Return how many things are not freed."""
        return sum(map(len, (self.device, self.host, self.streams, self.graphs, self.executables)))

    def memory(self, address: int, num_bytes: int) -> NDArray[np.uint8]:
        """Return memory of GPU or CPU; it must be allocated."""
        for base, content in (*self.device.items(), *self.host.items()):
            if base <= address and address + num_bytes <= base + len(content):
                return content[address - base :][:num_bytes]
        raise AssertionError(f'{num_bytes} bytes at {address} are not allocated')

    def cudaSetDevice(self, device: int) -> tuple[Any]:
        return (self.fails.get('cudaSetDevice', OK if device == 0 else 101),)

    def cudaGetLastError(self) -> tuple[Any]:
        return (OK,)

    def cudaMalloc(self, size: int) -> tuple[Any, Any]:
        assert not self._capturing
        if not self.has_room(size):
            return (real.cudaError_t.cudaErrorMemoryAllocation, None)
        self.num_mallocs += 1
        address, self._next = self._next, self._next + size + 4096 - size % 256
        self.device[address] = np.full(size, _UNTOUCHED, np.uint8)
        return (OK, address)

    def cudaFree(self, devPtr: int) -> tuple[Any]:
        del self.device[devPtr]
        return (OK,)

    def cudaMallocHost(self, size: int) -> tuple[Any, Any]:
        if 'cudaMallocHost' in self.fails:
            return (self.fails['cudaMallocHost'], None)
        content = np.full(size, _UNTOUCHED, np.uint8)
        self.host[content.ctypes.data] = content
        return (OK, content.ctypes.data)

    def cudaFreeHost(self, ptr: int) -> tuple[Any]:
        del self.host[ptr]
        return (OK,)

    def cudaMemcpyAsync(
        self, dst: int, src: int, count: int, kind: Any, stream: Handle
    ) -> tuple[Any]:
        kinds = self.cudaMemcpyKind
        to_host = kind == kinds.cudaMemcpyDeviceToHost
        from_host = kind == kinds.cudaMemcpyHostToDevice
        assert to_host or from_host or kind == kinds.cudaMemcpyDeviceToDevice
        assert (dst < _FIRST_ADDRESS, src < _FIRST_ADDRESS) == (to_host, from_host)
        target, source = self.memory(dst, count), self.memory(src, count)

        def copy() -> None:
            target[...] = source

        self.streams[int(stream)].add(copy)
        return (OK,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, Any]:
        assert flags == real.cudaStreamNonBlocking
        stream = Handle(len(self.streams) + 7)
        self.streams[int(stream)] = stream
        return (OK, stream)

    def cudaStreamSynchronize(self, stream: Handle) -> tuple[Any]:
        work = self.streams[int(stream)].work
        while work and 'cudaStreamSynchronize' not in self.fails:
            work.pop(0)()
        return (self.fails.get('cudaStreamSynchronize', OK),)

    def cudaStreamDestroy(self, stream: Handle) -> tuple[Any]:
        del self.streams[int(stream)]
        return (OK,)

    def cudaStreamBeginCapture(self, stream: Handle, mode: Any) -> tuple[Any]:
        assert mode == self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        stream.captured = []
        self._capturing.add(int(stream))
        return (OK,)

    def cudaStreamEndCapture(self, stream: Handle) -> tuple[Any, Any]:
        self._capturing.remove(int(stream))
        work, stream.captured = stream.captured, None
        if work is None:
            return (real.cudaError_t.cudaErrorStreamCaptureInvalidated, None)
        graph = Handle(1)
        graph.work = work
        self.graphs.add(graph)
        return (OK, graph)

    def cudaGraphInstantiate(self, graph: Handle, flags: int) -> tuple[Any, Any]:
        assert flags == 0
        executable = Handle(2)
        executable.work = graph.work
        self.executables.add(executable)
        return (OK, executable)

    def cudaGraphLaunch(self, graphExec: Handle, stream: Handle) -> tuple[Any]:
        assert graphExec in self.executables
        self.num_launches += 1
        for work in graphExec.work:
            stream.add(work)
        return (OK,)

    def cudaGraphDestroy(self, graph: Handle) -> tuple[Any]:
        self.graphs.remove(graph)
        return (OK,)

    def cudaGraphExecDestroy(self, graphExec: Handle) -> tuple[Any]:
        self.executables.remove(graphExec)
        return (OK,)
