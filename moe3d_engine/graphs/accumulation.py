"""
Products of 16-bit numbers whose sums are float32.

A strongly typed compiler may add up products of float16 numbers in float16, which costs several
times the error of rounding their sum once. NVIDIA's documentation says how to forbid it: cast the
inputs to float32 before the product, and its result back. The compiler sees the pattern and takes
a kernel that reads and writes 16 bits and adds in float32. bfloat16 is never added in bfloat16,
but through casts no operator has to take it, which older opsets do not allow.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

# What TensorRT documents the pattern for. TensorRT-RTX fuses the casts of convolutions, too.
MATRIX_PRODUCTS = frozenset({'Einsum', 'Gemm', 'MatMul'})


def widen_products(graph: ir.Graph, kind: ir.DataType, operators: Collection[str]) -> None:
    """
    Cast the inputs of 16-bit products to float32, and their results back.

    Parameters
    ----------
    graph : is changed.
    kind : FLOAT16 or BFLOAT16, what the products take and give.
    operators : which of them. Those that read dequantised numbers stay: they add in float32.
    """
    wide: dict[ir.Value, ir.Value] = {}
    for node in tuple(graph):
        if node.op_type not in operators or node.outputs[0].dtype != kind:
            continue
        producers = [value.producer() for value in node.inputs if value is not None]
        if any(p is not None and p.op_type == 'DequantizeLinear' for p in producers):
            continue
        for index, value in enumerate(node.inputs):
            if value is not None:
                if value not in wide:
                    wide[value] = _cast_after(graph, value)
                node.replace_input_with(index, wide[value])
        _cast_result(graph, node, kind)


def _cast_after(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """Return a 16-bit value in float32."""
    name = f'{value.name}.wide'
    twin = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
    to = ir.AttrInt64('to', ir.DataType.FLOAT.value)
    cast = ir.Node('', 'Cast', [value], [to], outputs=[twin], name=f'cast_{name}')
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], cast)
    else:
        graph.insert_after(producer, cast)
    return twin


def _cast_result(graph: ir.Graph, node: ir.Node, kind: ir.DataType) -> None:
    """Let a node give float32, and all others read that in 16 bits under the old name."""
    output = node.outputs[0]
    narrow = ir.Value(name=output.name, type=ir.TensorType(kind), shape=output.shape)
    output.replace_all_uses_with(narrow)
    output.name = f'{narrow.name}.sum'
    output.dtype = ir.DataType.FLOAT
    to = ir.AttrInt64('to', kind.value)
    cast = ir.Node('', 'Cast', [output], [to], outputs=[narrow], name=f'cast_{narrow.name}')
    graph.insert_after(node, cast)
