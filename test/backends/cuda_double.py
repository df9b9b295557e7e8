"""
A double of `cuda.bindings.runtime`; see `tensorrt_double.py`.

Memory of the GPU is numpy memory behind addresses that mean nothing else. Work on a stream is done
when the stream is waited for: what is read or written over too early is wrong here, too. It is as
strict as CUDA's documentation, or stricter: memory that is not there, not pinned, or freed while
work needs it must not be touched; after an error of the GPU every later call returns that error;
while a thread captures, it may do nothing else, and no other thread may use the stream.
"""

# ruff: noqa: ANN401, N802, N815
from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from functools import wraps
import threading
from typing import Any
from typing import NamedTuple

from cuda.bindings import runtime as real
import numpy as np
from numpy.typing import NDArray

OK = real.cudaError_t.cudaSuccess
MEMORY_BYTES = 1 << 30
_FIRST_ADDRESS = 1 << 60  # no address of the CPU is so large
_UNTOUCHED = 0xCD  # what new memory holds
_LOST = range(700, 720)  # errors after which a process cannot use the GPU
_MAY_CAPTURE = {'cudaMemcpyAsync', 'cudaStreamEndCapture', 'cudaGetLastError'}


class Work(NamedTuple):
    """Something to do, and the addresses of the memory that it needs."""

    run: Callable[[], None]
    addresses: tuple[int, ...]


class Handle:
    """A stream or graph: work to do, and a number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.work: list[Work] = []
        self.captured: list[Work] | None = None  # None: not capturing
        self.thread: int | None = None  # that captures

    def __int__(self) -> int:
        return self.number

    def add(self, run: Callable[[], None], addresses: Iterable[int] = ()) -> None:
        """Do this later, or keep it for the graph."""
        assert self.thread in {None, threading.get_ident()}, 'another thread captures this stream'
        work = Work(run, tuple(addresses))
        (self.work if self.captured is None else self.captured).append(work)


def driver(results: int) -> Callable[[Any], Any]:
    """Make a function of CUDA that returns so many values after its status refuse as CUDA does."""

    def decorate(function: Any) -> Any:
        @wraps(function)
        def checked(self: CudaDouble, *arguments: Any) -> tuple[Any, ...]:
            status = self.refusal(function.__name__)
            return (status, *[None] * results) if status != OK else function(self, *arguments)

        return checked

    return decorate


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
        self.fails: dict[str, Any] = {}  # function -> error that it returns, or raises
        self.lost: Any = None  # the error after which nothing works any more
        self.num_launches = 0
        self.num_mallocs = 0
        self._next = _FIRST_ADDRESS

    def refusal(self, name: str) -> Any:
        """Return with which status a function fails before it does anything."""
        failure = self.fails.get(name, OK)
        if isinstance(failure, Exception):
            raise failure
        if int(failure) in _LOST:
            self.lost = self.lost or failure
        if self.lost is not None:
            return self.lost
        if failure != OK:
            return failure
        for stream in self.streams.values():
            if stream.thread == threading.get_ident() and name not in _MAY_CAPTURE:
                stream.captured = None
                return real.cudaError_t.cudaErrorStreamCaptureUnsupported
        return OK

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

    def assert_idle(self, base: int, num_bytes: int) -> None:
        """Fail if work that is not done yet needs this memory."""
        for stream in self.streams.values():
            for work in stream.work:
                needed = [a for a in work.addresses if base <= a < base + num_bytes]
                assert not needed, 'memory is freed that work on a stream needs'

    @driver(0)
    def cudaSetDevice(self, device: int) -> tuple[Any]:
        return (OK if device == 0 else real.cudaError_t.cudaErrorInvalidDevice,)

    @driver(0)
    def cudaGetLastError(self) -> tuple[Any]:
        return (OK,)

    @driver(1)
    def cudaMalloc(self, size: int) -> tuple[Any, Any]:
        if not self.has_room(size):
            return (real.cudaError_t.cudaErrorMemoryAllocation, None)
        self.num_mallocs += 1
        address, self._next = self._next, self._next + size + 4096 - size % 256
        self.device[address] = np.full(size, _UNTOUCHED, np.uint8)
        return (OK, address)

    @driver(0)
    def cudaFree(self, devPtr: int) -> tuple[Any]:
        self.assert_idle(devPtr, len(self.device[devPtr]))
        del self.device[devPtr]
        return (OK,)

    @driver(1)
    def cudaMallocHost(self, size: int) -> tuple[Any, Any]:
        content = np.full(size, _UNTOUCHED, np.uint8)
        self.host[content.ctypes.data] = content
        return (OK, content.ctypes.data)

    @driver(0)
    def cudaFreeHost(self, ptr: int) -> tuple[Any]:
        self.assert_idle(ptr, len(self.host[ptr]))
        del self.host[ptr]
        return (OK,)

    @driver(0)
    def cudaMemcpyAsync(
        self, dst: int, src: int, count: int, kind: Any, stream: Handle
    ) -> tuple[Any]:
        kinds = self.cudaMemcpyKind
        to_host = kind == kinds.cudaMemcpyDeviceToHost
        from_host = kind == kinds.cudaMemcpyHostToDevice
        assert to_host or from_host or kind == kinds.cudaMemcpyDeviceToDevice
        assert (dst < _FIRST_ADDRESS, src < _FIRST_ADDRESS) == (to_host, from_host)
        self.memory(dst, count)
        self.memory(src, count)

        def copy() -> None:
            self.memory(dst, count)[...] = self.memory(src, count)

        self.streams[int(stream)].add(copy, (dst, src))
        return (OK,)

    @driver(1)
    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, Any]:
        assert flags == real.cudaStreamNonBlocking
        stream = Handle(len(self.streams) + 7)
        self.streams[int(stream)] = stream
        return (OK, stream)

    @driver(0)
    def cudaStreamSynchronize(self, stream: Handle) -> tuple[Any]:
        work = self.streams[int(stream)].work
        while work:
            work.pop(0).run()
        return (OK,)

    @driver(0)
    def cudaStreamDestroy(self, stream: Handle) -> tuple[Any]:
        del self.streams[int(stream)]
        return (OK,)

    @driver(0)
    def cudaStreamBeginCapture(self, stream: Handle, mode: Any) -> tuple[Any]:
        assert mode == self.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        stream.captured, stream.thread = [], threading.get_ident()
        return (OK,)

    @driver(1)
    def cudaStreamEndCapture(self, stream: Handle) -> tuple[Any, Any]:
        if stream.thread != threading.get_ident():
            return (real.cudaError_t.cudaErrorStreamCaptureWrongThread, None)
        work, stream.captured, stream.thread = stream.captured, None, None
        if work is None:
            return (real.cudaError_t.cudaErrorStreamCaptureInvalidated, None)
        graph = Handle(1)
        graph.work = work
        self.graphs.add(graph)
        return (OK, graph)

    @driver(1)
    def cudaGraphInstantiate(self, graph: Handle, flags: int) -> tuple[Any, Any]:
        assert flags == 0
        executable = Handle(2)
        executable.work = graph.work
        self.executables.add(executable)
        return (OK, executable)

    @driver(0)
    def cudaGraphLaunch(self, graphExec: Handle, stream: Handle) -> tuple[Any]:
        assert graphExec in self.executables
        self.num_launches += 1
        for work in graphExec.work:
            stream.add(*work)
        return (OK,)

    @driver(0)
    def cudaGraphDestroy(self, graph: Handle) -> tuple[Any]:
        self.graphs.remove(graph)
        return (OK,)

    @driver(0)
    def cudaGraphExecDestroy(self, graphExec: Handle) -> tuple[Any]:
        pending = [work for stream in self.streams.values() for work in stream.work]
        assert not any(work in pending for work in graphExec.work), 'a graph is freed that runs'
        self.executables.remove(graphExec)
        return (OK,)
