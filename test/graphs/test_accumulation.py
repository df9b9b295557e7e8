"""How products of 16 bits add up: what the graph asks for, and what it would cost otherwise."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
import re

from moe3d_engine.assets import find_weights
from moe3d_engine.graphs.parity import run_window
from moe3d_engine.graphs.parity import textured_images
import numpy as np
import pytest

torch = pytest.importorskip('torch')
ir = pytest.importorskip('onnx_ir')

from moe3d_engine.graphs.precision import convert_graph  # noqa: E402 (after the skips)
from moe3d_engine.graphs.torch_graph import float16_sums  # noqa: E402
from moe3d_engine.graphs.torch_graph import float32_sums  # noqa: E402
from moe3d_engine.graphs.torch_graph import GraphBackend  # noqa: E402
from moe3d_engine.graphs.torch_graph import Product  # noqa: E402

ROLES = ('image_encoder', 'reconstruct')


@pytest.mark.parametrize('accumulation', ['float32', 'float16'])
def test_nvidias_compiler_adds_in_float32_where_it_is_told_to(
    accumulation: str, tiny_card: Path, tmp_path: Path
) -> None:
    trt = pytest.importorskip('tensorrt_rtx')
    from moe3d_engine.plans.compiler import compile_graph
    from moe3d_engine.plans.compiler import CompileOptions

    graph, plan = tmp_path / 'graph.onnx', tmp_path / 'plan'
    source = find_weights(str(tiny_card)).verified_file('image_encoder')
    convert_graph(source, 'fp16', graph, accumulation=accumulation)

    compile_graph(trt, graph, plan, CompileOptions((1, 2, 4), rtx_targets=('8.6',)))

    # The plan says in clear text what each product is: 0 leaves the sums to the kernel.
    products = re.findall(rb'fully_connected=\{.*?accumulation_type=(\d+)', plan.read_bytes())
    assert len(products) == 4
    assert set(products) == {b'2' if accumulation == 'float32' else b'0'}


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_matrix_products_read_and_write_16_bits_through_casts(
    precision: str, tiny_card: Path, tmp_path: Path
) -> None:
    source = find_weights(str(tiny_card)).verified_file('image_encoder')
    convert_graph(source, precision, tmp_path / 'graph.onnx')

    graph = ir.load(tmp_path / 'graph.onnx').graph
    kind = {'fp16': ir.DataType.FLOAT16, 'bf16': ir.DataType.BFLOAT16}[precision]
    products = [node for node in graph if node.op_type == 'MatMul']
    assert products
    for node in products:
        around = [value.producer() for value in node.inputs]
        around += [use.node for use in node.outputs[0].uses()]
        assert {n.op_type for n in around} == {'Cast'}
        assert {value.producer().inputs[0].dtype for value in node.inputs} == {kind}
        assert {use.node.outputs[0].dtype for use in node.outputs[0].uses()} == {kind}
    assert graph.opset_imports[''] == 20  # the last one that TensorRT 10.3 documents


@pytest.mark.parametrize('length', [192, 768, 4096])
def test_sums_in_fp16_cost_more_the_longer_they_are(length: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(shape, generator=generator).half() for shape in ((64, length), (length, 64))
    )
    exact = a.double() @ b.double()

    once, often = (
        float((product(a, b).double() - exact).square().mean().sqrt())
        for product in (float32_sums, float16_sums)
    )

    assert often > 1.5 * once
    assert often / once == pytest.approx((length / 16 / 2 + 1) ** 0.5, rel=0.5)


def test_graph_in_torch_computes_what_openvino_computes(tiny_card: Path) -> None:
    pytest.importorskip('openvino')
    from moe3d_engine.backends.openvino_backend import open_openvino

    card = find_weights(str(tiny_card))
    images = textured_images(3, card.input_hw)
    paths = {role: card.verified_file(role) for role in ROLES}

    found = run_window(GraphBackend(card, paths), images)

    expected = run_window(open_openvino(card, precision='f32', threads=1), images)
    for name, values in found._asdict().items():
        np.testing.assert_allclose(values, getattr(expected, name), rtol=2e-4, atol=1e-5)


def test_limits_of_fp16_allow_sums_in_fp16_wherever_they_are_possible(tmp_path: Path) -> None:
    from moe3d_engine.plans.self_check import compare
    from moe3d_engine.plans.self_check import LIMITS
    from moe3d_engine.plans.self_check import stored_reference

    card = find_weights('moe3d-small')
    reference = stored_reference(card)
    assert reference is not None
    images, cameras, _ = reference
    plain = {role: card.verified_file(role) for role in card.graphs}
    expected = run_window(GraphBackend(card, plain), images, cameras)

    def figures(accumulation: str, matrices: Product, convolutions: Product) -> dict[str, float]:
        paths = {role: tmp_path / f'{role}.{accumulation}.onnx' for role in card.graphs}
        for role, path in paths.items():
            convert_graph(plain[role], 'fp16', path, accumulation=accumulation)
        backend = GraphBackend(card, paths, matrices=matrices, convolutions=convolutions)
        return asdict(compare(expected, run_window(backend, images, cameras)))

    asked_for = figures('float32', float32_sums, float16_sums)  # convolutions are not told how
    worst = figures('float16', float16_sums, float16_sums)

    limits = asdict(LIMITS['fp16'])
    print({name: (f'{asked_for[name]:.2g}', f'{worst[name]:.2g}') for name in limits})
    assert all(2 * max(asked_for[name], worst[name]) < limits[name] for name in limits)
