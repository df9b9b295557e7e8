"""Which parts of a 16-bit graph are in 16 bits, and what a rounded twin computes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from moe3d_engine.assets import find_weights
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import EngineError
import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
ir = pytest.importorskip('onnx_ir')
pytest.importorskip('torch')

pytestmark = pytest.mark.instruction_sets

LOW = {'fp16': onnx.TensorProto.FLOAT16, 'bf16': onnx.TensorProto.BFLOAT16}
PRODUCTS = {'Conv', 'ConvTranspose', 'MatMul', 'Gemm'}


@pytest.fixture(scope='module', params=['fp16', 'bf16'])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope='module')
def converted(tiny_card: Path, precision: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from moe3d_engine.graphs.precision import convert_graph

    out = tmp_path_factory.mktemp('converted') / 'reconstruct.onnx'
    convert_graph(find_weights(str(tiny_card)).verified_file('reconstruct'), precision, out)
    return out


def types_of(graph: ir.Graph) -> Counter[tuple[str, str]]:
    """Count operators by name and type of their first output."""
    return Counter((node.op_type, str(node.outputs[0].dtype)) for node in graph)


def test_inputs_and_outputs_stay_float32(converted: Path) -> None:
    graph = onnx.load(converted).graph
    tensors = [t for t in (*graph.input, *graph.output) if t.name != 'publish']

    assert {t.type.tensor_type.elem_type for t in tensors} == {onnx.TensorProto.FLOAT}
    assert 'depth' in {t.name for t in tensors}


def test_graph_is_strongly_typed(converted: Path) -> None:
    onnx.checker.check_model(str(converted), full_check=True)


def test_norms_softmax_and_mixture_stay_float32(converted: Path) -> None:
    types = types_of(ir.load(converted).graph)
    protected = ('LayerNormalization', 'Softmax', 'LogSoftmax', 'Exp', 'Resize', 'Gelu', 'Div')

    assert {kind for op, kind in types if op in protected} == {'FLOAT'}


def test_products_are_in_16_bits_but_for_the_sensitive(
    converted: Path, precision: str, tiny_card: Path
) -> None:
    from moe3d_engine.graphs.precision import sensitive_nodes

    source = ir.load(find_weights(str(tiny_card)).verified_file('reconstruct')).graph
    sensitive = {node.name for node in sensitive_nodes(source)}
    products = [node for node in ir.load(converted).graph if node.op_type in PRODUCTS]
    wide = {node.name for node in products if not is_narrow(node, precision)}
    transposed = {node.name for node in source if node.op_type == 'ConvTranspose'}

    assert len(transposed) == 2
    assert wide == sensitive | (transposed if precision == 'bf16' else set())


def is_narrow(node: ir.Node, precision: str) -> bool:
    """Return whether a product takes and gives 16 bits, perhaps through casts."""
    kind = {'fp16': ir.DataType.FLOAT16, 'bf16': ir.DataType.BFLOAT16}[precision]
    if node.outputs[0].dtype == kind:
        return True
    casts = [value.producer() for value in node.inputs]
    readers = [use.node.outputs[0].dtype for use in node.outputs[0].uses()]
    return readers == [kind] and all(
        cast is not None and cast.op_type == 'Cast' and cast.inputs[0].dtype == kind
        for cast in casts
    )


def test_camera_head_and_last_convolutions_are_sensitive(tiny_card: Path) -> None:
    from moe3d_engine.graphs.precision import sensitive_nodes

    graph = ir.load(find_weights(str(tiny_card)).verified_file('reconstruct')).graph
    sensitive = sensitive_nodes(graph)
    weights = {
        str(value.name).removeprefix('network.')
        for node in sensitive
        for value in node.inputs
        if value is not None and value.producer() is None
    }

    last = [node for node in sensitive if node.op_type == 'Conv']
    assert 1 <= len(last) <= 2  # experts and gate, perhaps in one
    # Four iterations of embedding, modulation, one block and the branch of the pose.
    assert sum(node.op_type in {'MatMul', 'Gemm'} for node in sensitive) >= 4 * 8
    assert not any(name.startswith('aggregator') for name in weights)


def test_conversion_gives_the_same_bytes(
    converted: Path, precision: str, tiny_card: Path, tmp_path: Path
) -> None:
    from moe3d_engine.graphs.precision import convert_graph

    again = tmp_path / 'again.onnx'
    convert_graph(find_weights(str(tiny_card)).verified_file('reconstruct'), precision, again)

    assert again.read_bytes() == converted.read_bytes()


def test_unknown_precision_is_refused(tmp_path: Path) -> None:
    from moe3d_engine.graphs.precision import convert_graph

    with pytest.raises(ConfigError, match="fp16 or bf16; got 'fp4'"):
        convert_graph(tmp_path / 'none.onnx', 'fp4', tmp_path / 'out.onnx')


def write_product(path: Path, weight: np.ndarray) -> None:
    """Write the graph y = x weight."""
    helper = onnx.helper
    rows, columns = weight.shape
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ['n', size])]
        for name, size in (('x', rows), ('y', columns))
    )
    node = helper.make_node('MatMul', ['x', 'w'], ['y'], name='product')
    initializer = [onnx.numpy_helper.from_array(weight, 'w')]
    graph = helper.make_graph([node], 'test', inputs, outputs, initializer)
    opset = [helper.make_opsetid('', 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def test_weight_beyond_float16_is_refused(tmp_path: Path) -> None:
    from moe3d_engine.graphs.precision import convert_graph

    write_product(tmp_path / 'a.onnx', np.full((4, 4), 7e4, np.float32))

    with pytest.raises(EngineError, match=r'weight w\.fp16 .* bf16 or fp32'):
        convert_graph(tmp_path / 'a.onnx', 'fp16', tmp_path / 'b.onnx')


def test_rounded_twin_rounds_as_the_16_bit_graph(tmp_path: Path, precision: str) -> None:
    from moe3d_engine.graphs.precision import convert_graph
    from moe3d_engine.graphs.precision import KINDS
    from moe3d_engine.graphs.rounding import run_watched
    from moe3d_engine.graphs.rounding import watch_graph
    from moe3d_engine.graphs.rounding import write_rounded_twin

    pytest.importorskip('openvino')
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 32)), rng.normal(size=(32, 8))
    write_product(tmp_path / 'a.onnx', w.astype(np.float32))
    convert_graph(tmp_path / 'a.onnx', precision, tmp_path / 'b.onnx')

    watched = write_rounded_twin(tmp_path / 'b.onnx', tmp_path / 'c.onnx')
    request = watch_graph(tmp_path / 'c.onnx', watched)
    outputs, largest = run_watched(request, {'x': x.astype(np.float32)})

    def rounded(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32).astype(KINDS[precision].numpy_type).astype(np.float64)

    exact = rounded(x) @ rounded(w)
    unit = 2.0**-10 if precision == 'fp16' else 2.0**-7
    np.testing.assert_allclose(outputs['y'], rounded(exact), rtol=unit)  # a tie may go either way
    assert (outputs['y'] == rounded(outputs['y'])).all()
    assert sorted(watched) == [f'x.{precision}', f'y.{precision}']
    assert largest[f'y.{precision}'] == pytest.approx(np.abs(exact).max(), rel=1e-6)


def test_large_weights_lie_beside_the_graph_and_are_read_back(
    tiny_card: Path, tmp_path: Path
) -> None:
    from moe3d_engine.graphs.graph_file import data_file
    from moe3d_engine.graphs.graph_file import read_graph
    from moe3d_engine.graphs.graph_file import write_graph

    source = find_weights(str(tiny_card)).verified_file('reconstruct')
    path, inline = tmp_path / 'a.onnx', tmp_path / 'b.onnx'

    write_graph(read_graph(source), path, inline_bytes=10_000)
    write_graph(read_graph(path), inline)

    assert path.stat().st_size < 0.7 * source.stat().st_size
    assert data_file(path).is_file()
    assert not data_file(inline).exists()
    assert inline.read_bytes() == source.read_bytes()
