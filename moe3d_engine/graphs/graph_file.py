"""ONNX files: read lazily, written without traces of the machine, checked, of any size."""

from __future__ import annotations

from collections.abc import Iterator
import gc
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnx
import onnx_ir as ir

INLINE_BYTES = 1_900_000_000  # protobuf ends at 2 GiB; the rest of the graph needs some room
EXTERNAL_BYTES = 1024  # smaller tensors stay in the graph, where shape inference wants them


def read_graph(path: Path) -> ir.Model:
    """Read a graph; weights beside it stay on disk until they are needed."""
    gc.collect()  # graphs of before are cyclic, and can hold gigabytes
    return ir.load(path)


def data_file(path: Path) -> Path:
    """Return where the weights of a graph lie that is too large for one file."""
    return path.with_name(f'{path.name}.data')


def write_graph(model: ir.Model, path: Path, inline_bytes: int = INLINE_BYTES) -> None:
    """
    Write a graph and let the ONNX checker read it back. The same graph gives the same bytes.

    Parameters
    ----------
    model : loses its weights, which the exporter would keep in memory.
    path : of the graph.
    inline_bytes : weights of more bytes than this go to `data_file(path)`.
    """
    tensors = [value.const_value for value in model.graph.initializers.values()]
    size_bytes = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    beside = data_file(path)
    if size_bytes > inline_bytes:
        ir.external_data.unload_from_model(
            model, path.parent, beside.name, size_threshold_bytes=EXTERNAL_BYTES
        )
    else:
        ir.external_data.load_to_model(model)
    graph = ir.to_proto(model)
    strip_provenance(graph)
    for value in model.graph.initializers.values():
        value.const_value = None
    path.write_bytes(graph.SerializeToString(deterministic=True))
    del graph
    if size_bytes <= inline_bytes:
        beside.unlink(missing_ok=True)
    onnx.checker.check_model(str(path))


def add_constant(graph: ir.Graph, name: str, values: NDArray[np.generic]) -> ir.Value:
    """Add a constant to a graph and return it."""
    tensor = ir.Tensor(values, name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor
    )
    graph.register_initializer(value)
    return value


def strip_provenance(graph: onnx.ModelProto) -> None:
    """Remove stack traces and documentation, which hold paths of the exporting machine."""
    for message in _messages(graph):
        for field in ('doc_string', 'metadata_props'):
            if field in message.DESCRIPTOR.fields_by_name:
                message.ClearField(field)


def _messages(message: Any) -> Iterator[Any]:  # noqa: ANN401 (protobuf has no types here)
    """Yield a protobuf message and all messages inside."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:  # a number or a text
            continue
        for child in [value] if hasattr(value, 'DESCRIPTOR') else value:
            yield from _messages(child)
