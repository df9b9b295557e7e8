"""
A double of NVIDIA's runtime, and with `cuda_double.py` the only mock of this project.

No GPU is here. A plan of the double names an ONNX graph and a profile; OpenVINO runs the graph in
float32 on the memory of the CUDA double, so that true numbers go through all buffers. The double
offers nothing that the real module lacks: `test_tensorrt_double.py` compares names and arguments.
"""

# ruff: noqa: ANN401
from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from functools import cache
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any
import weakref

import numpy as np
import tensorrt_rtx as real

SPECIALIZATION = real.DynamicShapesKernelSpecializationStrategy
ALLOCATION = real.ExecutionContextAllocationStrategy
MAGIC = b'plan of the double\n'
Shape = tuple[int, ...]
Distortion = Callable[[str, dict[str, Any]], None]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]


@dataclass
class World:
    """
    What happens on the GPU of a test.

    Parameters
    ----------
    cuda : the double of CUDA.
    scratch_bytes : that each plan needs between layers for its largest shapes.
    distort : changes the outputs of a plan.
    distort_graphs : changes those of a graph that was captured, or of kernels that were made for
        shapes while the plan ran already.
    breaks_runtimes : whether a runtime logs an error and is returned without an implementation.
    fails_to_execute : names of plans that cannot be run.
    fails_to_capture : whether no work can be captured.
    """

    cuda: Any
    scratch_bytes: int = 1000
    distort: Distortion | None = None
    distort_graphs: Distortion | None = None
    breaks_runtimes: bool = False
    fails_to_execute: set[str] = field(default_factory=set)
    fails_to_capture: bool = False
    alive: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)
    num_crashes: int = 0
    logger: Any = None  # of the first runtime that lives

    def error(self, message: str) -> None:
        """Log an error; all objects use the logger of the first."""
        self.logger.log(real.ILogger.Severity.ERROR, message)


def write_plan(path: Path, graph: Path, profile: Profile) -> None:
    """Write a plan that the double reads."""
    content = {'name': path.stem, 'graph': str(graph), 'profile': profile}
    path.write_bytes(MAGIC + json.dumps(content).encode())


def make_module(world: World, name: str) -> SimpleNamespace:
    """Return a module `tensorrt` or `tensorrt_rtx`."""
    module = SimpleNamespace(
        __name__=name,
        __version__=real.__version__ if name == real.__name__ else '10.3.0',
        ILogger=real.ILogger,
        IProgressMonitor=real.IProgressMonitor,
        TensorIOMode=real.TensorIOMode,
        TensorLocation=real.TensorLocation,
        ExecutionContextAllocationStrategy=real.ExecutionContextAllocationStrategy,
        Runtime=type('Runtime', (RuntimeDouble,), {'_world': world}),
    )
    if name == real.__name__:  # tensorrt 10.3 and 11.4 have none
        module.CudaGraphStrategy = real.CudaGraphStrategy
        module.DynamicShapesKernelSpecializationStrategy = SPECIALIZATION
    return module


class RuntimeDouble:
    """Of Runtime."""

    _world: World

    def __init__(self, logger: Any) -> None:
        assert isinstance(logger, real.ILogger)
        if not self._world.alive:
            self._world.logger = logger
        self._is_broken = self._world.breaks_runtimes or 'cudaSetDevice' in self._world.cuda.fails
        if self._is_broken:
            logger.log(real.ILogger.Severity.ERROR, 'CUDA initialization failure with error: 35')
        else:
            self._world.alive.add(self)

    def __del__(self) -> None:
        self._world.num_crashes += self._is_broken

    def deserialize_cuda_engine(self, serialized_engine: Any) -> EngineDouble | None:
        assert not self._is_broken, 'segmentation fault'
        content = bytes(memoryview(serialized_engine))
        if not content.startswith(MAGIC):
            self._world.error('the magic tag of the plan is wrong')
            return None
        return EngineDouble(self._world, json.loads(content[len(MAGIC) :]))


class EngineDouble:
    """Of ICudaEngine."""

    def __init__(self, world: World, plan: dict[str, Any]) -> None:
        self._world = world
        self._plan = plan
        self._model = read_graph(plan['graph'])
        self._ports = {port.any_name: port for port in (*self._model.inputs, *self._model.outputs)}
        self._inputs = [port.any_name for port in self._model.inputs]
        world.alive.add(self)

    @property
    def num_io_tensors(self) -> int:
        return len(self._ports)

    def get_tensor_name(self, index: int) -> str:
        return list(self._ports)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return real.TensorIOMode.INPUT if name in self._inputs else real.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        types = {'f32': 'FLOAT', 'f16': 'HALF', 'i64': 'INT64', 'u8': 'UINT8'}
        return getattr(real.DataType, types[self._ports[name].element_type.get_type_name()])

    def get_tensor_location(self, name: str) -> Any:
        assert name in self._ports
        return real.TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        assert profile_index == 0
        return [real.Dims(shape) for shape in self._plan['profile'][name]]

    @property
    def device_memory_size_v2(self) -> int:
        return self._world.scratch_bytes

    def create_runtime_config(self) -> ConfigDouble:
        return ConfigDouble()

    def create_execution_context(self, strategy: Any = ALLOCATION.STATIC) -> ContextDouble | None:
        config = strategy if isinstance(strategy, ConfigDouble) else ConfigDouble()
        if config is not strategy:
            config.set_execution_context_allocation_strategy(strategy)
        static = config.get_execution_context_allocation_strategy() == ALLOCATION.STATIC
        context = ContextDouble(self, config)
        if static:
            status, address = self._world.cuda.cudaMalloc(self._world.scratch_bytes)
            if address is None:
                self._world.error(f'OutOfMemory: scratch memory ({status.name})')
                return None
            weakref.finalize(context, self._world.cuda.device.pop, address)
        return context


class ConfigDouble:
    """Of IRuntimeConfig."""

    cuda_graph_strategy = real.CudaGraphStrategy.DISABLED
    dynamic_shapes_kernel_specialization_strategy = SPECIALIZATION.LAZY

    def __init__(self) -> None:
        self._allocation = ALLOCATION.STATIC

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self._allocation = strategy

    def get_execution_context_allocation_strategy(self) -> Any:
        return self._allocation


class ContextDouble:
    """Of IExecutionContext."""

    def __init__(self, engine: EngineDouble, config: ConfigDouble) -> None:
        self._engine = engine
        self._world = engine._world
        self._builtin_graphs = (
            config.cuda_graph_strategy == real.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        )
        self._changes_kernels = self._builtin_graphs and (
            config.dynamic_shapes_kernel_specialization_strategy == SPECIALIZATION.LAZY
        )
        self._static = config.get_execution_context_allocation_strategy() == ALLOCATION.STATIC
        self._scratch = (0, 0)  # address and bytes
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._state = 0  # changes with shapes and addresses
        self._state_that_ran = -1
        self._runs = 0
        self._world.alive.add(self)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert isinstance(shape, tuple)
        least, _, most = self._engine._plan['profile'][name]
        if not all(
            low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
        ):
            self._world.error(f'{name} {shape} is outside of the profile')
            return False
        self._shapes[name] = shape
        self._state += 1
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine._inputs if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> Any:
        assert not self.infer_shapes()
        shapes = infer_shapes(self._engine._plan['graph'], tuple(sorted(self._shapes.items())))
        return real.Dims(shapes[name])

    def update_device_memory_size_for_shapes(self) -> int:
        assert not self.infer_shapes()
        now, most = (
            sum(math.prod(shapes[name]) for name in self._shapes)
            for shapes in (
                self._shapes,
                {n: p[2] for n, p in self._engine._plan['profile'].items()},
            )
        )
        return math.ceil(self._world.scratch_bytes * now / most)

    def set_device_memory(self, memory: int, size: int) -> None:
        assert not self._static
        assert memory % 256 == 0
        self._scratch = (memory, size)
        self._state += 1

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert type(memory) is int
        assert name in self._engine._ports
        if memory % 256:
            self._world.error(f'the address of {name} is not aligned to 256 bytes')
            return False
        self._addresses[name] = memory
        self._state += 1
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert type(stream_handle) is int
        stream = self._world.cuda.streams[stream_handle]
        if self._world.cuda.lost is not None:
            self._world.error('Cuda Runtime (an illegal memory access was encountered)')
            return False
        if self._engine._plan['name'] in self._world.fails_to_execute:
            self._world.error('a kernel cannot be launched')
            return False
        is_captured = stream.thread is not None
        if is_captured:
            unsettled = self._state_that_ran != self._state
            if unsettled or self._world.fails_to_capture or self._builtin_graphs:
                self._world.error('operation not permitted when stream is capturing')
                stream.captured = None
                return False
        self._state_that_ran = self._state
        self._runs += 1
        tensors = {name: (self._addresses[name], tuple(self.get_tensor_shape(name)))
                   for name in self._engine._ports}  # fmt: skip
        state, scratch = self._state, self._scratch
        is_other = is_captured or (self._changes_kernels and self._runs > 1)
        needed = 0 if self._static else self.update_device_memory_size_for_shapes()
        assert scratch[1] >= needed, 'there is too little memory between layers'

        def work() -> None:
            assert state == self._state, 'a graph is of other shapes or addresses'
            if needed:
                self._world.cuda.memory(*scratch)[...] = 0xAB
            self._run(tensors, is_other)

        used = [address for address, _ in tensors.values()]
        stream.add(work, [*used, scratch[0]])
        return True

    def _run(self, tensors: dict[str, tuple[int, Shape]], is_other: bool) -> None:
        """Run the graph on device memory."""
        arrays = {}
        for name, (address, shape) in tensors.items():
            dtype = np.dtype(self._engine._ports[name].element_type.to_dtype())
            flat = self._world.cuda.memory(address, math.prod(shape) * dtype.itemsize)
            arrays[name] = flat.view(dtype).reshape(shape)
        inputs = {name: arrays[name] for name in self._engine._inputs}
        outputs = compile_graph(self._engine._plan['graph']).infer(inputs, share_outputs=False)
        found = {port.any_name: values for port, values in outputs.items()}
        for distort in (self._world.distort, self._world.distort_graphs if is_other else None):
            if distort is not None:
                distort(self._engine._plan['name'], found)
        for name, values in found.items():
            arrays[name][...] = values


@cache
def read_graph(path: str) -> Any:
    """Return a graph of OpenVINO."""
    import openvino

    return openvino.Core().read_model(path)


@cache
def compile_graph(path: str) -> Any:
    """Return a graph that can be run."""
    import openvino

    settings = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    return openvino.Core().compile_model(path, 'CPU', settings).create_infer_request()


@cache
def infer_shapes(path: str, inputs: tuple[tuple[str, Shape], ...]) -> dict[str, Shape]:
    """Return the shapes of all inputs and outputs."""
    model = read_graph(path).clone()
    model.reshape({name: list(shape) for name, shape in inputs})
    ports = (*model.inputs, *model.outputs)
    return {port.any_name: tuple(port.shape) for port in ports}
