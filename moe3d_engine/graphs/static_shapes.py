"""
Shape arithmetic that has only one result, written as constants.

The exporter computes shapes and cuts tensors while the graph runs, although only the number of
views is unknown. NVIDIA's parser turns each such operator into dozens of layers. So shapes are
evaluated here as far as they are known, operators on constants are replaced by what they compute,
and slices become Gather (of a few small rows) or Split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
import math
from pathlib import Path
from typing import Any

from moe3d_engine.graphs.graph_file import add_constant
from moe3d_engine.graphs.graph_file import read_graph
from moe3d_engine.graphs.graph_file import write_graph
import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

_LARGEST_CONSTANT = 1 << 16  # values; larger ones are better computed than stored
_NOT_FOLDED = frozenset({'Cast', 'QuantizeLinear', 'DequantizeLinear'})  # of weights
_SHAPES = frozenset({'Cast', 'Concat', 'Gather', 'Shape', 'Slice', 'Squeeze', 'Unsqueeze'})
_INTEGERS = (ir.DataType.INT64, ir.DataType.INT32)
_TO_THE_END = 1 << 31
_FEW, _LITTLE = 8, 4096  # indices, and values of one view, that Gather may take

Known = NDArray[Any]  # of integers, or of texts for the dimensions that are not known


def fold_shapes(model: ir.Model) -> None:
    """Replace shape arithmetic by constants and slices by others, as far as shapes are known."""
    graph = model.graph
    _Folder(graph).run()
    RemoveUnusedNodesPass()(model)
    _replace_slices(graph)
    RemoveUnusedNodesPass()(model)


def write_folded(source: Path, out: Path) -> None:
    """Write a graph whose shape arithmetic is folded."""
    model = read_graph(source)
    fold_shapes(model)
    write_graph(model, out)


class _Folder:
    """Evaluates a graph in the order of computation; `known` are integers, perhaps in part."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.known: dict[ir.Value, Known] = {}

    def run(self) -> None:
        """Replace what is constant, and the shapes of reshapes."""
        for node in tuple(self.graph):
            if node.op_type == 'Reshape':
                self._fix_reshape(node)
            if len(node.outputs) != 1 or any(v is None for v in node.inputs):
                continue
            values = [constant_of(value) for value in node.inputs]
            result = None
            if node.op_type in _SHAPES:
                result = self._partly_known(node)
            if result is None and node.inputs and all(v is not None for v in values):
                result = _evaluated(node, values)  # type: ignore[arg-type]
            if result is not None and result.dtype != object:
                self._replace(node, result)

    def _fix_reshape(self, node: ir.Node) -> None:
        """Give a reshape a constant shape if at most one dimension of its output is unknown."""
        data, shape = node.inputs[:2]
        if shape is None or shape.is_initializer():
            return
        dims: list[Any] = _dims(node.outputs[0]) or []
        if shape in self.known:
            asked = _without_rest(list(self.known[shape]), _dims(data))
            pairs = zip(asked, dims or asked, strict=True)
            dims = [first if isinstance(first, int) else second for second, first in pairs]
        if dims and -1 not in dims and _dims(node.outputs[0]) is None:
            node.outputs[0].shape = ir.Shape(dims)
        fixed = [dim if isinstance(dim, int) else -1 for dim in dims]
        if fixed and fixed.count(-1) <= 1 and 0 not in fixed:
            name = f'{node.outputs[0].name}.shape'
            node.replace_input_with(1, add_constant(self.graph, name, np.array(fixed, np.int64)))

    def _partly_known(self, node: ir.Node) -> Known | None:
        """Return the integers that a node computes, with texts for what is unknown."""
        output = node.outputs[0]
        if output.dtype not in _INTEGERS:
            return None
        if node.op_type == 'Shape':
            dims = _dims(node.inputs[0])
            span = slice(
                node.attributes.get_int('start', 0), node.attributes.get_int('end', _TO_THE_END)
            )
            found = None if dims is None else np.array(dims, object)[span]
        else:
            inputs = [self._integers(value) for value in node.inputs]
            found = None if any(v is None for v in inputs) else _moved(node, inputs)
        if found is None:
            return None
        found = np.asarray(found, object)
        self.known[output] = found
        whole = all(isinstance(element, int) for element in found.reshape(-1))
        return found.astype(output.dtype.numpy()) if whole else found

    def _integers(self, value: ir.Value | None) -> Known | None:
        """Return the integers of a constant or of a value that is known in part."""
        constant = constant_of(value)
        if constant is not None:
            elements = [int(element) for element in constant.reshape(-1)]
            return np.array(elements, object).reshape(constant.shape)
        return None if value is None else self.known.get(value)

    def _replace(self, node: ir.Node, result: NDArray[Any]) -> None:
        """Let all others read a constant instead of what a node computes."""
        output = node.outputs[0]
        name = f'{output.name}.constant'
        if output.is_graph_output() or result.size > _LARGEST_CONSTANT:
            return
        output.replace_all_uses_with(add_constant(self.graph, name, np.ascontiguousarray(result)))


def _without_rest(wanted: list[Any], data: list[int | str] | None) -> list[Any]:
    """Return the dimensions of a reshape, with what -1 stands for if the data's say it."""
    if -1 not in wanted or data is None:
        return wanted
    rest = list(data)
    for dim in wanted:
        if isinstance(dim, str):
            if dim not in rest:
                return wanted
            rest.remove(dim)
    texts = [dim for dim in rest if isinstance(dim, str)]
    count = math.prod(dim for dim in rest if isinstance(dim, int))
    others = math.prod(dim for dim in wanted if isinstance(dim, int) and dim != -1)
    if texts and (len(texts) > 1 or count != others):
        return wanted
    found = texts[0] if texts else count // others
    return [found if dim == -1 else dim for dim in wanted]


def _moved(node: ir.Node, inputs: Sequence[Any]) -> Known | None:
    """Return what an operator that moves integers makes of them."""
    data = inputs[0]
    if node.op_type == 'Concat':
        return np.concatenate(inputs, axis=node.attributes.get_int('axis', 0))
    if node.op_type == 'Gather':
        axis = node.attributes.get_int('axis', 0)
        return np.asarray(np.take(data, inputs[1].astype(np.int64), axis=axis))
    if node.op_type == 'Cast':
        return np.asarray(data)
    if node.op_type in ('Squeeze', 'Unsqueeze'):
        return _reshaped(data, _dims(node.outputs[0]))
    if data.ndim != 1 or len(inputs) not in (3, 4, 5):
        return None
    step = int(inputs[4][0]) if len(inputs) == 5 else 1
    return np.asarray(data[int(inputs[1][0]) : int(inputs[2][0]) : step])


def _reshaped(data: Known, dims: Sequence[int | str] | None) -> Known | None:
    """Return integers in another shape, if it is known."""
    whole = [dim for dim in dims or () if isinstance(dim, int)]
    return None if dims is None or len(whole) < len(dims) else data.reshape(whole)


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the content of a small constant, None for weights and what is computed."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return value.const_value.numpy() if value.const_value.size <= _LARGEST_CONSTANT else None


def _evaluated(node: ir.Node, values: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Return what a node computes from constants; None if that is better left to the runtime."""
    stored_narrow = node.op_type == 'Cast' and values[0].dtype == np.float16
    if stored_narrow or node.op_type in _NOT_FOLDED - {'Cast'}:
        return None
    names = [f'i{index}' for index in range(len(values))]
    inputs = [
        ir.Value(name=name, type=ir.TensorType(ir.tensor(v).dtype), shape=ir.Shape(v.shape))
        for name, v in zip(names, values, strict=True)
    ]
    output = ir.Value(name='o', type=node.outputs[0].type)
    copy = ir.Node('', node.op_type, inputs, tuple(node.attributes.values()), outputs=[output])
    graph = ir.Graph(inputs, [output], nodes=[copy], opset_imports=node.graph.opset_imports)  # type: ignore[union-attr]
    evaluator = ReferenceEvaluator(ir.to_proto(ir.Model(graph, ir_version=10)))
    (result,) = evaluator.run(None, dict(zip(names, values, strict=True)))
    return np.asarray(result)


def _dims(value: ir.Value | None) -> list[int | str] | None:
    """Return the dimensions of a value, as texts such as `num_views` where they are not fixed."""
    if value is None or value.shape is None:
        return None
    dims = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    return None if None in dims else dims  # type: ignore[return-value]


def _replace_slices(graph: ir.Graph) -> None:
    """Replace slices by Gather where little is moved, else by Split, as far as sizes are known."""
    found: dict[tuple[ir.Value, int], dict[tuple[int, int], list[ir.Node]]] = {}
    for node in tuple(graph):
        value = node.inputs[0] if node.op_type == 'Slice' else None
        span = None if value is None else _span(node)
        if value is None or span is None:
            continue
        axis, indices, start, end = span
        if indices is not None and len(indices) <= _FEW:
            _gather(graph, node, axis, indices)
        elif start < end:
            found.setdefault((value, axis), defaultdict(list))[start, end].append(node)
    for (value, axis), pieces in found.items():
        waiting = sorted(pieces, key=lambda span: span[1])
        while waiting:
            chosen: list[tuple[int, int]] = []
            for piece in waiting:
                if not chosen or piece[0] >= chosen[-1][1]:
                    chosen.append(piece)
            waiting = [piece for piece in waiting if piece not in chosen]
            # A slice of a slice: its input may have been replaced by now.
            source = next(iter(pieces.values()))[0].inputs[0] or value
            _split(graph, source, axis, {piece: pieces[piece] for piece in chosen})


def _gather(graph: ir.Graph, node: ir.Node, axis: int, indices: Sequence[int]) -> None:
    """Replace a slice by the choice of a few indices."""
    output = node.outputs[0]
    chosen = add_constant(graph, f'{output.name}.indices', np.array(indices, np.int64))
    twin = ir.Value(name=f'{output.name}.gathered', type=output.type, shape=output.shape)
    along = ir.AttrInt64('axis', axis)
    graph.insert_after(
        node,
        ir.Node('', 'Gather', [node.inputs[0], chosen], [along], outputs=[twin], name=twin.name),
    )
    output.replace_all_uses_with(twin)


def _span(node: ir.Node) -> tuple[int, list[int] | None, int, int] | None:
    """
    Return what a slice takes: axis, indices if little is moved, start and end if it is one piece.

    Of an axis of unknown size only its beginning is known.
    """
    dims = _dims(node.inputs[0])
    parts = [constant_of(value) for value in node.inputs[1:]]
    if dims is None or len(parts) < 3 or any(p is None or p.size != 1 for p in parts):
        return None
    start, end, axis, *steps = (int(p.reshape(-1)[0]) for p in parts if p is not None)
    step = steps[0] if steps else 1
    axis %= len(dims)
    size = dims[axis]
    if not isinstance(size, int):
        return (axis, [0], 0, 0) if (start, end, step) == (0, 1, 1) else None
    taken = range(*slice(start, end, step).indices(size))
    moved = math.prod(dim for dim in dims if isinstance(dim, int)) // size * len(taken)
    indices = list(taken) if moved <= _LITTLE else None
    if step != 1 or not taken:
        return (axis, indices, 0, 0) if indices else None
    return axis, indices, taken[0], taken[-1] + 1


def _split(
    graph: ir.Graph,
    value: ir.Value,
    axis: int,
    pieces: dict[tuple[int, int], list[ir.Node]],
) -> None:
    """Replace slices that do not overlap by one Split."""
    dims = _dims(value)
    assert dims is not None
    size = dims[axis]
    assert isinstance(size, int)
    if list(pieces) == [(0, size)]:
        for node in pieces[0, size]:
            node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
        return
    edges = sorted({0, size, *(edge for span in pieces for edge in span)})
    outputs = []
    for start, end in pairwise(edges):
        shape = ir.Shape([*dims[:axis], end - start, *dims[axis + 1 :]])
        name = f'{value.name}.{axis}.{start}.{end}.{len(pieces)}'
        outputs.append(ir.Value(name=name, type=value.type, shape=shape))
    sizes = np.array([end - start for start, end in pairwise(edges)], np.int64)
    split = add_constant(graph, f'{outputs[0].name}.sizes', sizes)
    along = ir.AttrInt64('axis', axis)
    node = ir.Node('', 'Split', [value, split], [along], outputs=outputs, name=outputs[0].name)
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], node)
    else:
        graph.insert_after(producer, node)
    for output, (start, end) in zip(outputs, pairwise(edges), strict=True):
        for old in pieces.get((start, end), []):
            old.outputs[0].replace_all_uses_with(output, replace_graph_outputs=True)
