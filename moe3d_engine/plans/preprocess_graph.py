"""The graph `preprocess`: camera images to the network's input, with nothing but two products."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.graphs.graph_file import add_constant
from moe3d_engine.graphs.graph_file import write_graph
from moe3d_engine.plans.compiler import Shapes
import numpy as np
import onnx_ir as ir

OPSET = 20
# Whoever changes this or the graph raises manifest.FORMAT, so that older plans are built anew.
SOURCE_HW = ((64, 64), (720, 1280), (1200, 1920))  # least, usual and largest camera image


def write_preprocess_graph(path: Path, input_hw: tuple[int, int]) -> None:
    """
    Write the graph that fits camera images to the network.

    Its inputs are `source` uint8 (num_views, source_h, source_w, 3) and the matrices `rows`
    float32 (H, source_h) and `columns` float32 (W, source_w) of
    `moe3d_engine.geometry.fit.resampling_matrices`. Its outputs are `fitted` uint8
    (num_views, H, W, 3), whole grey levels as on the CPU, and `images` float32
    (num_views, 3, H, W), the same in [0, 1]. The same size gives the same bytes.

    Parameters
    ----------
    path : file to write.
    input_hw : (H, W) of the network's input in pixels.
    """
    height, width = input_hw
    pixels = ('num_views', 'source_h', 'source_w', 3)
    source = _input('source', ir.DataType.UINT8, pixels)
    rows = _input('rows', ir.DataType.FLOAT, (height, 'source_h'))
    columns = _input('columns', ir.DataType.FLOAT, (width, 'source_w'))
    graph = ir.Graph([source, rows, columns], [], nodes=[], name='preprocess')
    darkest, brightest = (
        add_constant(graph, name, np.array(value, np.float32))
        for name, value in (('darkest', 0.0), ('brightest', 255.0))
    )

    def add(operator: str, *inputs: ir.Value, **attributes: int | list[int]) -> ir.Value:
        node = ir.node(operator, inputs, attributes)
        graph.append(node)
        return node.outputs[0]

    planes = add('Transpose', add('Cast', source, to=ir.DataType.FLOAT.value), perm=[0, 3, 1, 2])
    resized = add('MatMul', add('MatMul', rows, planes), add('Transpose', columns, perm=[1, 0]))
    grey = add('Clip', add('Round', resized), darkest, brightest)
    images = add('Div', grey, brightest)
    fitted = add('Cast', add('Transpose', grey, perm=[0, 2, 3, 1]), to=ir.DataType.UINT8.value)
    for value, name, dtype, shape in (
        (fitted, 'fitted', ir.DataType.UINT8, ('num_views', height, width, 3)),
        (images, 'images', ir.DataType.FLOAT, ('num_views', 3, height, width)),
    ):
        value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(shape)
        graph.outputs.append(value)
    graph.opset_imports[''] = OPSET
    write_graph(ir.Model(graph, ir_version=10), path)


def input_shapes(input_hw: tuple[int, int], views: tuple[int, int, int]) -> dict[str, Shapes]:
    """
    Return least, usual and largest shape of each input, for the compiler.

    Parameters
    ----------
    input_hw : (H, W) of the network's input in pixels.
    views : least, most usual and most views of a window; images mostly come one at a time.
    """
    height, width = input_hw
    least, usual, largest = SOURCE_HW
    return {
        'source': ((1, *least, 3), (1, *usual, 3), (views[2], *largest, 3)),
        'rows': ((height, least[0]), (height, usual[0]), (height, largest[0])),
        'columns': ((width, least[1]), (width, usual[1]), (width, largest[1])),
    }


def _input(name: str, dtype: ir.DataType, shape: tuple[int | str, ...]) -> ir.Value:
    """Return an input of the graph."""
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
