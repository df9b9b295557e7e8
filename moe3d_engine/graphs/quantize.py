"""
From a float32 graph to one whose products with weights compute in 8 bits.

The rest of the graph is the float16 one. Weights have a scale per output channel, activations one
per tensor, measured on calibration images. Products of two activations (attention), depthwise
and transposed convolutions and everything that float16 protects stay as they are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from typing import NamedTuple

import ml_dtypes
from moe3d_engine.assets.card import CAMERAS
from moe3d_engine.assets.card import DECODER
from moe3d_engine.assets.card import ENCODER
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.backend import stacked
from moe3d_engine.backend import window_inputs
from moe3d_engine.graphs.accumulation import MATRIX_PRODUCTS
from moe3d_engine.graphs.accumulation import widen_products
from moe3d_engine.graphs.graph_file import add_constant
from moe3d_engine.graphs.graph_file import read_graph
from moe3d_engine.graphs.graph_file import write_graph
from moe3d_engine.graphs.parity import sideways_cameras
from moe3d_engine.graphs.precision import convert_graph
from moe3d_engine.graphs.rounding import run_watched
from moe3d_engine.graphs.rounding import watch_graph
from moe3d_engine.graphs.rounding import write_rounded_twin
from moe3d_engine.types import Float32Array
import numpy as np
from numpy.typing import DTypeLike
from numpy.typing import NDArray
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

Feed = Mapping[str, NDArray[Any]]  # inputs of a graph by name
SMALLEST_SCALE = 2.0**-14  # the smallest normal float16


class _Quantized(NamedTuple):
    """An 8-bit type: its ONNX and numpy names, and its largest number."""

    onnx_type: ir.DataType
    numpy_type: DTypeLike
    largest: float


QUANTIZED = {
    'int8': _Quantized(ir.DataType.INT8, np.int8, 127.0),
    'fp8': _Quantized(ir.DataType.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, 448.0),
}


def quantize_graphs(
    graphs: Mapping[str, Path], precision: str, images: Float32Array, window: int
) -> dict[str, Path]:
    """
    Write 8-bit versions of the graphs beside them.

    Parameters
    ----------
    graphs : the float32 graphs by role.
    precision : `int8` or `fp8`.
    images : (N, 3, H, W) float32 in [0, 1], to measure activations on.
    window : views of one call of `reconstruct`; the images are taken in order, as many at a time.
        A network that sweeps is given cameras that go to the right.

    Returns
    -------
    Path of each graph by its role, such as `reconstruct.int8`.
    """
    height, width = images.shape[2:]
    sweeps = CAMERAS in graphs
    spec = NetworkSpec('calibration', (height, width), window, False, 1.0, sweeps)
    paths: dict[str, Path] = {}

    def quantized(role: str, feeds: Sequence[Feed]) -> list[dict[str, Float32Array]]:
        source = graphs[role]
        paths[f'{role}.{precision}'] = source.with_name(f'{source.stem}.{precision}.onnx')
        return _quantize_graph(source, precision, feeds, paths[f'{role}.{precision}'])

    encoded = quantized(ENCODER, [{'images': image[None]} for image in images])
    views = [{name: x[0] for name, x in outputs.items()} for outputs in encoded]
    windows = [views[start : start + window] for start in range(0, len(views), window)]
    if sweeps:
        quantized(CAMERAS, [stacked(features) for features in windows])
    feeds = []
    for features in windows:
        count = len(features)
        cameras = sideways_cameras(count, spec.input_hw) if sweeps else None
        feeds.append(window_inputs(features, range(count), spec, cameras))
    quantized(DECODER, feeds)
    return paths


def _quantize_graph(
    source: Path, precision: str, feeds: Sequence[Feed], out: Path
) -> list[dict[str, Float32Array]]:
    """Quantise one graph; return its outputs for the feeds."""
    with TemporaryDirectory() as folder:
        half, twin = Path(folder) / 'half.onnx', Path(folder) / 'twin.onnx'
        convert_graph(source, 'fp16', half, accumulation='float16')  # till all is quantised
        model = read_graph(half)
        nodes = _weighted_products(model.graph)
        write_rounded_twin(half, twin)
        names = sorted({str(node.inputs[0].name) for node in nodes if node.inputs[0] is not None})
        request = watch_graph(twin, names)
        outputs, largest = [], dict.fromkeys(names, 0.0)
        for feed in feeds:
            found, seen = run_watched(request, feed)
            outputs.append(found)
            largest = {name: max(value, seen[name]) for name, value in largest.items()}
        quantizer = _Quantizer(model.graph, precision)
        for node in nodes:
            quantizer.quantize(node, largest[str(node.inputs[0].name)])  # type: ignore[union-attr]
        RemoveUnusedNodesPass()(model)
        widen_products(model.graph, ir.DataType.FLOAT16, MATRIX_PRODUCTS)
        write_graph(model, out)
    return outputs


def _weighted_products(graph: ir.Graph) -> list[ir.Node]:
    """Return the float16 products of an activation and a weight, but depthwise convolutions."""
    return [
        node
        for node in graph
        if node.op_type in ('Conv', 'MatMul')
        and node.outputs[0].dtype == ir.DataType.FLOAT16
        and node.inputs[1] is not None
        and node.inputs[1].is_initializer()
        and node.attributes.get_int('group', 1) == 1
    ]


class _Quantizer:
    """Puts a pair of QuantizeLinear and DequantizeLinear before the inputs of products."""

    def __init__(self, graph: ir.Graph, precision: str) -> None:
        self.graph = graph
        self.precision = precision
        self.kind = QUANTIZED[precision]
        self.activations: dict[ir.Value, ir.Value] = {}

    def quantize(self, node: ir.Node, largest: float) -> None:
        """Let a product read its activation (of this largest magnitude) and weight in 8 bits."""
        activation, weight = node.inputs[:2]
        assert activation is not None
        assert weight is not None
        if activation not in self.activations:
            scale = np.array(max(largest / self.kind.largest, SMALLEST_SCALE), np.float16)
            self.activations[activation] = self._activation(activation, scale)
        node.replace_input_with(0, self.activations[activation])
        node.replace_input_with(1, self._weight(node, weight))

    def _activation(self, value: ir.Value, scale: NDArray[np.float16]) -> ir.Value:
        """Insert the pair behind an activation."""
        name = f'{value.name}.{self.precision}'
        zero = add_constant(self.graph, f'{name}.zero', np.zeros((), self.kind.numpy_type))
        step = add_constant(self.graph, f'{name}.scale', scale)
        narrow = ir.Value(name=name, type=ir.TensorType(self.kind.onnx_type), shape=value.shape)
        wide = _half_value(f'{name}.wide', value.shape)
        producer = value.producer()
        assert producer is not None  # a cast, as inputs of the graph are float32
        pair = [
            ir.Node('', 'QuantizeLinear', [value, step, zero], outputs=[narrow], name=name),
            ir.Node('', 'DequantizeLinear', [narrow, step, zero], outputs=[wide], name=wide.name),
        ]
        self.graph.insert_after(producer, pair)
        return wide

    def _weight(self, node: ir.Node, weight: ir.Value) -> ir.Value:
        """Return a weight that is stored in 8 bits with a scale per output channel."""
        assert weight.const_value is not None
        values = weight.const_value.numpy().astype(np.float32)
        axis = 0 if node.op_type == 'Conv' else values.ndim - 1
        others = tuple(a for a in range(values.ndim) if a != axis)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scale = np.maximum(largest / self.kind.largest, SMALLEST_SCALE).astype(np.float16)
        steps = np.clip(values / scale, -self.kind.largest, self.kind.largest)
        if self.precision == 'int8':
            steps = np.rint(steps)
        name = f'{weight.name}.{self.precision}'
        stored = add_constant(self.graph, name, steps.astype(self.kind.numpy_type))
        step = add_constant(self.graph, f'{name}.scale', scale.reshape(-1))
        zero = add_constant(self.graph, f'{name}.zero', np.zeros(scale.size, self.kind.numpy_type))
        wide = _half_value(f'{name}.wide', weight.shape)
        along = ir.AttrInt64('axis', axis)
        dequantize = ir.Node(
            '', 'DequantizeLinear', [stored, step, zero], [along], outputs=[wide], name=wide.name
        )
        self.graph.insert_before(node, dequantize)
        return wide


def _half_value(name: str, shape: ir.Shape | None) -> ir.Value:
    """Return a float16 value."""
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT16), shape=shape)
