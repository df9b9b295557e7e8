"""
A stand-in for the package `tensorrt` where there is a GPU, or its double, but no TensorRT.

Its plans name ONNX graphs, which torch runs operator by operator on the stream and the memory that
the backend gives: so everything of ours is real, and only NVIDIA's kernels are not. What it offers
is what `tensorrt_double.py` offers, which is compared with NVIDIA's packages.
"""

# ruff: noqa: ANN401
from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from enum import Enum
from importlib.machinery import ModuleSpec
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from moe3d_engine.graphs.torch_graph import TorchGraph
import onnx_ir as ir
import torch
from torch import Tensor

MAGIC = b'plan of the stand-in\n'
SCRATCH_BYTES = 1 << 20
Shape = tuple[int, ...]
DataType = Enum('DataType', ['FLOAT', 'INT64', 'UINT8'])
Mode = Enum('TensorIOMode', ['NONE', 'INPUT', 'OUTPUT'])
Location = Enum('TensorLocation', ['DEVICE', 'HOST'])
Strategy = Enum('ExecutionContextAllocationStrategy', ['STATIC', 'USER_MANAGED'])
Severity = Enum('Severity', ['INTERNAL_ERROR', 'ERROR', 'WARNING', 'INFO', 'VERBOSE'])
TYPES = {
    ir.DataType.FLOAT: (DataType.FLOAT, torch.float32, '<f4'),
    ir.DataType.INT64: (DataType.INT64, torch.int64, '<i8'),
    ir.DataType.UINT8: (DataType.UINT8, torch.uint8, '|u1'),
}


class Logger:
    """Of ILogger."""

    Severity = Severity


def write_plan(path: Path, graph: Path, profile: Mapping[str, tuple[Shape, Shape, Shape]]) -> None:
    """Write a plan that the stand-in reads."""
    path.write_bytes(MAGIC + json.dumps({'graph': str(graph), 'profile': profile}).encode())


class GpuMemory:
    """A real GPU: tensors are views of memory, and work is put on the stream at once."""

    device = 'cuda'

    def tensor(self, address: int, shape: Shape, kind: ir.DataType) -> Tensor:
        """Return a tensor at an address."""
        interface = {
            'data': (address, False), 'shape': shape, 'typestr': TYPES[kind][2], 'version': 3,
        }  # fmt: skip
        return torch.as_tensor(SimpleNamespace(__cuda_array_interface__=interface), device='cuda')

    def submit(self, stream: int, work: Callable[[], None], addresses: list[int]) -> None:
        """Put work on a stream."""
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)):
            work()


class DoubleMemory:
    """
    The double of CUDA.

    Parameters
    ----------
    cuda : of `cuda_double.py`.
    """

    device = 'cpu'

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda

    def tensor(self, address: int, shape: Shape, kind: ir.DataType) -> Tensor:
        """Return a tensor at an address."""
        num_bytes = math.prod(shape) * TYPES[kind][1].itemsize
        content = torch.from_numpy(self._cuda.memory(address, num_bytes))
        return content.view(TYPES[kind][1]).reshape(shape)

    def submit(self, stream: int, work: Callable[[], None], addresses: list[int]) -> None:
        """Put work on a stream."""
        self._cuda.streams[stream].add(work, addresses)


def make_module(memory: GpuMemory | DoubleMemory) -> SimpleNamespace:
    """Return the module; it is to be put into `sys.modules` as `tensorrt`."""
    return SimpleNamespace(
        __name__='tensorrt',
        __version__='stand-in',
        __spec__=ModuleSpec('tensorrt', None),
        ILogger=Logger,
        IProgressMonitor=object,
        TensorIOMode=Mode,
        TensorLocation=Location,
        ExecutionContextAllocationStrategy=Strategy,
        Runtime=type('Runtime', (Runtime,), {'memory': memory}),
    )


class Runtime:
    """Of Runtime."""

    memory: GpuMemory | DoubleMemory

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Engine | None:
        content = bytes(memoryview(serialized_engine))
        if not content.startswith(MAGIC):
            self._logger.log(Severity.ERROR, 'this is no plan of the stand-in')
            return None
        return Engine(self.memory, json.loads(content[len(MAGIC) :]))


class Engine:
    """Of ICudaEngine."""

    device_memory_size_v2 = SCRATCH_BYTES

    def __init__(self, memory: GpuMemory | DoubleMemory, plan: dict[str, Any]) -> None:
        self.memory = memory
        self.profile = plan['profile']
        self.run = TorchGraph(Path(plan['graph']), memory.device)
        graph = self.run.graph
        self.inputs = {str(value.name): value for value in graph.inputs}
        self.tensors = self.inputs | {str(value.name): value for value in graph.outputs}
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return Mode.INPUT if name in self.inputs else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return TYPES[self.kind(name)][0]

    def get_tensor_location(self, name: str) -> Any:
        return Location.DEVICE

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
        return self.profile[name]

    def create_execution_context(self, strategy: Any) -> Context:
        assert strategy == Strategy.USER_MANAGED
        return Context(self)

    def kind(self, name: str) -> ir.DataType:
        """Return the type of a tensor."""
        kind = self.tensors[name].dtype
        assert kind is not None
        return kind


class Context:
    """Of IExecutionContext."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        self._shapes[name] = shape
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine.inputs if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> Shape:
        if name in self._shapes:
            return self._shapes[name]
        sizes: dict[str, int] = {}
        for known, shape in self._shapes.items():
            dims = self._engine.inputs[known].shape or ()
            sizes |= {str(dim): size for dim, size in zip(dims, shape, strict=True)}
        dims = self._engine.tensors[name].shape or ()
        return tuple(dim if isinstance(dim, int) else sizes[str(dim)] for dim in dims)

    def update_device_memory_size_for_shapes(self) -> int:
        return SCRATCH_BYTES

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= SCRATCH_BYTES

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return memory % 256 == 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._engine
        tensors = {
            name: engine.memory.tensor(address, self.get_tensor_shape(name), engine.kind(name))
            for name, address in self._addresses.items()
        }

        def work() -> None:
            inputs = {name: tensors[name] for name in engine.inputs}
            for name, values in engine.run(inputs).items():
                tensors[name].copy_(values)

        engine.memory.submit(stream_handle, work, list(self._addresses.values()))
        return True
