"""
From a float32 graph to a strongly typed one in 16 bits.

Products (convolutions and matrix products) take and give 16 bits, and matrix products add up in
float32; between them, data that is only moved or rectified stays in 16 bits, which is exact.
Everything else stays float32: norms, softmax, residual sums, positions, the mixture. Of the
products themselves two groups stay float32, which are found by the structure of the graph: the
camera head, and the last product before each exponential, whose rounding the exponential would
turn into steps of depth.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import EngineError
from moe3d_engine.graphs.accumulation import MATRIX_PRODUCTS
from moe3d_engine.graphs.accumulation import widen_products
from moe3d_engine.graphs.graph_file import read_graph
from moe3d_engine.graphs.graph_file import write_graph
from moe3d_engine.graphs.static_shapes import fold_shapes
import numpy as np
from numpy.typing import DTypeLike
from numpy.typing import NDArray
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

PRODUCTS = frozenset({'Conv', 'ConvTranspose', 'Einsum', 'Gemm', 'MatMul'})
EXPONENTIALS = frozenset({'Exp', 'LogSoftmax', 'ReduceLogSumExp'})
# These move numbers or choose among them, so they are exact in any type. All but Concat have one
# input with data; the others are indices.
EXACT = frozenset(
    {'Concat', 'Expand', 'Gather', 'Identity', 'Relu', 'Reshape', 'Slice', 'Split', 'Squeeze'}
    | {'Transpose', 'Unsqueeze'}
)
POSE = 'pose_encoding'
_TRUNK = '.aggregator.'  # in the names of the weights that all views share


class _Kind(NamedTuple):
    """A 16-bit type: its ONNX and numpy names, which products run in it, which through casts."""

    onnx_type: ir.DataType
    numpy_type: DTypeLike
    products: frozenset[str]
    widened: frozenset[str]


KINDS = {
    'fp16': _Kind(ir.DataType.FLOAT16, np.float16, PRODUCTS, MATRIX_PRODUCTS),
    # NVIDIA's compiler has no transposed convolution in bfloat16, and ONNX none at all before
    # opset 22, which TensorRT 10.3 does not know.
    'bf16': _Kind(
        ir.DataType.BFLOAT16, ml_dtypes.bfloat16, PRODUCTS - {'ConvTranspose'}, PRODUCTS
    ),
}


def convert_graph(
    source: Path, precision: str, out: Path, *, accumulation: str = 'float32'
) -> None:
    """
    Write a strongly typed 16-bit version of a float32 graph; inputs and outputs stay float32.

    Shape arithmetic is folded, see `fold_shapes`.

    The same source gives the same bytes.

    Parameters
    ----------
    source : a float32 graph of `export_onnx`.
    precision : `fp16` or `bf16`.
    out : file to write.
    accumulation : `float32`: matrix products add up in float32, see `widen_products`. `float16`:
        the compiler chooses, which is faster on some GPUs and several times less exact.

    Raises
    ------
    ConfigError
        If there is no such precision.
    EngineError
        If a weight is too large for the type.
    """
    if precision not in KINDS:
        raise ConfigError(
            f'A graph can be converted to {" or ".join(KINDS)}; got {precision!r}. '
            'A float32 graph needs no conversion.'
        )
    model = read_graph(source)
    lower_graph(model, precision, accumulation=accumulation)
    write_graph(model, out)


def lower_graph(model: ir.Model, precision: str, *, accumulation: str = 'float32') -> None:
    """Turn a float32 graph into a 16-bit one in memory; see `convert_graph`."""
    kind = KINDS[precision]
    fold_shapes(model)
    _Lowering(model.graph, precision).run()
    RemoveUnusedNodesPass()(model)
    if accumulation == 'float32' or precision == 'bf16':
        widen_products(model.graph, kind.onnx_type, kind.widened)


def sensitive_nodes(graph: ir.Graph) -> set[ir.Node]:
    """
    Return the products that stay float32.

    They are those that only the poses depend on (the camera head), and the last ones before an
    exponential or the logarithm of the gate's weights. In a graph of poses alone, what follows
    the trunk is the camera head.
    """
    poses = [value for value in graph.outputs if value.name == POSE]
    others = [value for value in graph.outputs if value.name != POSE]
    if not others:
        # Matrices lose their names when the exporter transposes them; norms and biases keep them.
        trunk = (node for node in graph if any(_TRUNK in str(v and v.name) for v in node.inputs))
        others = [value for node in trunk for value in node.outputs]
    sensitive = _upstream(poses) - _upstream(others)
    for node in graph:
        if node.op_type in EXPONENTIALS:
            before = _upstream(node.inputs[:1], stop=PRODUCTS)
            sensitive |= {found for found in before if found.op_type in PRODUCTS}
    return {node for node in sensitive if node.op_type in PRODUCTS}


def _upstream(
    values: Iterable[ir.Value | None], stop: frozenset[str] = frozenset()
) -> set[ir.Node]:
    """Return the nodes that values depend on, not looking beyond operators in `stop`."""
    found: set[ir.Node] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        node = None if value is None else value.producer()
        if node is None or node in found:
            continue
        found.add(node)
        if node.op_type not in stop:
            waiting.extend(node.inputs)
    return found


class _Lowering:
    """Turns the products of a graph to 16 bits; `low` maps float32 values to 16-bit twins."""

    def __init__(self, graph: ir.Graph, precision: str) -> None:
        self.graph = graph
        self.precision = precision
        self.kind = KINDS[precision]
        self.low: dict[ir.Value, ir.Value] = {}

    def run(self) -> None:
        """Convert in the order of computation."""
        sensitive = sensitive_nodes(self.graph)
        for node in tuple(self.graph):
            if node.outputs[0].dtype != ir.DataType.FLOAT:
                continue
            if node.op_type in self.kind.products and node not in sensitive:
                self._lower(node, range(len(node.inputs)))
            elif node.op_type in EXACT:
                data = range(len(node.inputs) if node.op_type == 'Concat' else 1)
                if all(node.inputs[index] in self.low for index in data):
                    self._lower(node, data)

    def _lower(self, node: ir.Node, data: Iterable[int]) -> None:
        """Let a node take these inputs in 16 bits, and cast its outputs back."""
        for index in data:
            value = node.inputs[index]
            if value is not None:
                node.replace_input_with(index, self._low_twin(value))
        for output in node.outputs:
            wide = ir.Value(
                name=output.name, type=ir.TensorType(ir.DataType.FLOAT), shape=output.shape
            )
            output.replace_all_uses_with(wide, replace_graph_outputs=True)
            output.name = f'{wide.name}.{self.precision}'
            output.dtype = self.kind.onnx_type
            self.graph.insert_after(node, _cast(output, wide))
            self.low[wide] = output

    def _low_twin(self, value: ir.Value) -> ir.Value:
        """Return a value in 16 bits: a constant, what is known already, or a cast."""
        if value not in self.low:
            weight = _constant(value)
            twin = ir.Value(
                name=f'{value.name}.{self.precision}',
                type=ir.TensorType(self.kind.onnx_type),
                shape=value.shape,
            )
            producer = value.producer()
            if weight is not None:
                twin.const_value = self._rounded(weight, twin.name or '')
                self.graph.register_initializer(twin)
            elif producer is None:
                self.graph.insert_before(self.graph[0], _cast(value, twin))
            else:
                self.graph.insert_after(producer, _cast(value, twin))
            self.low[value] = twin
        return self.low[value]

    def _rounded(self, weight: ir.TensorProtocol, name: str) -> ir.LazyTensor:
        """Return a weight that is rounded when it is written, so that few are in memory."""
        kind = self.kind
        with np.errstate(over='ignore'):
            if not np.isfinite(weight.numpy().astype(kind.numpy_type)).all():
                raise EngineError(
                    f'The weight {name} has values beyond the range of {self.precision}. Export '
                    'these weights in bf16 or fp32.'
                )

        def compute() -> ir.Tensor[NDArray[np.generic]]:
            rounded = weight.numpy().astype(kind.numpy_type)
            return ir.Tensor(rounded, dtype=kind.onnx_type, name=name)

        return ir.LazyTensor(
            compute, dtype=kind.onnx_type, shape=ir.Shape(weight.numpy().shape), name=name
        )


def _cast(value: ir.Value, target: ir.Value) -> ir.Node:
    """Return the node that turns a value into another type."""
    assert target.dtype is not None
    to = ir.AttrInt64('to', target.dtype.value)
    return ir.Node('', 'Cast', [value], [to], outputs=[target], name=f'cast_{target.name}')


def _constant(value: ir.Value) -> ir.TensorProtocol | None:
    """Return the weight behind a float32 value, also where it is stored as float16."""
    producer = value.producer()
    if producer is not None and producer.op_type == 'Cast' and producer.inputs[0] is not None:
        value = producer.inputs[0]
    return value.const_value if value.is_initializer() else None
