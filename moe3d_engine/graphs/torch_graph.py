"""
An exported graph, run by torch operator by operator, with every type as it is stated.

On a GPU products of 16 bits run on its tensor cores. Anywhere their sums can be spelt out, so that
what a compiler may do with fp16 is seen without its GPU. It is an instrument for checks, not a way
to run a network fast.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe3d_engine.array_backend import ArrayBackend
from moe3d_engine.assets.card import WeightsCard
from moe3d_engine.backend import views_of
from moe3d_engine.errors import EngineError
from moe3d_engine.graphs.graph_file import read_graph
from moe3d_engine.graphs.static_shapes import fold_shapes
from moe3d_engine.graphs.torch_operators import OPERATORS
from moe3d_engine.graphs.torch_operators import Options
from moe3d_engine.types import Float32Array
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

STEP = 16  # products that a tensor core adds before it rounds a sum in fp16
Product = Callable[[Tensor, Tensor], Tensor]


def float32_sums(a: Tensor, b: Tensor) -> Tensor:
    """Multiply (..., M, K) and (..., K, N) with sums in float32, which are rounded once."""
    return torch.matmul(a.float(), b.float()).to(a.dtype)


def float16_sums(a: Tensor, b: Tensor) -> Tensor:
    """Multiply (..., M, K) and (..., K, N); sums are rounded to 16 bits after each STEP of K."""
    wide_a, wide_b = a.float(), b.float()
    total = torch.zeros((), device=a.device)
    for start in range(0, a.shape[-1], STEP):
        part = wide_a[..., start : start + STEP] @ wide_b[..., start : start + STEP, :]
        total = (total + part).to(a.dtype).float()
    return total.to(a.dtype)


class TorchGraph:
    """
    A graph in the memory of a device.

    Parameters
    ----------
    path : of the graph.
    device : of torch, such as `cuda`.
    matrices, convolutions : how products of 16 bits add up, of MatMul and Gemm, and of plane
        convolutions with one group; None is what torch does on the device. Those of float32 are
        always torch's.
    """

    def __init__(
        self,
        path: Path,
        device: str = 'cpu',
        matrices: Product | None = None,
        convolutions: Product | None = None,
    ) -> None:
        model = read_graph(path)
        fold_shapes(model)
        self.graph = model.graph
        self._device = device
        self._matrices = matrices or torch.matmul
        self._convolutions = convolutions
        self._constants = {
            value: self._tensor(value.const_value)
            for value in self.graph.initializers.values()
            if value.const_value is not None
        }
        self._steps = _with_last_uses(self.graph)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return all outputs by name, on the device of the inputs, which are not copied."""
        known: dict[ir.Value, Tensor] = dict(self._constants)
        known |= {value: inputs[str(value.name)] for value in self.graph.inputs}
        with torch.inference_mode():
            for node, unused in self._steps:
                arguments = [None if value is None else known[value] for value in node.inputs]
                known.update(zip(node.outputs, self._run(node, arguments), strict=True))
                for value in unused:
                    del known[value]
        return {str(value.name): known[value] for value in self.graph.outputs}

    def _tensor(self, constant: ir.TensorProtocol) -> Tensor:
        """Return a constant; integers stay on the CPU."""
        array = constant.numpy()
        if constant.dtype == ir.DataType.BFLOAT16:
            return torch.from_numpy(array.astype('float32')).to(self._device, torch.bfloat16)
        tensor = torch.from_numpy(array.copy())
        return tensor.to(self._device) if tensor.is_floating_point() else tensor

    def _run(self, node: ir.Node, arguments: Sequence[Any]) -> Sequence[Tensor]:
        """Compute one node."""
        name, options = node.op_type, Options(node)
        if name in ('MatMul', 'Gemm'):
            return [self._matrix(arguments, options)]
        if name in ('Conv', 'ConvTranspose'):
            return [self._convolution(name, arguments, options)]
        if name == 'Split':
            data, *sizes = arguments
            axis = options.number('axis', 0)
            even = -(-data.shape[axis] // len(node.outputs))
            return torch.split(data, sizes[0].tolist() if sizes else even, axis)
        if name not in OPERATORS:
            raise EngineError(f'Torch runs no graphs with {name} here; add it to OPERATORS.')
        return [OPERATORS[name](arguments, options)]

    def _matrix(self, arguments: Sequence[Any], options: Options) -> Tensor:
        """Compute MatMul or Gemm."""
        a, b, *bias = arguments
        a = a.mT if options.number('transA', 0) else a
        b = b.mT if options.number('transB', 0) else b
        product = torch.matmul(a, b) if a.dtype == torch.float32 else self._matrices(a, b)
        return product + bias[0] if bias else product

    def _convolution(self, name: str, arguments: Sequence[Any], options: Options) -> Tensor:
        """Compute a convolution, as a product of unfolded data where its sums are of interest."""
        data, weight, *rest = arguments
        bias = rest[0] if rest else None
        axes = data.ndim - 2
        strides = options.numbers('strides', [1] * axes)
        pads = options.numbers('pads', [0] * (2 * axes))
        groups = options.number('group', 1)
        by_hand = self._convolutions is not None and groups == 1 and name == 'Conv' and axes == 2
        if data.dtype == torch.float32 or not by_hand:
            return _convolve(name, data, weight, bias, strides, pads, groups)
        assert self._convolutions is not None
        data = functional.pad(data, _torch_pads(pads))
        columns = functional.unfold(data.float(), weight.shape[2:], stride=tuple(strides)).to(
            data.dtype
        )
        product = self._convolutions(columns.mT, weight.flatten(1).T).mT
        shape = [
            (size - side) // stride + 1
            for size, side, stride in zip(data.shape[2:], weight.shape[2:], strides, strict=True)
        ]
        product = product.reshape(len(data), len(weight), *shape)
        return product if bias is None else product + bias[:, None, None]


def _convolve(
    name: str,
    data: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    strides: list[int],
    pads: list[int],
    groups: int,
) -> Tensor:
    """Convolve as torch does; on a CPU, which has no fast kernels of 16 bits, in float32."""
    kind = data.dtype
    if data.device.type == 'cpu':
        data, weight = data.float(), weight.float()
        bias = None if bias is None else bias.float()
    if name == 'ConvTranspose':
        result = functional.conv_transpose2d(data, weight, bias, strides, pads[:2], groups=groups)
    else:
        data = functional.pad(data, _torch_pads(pads))
        convolve = functional.conv3d if data.ndim == 5 else functional.conv2d
        result = convolve(data, weight, bias, strides, groups=groups)
    return result.to(kind)


def _torch_pads(pads: list[int]) -> list[int]:
    """Return the pads of a convolution, all begins first, as torch wants them: last axis first."""
    axes = len(pads) // 2
    return [n for axis in reversed(range(axes)) for n in (pads[axis], pads[axis + axes])]


def _with_last_uses(graph: ir.Graph) -> list[tuple[ir.Node, list[ir.Value]]]:
    """Return the nodes, each with the values that nothing needs after it."""
    seen = {*graph.outputs, *graph.initializers.values(), *graph.inputs}
    steps = []
    for node in reversed(list(graph)):
        unused = {v for v in (*node.inputs, *node.outputs) if v is not None and v not in seen}
        seen |= unused
        steps.append((node, list(unused)))
    return steps[::-1]


class GraphBackend(ArrayBackend):
    """
    The graphs of a set of weights in torch; a `Backend` for comparisons.

    Parameters
    ----------
    card : the weights.
    paths : of the graphs by role.
    device, matrices, convolutions : see TorchGraph.
    """

    def __init__(
        self,
        card: WeightsCard,
        paths: Mapping[str, Path],
        device: str = 'cpu',
        matrices: Product | None = None,
        convolutions: Product | None = None,
    ) -> None:
        self.name = f'graphs in torch on {device}'
        self.spec = card.spec
        self._device = device
        self._graphs = {
            role: TorchGraph(path, device, matrices, convolutions) for role, path in paths.items()
        }

    def encode(self, images: Float32Array) -> list[object]:
        """Return one dictionary of arrays per view; see `Backend.encode`."""
        return views_of(self._infer('image_encoder', {'images': images}), len(images))

    def close(self) -> None:
        """Release all graphs."""
        self._graphs = {}

    def _infer(self, role: str, inputs: Mapping[str, Any]) -> dict[str, Float32Array]:
        """Run a graph on arrays."""
        tensors = {n: torch.from_numpy(x.copy()).to(self._device) for n, x in inputs.items()}
        return {n: x.cpu().numpy() for n, x in self._graphs[role](tensors).items()}
