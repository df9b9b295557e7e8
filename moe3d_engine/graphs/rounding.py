"""
What a 16-bit graph computes, on a CPU that computes in float32.

CPU runtimes drop the casts of a 16-bit graph when they are told to compute in float32, and round
everything, also what the graph protects, when they are told to compute in 16 bits. So the graph
is rewritten: float32 throughout, with each rounding spelt out in arithmetic that no optimiser
removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import gc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from moe3d_engine.array_backend import ArrayBackend
from moe3d_engine.assets.card import WeightsCard
from moe3d_engine.backend import check_images
from moe3d_engine.backend import views_of
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import EngineError
from moe3d_engine.graphs.graph_file import add_constant
from moe3d_engine.graphs.graph_file import read_graph
from moe3d_engine.graphs.graph_file import write_graph
from moe3d_engine.graphs.precision import EXACT
from moe3d_engine.types import Float32Array
import numpy as np
import onnx_ir as ir

# x - (x - (2^s + 1) x) form of Veltkamp: keeps 24 - s bits of float32's 24, round to nearest.
SPLITTERS = {ir.DataType.FLOAT16: 2.0**13 + 1, ir.DataType.BFLOAT16: 2.0**16 + 1}
LARGEST_FLOAT16 = 65504.0
_WATCHED = 'largest of '


def write_rounded_twin(source: Path, out: Path) -> list[str]:
    """
    Write the float32 graph that rounds wherever a 16-bit graph rounds.

    Numbers beyond the 16-bit range stay finite in it, so that their size can be seen; those
    below the normal range (6e-5 in float16) keep more bits than in the 16-bit graph.

    Returns
    -------
    Names of the values that the source holds in 16 bits, before they are rounded.
    """
    model = read_graph(source)
    graph = model.graph
    low = {v for n in graph for v in n.outputs if v.dtype in SPLITTERS}
    for weight in graph.initializers.values():
        if weight.dtype in SPLITTERS and weight.const_value is not None:
            low.add(weight)
            weight.const_value = _widened(weight.const_value)
    constants: dict[ir.DataType, ir.Value] = {}
    watched = []
    for node in tuple(graph):
        output = node.outputs[0]
        if node.op_type == 'Cast' and (output in low or node.inputs[0] in low):
            node.attributes['to'] = ir.AttrInt64('to', ir.DataType.FLOAT.value)
        if output in low and node.op_type not in EXACT and output.dtype is not None:
            if output.dtype not in constants:
                splitter = np.array(SPLITTERS[output.dtype], np.float32)
                name = f'splitter.{output.dtype.name}'
                constants[output.dtype] = add_constant(graph, name, splitter)
            watched.append(str(output.name))
            _round_output(graph, node, constants[output.dtype])
    for value in low:
        value.dtype = ir.DataType.FLOAT
    write_graph(model, out)
    return watched


def _widened(weight: ir.TensorProtocol) -> ir.LazyTensor:
    """Return a 16-bit weight in float32, made when it is written."""
    return ir.LazyTensor(
        lambda: ir.Tensor(weight.numpy().astype(np.float32), name=weight.name),
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape(weight.numpy().shape),
        name=weight.name,
    )


def _round_output(graph: ir.Graph, node: ir.Node, splitter: ir.Value) -> None:
    """Insert s = k x; s - (s - x) behind a node, where all others read its output."""
    value = node.outputs[0]
    names = [f'{value.name}.{step}' for step in ('scaled', 'rest', 'rounded')]
    scaled, rest, rounded = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
        for name in names
    )
    value.replace_all_uses_with(rounded)
    steps = (
        ('Mul', value, splitter, scaled),
        ('Sub', scaled, value, rest),
        ('Sub', scaled, rest, rounded),
    )
    graph.insert_after(
        node,
        [
            ir.Node('', op, [a, b], outputs=[out], name=f'round_{out.name}')
            for op, a, b, out in steps
        ],
    )


class RoundedBackend(ArrayBackend):
    """
    The graphs of a precision, with their roundings, in OpenVINO's float32.

    A graph is opened when it is first needed.

    Parameters
    ----------
    card : the weights; with a file of the role `<graph>.<precision>` for each graph.
    precision : such as `fp16`; `fp32` are the graphs as they are.
    one_at_a_time : whether a graph is released when another one is needed.
    """

    def __init__(self, card: WeightsCard, precision: str, *, one_at_a_time: bool = False) -> None:
        self.name = f'the {precision} graph'
        self.spec = card.spec
        self.largest: dict[str, float] = {}
        self._card = card
        self._suffix = '' if precision == 'fp32' else f'.{precision}'
        self._one_at_a_time = one_at_a_time
        self._requests: dict[str, Any] = {}

    def encode(self, images: Float32Array) -> list[object]:
        """Return one dictionary of arrays per view; see `Backend.encode`."""
        check_images(images, self.spec)
        outputs = self._infer('image_encoder', {'images': images})
        return views_of(outputs, len(images))

    def close(self) -> None:
        """Release all graphs."""
        self._requests.clear()

    def check_range(self) -> float:
        """
        Return the largest number of all calls that the graph holds in 16 bits.

        Raises
        ------
        EngineError
            If it is beyond float16; the message names the values.
        """
        beyond = {n: x for n, x in self.largest.items() if not x <= LARGEST_FLOAT16}
        if beyond:
            worst = ', '.join(f'{name} {x:.3g}' for name, x in sorted(beyond.items())[:4])
            raise EngineError(
                f'{len(beyond)} values of {self.name} of {self.spec.name} are beyond '
                f'{LARGEST_FLOAT16:.0f} ({worst}). Export these weights in bf16 or fp32.'
            )
        return max(self.largest.values(), default=0.0)

    def _infer(self, role: str, inputs: Mapping[str, Any]) -> dict[str, Float32Array]:
        """Run a graph, note the largest numbers, return copies of the named outputs."""
        if role not in self._requests:
            if self._one_at_a_time:
                self._requests.clear()
            self._requests[role] = self._open(role)
        outputs, largest = run_watched(self._requests[role], inputs)
        for name, value in largest.items():
            self.largest[name] = max(value, self.largest.get(name, 0.0))
        return outputs

    def _open(self, role: str) -> Any:  # noqa: ANN401 (an InferRequest)
        """Compile a graph or its rounded twin."""
        path = self._card.verified_file(f'{role}{self._suffix}')
        if not self._suffix:
            return watch_graph(path, ())
        with TemporaryDirectory(dir=path.parent) as folder:  # it can take gigabytes
            twin = Path(folder) / 'twin.onnx'
            return watch_graph(twin, write_rounded_twin(path, twin))


def watch_graph(path: Path, watched: Sequence[str]) -> Any:  # noqa: ANN401 (an InferRequest)
    """
    Compile a graph for the CPU in float32, with the largest magnitude of values as extra outputs.

    Raises
    ------
    BackendError
        If openvino is not installed.
    """
    try:
        import openvino
        from openvino import opset13 as ops
    except ImportError as error:
        raise BackendError(
            'Comparing precisions needs the package openvino, which is not installed. Install '
            'it: pip install openvino'
        ) from error
    gc.collect()  # graphs of before are cyclic, and can hold gigabytes
    core = openvino.Core()
    model = core.read_model(path)
    ports = [port for node in model.get_ops() for port in node.outputs()]
    by_name = {name: port for port in ports for name in port.get_names()}
    results = []
    for name in watched:
        flat = ops.reshape(ops.absolute(by_name[name]), np.array([-1]), special_zero=False)
        largest = ops.reduce_max(flat, np.array([0]), keep_dims=False)
        largest.output(0).set_names({_WATCHED + name})
        results.append(ops.result(largest))
    # Nodes run in the order of the results they serve: magnitudes last would keep every value.
    model = openvino.Model([*results, *model.get_results()], model.get_parameters())
    settings = {'INFERENCE_PRECISION_HINT': 'f32'}
    return core.compile_model(model, 'CPU', settings).create_infer_request()


def run_watched(
    request: Any,  # noqa: ANN401 (an InferRequest)
    inputs: Mapping[str, Any],
) -> tuple[dict[str, Float32Array], dict[str, float]]:
    """
    Run a graph of `watch_graph` on the inputs that it takes.

    Returns
    -------
    Copies of its outputs, and the largest magnitudes.
    """
    taken = {port.any_name for port in request.model_inputs}
    results = request.infer({name: inputs[name] for name in taken}, share_outputs=False)
    found = {port.any_name: values for port, values in results.items()}
    outputs = {name: x for name, x in found.items() if not name.startswith(_WATCHED)}
    largest = {n.removeprefix(_WATCHED): float(x) for n, x in found.items() if n not in outputs}
    return outputs, largest
