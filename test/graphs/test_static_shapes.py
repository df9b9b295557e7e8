"""Folded shapes: the same numbers from far fewer layers of NVIDIA's parser."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.assets import find_weights
import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
ir = pytest.importorskip('onnx_ir')

from moe3d_engine.graphs.static_shapes import fold_shapes  # noqa: E402 (after the skips)
from moe3d_engine.graphs.static_shapes import write_folded  # noqa: E402

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
helper = onnx.helper


def run_both(
    nodes: list[onnx.NodeProto], shape: list[int | str], **constants: list[int]
) -> tuple[list[str], list[str]]:
    """Fold a graph from x to y; check that it computes the same; return operators of both."""
    from onnx.reference import ReferenceEvaluator

    initializers = [
        onnx.numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in constants.items()
    ]
    x = helper.make_tensor_value_info('x', FLOAT, shape)
    y = helper.make_tensor_value_info('y', FLOAT, None)
    graph = helper.make_graph(nodes, 'test', [x], [y], initializers)
    opset = [helper.make_opsetid('', 20)]
    model = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=opset, ir_version=10)
    )
    folded = ir.from_proto(model)
    fold_shapes(folded)
    data = np.random.default_rng(0).normal(size=[n if isinstance(n, int) else 3 for n in shape])
    inputs = {'x': data.astype(np.float32)}
    found = ReferenceEvaluator(ir.to_proto(folded)).run(None, inputs)[0]
    np.testing.assert_array_equal(found, ReferenceEvaluator(model).run(None, inputs)[0])
    return [node.op_type for node in nodes], [node.op_type for node in folded.graph]


def slices(
    axis: int, *spans: tuple[int, int, int]
) -> tuple[list[onnx.NodeProto], dict[str, list]]:
    """Return slices of x along an axis that are concatenated, and their constants."""
    nodes, constants = [], {'axis': [axis]}
    for number, span in enumerate(spans):
        names = [f'{part}{number}' for part in ('start', 'end', 'step')]
        constants |= {name: [value] for name, value in zip(names, span, strict=True)}
        inputs = ['x', names[0], names[1], 'axis', names[2]]
        nodes.append(helper.make_node('Slice', inputs, [f's{number}'], name=f's{number}'))
    pieces = [f's{number}' for number in range(len(spans))]
    return [*nodes, helper.make_node('Concat', pieces, ['y'], axis=axis, name='y')], constants


@pytest.mark.parametrize(
    ('spans', 'operators'),
    [
        ([(0, 100, 1), (100, 300, 1)], ['Split', 'Concat']),
        ([(0, 100, 1), (50, 300, 1)], ['Split', 'Split', 'Concat']),
        ([(100, 1 << 62, 1), (-300, -200, 1)], ['Split', 'Concat']),
        ([(0, 300, 1), (0, 300, 1)], ['Concat']),
        ([(7, 8, 1), (299, 297, -1)], ['Gather', 'Gather', 'Concat']),
    ],
)
def test_slices_become_split_or_gather(
    spans: list[tuple[int, int, int]], operators: list[str]
) -> None:
    nodes, constants = slices(2, *spans)

    _, found = run_both(nodes, ['views', 20, 300], **constants)

    assert sorted(found) == sorted(operators)


def test_slices_along_the_views_stay_but_for_the_first_view() -> None:
    nodes, constants = slices(0, (0, 1, 1), (1, 1 << 62, 1))

    _, found = run_both(nodes, ['views', 20], **constants)

    assert sorted(found) == ['Concat', 'Gather', 'Slice']


def test_shape_arithmetic_with_one_unknown_is_a_constant() -> None:
    node = helper.make_node
    nodes = [
        node('Shape', ['x'], ['shape'], name='shape'),
        node('Slice', ['shape', 'zero', 'one'], ['views'], name='views'),
        node('Concat', ['views', 'minus', 'two'], ['target'], axis=0, name='target'),
        node('Reshape', ['x', 'target'], ['y'], name='y'),
    ]

    _, found = run_both(nodes, ['views', 4, 6], zero=[0], one=[1], minus=[-1], two=[2])

    assert found == ['Reshape']


def test_operators_on_constants_are_evaluated() -> None:
    node = helper.make_node
    nodes = [
        node('ConstantOfShape', ['size'], ['zeros'], name='zeros'),
        node('EyeLike', ['zeros'], ['eye'], name='eye'),
        node('Add', ['x', 'eye'], ['y'], name='y'),
    ]

    _, found = run_both(nodes, ['views', 4, 4], size=[4, 4])

    assert found == ['Add']


@pytest.mark.parametrize('role', ['image_encoder', 'reconstruct'])
def test_nvidias_parser_makes_two_fifths_fewer_layers(role: str, tmp_path: Path) -> None:
    trt = pytest.importorskip('tensorrt_rtx')
    source = find_weights('moe3d-small').verified_file(role)
    write_folded(source, tmp_path / 'folded.onnx')

    def count(path: Path) -> int:
        log = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(log)
        network = builder.create_network(0)
        assert trt.OnnxParser(network, log).parse_from_file(str(path))
        return int(network.num_layers)

    assert count(tmp_path / 'folded.onnx') < 0.6 * count(source)


def test_folded_graphs_compute_the_same_for_any_number_of_views(
    tiny_card: Path, tmp_path: Path
) -> None:
    openvino = pytest.importorskip('openvino')
    card = find_weights(str(tiny_card))
    write_folded(card.verified_file('reconstruct'), tmp_path / 'folded.onnx')
    core = openvino.Core()
    settings = {'INFERENCE_PRECISION_HINT': 'f32', 'INFERENCE_NUM_THREADS': 1}
    paths = (card.verified_file('reconstruct'), tmp_path / 'folded.onnx')
    plain, folded = (core.compile_model(path, 'CPU', settings) for path in paths)
    for views in (1, 2, 4):
        tokens = np.random.default_rng(0).normal(size=(views, 4, 5, 32)).astype(np.float32)
        inputs = {'tokens': tokens, 'publish': np.arange(views)[::-1].copy()}
        expected = {port.any_name: value for port, value in plain(inputs).items()}
        for port, value in folded(inputs).items():
            np.testing.assert_allclose(value, expected[port.any_name], rtol=1e-5, atol=1e-6)
