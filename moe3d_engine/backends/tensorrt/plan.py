"""One compiled plan on the GPU: its tensors, their memory, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping
import logging
from pathlib import Path
from typing import Any

from moe3d_engine.backends.tensorrt.cuda_buffers import Cuda
from moe3d_engine.backends.tensorrt.runtime import TensorRtRuntime
from moe3d_engine.backends.tensorrt.scratch import Scratch
from moe3d_engine.backends.tensorrt.tensors import REBUILD
from moe3d_engine.backends.tensorrt.tensors import Shape
from moe3d_engine.backends.tensorrt.tensors import Tensor
from moe3d_engine.backends.tensorrt.tensors import TYPES
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.errors import ShapeError
import numpy as np
from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)


class TensorRtPlan:
    """
    A plan with memory for its inputs and outputs.

    The shapes of the inputs are set before each run. A shape that is run twice in a row is
    captured as a CUDA graph, which the second and later runs launch. TensorRT-RTX does that by
    itself.

    Parameters
    ----------
    runtime : opens the plan.
    path : of the plan, which was checked.
    cuda : runs it.
    scratch : memory between layers, which other plans use, too.
    on_host : inputs and outputs that also have memory on the CPU.

    Raises
    ------
    EngineError
        If the plan cannot be read, or has tensors of a type that is not known here.
    BackendError
        If there is not enough memory.
    """

    def __init__(
        self,
        runtime: TensorRtRuntime,
        path: Path,
        cuda: Cuda,
        scratch: Scratch,
        on_host: tuple[str, ...],
    ) -> None:
        self.name = path.stem
        self._runtime = runtime
        self._cuda = cuda
        self._scratch = scratch
        self._scratch_bytes = 0  # that the present shapes need
        self._scratch_given = (0, 0)  # address and bytes that the context knows
        self._on_host = on_host
        self._engine = runtime.load(path)
        self._context = self._make_context()
        self._types = self._find_types()
        self._is_input = {
            name: self._engine.get_tensor_mode(name) == runtime.trt.TensorIOMode.INPUT
            for name in self._types
        }
        self._limits = {name: self._find_limits(name) for name in self._inputs()}
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._own: list[int] = []
        self._host: dict[str, NDArray[Any]] = {}
        self._graph: Any = None
        self._has_run = False  # with the present shapes and addresses
        self.set_shapes({name: most for name, (_, most) in self._limits.items()})
        self.tensors = {
            name: Tensor(self._is_input[name], dtype, self.shape(name))
            for name, dtype in self._types.items()
        }

    @property
    def input_shapes(self) -> dict[str, Shape]:
        """Return the shapes of the inputs that are set now."""
        return dict(self._shapes)

    def takes(self, shapes: Mapping[str, Shape]) -> bool:
        """Return whether inputs of these shapes are within what the plan was built for."""
        return all(self._fits(name, shape) for name, shape in shapes.items())

    def set_shapes(self, shapes: Mapping[str, Shape]) -> None:
        """
        Set the shapes of all inputs for the next runs.

        Raises
        ------
        ShapeError
            If the plan was not built for them.
        BackendError
            If the runtime refuses them.
        """
        if self._shapes == shapes:
            return
        for name, shape in shapes.items():
            if not self._fits(name, shape):
                least, most = self._limits[name]
                raise ShapeError(
                    f'The plan {self.name} takes {name} of shapes from {least} to {most}; got '
                    f'{shape}. `moe3d build --views` builds for others.'
                )
        self._drop_graph()
        self._shapes = {}
        self._runtime.said()
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise self._runtime.failure(f'take the shape {shape} of {name} in {self.name}')
        try:
            unknown = self._context.infer_shapes()
        except RuntimeError as error:
            raise self._runtime.failure(f'infer the shapes of {self.name} ({error})') from error
        if unknown:
            raise self._runtime.failure(f'infer the shapes of {", ".join(unknown)}')
        self._scratch_bytes = int(self._context.update_device_memory_size_for_shapes())
        if not self._scratch_bytes and self._engine.device_memory_size_v2:
            raise self._runtime.failure(f'tell how much memory {self.name} needs between layers')
        self._shapes = dict(shapes)

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor with the present shapes of the inputs."""
        return tuple(map(int, self._context.get_tensor_shape(name)))

    def allocate(
        self, shapes: Mapping[str, Shape], shared: Mapping[str, int] | None = None
    ) -> None:
        """
        Make room for inputs of these shapes and for their outputs; what was there before is freed.

        Parameters
        ----------
        shared : addresses of tensors that have their memory elsewhere.
        """
        self._free()
        self.set_shapes(shapes)
        self._scratch.grow(self._scratch_bytes)
        for name, dtype in self._types.items():
            shape = self.shape(name)
            if shared is not None and name in shared:
                self._addresses[name] = shared[name]
            else:
                num_bytes = int(np.prod(shape)) * dtype.itemsize
                self._addresses[name] = self._cuda.allocate(num_bytes)
                self._own.append(self._addresses[name])
            if name in self._on_host:
                flat = self._cuda.allocate_pinned((int(np.prod(shape)),), dtype)
                self._host[name] = flat
            if not self._context.set_tensor_address(name, self._addresses[name]):
                raise self._runtime.failure(f'use memory for {name} in {self.name}')

    def address(self, name: str) -> int:
        """Return where a tensor lies on the GPU."""
        return self._addresses[name]

    def upload(self, name: str, values: NDArray[Any]) -> None:
        """Copy values of the shape that was set to an input."""
        host = self._host[name][: values.size]
        host.reshape(values.shape)[...] = values
        self._cuda.upload(self._addresses[name], host)

    def download(self, name: str) -> NDArray[Any]:
        """Ask for an output; the array is filled once the stream is done, and used again then."""
        shape = self.shape(name)
        host = self._host[name][: int(np.prod(shape))].reshape(shape)
        self._cuda.download(host, self._addresses[name])
        return host

    def enqueue(self) -> None:
        """
        Run the plan after everything that was asked for before.

        Raises
        ------
        BackendError
            If the runtime refuses.
        """
        self._use_scratch()
        if self._has_run and self._graph is None:
            self._capture()
        if self._graph is not None and self._launch():
            return
        self._runtime.said()
        if not self._execute():
            raise self._runtime.failure(f'run {self.name}')
        self._has_run = True

    def close(self) -> None:
        """Free the plan and its memory; a second call does nothing."""
        self._free()
        self._context = None
        self._engine = None

    def _make_context(self) -> Any:  # noqa: ANN401
        """Return what holds the memory between layers."""
        trt = self._runtime.trt
        shared = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._captures = not hasattr(trt, 'CudaGraphStrategy')
        if self._captures:
            context = self._engine.create_execution_context(shared)
        else:
            config = self._engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(shared)
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            # Else kernels for the present shapes replace the first ones while the node runs, and
            # the self-check has not seen them.
            eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = eager
            context = self._engine.create_execution_context(config)
        if context is None:
            raise self._runtime.failure(f'make room to run {self.name}')
        return context

    def _find_types(self) -> dict[str, np.dtype[Any]]:
        """Return the type of each input and output."""
        types: dict[str, np.dtype[Any]] = {}
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            found = self._engine.get_tensor_dtype(name).name
            if found not in TYPES:
                raise EngineError(
                    f'{name} of the plan {self.name} has the type {found}; expected one of '
                    f'{", ".join(TYPES)}. {REBUILD}'
                )
            if self._engine.get_tensor_location(name) != self._runtime.trt.TensorLocation.DEVICE:
                raise EngineError(
                    f'The plan {self.name} wants {name} in memory of the CPU; expected in that of '
                    f'the GPU. {REBUILD}'
                )
            types[name] = TYPES[found]
        return types

    def _find_limits(self, name: str) -> tuple[Shape, Shape]:
        """Return the least and the largest shape of an input."""
        least, _, most = self._engine.get_tensor_profile_shape(name, 0)
        return tuple(map(int, least)), tuple(map(int, most))

    def _inputs(self) -> list[str]:
        """Return the names of the inputs."""
        return [name for name, is_input in self._is_input.items() if is_input]

    def _fits(self, name: str, shape: Shape) -> bool:
        """Return whether the plan was built for this shape of an input."""
        least, most = self._limits[name]
        return len(shape) == len(least) and all(
            low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
        )

    def _execute(self) -> bool:
        """Put the work on the stream; return whether the runtime could."""
        return bool(self._context.execute_async_v3(self._cuda.stream))

    def _use_scratch(self) -> None:
        """Give the context its memory between layers, if that is not what it has."""
        self._scratch.grow(self._scratch_bytes)
        given = (self._scratch.address, self._scratch.num_bytes)
        if given != self._scratch_given:
            self._drop_graph()
            self._context.set_device_memory(*given)
            self._scratch_given = given

    def _capture(self) -> None:
        """Capture a graph, now that a plain run has settled all that depends on the shapes."""
        if not self._captures:
            return
        self._runtime.said()
        try:
            self._graph = self._cuda.capture(self._execute)
        except BackendError as error:
            self._run_without_graphs(error)

    def _launch(self) -> bool:
        """Launch the graph; return whether CUDA could. The first launch may find no memory."""
        try:
            self._cuda.launch(self._graph)
        except BackendError as error:
            self._drop_graph()
            self._run_without_graphs(error)
            return False
        return True

    def _run_without_graphs(self, error: BackendError) -> None:
        """Say once why a plan is run plainly from now on."""
        self._captures = False
        _LOGGER.warning(
            'The plan %s runs without a CUDA graph, which costs some time: %s (%s)',
            self.name, error, self._runtime.said() or 'TensorRT gave no reason',
        )  # fmt: skip

    def _drop_graph(self) -> None:
        """Forget a graph, which is for one set of shapes and addresses; it may still run."""
        if self._graph is not None:
            self._cuda.wait()
            self._cuda.destroy(self._graph)
        self._graph = None
        self._has_run = False

    def _free(self) -> None:
        """Free graph and memory; work that a failed call has left may still use them."""
        if self._addresses:
            self._cuda.wait()
        self._drop_graph()
        for address in self._own:
            self._cuda.free(address)
        for array in self._host.values():
            self._cuda.free_pinned(array)
        self._own.clear()
        self._host.clear()
        self._addresses.clear()
