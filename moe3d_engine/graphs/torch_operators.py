"""
The operators of exported graphs in torch, but for products; see `torch_graph.py`.

Integers that are known on the CPU (shapes, indices) stay there and are used as numbers of Python,
so that nothing waits for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from moe3d_engine.errors import EngineError
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

TYPES = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.BFLOAT16: torch.bfloat16,
    ir.DataType.INT64: torch.int64,
    ir.DataType.INT32: torch.int32,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.BOOL: torch.bool,
}
Arguments = Sequence[Any]


class Options:
    """Attributes of a node."""

    def __init__(self, node: ir.Node) -> None:
        self._attributes = node.attributes

    def number(self, name: str, default: int) -> int:
        """Return a whole number."""
        return self._attributes.get_int(name, default)

    def real(self, name: str, default: float) -> float:
        """Return a number."""
        return self._attributes.get_float(name, default)

    def numbers(self, name: str, default: Sequence[int]) -> list[int]:
        """Return whole numbers."""
        return [int(value) for value in self._attributes.get_ints(name, tuple(default))]

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text."""
        return str(self._attributes.get_string(name, default))


Operator = Callable[[Arguments, Options], Tensor]


def ints(value: Any) -> list[int]:  # noqa: ANN401
    """Return numbers of a tensor."""
    return [int(element) for element in value.reshape(-1).tolist()]


def _same_device(*values: Tensor) -> list[Tensor]:
    """Return tensors on one device, the GPU if one of them is there."""
    device = max((value.device for value in values), key=lambda device: device.type == 'cuda')
    return [value if value.ndim == 0 else value.to(device) for value in values]


def _pairwise(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Return an operator of two tensors that are broadcast."""
    return lambda arguments, _: function(*_same_device(*arguments))


def _single(function: Callable[[Tensor], Tensor]) -> Operator:
    """Return an operator of one tensor."""
    return lambda arguments, _: function(arguments[0])


def _cast(arguments: Arguments, options: Options) -> Tensor:
    result: Tensor = arguments[0].to(TYPES[ir.DataType(options.number('to', 1))])
    return result


def _clip(arguments: Arguments, _: Options) -> Tensor:
    data, *limits = arguments
    low, high = [*limits, None, None][:2]
    return torch.clamp(data, low, high)


def _concat(arguments: Arguments, options: Options) -> Tensor:
    return torch.cat(_same_device(*arguments), options.number('axis', 0))


def _gather(arguments: Arguments, options: Options) -> Tensor:
    data, indices = arguments
    axis = options.number('axis', 0)
    if indices.device.type == 'cpu' and indices.ndim <= 1:
        chosen = [data.select(axis, index) for index in ints(indices)]
        return torch.stack(chosen, axis) if indices.ndim else chosen[0]
    axis %= data.ndim
    moved = indices.to(data.device) % data.shape[axis]
    flat = data.index_select(axis, moved.reshape(-1))
    result: Tensor = flat.reshape(*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    return result


def _gather_nd(arguments: Arguments, _: Options) -> Tensor:
    data, indices = arguments
    if indices.device.type == 'cpu':
        rows = [data[tuple(ints(row))] for row in indices.reshape(-1, indices.shape[-1])]
        return torch.stack(rows).reshape(*indices.shape[:-1], *rows[0].shape)
    found: Tensor = data[tuple(indices.unbind(-1))]
    return found


def _reduce(function: Callable[..., Tensor]) -> Operator:
    """Return an operator that makes one number of several along axes."""

    def reduce(arguments: Arguments, options: Options) -> Tensor:
        data, *axes = arguments
        along = ints(axes[0]) if axes else list(range(data.ndim))
        return function(data, dim=along, keepdim=bool(options.number('keepdims', 1)))

    return reduce


def _norm(arguments: Arguments, options: Options) -> Tensor:
    data, weight, *bias = arguments
    epsilon = options.real('epsilon', 1e-5)
    return functional.layer_norm(data, weight.shape, weight, bias[0] if bias else None, epsilon)


def _pad(arguments: Arguments, options: Options) -> Tensor:
    data, pads, *value = arguments
    begins, ends = ints(pads)[: data.ndim], ints(pads)[data.ndim :]
    flat = [n for pair in zip(begins[::-1], ends[::-1], strict=True) for n in pair]
    if options.text('mode', 'constant') == 'edge':
        assert not any(flat[4:]), 'only rows and columns continue'
        return functional.pad(data, flat[:4], mode='replicate')
    return functional.pad(data, flat, value=float(value[0]) if value else 0.0)


def _average_pool(arguments: Arguments, options: Options) -> Tensor:
    sides = options.numbers('kernel_shape', ())
    strides, pads = options.numbers('strides', [1, 1]), options.numbers('pads', [0] * 4)
    assert pads[:2] == pads[2:], 'pads are the same on both sides'
    counts = bool(options.number('count_include_pad', 0))
    return functional.avg_pool2d(arguments[0], sides, strides, pads[:2], False, counts)


def _grid_sample(arguments: Arguments, options: Options) -> Tensor:
    data, grid = arguments
    corners = bool(options.number('align_corners', 0))
    border = options.text('padding_mode', 'zeros')
    return functional.grid_sample(data, grid, 'bilinear', border, corners)


def _arg_max(arguments: Arguments, options: Options) -> Tensor:
    found: Tensor = arguments[0].argmax(
        options.number('axis', 0), bool(options.number('keepdims', 1))
    )
    return found


def _reshape(arguments: Arguments, _: Options) -> Tensor:
    data, shape = arguments
    sizes = [data.shape[i] if n == 0 else n for i, n in enumerate(ints(shape))]
    result: Tensor = data.reshape(sizes)
    return result


def _depth_to_space(arguments: Arguments, options: Options) -> Tensor:
    order = options.text('mode', 'DCR')
    if order != 'CRD':
        raise EngineError(f'Torch shuffles pixels in the order CRD here; the graph says {order}.')
    return functional.pixel_shuffle(arguments[0], options.number('blocksize', 1))


def _resize(arguments: Arguments, options: Options) -> Tensor:
    data, scales = [value for value in arguments if value is not None]
    if scales.dtype == torch.int64:
        size = ints(scales)[2:]
    else:
        size = [round(n * s) for n, s in zip(data.shape[2:], scales.tolist()[2:], strict=True)]
    if options.text('mode') == 'nearest':
        return functional.interpolate(data, size)
    corners = options.text('coordinate_transformation_mode') == 'align_corners'
    return functional.interpolate(data, size, mode='bilinear', align_corners=corners)


def _shape(arguments: Arguments, options: Options) -> Tensor:
    span = slice(options.number('start', 0), options.number('end', 1 << 31))
    return torch.tensor(list(arguments[0].shape)[span])


def _slice(arguments: Arguments, _: Options) -> Tensor:
    data, starts, ends, *rest = arguments
    axes = ints(rest[0]) if rest else list(range(len(starts)))
    steps = ints(rest[1]) if len(rest) > 1 else [1] * len(axes)
    for axis, start, end, step in zip(axes, ints(starts), ints(ends), steps, strict=True):
        taken = range(*slice(start, end, step).indices(data.shape[axis]))
        if step == 1:
            data = data.narrow(axis, taken.start, len(taken))
        else:
            data = torch.stack([data.select(axis, index) for index in taken], axis)
    result: Tensor = data
    return result


def _squeeze(arguments: Arguments, _: Options) -> Tensor:
    data, *axes = arguments
    return torch.squeeze(data, ints(axes[0])) if axes else torch.squeeze(data)


def _unsqueeze(arguments: Arguments, _: Options) -> Tensor:
    data, axes = arguments
    rank = data.ndim + axes.numel()
    for axis in sorted(axis % rank for axis in ints(axes)):
        data = data.unsqueeze(axis)
    result: Tensor = data
    return result


def _where(arguments: Arguments, _: Options) -> Tensor:
    condition, a, b = _same_device(*arguments)
    return torch.where(condition, a, b)


OPERATORS: dict[str, Operator] = {
    'Abs': _single(torch.abs),
    'Add': _pairwise(torch.add),
    'And': _pairwise(torch.logical_and),
    'ArgMax': _arg_max,
    'AveragePool': _average_pool,
    'Cast': _cast,
    'Clip': _clip,
    'Concat': _concat,
    'Cos': _single(torch.cos),
    'DepthToSpace': _depth_to_space,
    'Div': _pairwise(torch.div),
    'Exp': _single(torch.exp),
    'Expand': lambda a, _: a[0] * torch.ones(ints(a[1]), dtype=a[0].dtype, device=a[0].device),
    'Gather': _gather,
    'GatherND': _gather_nd,
    'Gelu': _single(functional.gelu),
    'Greater': _pairwise(torch.gt),
    'GreaterOrEqual': _pairwise(torch.ge),
    'GridSample': _grid_sample,
    'Identity': lambda a, _: a[0],
    'LayerNormalization': _norm,
    'Less': _pairwise(torch.lt),
    'LessOrEqual': _pairwise(torch.le),
    'Log': _single(torch.log),
    'LogSoftmax': lambda a, options: functional.log_softmax(a[0], options.number('axis', -1)),
    'Max': _pairwise(torch.maximum),
    'Min': _pairwise(torch.minimum),
    'Mul': _pairwise(torch.mul),
    'Neg': _single(torch.neg),
    'Pad': _pad,
    'Pow': _pairwise(torch.pow),
    'Range': lambda a, _: torch.arange(*(int(value) for value in a)),
    'Reciprocal': _single(torch.reciprocal),
    'ReduceLogSumExp': _reduce(torch.logsumexp),
    'ReduceL2': _reduce(torch.linalg.vector_norm),
    'ReduceMax': _reduce(torch.amax),
    'ReduceMean': _reduce(torch.mean),
    'ReduceSum': _reduce(torch.sum),
    'Relu': _single(torch.relu),
    'Reshape': _reshape,
    'Resize': _resize,
    'Round': _single(torch.round),
    'Shape': _shape,
    'Sigmoid': _single(torch.sigmoid),
    'Sign': _single(torch.sign),
    'Sin': _single(torch.sin),
    'Slice': _slice,
    'Softplus': _single(functional.softplus),
    'Softmax': lambda a, options: torch.softmax(a[0], options.number('axis', -1)),
    'Sqrt': _single(torch.sqrt),
    'Squeeze': _squeeze,
    'Sub': _pairwise(torch.sub),
    'Tan': _single(torch.tan),
    'Tanh': _single(torch.tanh),
    'Tile': lambda a, _: a[0].repeat(ints(a[1])),
    'Transpose': lambda a, options: a[0].permute(options.numbers('perm', ())),
    'Unsqueeze': _unsqueeze,
    'Where': _where,
}
